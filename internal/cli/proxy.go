package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ekskey/ekskey/internal/authproxy"
	"github.com/ekskey/ekskey/token"
)

// defaultProxyPort is that of `kubectl proxy`.
const defaultProxyPort = 8001

// leastTokenAge is the least --max-token-age.
const leastTokenAge = 5 * time.Second

// proxyOptions are the flags of `ekskey proxy`.
type proxyOptions struct {
	cluster       string
	address       string
	port          int
	socket        string
	kubeconfig    string
	readOnly      bool
	server        string
	caFile        string
	tlsServerName string
	drain         time.Duration
	maxAge        time.Duration
}

func newProxyCommand(a *app, run func(context.Context, proxyOptions) error) *cobra.Command {
	var o proxyOptions
	cmd := &cobra.Command{
		Use:   "proxy --cluster NAME (--kubeconfig-out FILE | --socket PATH)",
		Short: "Serve a cluster's API on loopback, and add tokens",
		Long: `Forward requests to a cluster's API server and add a token to each, for clients
that cannot run an exec plugin or run for days. The proxy listens on 127.0.0.1 (or
::1) with TLS and requires its own bearer token, which is in the kubeconfig that it
writes; or on a Unix socket that only you can open.

Headers that claim an identity (Authorization, Impersonate-*, X-Remote-*) are removed:
every request has your identity. On SIGTERM the proxy waits for requests in flight, for
--drain-timeout at most, and exits with 0.`,
		Example: `  ekskey proxy --cluster prod --kubeconfig-out ./proxy.kubeconfig &
  kubectl --kubeconfig ./proxy.kubeconfig get pods

  ekskey proxy --cluster prod --read-only --socket /run/user/1000/prod.sock &
  curl --unix-socket /run/user/1000/prod.sock http://prod/api/v1/namespaces`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.cluster, "cluster", "", "`name` of the cluster; with --server, for a local cluster on Outposts, its ID")
	f.StringVar(&o.address, "address", "127.0.0.1", "`address` to listen on: 127.0.0.1 or ::1")
	f.IntVar(&o.port, "port", defaultProxyPort, "`port` to listen on; 0 selects a free port, which is printed")
	pathVar(f, &o.socket, "socket", "`path` of a Unix socket to listen on in place of a port")
	pathVar(f, &o.kubeconfig, "kubeconfig-out", "`file` to write a kubeconfig for clients to, with the proxy's bearer; removed when it ends")
	f.BoolVar(&o.readOnly, "read-only", false, "forward only GET, HEAD and OPTIONS, and no upgrade, exec, attach, portforward or proxy")
	f.StringVar(&o.server, "server", "", "`URL` of the API server; EKS is then not called")
	pathVar(f, &o.caFile, "certificate-authority", "PEM `file` of the only CAs to trust for --server (default the system's)")
	f.StringVar(&o.tlsServerName, "tls-server-name", "", "`name` in the API server's certificate, if it differs from the host of the URL")
	f.DurationVar(&o.drain, "drain-timeout", authproxy.DefaultDrain, "`time` for requests in flight when the proxy stops")
	addMaxAge(cmd, &o.maxAge)
	a.completeCluster(cmd)
	return cmd
}

func addMaxAge(cmd *cobra.Command, age *time.Duration) {
	cmd.Flags().DurationVar(age, "max-token-age", 0, "maximum `age` of tokens, for clusters that accept only young tokens (default 14m)")
}

func checkMaxAge(age time.Duration) error {
	switch longest := token.Lifetime - token.Margin; {
	case age != 0 && age < leastTokenAge:
		return &usageError{reason: "--max-token-age is less than " + leastTokenAge.String()}
	case age > longest:
		return &usageError{reason: fmt.Sprintf("--max-token-age is more than %.0fm, when every token ends", longest.Minutes())}
	}
	return nil
}

func (o proxyOptions) check() error {
	if err := needCluster(o.cluster); err != nil {
		return err
	}
	if err := checkMaxAge(o.maxAge); err != nil {
		return err
	}
	switch {
	case o.port < 0 || o.port > 65535:
		return &usageError{reason: "--port is not between 0 and 65535"}
	case o.drain <= 0:
		return &usageError{reason: "--drain-timeout is not positive"}
	case strings.ContainsAny(o.tlsServerName, "/ @:"):
		return &usageError{reason: fmt.Sprintf("--tls-server-name %q is not the name of a host", o.tlsServerName)}
	case o.socket != "" && o.kubeconfig != "":
		return &usageError{
			reason: "--socket and --kubeconfig-out exclude each other", hint: "a kubeconfig cannot name a socket; leave out one of them",
		}
	case o.socket == "" && o.kubeconfig == "":
		return &usageError{
			reason: "clients need the proxy's bearer, and there is nowhere to write it to",
			hint:   "name a file with --kubeconfig-out, or listen on a --socket",
		}
	case o.server == "" && o.caFile != "":
		return &usageError{reason: "--certificate-authority is for --server"}
	}
	return nil
}

// listenError explains why the address of a flag cannot be listened on.
func listenError(flag string, err error) error {
	var address *authproxy.AddressError
	var failed *authproxy.ListenError
	switch {
	case errors.As(err, &address):
		return &usageError{reason: flag + ": " + err.Error(), hint: "for other machines there are kubeconfigs: ekskey kubeconfig update"}
	case errors.As(err, &failed) && failed.Taken:
		hint := "choose another, or port 0 for any that is free"
		if failed.Socket {
			hint = "choose another, or end that program"
		}
		return &codeError{code: exitFailed, reason: err.Error(), hint: hint}
	}
	return dirHint(err)
}
