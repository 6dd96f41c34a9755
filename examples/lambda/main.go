// Command lambda is an AWS Lambda function that counts the pods of an EKS cluster,
// and looks for one of them. docs/lambda.md tells how to use it.
package main

import (
	"log"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
)

func main() {
	// Lambda writes the time and the request to its log by itself.
	f := newFunction(os.Getenv, log.New(os.Stderr, "", 0))
	f.start()
	lambda.Start(f.invoke)
}
