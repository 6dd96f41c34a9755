package authproxy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"strings"
	"time"
)

// certificateLife is longer than any proxy runs. A certificate is made at each start.
const certificateLife = 397 * 24 * time.Hour

// NewBearer returns a random bearer token.
func NewBearer() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails, by its documentation
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// NewCertificate returns a certificate for the loopback addresses and localhost, and
// the PEM of its CA. The CA's key is discarded, so that it signs nothing else. kubectl
// sends a bearer token only over TLS, so even a proxy on loopback needs a certificate.
func NewCertificate(now time.Time) (tls.Certificate, []byte, error) {
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	from, to := now.Add(-time.Hour), now.Add(certificateLife)
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "ekskey proxy, of one run"},
		NotBefore: from, NotAfter: to, IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano() + 1), Subject: pkix.Name{CommonName: "ekskey proxy"},
		NotBefore: from, NotAfter: to, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	authorityDER, err := x509.CreateCertificate(rand.Reader, authority, authority, authorityKey.Public(), authorityKey)
	if err != nil {
		return tls.Certificate{}, nil, fmt.Errorf("making a certificate: %w", err)
	}
	signed, err := x509.ParseCertificate(authorityDER) // with its key id
	if err != nil {
		return tls.Certificate{}, nil, fmt.Errorf("making a certificate: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, signed, key.Public(), authorityKey)
	if err != nil {
		return tls.Certificate{}, nil, fmt.Errorf("making a certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authorityDER}), nil
}

// kubeconfigMark begins every kubeconfig that Kubeconfig returns.
const kubeconfigMark = "# Made by ekskey proxy: its bearer is good until that ends.\n"

// IsKubeconfig reports whether a file was made by Kubeconfig.
func IsKubeconfig(data []byte) bool {
	return len(data) >= len(kubeconfigMark) && string(data[:len(kubeconfigMark)]) == kubeconfigMark
}

// Kubeconfig returns a kubeconfig for a proxy at an address (host:port).
func Kubeconfig(address, bearer string, authority []byte) []byte {
	return []byte(kubeconfigMark + `apiVersion: v1
kind: Config
clusters:
- name: ekskey-proxy
  cluster:
    server: https://` + address + `
    certificate-authority-data: ` + base64.StdEncoding.EncodeToString(authority) + `
users:
- name: ekskey-proxy
  user:
    token: ` + bearer + `
contexts:
- name: ekskey-proxy
  context:
    cluster: ekskey-proxy
    user: ekskey-proxy
current-context: ekskey-proxy
`)
}

// KubeconfigAddress returns the address (host:port) in a kubeconfig made by Kubeconfig,
// or empty for other files.
func KubeconfigAddress(data []byte) string {
	if !IsKubeconfig(data) {
		return ""
	}
	_, rest, _ := strings.Cut(string(data), "\n    server: https://")
	address, _, _ := strings.Cut(rest, "\n")
	if host, _, err := net.SplitHostPort(address); err != nil || host != "127.0.0.1" && host != "::1" {
		return ""
	}
	return address
}
