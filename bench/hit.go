package main

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/ekskey/ekskey/internal/fakeaws"
)

const account = "111122223333"

// hits measures tokens for an assumed role whose credentials are cached, against an
// empty program and against `ekskey version`. An AWS of its own tells that they are:
// it may be asked for the role once, and for nothing else.
func (p *programs) hits(ctx context.Context) ([]row, error) {
	aws := fakeaws.New(fakeaws.Config{})
	key, err := aws.AddUser(fakeaws.User{Account: account, Name: "bench"})
	if err != nil {
		return nil, err
	}
	role, err := aws.AddRole(fakeaws.Role{Account: account, Name: "bench"})
	if err != nil {
		return nil, err
	}
	server := httptest.NewUnstartedServer(aws)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	ca, config := filepath.Join(p.dir, "ca.pem"), filepath.Join(p.dir, "config")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		return nil, err
	}
	profile := fmt.Sprintf("[default]\nregion = %s\naws_access_key_id = %s\naws_secret_access_key = %s\n", region, key.AccessKeyID, key.SecretAccessKey)
	if err := os.WriteFile(config, []byte(profile), 0o600); err != nil {
		return nil, err
	}
	env := p.environment("AWS_CONFIG_FILE="+config, "AWS_CA_BUNDLE="+ca, "AWS_ENDPOINT_URL_STS="+server.URL)
	hit := p.time(ctx, env, p.ekskey, "token", "--cluster", cluster, "--role-arn", role)
	a, b, err := inTurns(emptyRounds, hit, p.time(ctx, env, p.empty))
	if err != nil {
		return nil, err
	}
	c, d, err := inTurns(emptyRounds, hit, p.time(ctx, env, p.ekskey, "version"))
	if err != nil {
		return nil, err
	}
	counts := aws.Counts()
	if len(counts) != 1 || counts[fakeaws.AssumeRole] != 1 {
		return nil, fmt.Errorf("%d tokens for a role: AWS was called %v, not once for the role", 2*(emptyRounds+1), counts)
	}
	return []row{
		{
			what: "ekskey token, assumed role, cache hit : an empty Go program", ours: a, theirs: b, target: "<= 4",
			note: fmt.Sprintf("the first of %d tokens for the role took one call of AWS; each hit took none", 2*(emptyRounds+1)),
		},
		{what: "ekskey token, assumed role, cache hit : ekskey version", ours: c, theirs: d, target: "<= 1.1"},
	}, nil
}
