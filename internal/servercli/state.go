package servercli

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/ekskey/ekskey/internal/safefile"
	"github.com/ekskey/ekskey/internal/servingtls"
	"github.com/ekskey/ekskey/internal/webhook"
	"github.com/ekskey/ekskey/internal/yamlsplice"
)

// certificateLife is long because only one kube-apiserver relies on the certificate,
// which is in its kubeconfig.
const certificateLife = 10 * 365 * 24 * time.Hour

// The files in the state directory have the names of aws-iam-authenticator, whose
// directory can be used.
const (
	certFile = "cert.pem"
	keyFile  = "key.pem"
)

// loadCertificate reads the serving certificate from the state directory, or creates one.
func loadCertificate(ctx context.Context, c *config, now time.Time) (servingtls.Pair, error) {
	fail := func(err error) (servingtls.Pair, error) {
		return servingtls.Pair{}, fmt.Errorf("serving certificate in %s: %w", c.server.stateDir, err)
	}
	if err := prepareState(c); err != nil {
		return servingtls.Pair{}, err
	}
	// A pair that exists needs no lock, which a read-only directory does not allow.
	path := filepath.Join(c.server.stateDir, certFile)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		if err := makePair(ctx, c, path, filepath.Join(c.server.stateDir, keyFile), now); err != nil {
			return fail(err)
		}
	}
	files, err := readPair(c)
	if err != nil {
		return fail(err)
	}
	if _, err := parsePair(c, files, now); err != nil {
		return fail(err)
	}
	return files, nil
}

// makePair makes the pair, unless another process just did: two servers that start at
// once must not mix one's key with the other's certificate.
func makePair(ctx context.Context, c *config, certFile, keyFile string, now time.Time) (err error) {
	lock, err := safefile.Acquire(ctx, safefile.LockConfig{Path: certFile})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	if _, err := os.Lstat(certFile); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := os.Lstat(keyFile); !errors.Is(err, fs.ErrNotExist) {
		if err != nil {
			return err
		}
		return &hintError{fmt.Errorf("%s exists without its certificate", keyFile),
			"put cert.pem back beside it, or remove key.pem so that a new pair is made"}
	}
	return makeCertificate(c, certFile, keyFile, now)
}

// checkPrivate refuses a private key that other users can read, but for a group to which
// root gave it.
func checkPrivate(file string) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	perm := info.Mode().Perm()
	if runtime.GOOS != "windows" && perm&0o077 != 0 && (perm&0o037 != 0 || !sharedByRoot(info)) {
		return &hintError{fmt.Errorf("%s can be read by other users", file), "chmod 600 " + file}
	}
	return nil
}

func makeCertificate(c *config, certFile, keyFile string, now time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "ekskey-server"},
		NotBefore:    now.Add(-time.Hour), NotAfter: now.Add(certificateLife),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		// A self-signed CA, because kube-apiserver needs a CA to trust.
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	if ip := net.ParseIP(c.server.address); ip != nil && !ip.IsUnspecified() {
		template.IPAddresses = append(template.IPAddresses, ip)
	}
	if ip := net.ParseIP(c.server.hostname); ip != nil {
		template.IPAddresses = append(template.IPAddresses, ip)
	} else if c.server.hostname != "localhost" {
		template.DNSNames = append(template.DNSNames, c.server.hostname)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	// The key first: a certificate without a key would stop the next start.
	if err := safefile.Write(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})); err != nil {
		return err
	}
	return safefile.Write(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// webhookKubeconfig is the file that kube-apiserver's
// --authentication-token-webhook-config-file names.
//
// Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#webhook-token-authentication
func webhookKubeconfig(c *config, port int, certPEM []byte, path string) []byte {
	user := "  user: {}\n"
	if c.server.clientCAFile != "" {
		user = "  user:\n    # the certificate by which kube-apiserver shows who it is, signed by a CA in\n    # server.clientCAFile\n    client-certificate: /etc/kubernetes/pki/ekskey-client.crt\n    client-key: /etc/kubernetes/pki/ekskey-client.key\n"
	}
	return []byte(`apiVersion: v1
kind: Config
clusters:
- name: ekskey-server
  cluster:
    certificate-authority-data: ` + base64.StdEncoding.EncodeToString(certPEM) + `
    server: ` + strconv.Quote(serverURL(c, port, path)) + `
users:
- name: kube-apiserver
` + user + `contexts:
- name: webhook
  context:
    cluster: ekskey-server
    user: kube-apiserver
current-context: webhook
`)
}

// host is the host in the kubeconfig.
func (c *config) host() string {
	if ip := net.ParseIP(c.server.address); ip == nil || ip.IsUnspecified() {
		return c.server.hostname
	}
	return c.server.address
}

func serverURL(c *config, port int, path string) string {
	return "https://" + net.JoinHostPort(c.host(), strconv.Itoa(port)) + path
}

// kubeconfigSchema is for edits of a webhook kubeconfig.
var kubeconfigSchema = &yamlsplice.Schema{
	Lists: []string{"clusters", "users", "contexts"},
	Keys:  []string{"apiVersion", "kind", "clusters", "cluster", "users", "user", "contexts", "context", "name", "server", "certificate-authority-data", "current-context"},
}

const kubeconfigEntry = "ekskey-server"

// updateKubeconfig changes the server and the CA in an existing webhook kubeconfig, and
// nothing else.
func updateKubeconfig(file string, old []byte, c *config, port int, certPEM []byte, path string) ([]byte, error) {
	doc, err := yamlsplice.Parse(kubeconfigSchema, file, old)
	if err != nil {
		return nil, err
	}
	if doc.Find("clusters", kubeconfigEntry) == nil {
		return nil, &hintError{fmt.Errorf("%s exists and was not written by ekskey-server", file),
			"name another file, or move that one away"}
	}
	edit, err := yamlsplice.NewEdit(doc)
	if err != nil {
		return nil, err
	}
	if _, err := edit.Set("clusters", kubeconfigEntry, []yamlsplice.Setting{
		{Path: []string{"cluster", "certificate-authority-data"}, Value: base64.StdEncoding.EncodeToString(certPEM)},
		{Path: []string{"cluster", "server"}, Value: serverURL(c, port, path)},
	}); err != nil {
		return nil, err
	}
	next, _, err := edit.Apply()
	if err != nil {
		return nil, err
	}
	return next.Bytes(), nil
}

// writeKubeconfig writes server.generateKubeconfig, unless it is pregenerated, and the files
// of server.authorizer.
func writeKubeconfig(c *config, port int, certPEM []byte) error {
	if file := c.server.generateKubeconfig; file != "" && !c.server.kubeconfigPregenerated {
		if err := writeOneKubeconfig(c, "server.generateKubeconfig", file, port, certPEM, webhook.Path); err != nil {
			return err
		}
	}
	if c.server.authorizer.kubeconfig == "" {
		return nil
	}
	return writeAuthorizer(c, port, certPEM)
}

// writeOneKubeconfig writes a kubeconfig for kube-apiserver. In a file that exists, only the
// server and the CA are changed. A file of another program is not changed.
func writeOneKubeconfig(c *config, key, file string, port int, certPEM []byte, path string) error {
	if err := covers(c, certPEM); err != nil {
		return err
	}
	text := webhookKubeconfig(c, port, certPEM, path)
	old, err := safefile.ReadTrusted(file, maxConfig)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("%s: %w", key, err)
	default:
		if text, err = updateKubeconfig(file, old, c, port, certPEM, path); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		if bytes.Equal(text, old) {
			return nil
		}
	}
	if err := safefile.Write(file, text); err != nil {
		return fmt.Errorf("writing %s: %w", key, err)
	}
	return nil
}

// covers fails if the certificate is not for the host that the kubeconfig names:
// kube-apiserver would refuse it.
func covers(c *config, certPEM []byte) error {
	block, _ := pem.Decode(certPEM)
	if block == nil {
		return errors.New("the serving certificate is not PEM")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err
	}
	if err := cert.VerifyHostname(c.host()); err != nil {
		return &hintError{fmt.Errorf("the serving certificate in %s does not cover the host in the kubeconfig: %w", c.server.stateDir, err),
			"name a host that it covers in server.address or server.hostname; or remove cert.pem and key.pem, run ekskey-server init, and restart kube-apiserver"}
	}
	return nil
}

// initialize runs the command init.
func initialize(ctx context.Context, c *config, stdout io.Writer) error {
	file := c.server.generateKubeconfig
	if file == "" {
		return &hintError{&configError{path: c.path, text: "server.generateKubeconfig is missing: where to write the kubeconfig for kube-apiserver"},
			"add generateKubeconfig: /etc/kubernetes/ekskey.kubeconfig under server"}
	}
	if c.server.port == 0 {
		return &configError{path: c.path, text: "server.port is 0, any free port, which only serve can know: name one"}
	}
	files, err := loadCertificate(ctx, c, time.Now())
	if err != nil {
		return err
	}
	c.server.kubeconfigPregenerated = false
	if err := writeKubeconfig(c, c.server.port, files.Cert); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, `the serving certificate is %s
the kubeconfig for kube-apiserver is %s

Start the server, then give kube-apiserver this flag and restart it:

  --authentication-token-webhook-config-file=%s
`, filepath.Join(c.server.stateDir, certFile), file, file)
	if err == nil && c.server.clientCAFile != "" {
		_, err = fmt.Fprintf(stdout, `
server.clientCAFile is set, so kube-apiserver must show a certificate of one of its
CAs. Make one, and put its paths into the kubeconfig: those there are examples.
`)
	}
	return err
}
