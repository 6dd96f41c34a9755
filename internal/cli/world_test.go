package cli_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"html"
	"io"
	"log"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/fakeaws"
	"github.com/ekskey/ekskey/token"
	"github.com/ekskey/ekskey/verify"
)

const (
	testAccount = "111122223333"
	testRegion  = "eu-central-1"
	ssoStartURL = "https://corp.awsapps.com/start"
	mfaSerial   = "arn:aws:iam::111122223333:mfa/alice"
)

// world is an AWS, and a Kubernetes API server that believes what it says.
type world struct {
	aws     *fakeaws.Server
	awsHTTP *httptest.Server
	kube    *httptest.Server
	ca      *authority
	keys    map[string]fakeaws.Key
	kubeURL string
	objects kubeObjects

	mu     sync.Mutex
	issued []string      // secrets that AWS handed out by AssumeRole
	gate   chan struct{} // if not nil, AWS answers once it is closed
	inside int           // calls that AWS has not answered yet
	all    int           // calls since hold
}

// hold has AWS answer nothing until release is called.
func (w *world) hold() (release func()) {
	gate := make(chan struct{})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gate, w.all = gate, 0
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.gate = nil
		close(gate)
	}
}

// enter is called at the beginning of a call of AWS, and what it returns at its end.
func (w *world) enter(ctx context.Context) (leave func()) {
	w.mu.Lock()
	w.inside++
	w.all++
	gate := w.gate
	w.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
		}
	}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.inside--
	}
}

// calls is how many calls wait for an answer, and how many there were since hold.
func (w *world) calls() (now, all int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.inside, w.all
}

// serveAWS lets the fake AWS answer, and keeps the secrets in its answers.
func (w *world) serveAWS(rw http.ResponseWriter, r *http.Request) {
	defer w.enter(r.Context())()
	rec := httptest.NewRecorder()
	w.aws.ServeHTTP(rec, r)
	for _, m := range issuedSecret.FindAllSubmatch(rec.Body.Bytes(), -1) {
		w.mu.Lock()
		w.issued = append(w.issued, html.UnescapeString(string(m[1])+string(m[2])))
		w.mu.Unlock()
	}
	maps.Copy(rw.Header(), rec.Header())
	rw.WriteHeader(rec.Code)
	_, _ = rw.Write(rec.Body.Bytes())
}

var issuedSecret = regexp.MustCompile(`<(?:SecretAccessKey|SessionToken)>([^<]+)</|"(?:secretAccessKey|sessionToken|accessToken|refreshToken)":"([^"]+)"`)

func newWorld() (*world, error) {
	ca, err := newAuthority()
	if err != nil {
		return nil, err
	}
	w := &world{aws: fakeaws.New(fakeaws.Config{}), ca: ca, keys: map[string]fakeaws.Key{}}
	w.awsHTTP = ca.serve(http.HandlerFunc(w.serveAWS), "sts."+testRegion+".amazonaws.com", "sts.us-east-1.amazonaws.com", identity.GlobalSTSHost)
	w.kube = ca.serve(http.HandlerFunc(w.serveKube))
	w.kubeURL = w.kube.URL
	if err := w.seed(); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *world) close() {
	w.awsHTTP.Close()
	w.kube.Close()
}

func (w *world) seed() error {
	for _, u := range []fakeaws.User{
		{Name: "alice", MFASerial: mfaSerial, MFACode: "123456"},
		{Name: "bob", Deny: []string{"sts:AssumeRole", "eks:*"}},
	} {
		u.Account = testAccount
		k, err := w.aws.AddUser(u)
		if err != nil {
			return err
		}
		w.keys[u.Name] = k
	}
	trust := func(principal, condition string) string {
		return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":%q},"Action":"sts:AssumeRole"%s}]}`, principal, condition)
	}
	const own = "arn:aws:iam::" + testAccount
	for _, r := range []fakeaws.Role{
		{Name: "dev"},
		{Name: "ext", TrustPolicy: trust(own+":root", `,"Condition":{"StringEquals":{"sts:ExternalId":"word"}}`)},
		{Name: "mfa", TrustPolicy: trust(own+":root", `,"Condition":{"Bool":{"aws:MultiFactorAuthPresent":"true"}}`)},
		{Name: "second", TrustPolicy: trust(own+":role/dev", "")},
	} {
		r.Account = testAccount
		if _, err := w.aws.AddRole(r); err != nil {
			return err
		}
	}
	if err := w.aws.AddSSO(fakeaws.SSO{StartURL: ssoStartURL, Region: testRegion, Users: []fakeaws.SSOUser{
		{Name: "ann", Roles: []fakeaws.SSORole{{Account: testAccount, Name: "Ops"}}},
	}}); err != nil {
		return err
	}
	session, err := w.aws.AddSession(fakeaws.Session{RoleARN: own + ":role/dev", Name: "session"})
	if err != nil {
		return err
	}
	w.keys["session"] = session
	if err := w.seedOther(); err != nil {
		return err
	}
	return w.seedClusters()
}

func (w *world) seedClusters() error {
	caData := base64.StdEncoding.EncodeToString(w.ca.pem)
	clusters := []fakeaws.Cluster{
		{Name: "demo", Endpoint: w.kubeURL, CAData: caData, Version: "1.36", Platform: "eks.7", Issuer: "https://oidc.eks.eu-central-1.amazonaws.com/id/ABC"},
		{Name: "old", Endpoint: w.kubeURL + "/old", CAData: caData},
		{Name: "echo", Endpoint: w.kubeURL + "/echo", CAData: caData},
		{Name: "creating", Status: "CREATING"},
		{Name: "badca", Endpoint: w.kubeURL, CAData: base64.StdEncoding.EncodeToString([]byte("no PEM"))},
		{Name: "unreachable", Endpoint: "https://127.0.0.1:1", CAData: caData},
		{Name: "local", Endpoint: w.kubeURL, CAData: caData, ID: "0a1b2c3d-0000-4000-8000-000000000000", OutpostARNs: []string{"arn:aws:outposts:eu-central-1:111122223333:outpost/op-1"}},
		{Name: "connected", Connector: &fakeaws.Connector{Provider: "GKE"}},
	}
	for i := range 130 { // more than a page
		clusters = append(clusters, fakeaws.Cluster{Region: "us-east-1", Name: fmt.Sprintf("c%03d", i)})
	}
	for _, c := range clusters {
		c.Account = testAccount
		if c.Region == "" {
			c.Region = testRegion
		}
		if err := w.aws.AddCluster(c); err != nil {
			return err
		}
	}
	return nil
}

// environ is the environment of a command, with an own home in dir.
func (w *world) environ(dir string) (map[string]string, error) {
	home := filepath.Join(dir, "home")
	caFile := filepath.Join(dir, "ca.pem")
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(caFile, w.ca.pem, 0o600); err != nil {
		return nil, err
	}
	return map[string]string{
		"HOME": home, "USERPROFILE": home,
		"AWS_ENDPOINT_URL_STS": w.awsHTTP.URL, "AWS_ENDPOINT_URL_EKS": w.awsHTTP.URL, "AWS_ENDPOINT_URL_IAM": w.awsHTTP.URL,
		"AWS_ENDPOINT_URL_SSO": w.awsHTTP.URL, "AWS_ENDPOINT_URL_SSO_OIDC": w.awsHTTP.URL,
		"AWS_CA_BUNDLE": caFile, "AWS_REGION": testRegion,
		"AWS_ACCESS_KEY_ID": w.keys["alice"].AccessKeyID, "AWS_SECRET_ACCESS_KEY": w.keys["alice"].SecretAccessKey,
		"AWS_EC2_METADATA_DISABLED": "true",

		// The race detector's runtime waits a second at the end of each process, else.
		"GORACE":   "atexit_sleep_ms=0",
		"STS_HOST": w.awsHTTP.Listener.Addr().String(), "KUBE_URL": w.kubeURL,
	}, nil
}

func (w *world) fault(action, code string) {
	f := fakeaws.Fault{Code: code}
	switch code {
	case "cut":
		f = fakeaws.Fault{Cut: true}
	case "hang":
		f = fakeaws.Fault{Latency: time.Hour}
	}
	w.aws.SetFault(fakeaws.Action(action), f)
}

func (w *world) count(action string) int { return w.aws.Counts()[fakeaws.Action(action)] }

// mint makes a token of a user, signed some time ago.
func (w *world) mint(cluster, user string, age time.Duration, host string) (string, error) {
	k, ok := w.keys[user]
	if !ok {
		return "", fmt.Errorf("there is no user %s", user)
	}
	config := token.Config{
		Cluster: cluster, Region: testRegion,
		Credentials: token.StaticKeys(k.AccessKeyID, k.SecretAccessKey, k.SessionToken),
		Now:         func() time.Time { return time.Now().Add(-age) },
	}
	if host != "" {
		config.Endpoint = identity.STSEndpoint{Host: host, Region: testRegion, Partition: "aws"}
	}
	src, err := token.New(config)
	if err != nil {
		return "", err
	}
	tok, err := src.Token(context.Background())
	return tok.Value(), err
}

// serveKube answers SelfSubjectReview as kube-apiserver with a webhook does. Below
// /old it is one of before Kubernetes 1.28.
func (w *world) serveKube(rw http.ResponseWriter, r *http.Request) {
	path, cluster, version := r.URL.Path, "demo", "v1"
	if rest, ok := strings.CutPrefix(path, "/old"); ok {
		path, cluster, version = rest, "old", "v1beta1"
	}
	if rest, ok := strings.CutPrefix(path, "/named/"); ok {
		cluster, path, _ = strings.Cut(rest, "/")
		path = "/" + path
		r.URL.Path = path
	}
	refuse := func(code int, message string) {
		rw.Header().Set("Content-Type", "application/json")
		rw.WriteHeader(code)
		_ = json.NewEncoder(rw).Encode(map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code})
	}
	if path == "/echo/apis/authentication.k8s.io/v1/selfsubjectreviews" {
		refuse(http.StatusUnauthorized, "I got "+r.Header.Get("Authorization"))
		return
	}
	raw, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		refuse(http.StatusUnauthorized, "Unauthorized")
		return
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(w.ca.pem)
	v, err := verify.New(verify.Config{Cluster: cluster, DialAddress: w.awsHTTP.Listener.Addr().String(), RootCAs: pool})
	if err != nil {
		refuse(http.StatusInternalServerError, err.Error())
		return
	}
	id, err := v.Verify(r.Context(), raw)
	if err != nil || id.Principal.Name == "bob" {
		refuse(http.StatusUnauthorized, "Unauthorized")
		return
	}
	w.mu.Lock()
	done := w.serveObjects(rw, r, refuse)
	w.mu.Unlock()
	if done {
		return
	}
	if path != "/apis/authentication.k8s.io/"+version+"/selfsubjectreviews" {
		refuse(http.StatusNotFound, "the server could not find the requested resource")
		return
	}
	rw.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(rw).Encode(map[string]any{
		"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/" + version,
		"status": map[string]any{"userInfo": map[string]any{
			"username": "k8s:" + id.Principal.Name, "uid": "aws-iam-authenticator:" + id.AccountID + ":" + id.PrincipalID,
			"groups": []string{"viewers", "system:authenticated"},
			"extra":  map[string][]string{"arn": {id.ARN}},
		}},
	})
}

// authority is a throw-away CA.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &authority{cert: cert, key: key, pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}, nil
}

// serve starts a TLS server on loopback whose certificate also has the names.
func (c *authority) serve(h http.Handler, names ...string) *httptest.Server {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "test server"},
		NotBefore: c.cert.NotBefore, NotAfter: c.cert.NotAfter,
		DNSNames: names, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, c.cert, c.key.Public(), c.key)
	if err != nil {
		panic(err) // no input of anyone's is in it
	}
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that refuse the certificate are part of the tests
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: c.key}}, MinVersion: tls.VersionTLS12}
	s.StartTLS()
	if u, err := url.Parse(s.URL); err != nil || u.Hostname() != "127.0.0.1" {
		panic("the test server does not listen on 127.0.0.1: " + s.URL)
	}
	return s
}

func countLines(text, prefix string) int {
	n := 0
	for _, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, prefix) {
			n++
		}
	}
	return n
}
