package cli

import (
	"encoding/base64"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/ekskey/ekskey/internal/awsconf"
	"github.com/ekskey/ekskey/internal/fakeaws"
)

// Keys that are another account's later on, or a region that is another one, do not
// lead a proxy to the cluster of the same name there: what its clients delete would be
// deleted in that.
func TestProxyStaysWithItsCluster(t *testing.T) {
	const account, other, region = "111122223333", "444455556666", "eu-central-1"
	_, file := awsFiles(t)
	cloud := fakeaws.New(fakeaws.Config{})
	server := httptest.NewServer(cloud)
	t.Cleanup(server.Close)
	pem := base64.StdEncoding.EncodeToString([]byte("-----BEGIN CERTIFICATE-----"))
	for _, c := range []fakeaws.Cluster{
		{Account: account, Region: region, Endpoint: "https://ours.example"},
		{Account: account, Region: "us-east-1", Endpoint: "https://theirs.example"},
		{Account: other, Region: region, Endpoint: "https://theirs.example"},
	} {
		c.Name, c.CAData = "prod", pem
		if err := cloud.AddCluster(c); err != nil {
			t.Fatal(err)
		}
	}
	key := func(account string) fakeaws.Key {
		k, err := cloud.AddUser(fakeaws.User{Account: account, Name: "admin"})
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	write := func(k fakeaws.Key, region string) {
		t.Helper()
		text := "[default]\naws_access_key_id = " + k.AccessKeyID + "\naws_secret_access_key = " + k.SecretAccessKey + "\nregion = " + region + "\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a := testApp()
	a.env.Getenv = os.Getenv
	p := &proxied{
		lasting: a.newLasting("prod", awsconf.Config{EndpointURL: server.URL, Getenv: os.Getenv}, newLastingShare()),
		options: proxyOptions{cluster: "prod"},
	}
	ours, theirs := key(account), key(other)
	for _, tt := range []struct {
		name   string
		key    fakeaws.Key
		region string
		server string
	}{
		{"at first", ours, region, "https://ours.example"},
		{"another account", theirs, region, ""},
		{"another region", ours, "us-east-1", ""},
		{"as at first", ours, region, "https://ours.example"},
	} {
		write(tt.key, tt.region)
		if target, err := p.find(t.Context()); target.Server != tt.server || (err == nil) != (tt.server != "") {
			t.Errorf("%s: %q %v", tt.name, target.Server, err)
		}
	}
}
