package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// The keys are the ones that AWS's documentation uses; they open nothing.
const (
	prefix   = "k8s-aws-v1."
	cluster  = "demo"
	keyID    = "AKIAIOSFODNN7EXAMPLE"
	secret   = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	host     = "sts.eu-central-1.amazonaws.com"
	region   = "eu-central-1"
	signedAt = "20260102T030405Z"
	usualNow = "2026-01-02T03:05:00Z"
	// emptyBody is the SHA-256 of nothing.
	emptyBody = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// request is what is signed. Empty fields take the usual values above.
type request struct {
	host, region, keyID, session, expires, at string
}

// sign gives the pre-signed URL, with a signature that is right for demo.
func sign(r request) (string, error) {
	or := func(s, usual string) string {
		if s == "" {
			return usual
		}
		return s
	}
	at, err := time.Parse("20060102T150405Z", or(r.at, signedAt))
	if err != nil {
		return "", err
	}
	name := or(r.host, host)
	req := &http.Request{
		Method: http.MethodGet,
		Host:   name,
		URL: &url.URL{
			Scheme: "https", Host: name, Path: "/",
			RawQuery: "Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Expires=" + or(r.expires, "60"),
		},
		Header: http.Header{http.CanonicalHeaderKey("x-k8s-aws-id"): {cluster}},
	}
	creds := aws.Credentials{AccessKeyID: or(r.keyID, keyID), SecretAccessKey: secret, SessionToken: r.session}
	signed, _, err := v4.NewSigner().PresignHTTP(
		context.Background(), creds, req, emptyBody, "sts", or(r.region, region), at)
	return signed, err
}

// encode makes a token of a URL, whatever the URL is.
func encode(u string) string { return prefix + base64.RawURLEncoding.EncodeToString([]byte(u)) }

// replace changes the one place where old stands. It fails if there is none, or
// more than one: then the row would not test what its name says.
func replace(s, old, with string) (string, error) {
	if n := strings.Count(s, old); n != 1 {
		return "", fmt.Errorf("%q stands %d times in the URL", old, n)
	}
	return strings.Replace(s, old, with, 1), nil
}

// sessionToken gives n bytes that look like a session token of STS.
func sessionToken(n int) string {
	var b strings.Builder
	b.WriteString("IQoJb3JpZ2luX2VjE")
	for i := 0; b.Len() < n; i++ {
		sum := sha256.Sum256([]byte(fmt.Sprint("session ", i)))
		b.WriteString(base64.RawStdEncoding.EncodeToString(sum[:]))
	}
	return b.String()[:n]
}

// ofLength gives a token of exactly n bytes by the length of its session token,
// which is filled up with letters that need no escape.
func ofLength(n int) (string, error) {
	short, err := sign(request{session: "A"})
	if err != nil {
		return "", err
	}
	fill := (n-len(prefix))*3/4 - len(short) + 1
	long, err := sign(request{session: strings.Repeat("A", fill)})
	if err != nil {
		return "", err
	}
	if got := encode(long); len(got) == n {
		return got, nil
	}
	return "", fmt.Errorf("no token has %d bytes", n)
}
