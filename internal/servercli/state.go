package servercli

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
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
	"github.com/ekskey/ekskey/internal/webhook"
)

// certificateLife is long because only one kube-apiserver relies on the certificate,
// which is in its kubeconfig.
const certificateLife = 10 * 365 * 24 * time.Hour

// loadCertificate reads the serving certificate from the state directory, or creates
// one. The file names are those of aws-iam-authenticator, whose state directory can be
// used. It also returns the certificate as PEM.
func loadCertificate(ctx context.Context, c *config, now time.Time) (tls.Certificate, []byte, error) {
	pair, certPEM, err := certificate(ctx, c, now)
	if err != nil {
		return tls.Certificate{}, nil, fmt.Errorf("serving certificate in %s: %w", c.server.stateDir, err)
	}
	return pair, certPEM, nil
}

func certificate(ctx context.Context, c *config, now time.Time) (pair tls.Certificate, certPEM []byte, err error) {
	certFile := filepath.Join(c.server.stateDir, "cert.pem")
	keyFile := filepath.Join(c.server.stateDir, "key.pem")
	if err := os.MkdirAll(c.server.stateDir, 0o700); err != nil {
		return pair, nil, err
	}
	if err := checkDir(c.server.stateDir); err != nil {
		return pair, nil, err
	}
	// Two servers that start at once must not mix one's key with the other's
	// certificate.
	lock, err := safefile.Acquire(ctx, safefile.LockConfig{Path: certFile})
	if err != nil {
		return pair, nil, err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	if _, err := os.Lstat(certFile); errors.Is(err, fs.ErrNotExist) {
		if err := makeCertificate(c, certFile, keyFile, now); err != nil {
			return pair, nil, err
		}
	}
	if err := checkPrivate(keyFile); err != nil {
		return pair, nil, err
	}
	if certPEM, err = safefile.ReadTrusted(certFile, 1<<20); err != nil {
		return pair, nil, err
	}
	keyPEM, err := safefile.ReadTrusted(keyFile, 1<<20)
	if err != nil {
		return pair, nil, err
	}
	if pair, err = tls.X509KeyPair(certPEM, keyPEM); err != nil {
		return pair, nil, err
	}
	if now.After(pair.Leaf.NotAfter) {
		return pair, nil, &hintError{fmt.Errorf("%s expired on %s", certFile, pair.Leaf.NotAfter.Format(time.DateOnly)),
			"remove cert.pem, key.pem and server.generateKubeconfig, run ekskey-server init, and restart kube-apiserver"}
	}
	return pair, certPEM, nil
}

// checkPrivate refuses a private key that other users can read.
func checkPrivate(file string) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return &hintError{fmt.Errorf("%s can be read by other users", file), "chmod 600 " + file}
	}
	return nil
}

func makeCertificate(c *config, certFile, keyFile string, now time.Time) error {
	// An existing key, perhaps readable by other users, would pass its permissions on
	// to the new one.
	if err := os.Remove(keyFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
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
		DNSNames:    []string{c.server.hostname, "localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	if ip := net.ParseIP(c.server.address); ip != nil && !ip.IsUnspecified() {
		template.IPAddresses = append(template.IPAddresses, ip)
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
func webhookKubeconfig(c *config, port int, certPEM []byte) []byte {
	user := "  user: {}\n"
	if c.server.clientCAFile != "" {
		user = "  user:\n    # the certificate by which kube-apiserver shows who it is, signed by a CA in\n    # server.clientCAFile\n    client-certificate: /etc/kubernetes/pki/ekskey-client.crt\n    client-key: /etc/kubernetes/pki/ekskey-client.key\n"
	}
	return []byte(`apiVersion: v1
kind: Config
clusters:
- name: ekskey-server
  cluster:
` + string(caLine(certPEM)) + string(serverLine(c, port)) + `users:
- name: kube-apiserver
` + user + `contexts:
- name: webhook
  context:
    cluster: ekskey-server
    user: kube-apiserver
current-context: webhook
`)
}

func caLine(certPEM []byte) []byte {
	return []byte("    certificate-authority-data: " + base64.StdEncoding.EncodeToString(certPEM) + "\n")
}

func serverLine(c *config, port int) []byte {
	host := c.server.address
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = c.server.hostname
	}
	return []byte("    server: https://" + net.JoinHostPort(host, strconv.Itoa(port)) + webhook.Path + "\n")
}

// writeKubeconfig writes server.generateKubeconfig, unless it is pregenerated, or
// exists and is for this server: an operator's additions are kept. A file of another
// program is not changed.
func writeKubeconfig(c *config, port int, certPEM []byte) error {
	file := c.server.generateKubeconfig
	if file == "" || c.server.kubeconfigPregenerated {
		return nil
	}
	text := webhookKubeconfig(c, port, certPEM)
	old, err := safefile.ReadTrusted(file, maxConfig)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("server.generateKubeconfig: %w", err)
	case bytes.Contains(old, caLine(certPEM)) && bytes.Contains(old, serverLine(c, port)):
		return nil
	case !bytes.Contains(old, []byte("- name: ekskey-server\n")):
		return &hintError{fmt.Errorf("server.generateKubeconfig: %s exists and was not written by ekskey-server", file),
			"name another file, or move that one away"}
	}
	if err := safefile.Write(file, text); err != nil {
		return fmt.Errorf("writing server.generateKubeconfig: %w", err)
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
	_, certPEM, err := loadCertificate(ctx, c, time.Now())
	if err != nil {
		return err
	}
	c.server.kubeconfigPregenerated = false
	if err := writeKubeconfig(c, c.server.port, certPEM); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, `the serving certificate is %s
the kubeconfig for kube-apiserver is %s

Start the server, then give kube-apiserver this flag and restart it:

  --authentication-token-webhook-config-file=%s
`, filepath.Join(c.server.stateDir, "cert.pem"), file, file)
	if err == nil && c.server.clientCAFile != "" {
		_, err = fmt.Fprintf(stdout, `
server.clientCAFile is set, so kube-apiserver must show a certificate of one of its
CAs. Make one, and put its paths into the kubeconfig: those there are examples.
`)
	}
	return err
}
