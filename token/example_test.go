package token_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/ekskey/ekskey/token"
)

// bearer gives a request to an EKS API server its token.
func bearer(ctx context.Context, req *http.Request, keyID, secret string) error {
	source, err := token.New(token.Config{
		Cluster:     "prod",
		Region:      "eu-central-1",
		Credentials: token.StaticKeys(keyID, secret, ""), // or aws.Config.Credentials
	})
	if err != nil {
		return err
	}
	tok, err := source.Token(ctx) // no network; mint a new one before tok.Expiry
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+tok.Value())
	return nil
}

func Example() {
	req, err := http.NewRequest(http.MethodGet, "https://example.eks.amazonaws.com/version", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	err = bearer(context.Background(), req, "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
	fmt.Println(req.Header.Get("Authorization")[:len("Bearer k8s-aws-v1.")], err)
	// Output: Bearer k8s-aws-v1. <nil>
}

// A token names its key, its region and its host, but proves nothing: package
// verify asks STS.
func ExampleParse() {
	source, err := token.New(token.Config{
		Cluster:     "prod",
		Credentials: token.StaticKeys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ""),
		Now:         func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	tok, err := source.Token(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	parsed, err := token.Parse(tok.Value())
	fmt.Println(parsed, err)
	fmt.Println(tok) // a token is never printed by accident
	// Output:
	// token{host: sts.amazonaws.com, region: us-east-1, key: AKIAIOSFODNN7EXAMPLE, signed: 2026-01-02T03:04:05Z} <nil>
	// k8s-aws-v1.REDACTED
}

func ExampleRuleError() {
	_, err := token.Parse("k8s-aws-v2.aHR0cHM6Ly8")
	var broken *token.RuleError
	if errors.As(err, &broken) {
		fmt.Println(broken.Code)
	}
	// Output: V02
}
