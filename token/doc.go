// Package token mints and takes apart the bearer tokens by which Amazon EKS
// knows an AWS identity.
//
// A token is "k8s-aws-v1." followed by the unpadded base64url of a pre-signed
// STS GetCallerIdentity URL whose signed headers are host and x-k8s-aws-id, the
// latter holding the name of the cluster. Minting one needs credentials and a
// clock, but no network.
//
//	src, err := token.New(token.Config{
//		Cluster:     "prod",
//		Region:      "eu-central-1",
//		Credentials: token.StaticKeys(keyID, secret, ""),
//	})
//	tok, err := src.Token(ctx)
//	req.Header.Set("Authorization", "Bearer "+tok.Value())
//
// Parse reads a token back without I/O and refuses what no verifier should
// accept; Policy.Check adds the rules that need a clock and a configuration.
// Neither proves who signed it: only STS can, which package verify asks.
package token
