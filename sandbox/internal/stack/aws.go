package stack

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/fakeaws"

	"github.com/ekskey/ekskey/sandbox/internal/controlplane"
	"github.com/ekskey/ekskey/sandbox/internal/pki"
	"github.com/ekskey/ekskey/sandbox/internal/seed"
	"github.com/ekskey/ekskey/sandbox/internal/state"
)

// embeddedAWS is fakeaws behind TLS, under its own address and under every name
// of STS.
type embeddedAWS struct {
	server   *fakeaws.Server
	listener net.Listener
	http     *http.Server
	log      *os.File
}

func startAWS(layout state.Layout, port int, now time.Time) (*embeddedAWS, error) {
	ca, err := pki.NewAuthority("ekskey sandbox, not Amazon", now)
	if err != nil {
		return nil, err
	}
	names := []string{"127.0.0.1", "localhost"}
	for _, e := range identity.STSEndpoints() {
		names = append(names, e.Host)
	}
	pair, err := ca.Server("embedded AWS", names, false)
	if err != nil {
		return nil, err
	}
	cert, err := pair.TLS()
	if err != nil {
		return nil, err
	}
	if err := state.WriteFile(layout.CABundle(), ca.PEM()); err != nil {
		return nil, err
	}
	listener, err := controlplane.Listen(port, "--aws-port")
	if err != nil {
		return nil, err
	}
	requests, err := os.OpenFile(layout.Log("aws"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		listener.Close()
		return nil, fmt.Errorf("opening the log of the embedded AWS: %w", err)
	}
	a := &embeddedAWS{listener: listener, log: requests}
	a.server = fakeaws.New(fakeaws.Config{Observe: func(r fakeaws.Record) {
		// One write a line: requests are answered side by side.
		fmt.Fprintf(requests, "%s %s host=%s region=%s key=%s caller=%s status=%d %s\n", r.Time.UTC().Format(time.RFC3339),
			r.Action, r.Host, r.Region, r.AccessKeyID, r.CallerARN, r.Status, r.Code)
	}})
	a.http = &http.Server{
		Handler: a.server, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
		ErrorLog:  log.New(io.Discard, "", 0), // clients that hang up
	}
	go func() { _ = a.http.ServeTLS(listener, "", "") }() // until stop
	return a, nil
}

func (a *embeddedAWS) address() string { return a.listener.Addr().String() }
func (a *embeddedAWS) url() string     { return "https://" + a.address() }

func (a *embeddedAWS) stop() {
	a.http.Close()
	a.log.Close()
}

func (s *Stack) writeAWSFiles() error {
	config, credentials := seed.AWSFiles(s.record.Identities)
	if err := state.WriteFile(s.dir.AWSConfig(), config); err != nil {
		return err
	}
	return state.WriteFile(s.dir.AWSCredentials(), credentials)
}
