// Package token mints and parses the bearer tokens with which AWS identities
// authenticate to Amazon EKS.
//
// A token is "k8s-aws-v1." followed by the unpadded base64url of a pre-signed STS
// GetCallerIdentity URL whose signed headers are host and x-k8s-aws-id; the latter is
// the name of the cluster. Minting a token needs credentials and a clock, but no
// network.
//
//	src, err := token.New(token.Config{
//		Cluster:     "prod",
//		Region:      "eu-central-1",
//		Credentials: token.StaticKeys(keyID, secret, ""),
//	})
//	tok, err := src.Token(ctx)
//	req.Header.Set("Authorization", "Bearer "+tok.Value())
//
// Parse parses a token without I/O and refuses what no verifier should accept;
// Policy.Check adds the rules that need a clock and a configuration. Neither verifies
// the signature: only STS can, which package verify calls.
package token
