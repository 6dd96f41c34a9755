// Package authenticator compares the dialect EKS of internal/mapping with
// aws-iam-authenticator v0.6.13 itself: its mappers and its server's templates, over the
// table in internal/mapping/testdata/eks. It holds tests alone. Its dependencies stay out
// of the root module.
//
// `go test . -update` writes the golden answers from aws-iam-authenticator's.
package authenticator
