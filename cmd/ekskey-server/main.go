// Command ekskey-server is the webhook that kube-apiserver asks whose token it
// was given.
package main

import (
	"os"

	"github.com/ekskey/ekskey/internal/servercli"
)

func main() {
	os.Exit(servercli.Main(servercli.Env{Args: os.Args[1:], Stdout: os.Stdout, Stderr: os.Stderr}))
}
