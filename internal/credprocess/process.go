// Package credprocess runs a profile's credential_process.
//
// Source: https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html
package credprocess

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"golang.org/x/term"

	"github.com/ekskey/ekskey/internal/awserr"
)

const (
	// timeout bounds a credential_process, as in the SDK.
	timeout = time.Minute
	// maxOutput is the most that is read of what it writes, in bytes.
	maxOutput = 64 << 10
)

// Provider gets credentials from a program. It does not cache them.
type Provider struct {
	// Command is a command line for sh, or for cmd.exe on Windows.
	Command string
	// Log gets what the program writes to stderr, redacted, at debug level. Nil means
	// none.
	Log *slog.Logger
	// Sources is what ProviderSources returns.
	Sources []aws.CredentialSource
}

// Error says why a credential_process gave no credentials. It quotes nothing
// that the program wrote, which may be the credentials.
type Error struct{ Reason string }

func (e *Error) Error() string { return e.Reason }

// ProviderSources says where the credentials come from.
func (p *Provider) ProviderSources() []aws.CredentialSource { return p.Sources }

// Retrieve runs the program. It fails with *Error, or with the context's error.
func (p *Provider) Retrieve(ctx context.Context) (aws.Credentials, error) {
	out, err := p.run(ctx)
	if err != nil {
		return aws.Credentials{}, err
	}
	return parseProcess(out)
}

// run hands the program the terminal for questions if there is one. Else what it
// writes to stderr goes to the log.
func (p *Provider) run(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	shell := []string{"sh", "-c", p.Command}
	if runtime.GOOS == "windows" {
		shell = []string{"cmd.exe", "/C", p.Command}
	}
	cmd := exec.CommandContext(ctx, shell[0], shell[1:]...) // #nosec G204 -- the user's own configuration names it
	stdout, stderr := &bounded{}, &bounded{}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if term.IsTerminal(int(os.Stderr.Fd())) {
		cmd.Stdin, cmd.Stderr = os.Stdin, os.Stderr
	}
	// A child of the program's may hold the pipes open.
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if p.Log != nil && stderr.text.Len() > 0 {
		p.Log.Debug("credential_process wrote to stderr", "text", redacted(stderr.text.String(), stdout.text.Bytes()))
	}
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, &Error{"failed: it did not end within " + timeout.String()}
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	var exit *exec.ExitError
	switch {
	case errors.Is(err, exec.ErrWaitDelay):
	case errors.As(err, &exit):
		return nil, &Error{"failed: " + exit.Error()}
	case err != nil:
		return nil, &Error{"could not be started: " + awserr.ReasonOf(err)}
	case stdout.over:
		return nil, &Error{"gave no credentials: it wrote too much"}
	}
	return stdout.text.Bytes(), nil
}

// parseProcess reads what the program printed.
func parseProcess(out []byte) (aws.Credentials, error) {
	if runtime.GOOS == "windows" { // it puts slashes before quotes
		out = bytes.ReplaceAll(out, []byte(`\"`), []byte(`"`))
	}
	fail := func(format string, args ...any) (aws.Credentials, error) {
		return aws.Credentials{}, &Error{"gave no credentials: " + fmt.Sprintf(format, args...)}
	}
	var answer struct {
		Version                                              json.RawMessage
		AccessKeyID                                          string `json:"AccessKeyId"`
		SecretAccessKey, SessionToken, Expiration, AccountID string
	}
	if len(bytes.TrimSpace(out)) == 0 {
		return fail("it printed nothing")
	}
	dec := json.NewDecoder(bytes.NewReader(out))
	if err := dec.Decode(&answer); err != nil {
		return fail("it did not print a JSON document of credentials")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fail("it printed something behind the JSON document")
	}
	switch version := string(answer.Version); {
	case version == "":
		return fail("what it printed has no Version")
	case version != "1" && len(version) < 10:
		return fail("what it printed has Version %s, and only 1 is known", version)
	case version != "1":
		return fail("what it printed has another Version than 1")
	case answer.AccessKeyID == "":
		return fail("what it printed has no AccessKeyId")
	case answer.SecretAccessKey == "":
		return fail("what it printed has no SecretAccessKey")
	}
	creds := aws.Credentials{
		AccessKeyID: answer.AccessKeyID, SecretAccessKey: answer.SecretAccessKey, SessionToken: answer.SessionToken,
		AccountID: answer.AccountID, Source: "ProcessProvider",
	}
	if answer.Expiration != "" {
		var err error
		if creds.Expires, err = parseExpiration(answer.Expiration); err != nil {
			return fail("its Expiration is not a time like 2006-01-02T15:04:05Z")
		}
		creds.CanExpire = true
	}
	return creds, nil
}

// parseExpiration takes the forms of ISO 8601 that the AWS CLI takes and programs
// print. A time without a zone is in UTC.
func parseExpiration(s string) (time.Time, error) {
	var t time.Time
	var err error
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05Z0700", "2006-01-02T15:04:05", "20060102T150405Z0700"} {
		if t, err = time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, err
}

// redacted is a program's text on one line, without what may be a secret: what it
// printed as credentials, long words, and what stands behind a word like password.
func redacted(text string, stdout []byte) string {
	var answer struct{ AccessKeyID, SecretAccessKey, SessionToken string }
	if json.Unmarshal(bytes.ReplaceAll(stdout, []byte(`"AccessKeyId"`), []byte(`"AccessKeyID"`)), &answer) == nil {
		for _, secret := range []string{answer.AccessKeyID, answer.SecretAccessKey, answer.SessionToken} {
			if len(secret) >= 8 {
				text = strings.ReplaceAll(text, secret, "[redacted]")
			}
		}
	}
	text = regexp.MustCompile(`(?i)((?:secret|token|password|passwd|passphrase|credential|key|code)[a-z_]*["']?(?:\s*[:=]\s*|\s+is\s+))\S+`).ReplaceAllString(text, "${1}[redacted]")
	text = regexp.MustCompile(`[A-Za-z0-9/+=_.~%-]{16,}`).ReplaceAllString(text, "[redacted]")
	return awserr.OneLine(text)
}

// bounded keeps the first bytes that are written to it.
type bounded struct {
	text bytes.Buffer
	over bool
}

func (b *bounded) Write(p []byte) (int, error) {
	room := maxOutput - b.text.Len()
	b.over = b.over || len(p) > room
	b.text.Write(p[:min(len(p), max(room, 0))])
	return len(p), nil
}
