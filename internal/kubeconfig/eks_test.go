package kubeconfig

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ekskey/ekskey/internal/execplugin"
)

const roleARN = "arn:aws:iam::111122223333:role/"

func TestForEKSExec(t *testing.T) {
	o := demo()
	o.Profile = "dev"
	o.RoleChain = []Hop{
		{ARN: roleARN + "hub", ExternalID: "e1", Duration: "30m0s"},
		{ARN: roleARN + "admin", SessionName: "s2", MFASerial: "arn:aws:iam::1:mfa/me"},
	}
	want := &Exec{
		APIVersion: "client.authentication.k8s.io/v1",
		Command:    "/usr/local/bin/ekskey",
		Args: []string{"token", "--cluster", "demo", "--region", "eu-west-1", "--profile", "dev",
			"--role-arn", roleARN + "hub", "--external-id", "e1", "--duration", "30m0s",
			"--role-arn", roleARN + "admin", "--session-name", "s2", "--mfa-serial", "arn:aws:iam::1:mfa/me",
			"--exec-api-version", "v1"},
		InstallHint:     installHint,
		InteractiveMode: "IfAvailable",
	}
	c := mustChange(t, o)
	if diff := cmp.Diff(want, c.User.Exec); diff != "" {
		t.Errorf("wrong exec (-want +got):\n%s", diff)
	}
	id, ok := meaningOf(c.User.Exec, "")
	if !ok || !id.Same(execplugin.Meaning{Cluster: "demo", Region: "eu-west-1", Profile: "dev", Roles: o.RoleChain}) {
		t.Errorf("read back as %+v, %v", id, ok)
	}
}

// The two places that name the version agree, or a client would refuse what the
// plugin answers.
func TestForEKSExecVersion(t *testing.T) {
	for given, want := range map[string]string{"": "v1", "v1": "v1", "v1beta1": "v1beta1"} {
		o := demo()
		o.ExecVersion = given
		e := mustChange(t, o).User.Exec
		if n := len(e.Args); e.APIVersion != "client.authentication.k8s.io/"+want || e.Args[n-2] != "--exec-api-version" || e.Args[n-1] != want {
			t.Errorf("%q: %s, %q", given, e.APIVersion, e.Args)
		}
	}
}

// The file may be for another computer, of another system.
func TestForEKSCommand(t *testing.T) {
	for _, command := range []string{"ekskey", "ekskey.exe", "/opt/my tools/ekskey", `C:\bin\ekskey.exe`, "C:/bin/ekskey.exe", `\\host\share\ekskey.exe`} {
		o := demo()
		o.Command = command
		if got := mustChange(t, o).User.Exec.Command; got != command {
			t.Errorf("%q became %q", command, got)
		}
	}
}

// Every option at once, and a second time.
func TestUpdateOfAllIsIdempotent(t *testing.T) {
	o := demo()
	o.ClusterAlias, o.UserAlias, o.Namespace, o.Profile = "cluster", "user", "ns", "p"
	o.Server, o.TLSServerName, o.ProxyURL = "https://localhost:8443", "ABC.eks.amazonaws.com", "socks5://localhost:1080"
	o.Command, o.ExecVersion = "ekskey", "v1beta1"
	for _, start := range []string{"", ownFile, "{}", "clusters: []\r\nusers:\r\n"} {
		f := mustParse(t, start)
		for run := range 2 {
			r, err := f.Apply(mustChange(t, o))
			if err != nil {
				t.Fatal(err)
			}
			if r[0].Changed() != (run == 0) {
				t.Errorf("run %d: %+v", run, r)
			}
		}
		c := f.Clusters()[len(f.Clusters())-1]
		c.Line = 0
		if want := (Cluster{Name: "cluster", Server: o.Server, CAData: "Q0E=", TLSServerName: o.TLSServerName, ProxyURL: o.ProxyURL}); c != want {
			t.Errorf("got %+v", c)
		}
	}
}

// Each row differs from the first in one thing that decides who signs, so no
// two may share a user entry.
func TestUserNames(t *testing.T) {
	base := demo()
	base.Profile = "p"
	base.RoleChain = []Hop{{ARN: roleARN + "a"}, {ARN: roleARN + "b", ExternalID: "x"}}
	rows := []struct {
		name   string
		mutate func(*Options)
	}{
		{"base", func(*Options) {}},
		{"cluster", func(o *Options) { o.ClusterARN += "2" }},
		{"profile", func(o *Options) { o.Profile = "q" }},
		{"profile that reads alike", func(o *Options) { o.Profile = "p " }},
		{"no profile", func(o *Options) { o.Profile = "" }},
		{"no roles", func(o *Options) { o.RoleChain = nil }},
		{"neither", func(o *Options) { o.RoleChain, o.Profile = nil, "" }},
		{"profile named as a role", func(o *Options) { o.RoleChain, o.Profile = nil, roleARN+"b" }},
		{"first role", func(o *Options) { o.RoleChain[0].ARN += "2" }},
		{"last role", func(o *Options) { o.RoleChain[1].ARN += "2" }},
		{"role path", func(o *Options) { o.RoleChain[1].ARN = roleARN + "path/b" }},
		{"role account", func(o *Options) { o.RoleChain[1].ARN = strings.Replace(roleARN, "1111", "2222", 1) + "b" }},
		{"order", func(o *Options) { o.RoleChain[0], o.RoleChain[1] = o.RoleChain[1], o.RoleChain[0] }},
		{"one role fewer", func(o *Options) { o.RoleChain = o.RoleChain[1:] }},
		{"external id moved", func(o *Options) { o.RoleChain[0].ExternalID, o.RoleChain[1].ExternalID = "x", "" }},
		{"external id", func(o *Options) { o.RoleChain[1].ExternalID = "y" }},
		{"external id as session", func(o *Options) { o.RoleChain[1] = Hop{ARN: roleARN + "b", SessionName: "x"} }},
		{"session name", func(o *Options) { o.RoleChain[1].SessionName = "s" }},
		{"MFA", func(o *Options) { o.RoleChain[1].MFASerial = "m" }},
		{"quotes", func(o *Options) { o.RoleChain[1].ExternalID = `x","SessionName":"` }},
	}
	seen := map[string]string{}
	for _, row := range rows {
		o := base
		o.RoleChain = append([]Hop(nil), base.RoleChain...)
		row.mutate(&o)
		name := o.userName()
		if other, ok := seen[name]; ok {
			t.Errorf("%s and %s share %s", row.name, other, name)
		}
		seen[name] = row.name
		if !isBare(name) {
			t.Errorf("%s: %q needs quotes", row.name, name)
		}
		if again := o.userName(); again != name {
			t.Errorf("%s: %q, then %q", row.name, name, again)
		}
	}
	if got := demoUser; seen[got] != "neither" {
		t.Errorf("without role and profile the name is not %q", got)
	}
	o := base
	if want := demoARN + "~role=b~profile=p~"; !strings.HasPrefix(o.userName(), want) {
		t.Errorf("%q does not begin with %q", o.userName(), want)
	}
}

func TestForEKSRefuses(t *testing.T) {
	tests := []struct {
		name   string
		mutate func(*Options)
		want   OptionError
	}{
		{"no ARN", func(o *Options) { o.ClusterARN = "" }, OptionError{"cluster ARN", "is empty"}},
		{"no name", func(o *Options) { o.ClusterName = "" }, OptionError{"cluster name", "is empty"}},
		{"no endpoint", func(o *Options) { o.Endpoint = "" }, OptionError{"server", `"" is not an https URL`}},
		{"plain http", func(o *Options) { o.Server = "http://localhost:1" }, OptionError{"server", `"http://localhost:1" is not an https URL`}},
		{"password in the URL", func(o *Options) { o.Server = "https://u:p@h" }, OptionError{"server", "has a user or a password in it"}},
		{"password in a URL that is none", func(o *Options) { o.Server = "https://u:p a@h" }, OptionError{"server", "has a user or a password in it"}},
		{"no host", func(o *Options) { o.Endpoint = "https:///x" }, OptionError{"server", `"https:///x" is not an https URL`}},
		{"no host, and a port", func(o *Options) { o.Server = "https://:443" }, OptionError{"server", `"https://:443" is not an https URL`}},
		{"a port that is too great", func(o *Options) { o.Server = "https://h:65536" }, OptionError{"server", `"https://h:65536" has no such port`}},
		{"port 0", func(o *Options) { o.Server = "https://[::1]:0/x" }, OptionError{"server", `"https://[::1]:0/x" has no such port`}},
		{"no port behind the colon", func(o *Options) { o.Endpoint = "https://h:" }, OptionError{"server", `"https://h:" has no such port`}},
		{"a query", func(o *Options) { o.Server = "https://h/?token=t" }, OptionError{"server", "has a query or a fragment, which clients do not send"}},
		{"a fragment", func(o *Options) { o.Server = "https://h#t" }, OptionError{"server", "has a query or a fragment, which clients do not send"}},
		{"no command", func(o *Options) { o.Command = "" }, OptionError{"command", `"" is neither an absolute path nor a name without a path`}},
		{"relative command", func(o *Options) { o.Command = "./ekskey" }, OptionError{"command", `"./ekskey" is neither an absolute path nor a name without a path`}},
		{"relative command below", func(o *Options) { o.Command = "bin/ekskey" }, OptionError{"command", `"bin/ekskey" is neither an absolute path nor a name without a path`}},
		{"relative command, Windows", func(o *Options) { o.Command = `.\ekskey` }, OptionError{"command", `".\\ekskey" is neither an absolute path nor a name without a path`}},
		{"relative to a drive", func(o *Options) { o.Command = `C:ekskey` }, OptionError{"command", `"C:ekskey" is neither an absolute path nor a name without a path`}},
		{"a folder", func(o *Options) { o.Command = ".." }, OptionError{"command", `".." is neither an absolute path nor a name without a path`}},
		{"line break in the command", func(o *Options) { o.Command = "/bin/a\nb" }, OptionError{"command", "has a control character (U+000A)"}},
		{"version of ExecCredential", func(o *Options) { o.ExecVersion = "v1alpha1" }, OptionError{"exec API version", `"v1alpha1" is neither v1 nor v1beta1`}},
		{"version with its group", func(o *Options) { o.ExecVersion = execAPIVersion }, OptionError{"exec API version", `"client.authentication.k8s.io/v1" is neither v1 nor v1beta1`}},
		{"a URL as TLS name", func(o *Options) { o.TLSServerName = "https://h" }, OptionError{"tls-server-name", `"https://h" is not the name of a host`}},
		{"empty role", func(o *Options) { o.RoleChain = []Hop{{}} }, OptionError{"role ARN", "is empty"}},
		{"proxy scheme", func(o *Options) { o.ProxyURL = "ftp://p" }, OptionError{"proxy-url", "is not an http, https or socks5 URL"}},
		{"CA that would break the file", func(o *Options) { o.CAData = []byte("-----BEGIN") }, OptionError{"certificate authority", "is not base64"}},
		{"line break in a name", func(o *Options) { o.Alias = "a\n- name: b" }, OptionError{"context name", "has a control character (U+000A)"}},
		{"terminal escape", func(o *Options) { o.UserAlias = "\x1b[2J" }, OptionError{"user name", "has a control character (U+001B)"}},
		{"Unicode line break", func(o *Options) { o.Alias = "a\u2028b" }, OptionError{"context name", "has a control character (U+2028)"}},
		{"not UTF-8", func(o *Options) { o.Profile = "\xff" }, OptionError{"argument", "is not UTF-8"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := demo()
			tt.mutate(&o)
			_, err := ForEKS(o)
			var got *OptionError
			if !errors.As(err, &got) || *got != tt.want {
				t.Errorf("got %v, want %v", err, &tt.want)
			}
		})
	}
}

// A namespace is a DNS label, or every call with the context would fail.
func TestCheckNamespace(t *testing.T) {
	long := strings.Repeat("a", 63)
	for namespace, good := range map[string]bool{
		"": true, "a": true, "0": true, "kube-system": true, "a--b": true, long: true,
		long + "a": false, "-a": false, "a-": false, "-": false, "Prod": false, "a.b": false, "a_b": false, "a b": false,
		"a/b": false, "é": false, "a\n": false, "a\u2028b": false, "../x": false,
	} {
		o := demo()
		o.Namespace = namespace
		err := o.Check()
		var e *OptionError
		if (err == nil) != good || !good && (!errors.As(err, &e) || e.Option != "namespace") {
			t.Errorf("%q: %v", namespace, err)
		}
	}
}

// What a person gives is checked before EKS is asked.
func TestCheck(t *testing.T) {
	for _, server := range []string{"", "https://h", "https://h:65535", "https://[::1]:443/a/b", "https://127.0.0.1:1"} {
		o := demo()
		o.Server = server
		if err := o.Check(); err != nil {
			t.Errorf("%s: %v", server, err)
		}
	}
	for _, mutate := range []func(*Options){
		func(o *Options) { o.Command = "/bin/a\x1b[2J" },
		func(o *Options) { o.Command = "a\u202eb" },
		func(o *Options) { o.Server = "https://:1" },
	} {
		o := demo()
		mutate(&o)
		var e *OptionError
		if err := o.Check(); !errors.As(err, &e) {
			t.Errorf("%+v is accepted", o)
		}
	}
}

func TestCAWarnings(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Unix(1<<32, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	tests := []struct{ name, bundle, want string }{
		{"one", cert, ""},
		{"two", cert + "# the next one\n" + cert, ""},
		{"none", "", "the cluster has no certificate authority; if its entry has one, or insecure-skip-tls-verify, that stays"},
		{"no PEM", "hello", "the certificate authority is not a PEM certificate"},
		{"no certificate", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})), "the certificate authority has a part that is no certificate"},
		{"a key behind it", cert + string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})), "the certificate authority has a part that is no certificate"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := demo()
			o.CAData = []byte(base64.StdEncoding.EncodeToString([]byte(tt.bundle)))
			c := mustChange(t, o)
			if got := strings.Join(c.Warnings, "; "); got != tt.want {
				t.Errorf("warnings %q, want %q", got, tt.want)
			}
			if c.Cluster.CAData != string(o.CAData) {
				t.Error("the bundle is not as given")
			}
		})
	}
}
