package kubeclient

import (
	"context"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/ekskey/ekskey/internal/fakeaws"
	"github.com/ekskey/ekskey/internal/tlstest"
)

// Credentials that are another account's later on do not lead to its cluster of the
// same name.
func TestAnotherAccountsCluster(t *testing.T) {
	w := newWorld(t)
	const other = "444455556666"
	keys := make(chan fakeaws.Key, 1)
	keys <- w.key
	c := w.config()
	c.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		key := <-keys
		keys <- key
		return aws.Credentials{AccessKeyID: key.AccessKeyID, SecretAccessKey: key.SecretAccessKey}, nil
	})
	client := w.open(c)
	set := clientset(t, client.RESTConfig())
	foreign := newAPI(0)
	server := tlstest.Serve(t, foreign)
	if err := w.aws.AddCluster(fakeaws.Cluster{
		Account: other, Region: region, Name: cluster, Endpoint: "https://" + server.Address, CAData: base64.StdEncoding.EncodeToString(server.CA),
	}); err != nil {
		t.Fatal(err)
	}
	key, err := w.aws.AddUser(fakeaws.User{Account: other, Name: "admin"})
	if err != nil {
		t.Fatal(err)
	}
	<-keys
	keys <- key
	client.session.Credentials().(interface{ Invalidate() }).Invalidate() // as if they had ended
	w.k8s.HTTP.Close()
	if err := list(set); err == nil || foreign.tokens() != 0 || w.described() != 2 {
		t.Errorf("%v; %d tokens were shown to another account's cluster, EKS was asked %d times", err, foreign.tokens(), w.described())
	}
	if err := client.rediscovery.err; err == nil || !strings.Contains(err.Error(), "is not of account "+account) {
		t.Errorf("%v", err)
	}
}
