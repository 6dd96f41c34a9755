package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// mfaFlags are the flags about the MFA code.
type mfaFlags struct {
	code, command string
	used          bool // code has been given to AWS, which takes each but once
}

const (
	// mfaCodeLen is how many digits a code has.
	//
	// Source: TokenCode in https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
	mfaCodeLen = 6
	// mfaCommandTime is how long a command may take to print a code: somebody may
	// have to touch a key.
	mfaCommandTime = time.Minute
	// mfaCommandOutput is how much of what a command prints is looked at, in bytes.
	mfaCommandOutput = 1024
)

func isMFACode(s string) bool {
	return len(s) == mfaCodeLen && strings.Trim(s, "0123456789") == ""
}

// secondFactor is where MFA codes come from: the flag's, once;
// then the flag's command, or else the terminal. It is nil if there is none of
// these.
func (a *app) secondFactor() (func(context.Context, string) (string, error), error) {
	mfa := &a.global.mfa
	if mfa.code != "" && !isMFACode(mfa.code) {
		return nil, &usageError{reason: "the code of --mfa-code is not six digits", hint: "give the six digits that the device shows"}
	}
	ask := a.mfaPrompt()
	if mfa.command != "" {
		ask = a.mfaFromCommand
	}
	if mfa.code == "" && ask == nil {
		return nil, nil
	}
	return func(ctx context.Context, serial string) (string, error) {
		a.prompting.Lock()
		defer a.prompting.Unlock()
		switch {
		case mfa.code != "" && !mfa.used:
			mfa.used = true
			return mfa.code, nil
		case ask == nil:
			return "", errors.New("a second one is wanted, for " + serial + ", and --mfa-code gives but one")
		}
		code, err := ask(ctx, serial)
		if err == nil && !isMFACode(code) {
			err = errors.New("the MFA code must have six digits")
		}
		if err != nil {
			return "", err
		}
		return code, nil
	}, nil
}

// mfaFromCommand runs the flag's command. What it prints is secret for as long as
// the code is good, so it is quoted nowhere.
func (a *app) mfaFromCommand(parent context.Context, _ string) (string, error) {
	ctx, cancel := context.WithTimeout(parent, mfaCommandTime)
	defer cancel()
	cmd := shell(ctx, a.global.mfa.command)
	var out head
	cmd.Stdout = &out
	if stdin, ok := a.env.Stdin.(*os.File); ok && a.mayPrompt && isTerminal(stdin) {
		// The terminal lets only the processes in its foreground read, and sends its
		// interrupts to all of those.
		cmd.Stdin = stdin
	} else {
		killWithChildren(cmd)
	}
	if a.mayPrompt && isTerminal(a.env.Stderr) {
		cmd.Stderr = a.env.Stderr
	}
	// Something that it leaves running may hold on to its output.
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	switch {
	case parent.Err() != nil:
		return "", parent.Err()
	case ctx.Err() != nil:
		return "", fmt.Errorf("the command of --mfa-command took longer than %s", mfaCommandTime)
	case err != nil && !errors.Is(err, exec.ErrWaitDelay):
		return "", fmt.Errorf("running the command of --mfa-command: %w", err)
	}
	line, _, _ := bytes.Cut(out.data, []byte("\n"))
	code := string(bytes.TrimSpace(line))
	if !isMFACode(code) {
		return "", errors.New("the first line that the command of --mfa-command printed is not six digits")
	}
	return code, nil
}

// head keeps the beginning of what is written to it, and takes the rest.
type head struct{ data []byte }

func (h *head) Write(p []byte) (int, error) {
	h.data = append(h.data, p[:min(len(p), mfaCommandOutput-len(h.data))]...)
	return len(p), nil
}
