package main

import (
	"context"
	"io"
	"path/filepath"
	"strings"
)

// sandboxRows measure the proxy in front of a real kube-apiserver, as one whom
// aws-auth makes an administrator. Listing pods is what the target is for; of
// /version, an API server has so little to do that the protocols are most of it.
func (p *programs) sandboxRows(ctx context.Context, program string, progress io.Writer) (rows []row, err error) {
	box, env, err := p.openSandbox(ctx, "the proxy of an API server", program, "sandbox-proxy", progress)
	if err != nil {
		return nil, err
	}
	defer box.stop()
	t := tool{env: env, dir: p.dir}
	file := filepath.Join(p.dir, "direct.kubeconfig")
	if _, err := t.output(ctx, p.ekskey, "kubeconfig", "update", "--kubeconfig", file, "--name", sandboxCluster); err != nil {
		return nil, err
	}
	server := behind{
		env: env, args: []string{"--cluster", sandboxCluster},
		loads: []load{
			{"/api/v1/namespaces/default/pods", "kube-apiserver lists pods", "<= 1.67"},
			{"/version", "kube-apiserver's version", ""},
		},
		requests: sandboxRequests, serial: sandboxSerial, alone: "/api/v1/namespaces/default/pods",
	}
	if server.url, server.ca, _, err = readKubeconfig(file); err != nil {
		return nil, err
	}
	token, err := t.output(ctx, p.ekskey, "token", "--cluster", sandboxCluster, "--no-cache", "--output", "token")
	if err != nil {
		return nil, err
	}
	server.bearer = strings.TrimSpace(string(token))
	for _, http2 := range []bool{false, true} {
		of, err := p.throughProxy(ctx, http2, server)
		if err != nil {
			return nil, err
		}
		rows = append(rows, of...)
	}
	return rows, nil
}
