package fakeaws_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/ekskey/ekskey/internal/fakeaws"
)

const account = "111122223333"

// cloud is a fake AWS on a loopback port, with one user.
type cloud struct {
	*fakeaws.Server
	url   string
	alice fakeaws.Key
}

func newCloud(t *testing.T, cfg fakeaws.Config) *cloud {
	t.Helper()
	server := fakeaws.New(cfg)
	alice, err := server.AddUser(fakeaws.User{Account: account, Path: "/ops/", Name: "alice", MFASerial: "arn:aws:iam::111122223333:mfa/alice", MFACode: "123456"})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(server)
	t.Cleanup(web.Close)
	return &cloud{Server: server, url: web.URL, alice: alice}
}

func (c *cloud) role(t *testing.T, r fakeaws.Role) string {
	t.Helper()
	if r.Account == "" {
		r.Account = account
	}
	arn, err := c.AddRole(r)
	if err != nil {
		t.Fatal(err)
	}
	return arn
}

// sdk is how the AWS SDK is configured for one key: no retries, so that what is
// counted is what was asked.
func (c *cloud) sdk(k fakeaws.Key, region string) aws.Config {
	return aws.Config{
		Region:       region,
		Credentials:  credentials.NewStaticCredentialsProvider(k.AccessKeyID, k.SecretAccessKey, k.SessionToken),
		BaseEndpoint: aws.String(c.url),
		Retryer:      func() aws.Retryer { return aws.NopRetryer{} },
	}
}

func (c *cloud) sts(k fakeaws.Key) *sts.Client { return sts.NewFromConfig(c.sdk(k, "eu-west-1")) }
func (c *cloud) eks(k fakeaws.Key) *eks.Client { return eks.NewFromConfig(c.sdk(k, "eu-west-1")) }
func (c *cloud) iam(k fakeaws.Key) *iam.Client { return iam.NewFromConfig(c.sdk(k, "us-east-1")) }

// assume assumes a role and returns the session's key.
func (c *cloud) assume(k fakeaws.Key, in *sts.AssumeRoleInput) (fakeaws.Key, *sts.AssumeRoleOutput, error) {
	out, err := c.sts(k).AssumeRole(context.Background(), in)
	if err != nil {
		return fakeaws.Key{}, nil, err
	}
	return fakeaws.Key{
		AccessKeyID:     *out.Credentials.AccessKeyId,
		SecretAccessKey: *out.Credentials.SecretAccessKey,
		SessionToken:    *out.Credentials.SessionToken,
	}, out, nil
}

func (c *cloud) whoami(t *testing.T, k fakeaws.Key) *sts.GetCallerIdentityOutput {
	t.Helper()
	out, err := c.sts(k).GetCallerIdentity(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// wantCode checks an error of the SDK's for AWS's code and the HTTP status.
func wantCode(t *testing.T, err error, code string, status int) {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != code {
		t.Fatalf("got %v, want %s", err, code)
	}
	var response interface{ HTTPStatusCode() int }
	if !errors.As(err, &response) || response.HTTPStatusCode() != status {
		t.Errorf("got %v, want HTTP status %d", err, status)
	}
}

func wantMessage(t *testing.T, err error, message string) {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorMessage() != message {
		t.Errorf("got %v, want the message %q", err, message)
	}
}

// at is a clock that stands still.
func at(t time.Time) func() time.Time { return func() time.Time { return t } }

// get sends a request as it is.
func get(t *testing.T, r *http.Request) *http.Response {
	t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return response
}
