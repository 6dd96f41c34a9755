package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

const (
	host     = "sts.us-east-1.amazonaws.com"
	stsPause = 2 * time.Millisecond
)

// standIn answers every request as STS answers GetCallerIdentity, and checks nothing.
// It writes HTTP/1.1 to the connection itself, to take as little of the processors as it
// can.
type standIn struct {
	listener net.Listener
	caFile   string
	calls    atomic.Int64
}

func serveSTS(caFile string, protocols ...string) (*standIn, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		return nil, err
	}
	config := &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: protocols,
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
	}
	s := &standIn{caFile: caFile}
	if s.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	if slices.Contains(protocols, "h2") {
		server := &http.Server{Handler: http.HandlerFunc(s.answer), TLSConfig: config, ReadHeaderTimeout: time.Minute}
		go func() { _ = server.ServeTLS(s.listener, "", "") }()
		return s, nil
	}
	go accept(s.listener, func(c net.Conn) { s.serve(tls.Server(c, config)) })
	return s, nil
}

func (s *standIn) close() { _ = s.listener.Close() }

func accept(l net.Listener, serve func(net.Conn)) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = c.Close() }()
			serve(c)
		}()
	}
}

const body = `{"GetCallerIdentityResponse":{"GetCallerIdentityResult":{"Account":"111122223333",` +
	`"Arn":"arn:aws:sts::111122223333:assumed-role/platform/bench","UserId":"AROAEXAMPLEEXAMPLE1AB:bench"},` +
	`"ResponseMetadata":{"RequestId":"01234567-89ab-cdef-0123-456789abcdef"}}}`

func (s *standIn) answer(w http.ResponseWriter, _ *http.Request) {
	s.calls.Add(1)
	time.Sleep(stsPause)
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(body))
}

func (s *standIn) serve(c *tls.Conn) {
	if c.Handshake() != nil {
		return
	}
	answer := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nx-amzn-RequestId: 01234567-89ab-cdef-0123-456789abcdef\r\n"+
		"Content-Type: application/json\r\nContent-Length: %d\r\nDate: %s\r\n\r\n%s", len(body), time.Now().UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT"), body)
	in := bufio.NewReaderSize(c, 16<<10)
	for readHead(in) == nil {
		s.calls.Add(1)
		time.Sleep(stsPause)
		if _, err := c.Write(answer); err != nil {
			return
		}
	}
}

// readHead reads a request without a body.
func readHead(in *bufio.Reader) error {
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(strings.TrimRight(string(line), "\r\n")) == 0 {
			return nil
		}
	}
}
