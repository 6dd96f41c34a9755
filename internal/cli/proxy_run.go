package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/ekskey/ekskey/internal/authproxy"
	"github.com/ekskey/ekskey/internal/safefile"
	"github.com/ekskey/ekskey/token"
)

// maxCAFile is more than a bundle of all public CAs has, in bytes.
const maxCAFile = 4 << 20

func (a *app) runProxy(ctx context.Context, o proxyOptions) error {
	if _, err := a.format(formatTable); err != nil {
		return err
	}
	if err := o.check(); err != nil {
		return err
	}
	outliveReaders()
	// First what needs no network, so that nobody waits to be told.
	listener, err := o.listen(ctx)
	if err != nil {
		return listenError("--address", err)
	}
	defer listener.Close()
	kubeconfig := safefile.SecretFile{Path: o.kubeconfig, Ours: authproxy.IsKubeconfig}
	if o.kubeconfig != "" {
		if err := kubeconfig.Check(); err != nil {
			return dirHint(err)
		}
		if err := kubeconfigInUse(ctx, &kubeconfig, listener); err != nil {
			return err
		}
	}
	config, err := a.awsConfig()
	if err != nil {
		return err
	}
	p := &proxied{lasting: a.newLasting(o.cluster, config, newLastingShare()), options: o}
	target, err := p.target(ctx)
	if err != nil {
		return err
	}
	tokens, err := token.NewKeeper(token.KeeperConfig{Minter: p, MaxAge: o.maxAge, Now: a.env.Now})
	if err != nil {
		return err
	}
	if _, err := tokens.Token(ctx); err != nil {
		return err
	}
	return a.serveProxy(ctx, p, target, tokens, listener, kubeconfig)
}

func (o proxyOptions) listen(ctx context.Context) (net.Listener, error) {
	if o.socket != "" {
		return authproxy.ListenSocket(ctx, o.socket)
	}
	return authproxy.Listen(ctx, o.address, o.port)
}

// inUseTimeout bounds the look whether a proxy is there, on this machine.
const inUseTimeout = time.Second

// kubeconfigInUse fails if the file is that of a proxy that still runs, whose
// clients would be led to another cluster.
func kubeconfigInUse(ctx context.Context, file *safefile.SecretFile, ours net.Listener) error {
	data, err := file.Read()
	if err != nil {
		return nil // there is none, or Write says what is wrong
	}
	address := authproxy.KubeconfigAddress(data)
	if address == "" || address == ours.Addr().String() {
		return nil // a killed one's, whose port is ours now
	}
	dialing, cancel := context.WithTimeout(ctx, inUseTimeout)
	defer cancel()
	c, err := (&net.Dialer{}).DialContext(dialing, "tcp", address)
	if err != nil {
		return nil
	}
	_ = c.Close()
	return &codeError{
		code: exitFailed, reason: file.Path + " is the kubeconfig of a proxy that runs, on " + address,
		hint: "name another file, or end that proxy",
	}
}

func (a *app) serveProxy(ctx context.Context, p *proxied, target authproxy.Target, tokens *token.Keeper, listener net.Listener, kubeconfig safefile.SecretFile) error {
	o := p.options
	c := authproxy.Config{
		Target: target, Resolve: p.find, Tokens: tokens, AnyHost: o.socket != "", ReadOnly: o.readOnly,
		Proxy: http.ProxyFromEnvironment, Drain: o.drain, Now: a.env.Now, Log: a.log,
	}
	if o.server != "" {
		c.Resolve = nil
	}
	where := "unix:" + o.socket
	var cert *tls.Certificate
	var written []byte
	if o.socket == "" {
		address := listener.Addr().String()
		made, authority, err := authproxy.NewCertificate(a.env.Now())
		if err != nil {
			return err
		}
		c.Bearer = authproxy.NewBearer()
		cert, where, written = &made, "https://"+address, authproxy.Kubeconfig(address, c.Bearer, authority)
	}
	proxy, err := authproxy.New(c)
	if err != nil {
		return err
	}
	if written != nil {
		// Again: another may have begun in the meantime.
		if err := kubeconfigInUse(ctx, &kubeconfig, listener); err != nil {
			return err
		}
		if err := kubeconfig.Write(written); err != nil {
			return dirHint(err)
		}
		// It is good for nothing any more. Another proxy may have its own there by then.
		defer func() { _ = kubeconfig.Remove(written) }()
	}
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx)) // requests that are drained need tokens too
	var wg sync.WaitGroup
	wg.Go(func() { tokens.Run(renewing, nil) })
	defer wg.Wait()
	defer stop()
	// At once: whoever started it waits for this.
	if _, err := fmt.Fprintf(a.env.Stdout, "listening on %s\n", where); err != nil {
		return fmt.Errorf("writing the output: %w", err)
	}
	// What is in use is little, and requests make much garbage.
	debug.SetGCPercent(proxyGC)
	return proxy.Serve(ctx, listener, cert)
}

// proxyGC is how much garbage there may be before it is collected, in percent of
// what is in use.
const proxyGC = 400

// proxied is the cluster behind a proxy.
type proxied struct {
	*lasting
	options proxyOptions
	arn     string // the cluster's, once EKS was asked
}

// target is where the API server is at first.
func (p *proxied) target(ctx context.Context) (authproxy.Target, error) {
	o := p.options
	if o.server == "" {
		return p.find(ctx)
	}
	t := authproxy.Target{Server: o.server, ServerName: o.tlsServerName}
	if o.caFile != "" {
		pem, err := safefile.ReadTrusted(o.caFile, maxCAFile)
		if err != nil {
			return t, fmt.Errorf("reading --certificate-authority: %w", err)
		}
		t.CA = pem
	}
	if _, err := authproxy.New(authproxy.Config{Target: t}); err != nil {
		return t, &usageError{reason: "--server or --certificate-authority: " + err.Error(), hint: "a server looks like https://host:443"}
	}
	return t, nil
}

// find asks EKS where the cluster's API server is. It is not for concurrent use.
func (p *proxied) find(ctx context.Context) (authproxy.Target, error) {
	session, err := p.load(ctx)
	if err != nil {
		return authproxy.Target{}, err
	}
	cluster, err := p.app.describe(ctx, session, p.options.cluster)
	if err != nil {
		return authproxy.Target{}, err
	}
	if err := needEndpoint(cluster); err != nil {
		return authproxy.Target{}, err
	}
	_, ca, err := caOf(cluster)
	if err != nil {
		return authproxy.Target{}, fmt.Errorf("reading the cluster's certificate authority: %w", err)
	}
	// AWS's files may be another account's by now, or name another region, with a
	// cluster of that name.
	arn := aws.ToString(cluster.Arn)
	if p.arn != "" && arn != p.arn {
		return authproxy.Target{}, fmt.Errorf("calling EKS DescribeCluster: the answer is about %s, and this proxy is for %s", arn, p.arn)
	}
	p.arn = arn
	p.setCluster(tokenName(cluster))
	return authproxy.Target{Server: aws.ToString(cluster.Endpoint), CA: ca, ServerName: p.options.tlsServerName}, nil
}

// dirHint adds what to do about a directory or file that a secret cannot be written to.
func dirHint(err error) error {
	var dir *safefile.DirError
	var foreign *safefile.ForeignError
	switch {
	case errors.As(err, &dir) && errors.Is(err, os.ErrNotExist):
		return &hintError{err, "create the directory first: install -d -m 0700 " + dir.Path}
	case errors.As(err, &dir):
		return &hintError{err, "use a directory of your own that nobody else can write in"}
	case errors.As(err, &foreign):
		return &hintError{err, "name a file that does not exist yet"}
	}
	return err
}
