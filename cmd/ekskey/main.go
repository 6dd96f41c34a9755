// Command ekskey takes an AWS IAM identity into an Amazon EKS cluster.
package main

import (
	"os"
	"time"

	"github.com/ekskey/ekskey/internal/cli"
)

func main() {
	os.Exit(cli.Main(cli.Env{
		Program: os.Args[0], Args: os.Args[1:],
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Getenv: os.Getenv, Now: time.Now,
	}))
}
