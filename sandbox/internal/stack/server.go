package stack

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/ekskey/ekskey/sandbox/internal/process"
	"github.com/ekskey/ekskey/sandbox/internal/seed"
	"github.com/ekskey/ekskey/sandbox/internal/state"
)

func (s *Stack) webhookKubeconfig() string { return s.dir.Path("server", "webhook.kubeconfig") }
func (s *Stack) authorizerKubeconfig() string {
	return s.dir.Path("server", "authorizer.kubeconfig")
}
func (s *Stack) awsAuthFile() string  { return s.dir.Path("server", "aws-auth.yaml") }
func (s *Stack) serverConfig() string { return s.dir.Path("server", "config.yaml") }

// configureServer writes ekskey-server's configuration, and the aws-auth it
// starts with: the API server does not run before the server does.
func (s *Stack) configureServer(port int) error {
	sts := map[string]any{
		"dialAddress": s.aws.address(),
		"caFile":      s.dir.CABundle(),
	}
	if !s.cfg.Strict {
		// The AWS command signs for the endpoint it is told to call.
		sts["extraHosts"] = []map[string]string{{"host": s.aws.address(), "region": seed.Region}}
	}
	server := map[string]any{
		"address":            "127.0.0.1",
		"port":               port,
		"healthAddress":      "none",
		"stateDir":           s.dir.Path("server", "state"),
		"generateKubeconfig": s.webhookKubeconfig(),
		"awsAuthFile":        s.awsAuthFile(),
		"dialect":            "eks",
		"accessEntries": map[string]any{
			"clusterName": seed.Cluster, "region": seed.Region, "interval": entriesInterval.String(),
		},
		"authorizer": map[string]any{"kubeconfig": s.authorizerKubeconfig()},
		"sts":        sts,
	}
	if s.cfg.AuthenticationMode == "CONFIG_MAP" {
		server["creator"] = seed.CreatorARN // elsewhere it has an access entry
	}
	if s.cfg.TokenMaxAge > 0 {
		server["maxTokenAge"] = s.cfg.TokenMaxAge.String()
	}
	config, err := yaml.Marshal(map[string]any{"clusterID": seed.Cluster, "server": server})
	if err != nil {
		return fmt.Errorf("encoding the configuration of ekskey-server: %w", err)
	}
	if err := state.WriteFile(s.serverConfig(), config); err != nil {
		return err
	}
	s.record.Server = "https://127.0.0.1:" + strconv.Itoa(port)
	return writeAWSAuth(s.awsAuthFile(), seed.AWSAuth())
}

// entriesInterval is how soon a change of access entries is in force. It is ekskey-server's
// least, for those who watch.
const entriesInterval = time.Second

// serverSpec says how to run one of ekskey-server's commands.
func (s *Stack) serverSpec(command string) process.Spec {
	const name = "ekskey-server"
	return process.Spec{
		Name: name, Path: s.serverPath, Args: []string{command, "--config", s.serverConfig()},
		Env: s.serverEnv.Apply(os.Environ()),
		Log: s.dir.Log(name), PIDFile: s.dir.PIDFile(name), Grace: 2 * time.Second,
	}
}

// initServer has ekskey-server make its certificate and the kubeconfig for
// kube-apiserver.
func (s *Stack) initServer(ctx context.Context) error {
	child, err := process.Start(s.cfg.Builder.Self, s.serverSpec("init"))
	if err != nil {
		return err
	}
	select {
	case <-child.Done():
	case <-ctx.Done():
		child.Stop()
		return ctx.Err()
	}
	if child.Err() != nil {
		return child.Exit()
	}
	return nil
}

// waitServer returns once ekskey-server says that it is ready.
func (s *Stack) waitServer(ctx context.Context) error {
	cert, err := os.ReadFile(s.dir.Path("server", "state", "cert.pem"))
	if err != nil {
		return fmt.Errorf("reading the certificate of ekskey-server: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	client := &http.Client{
		Timeout:   5 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}},
	}
	defer client.CloseIdleConnections()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.record.Server+"/readyz", nil)
		if err != nil {
			return fmt.Errorf("checking whether ekskey-server is ready: %w", err)
		}
		resp, err := client.Do(req)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(resp.Status)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for ekskey-server: %w", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
