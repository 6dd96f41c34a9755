// Command ekskey-sandbox runs a real kube-apiserver, an embedded AWS and
// ekskey-server on this machine's loopback, with no account and no network.
package main

import (
	"os"

	"github.com/ekskey/ekskey/sandbox/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
