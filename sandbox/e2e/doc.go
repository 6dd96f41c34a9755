// Package e2e tests ekskey's real binaries, kubectl, client-go and, where it is
// installed, the aws command, against a sandbox: a real kube-apiserver with
// ekskey-server as its webhook, and an embedded AWS.
//
// The tests need the build tag e2e, because the first run compiles a
// kube-apiserver: run `make e2e`.
package e2e
