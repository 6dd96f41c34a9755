package pki

import (
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"
)

func TestCertificates(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ours, err := NewAuthority("ours", now)
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewAuthority("ours", now)
	if err != nil {
		t.Fatal(err)
	}
	server, err := ours.Server("aws", []string{"127.0.0.1", "sts.amazonaws.com"}, false)
	if err != nil {
		t.Fatal(err)
	}
	client, err := ours.Client("admin", "system:masters")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name  string
		pair  Pair
		roots *Authority
		host  string
		usage x509.ExtKeyUsage
		at    time.Time
		ok    bool
	}{
		{"by name", server, ours, "sts.amazonaws.com", x509.ExtKeyUsageServerAuth, now, true},
		{"by address", server, ours, "127.0.0.1", x509.ExtKeyUsageServerAuth, now, true},
		{"another name", server, ours, "sts.amazonaws.com.evil.com", x509.ExtKeyUsageServerAuth, now, false},
		{"another authority of the same name", server, other, "sts.amazonaws.com", x509.ExtKeyUsageServerAuth, now, false},
		{"a server is no client", server, ours, "", x509.ExtKeyUsageClientAuth, now, false},
		{"a client", client, ours, "", x509.ExtKeyUsageClientAuth, now, true},
		{"a client is no server", client, ours, "", x509.ExtKeyUsageServerAuth, now, false},
		{"after a week", server, ours, "127.0.0.1", x509.ExtKeyUsageServerAuth, now.Add(lifetime + time.Second), false},
		{"a little early", server, ours, "127.0.0.1", x509.ExtKeyUsageServerAuth, now.Add(-time.Minute), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			block, _ := pem.Decode(tc.pair.Cert)
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			roots := x509.NewCertPool()
			roots.AppendCertsFromPEM(tc.roots.PEM())
			_, err = cert.Verify(x509.VerifyOptions{
				Roots: roots, DNSName: tc.host, CurrentTime: tc.at, KeyUsages: []x509.ExtKeyUsage{tc.usage},
			})
			if (err == nil) != tc.ok {
				t.Errorf("verified: %v, want ok %v", err, tc.ok)
			}
			if _, err := tc.pair.TLS(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSigningKeyIsAPair(t *testing.T) {
	p, err := SigningKey()
	if err != nil {
		t.Fatal(err)
	}
	public, _ := pem.Decode(p.Cert)
	if _, err := x509.ParsePKIXPublicKey(public.Bytes); err != nil {
		t.Error(err)
	}
	private, _ := pem.Decode(p.Key)
	if _, err := x509.ParsePKCS8PrivateKey(private.Bytes); err != nil {
		t.Error(err)
	}
}
