package servercli

import (
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

// certificateLife is long because nothing but one kube-apiserver, which has the
// certificate itself in its kubeconfig, relies on it.
const certificateLife = 10 * 365 * 24 * time.Hour

// loadCertificate reads the serving certificate in the state folder, or makes one.
// The names are those of aws-iam-authenticator, whose state folder can be taken
// over. It returns the certificate as PEM too.
func loadCertificate(c *config, now time.Time) (tls.Certificate, []byte, error) {
	fail := func(err error) (tls.Certificate, []byte, error) {
		return tls.Certificate{}, nil, fmt.Errorf("serving certificate in %s: %w", c.server.stateDir, err)
	}
	certFile := filepath.Join(c.server.stateDir, "cert.pem")
	keyFile := filepath.Join(c.server.stateDir, "key.pem")
	certPEM, err := safefile.Read(certFile, 1<<20)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeCertificate(c, certFile, keyFile, now); err != nil {
			return fail(err)
		}
		certPEM, err = safefile.Read(certFile, 1<<20)
	}
	if err != nil {
		return fail(err)
	}
	if err := checkPrivate(keyFile); err != nil {
		return fail(err)
	}
	keyPEM, err := safefile.Read(keyFile, 1<<20)
	if err != nil {
		return fail(err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return fail(err)
	}
	if now.After(pair.Leaf.NotAfter) {
		return fail(&hintError{fmt.Errorf("%s expired on %s", certFile, pair.Leaf.NotAfter.Format(time.DateOnly)),
			"remove cert.pem and key.pem, run ekskey-server init, and restart kube-apiserver"})
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
	if err := os.MkdirAll(c.server.stateDir, 0o700); err != nil {
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
		// A CA of its own, because kube-apiserver wants one to trust.
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
	host := c.server.address
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = c.server.hostname
	}
	url := "https://" + net.JoinHostPort(host, strconv.Itoa(port)) + webhook.Path
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
    server: ` + url + `
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

// writeKubeconfig writes server.generateKubeconfig, if it is set and not said to
// be made already.
func writeKubeconfig(c *config, port int, certPEM []byte) error {
	file := c.server.generateKubeconfig
	if file == "" || c.server.kubeconfigPregenerate {
		return nil
	}
	if err := safefile.Write(file, webhookKubeconfig(c, port, certPEM)); err != nil {
		return fmt.Errorf("writing server.generateKubeconfig: %w", err)
	}
	return nil
}

// initialize is the command init.
func initialize(c *config, stdout io.Writer) error {
	_, certPEM, err := loadCertificate(c, time.Now())
	if err != nil {
		return err
	}
	file := c.server.generateKubeconfig
	if file == "" {
		return &hintError{&configError{path: c.path, text: "server.generateKubeconfig is missing: where to write the kubeconfig for kube-apiserver"},
			"add generateKubeconfig: /etc/kubernetes/ekskey.kubeconfig under server"}
	}
	c.server.kubeconfigPregenerate = false
	if err := writeKubeconfig(c, c.server.port, certPEM); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, `wrote %s
wrote %s

Start the server, then give kube-apiserver this flag and restart it:

  --authentication-token-webhook-config-file=%s
`, filepath.Join(c.server.stateDir, "cert.pem"), file, file)
	return err
}
