package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"
)

// credentialsCommand makes this program a credential_process.
//
// It is how a token's life is shortened without a word to ekskey: a token ends
// a minute before the credentials that sign it, so what ends in 75 seconds makes
// tokens that say, truly, that they are good for 15.
const credentialsCommand = "credentials"

// signingMargin is how long before the end of credentials ekskey ends a token.
const signingMargin = time.Minute

// keys are an IAM user's, of the sandbox: throw-away.
type keys struct {
	AccessKeyID     string `json:"accessKeyId"`
	SecretAccessKey string `json:"secretAccessKey"`
}

// printCredentials answers as the AWS SDKs want it, for keys in a file and
// tokens that live for that long.
func printCredentials(out io.Writer, file, life string, now time.Time) error {
	d, err := time.ParseDuration(life)
	if err != nil {
		return fmt.Errorf("reading how long tokens shall live: %w", err)
	}
	b, err := os.ReadFile(file) // #nosec G304 -- the runner's own file
	if err != nil {
		return fmt.Errorf("reading the keys: %w", err)
	}
	var k keys
	if err := json.Unmarshal(b, &k); err != nil {
		return fmt.Errorf("reading the keys: %w", err)
	}
	return json.NewEncoder(out).Encode(map[string]any{
		"Version": 1, "AccessKeyId": k.AccessKeyID, "SecretAccessKey": k.SecretAccessKey,
		"Expiration": now.Add(d + signingMargin).UTC().Format(time.RFC3339),
	})
}
