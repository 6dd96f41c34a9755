package main

import (
	"context"
	"encoding/base64"
	"flag"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/ekskey/ekskey/token"
)

// The keys of AWS's documentation.
const (
	keyID   = "AKIAIOSFODNN7EXAMPLE"                     // #nosec G101 -- AWS's published example
	secret  = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" // #nosec G101 -- AWS's published example
	region  = "eu-central-1"
	cluster = "demo"
)

// mintRounds is how often the two sides take turns.
const mintRounds = 7

// minter makes a token.
type minter func() (string, error)

// minters are token.Source.Token and what other tools do: the pre-sign client of
// the SDK, its middleware, and the same encoding.
func minters(ctx context.Context) (ours, theirs minter, err error) {
	keys := token.StaticKeys(keyID, secret, "")
	source, err := token.New(token.Config{Cluster: cluster, Region: region, Credentials: keys})
	if err != nil {
		return nil, nil, err
	}
	client := sts.NewPresignClient(sts.NewFromConfig(aws.Config{Region: region, Credentials: keys}))
	withHeaders := func(o *sts.PresignOptions) {
		o.ClientOptions = append(o.ClientOptions, sts.WithAPIOptions(
			smithyhttp.SetHeaderValue(token.ClusterHeader, cluster), smithyhttp.SetHeaderValue("X-Amz-Expires", "60")))
	}
	ours = func() (string, error) {
		t, err := source.Token(ctx)
		return t.Value(), err
	}
	theirs = func() (string, error) {
		req, err := client.PresignGetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}, withHeaders)
		if err != nil {
			return "", err
		}
		return token.Prefix + base64.RawURLEncoding.EncodeToString([]byte(req.URL)), nil
	}
	return ours, theirs, nil
}

func mintRow(ctx context.Context) (row, error) {
	ours, theirs, err := minters(ctx)
	if err != nil {
		return row{}, err
	}
	testing.Init()
	if err := flag.Set("test.benchtime", "200ms"); err != nil {
		return row{}, err
	}
	a, b, err := inTurns(mintRounds, perCall(ours), perCall(theirs))
	return row{what: "token.Source.Token : the SDK's pre-sign client", ours: a, theirs: b, target: "<= 1/2"}, err
}

func perCall(mint minter) func() (time.Duration, error) {
	return func() (time.Duration, error) {
		var failed error
		r := testing.Benchmark(func(b *testing.B) {
			for b.Loop() {
				if _, failed = mint(); failed != nil {
					b.FailNow()
				}
			}
		})
		return time.Duration(r.NsPerOp()), failed
	}
}
