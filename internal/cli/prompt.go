package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"golang.org/x/term"
)

// mfaPrompt asks on the terminal for the MFA code. It is nil
// where there is nobody to ask.
func (a *app) mfaPrompt() func(context.Context, string) (string, error) {
	stdin, ok := a.env.Stdin.(*os.File)
	if !ok || !a.mayPrompt || !isTerminal(stdin) {
		return nil
	}
	return func(ctx context.Context, serial string) (string, error) {
		screen, done, err := a.screen()
		if err != nil {
			return "", err
		}
		defer done()
		_, _ = fmt.Fprintf(screen, "MFA code of %s: ", printable(serial))
		code, err := readHidden(ctx, stdin)
		_, _ = fmt.Fprintln(screen)
		return code, err
	}
}

// screen is where a person sees a question: stderr, or, where that goes elsewhere
// and a question might end up in somebody's document, the terminal itself.
func (a *app) screen() (io.Writer, func(), error) {
	if isTerminal(a.env.Stderr) {
		return a.env.Stderr, func() {}, nil
	}
	path := "/dev/tty"
	if runtime.GOOS == "windows" {
		path = "CONOUT$"
	}
	tty, err := os.OpenFile(path, os.O_WRONLY, 0) // #nosec G304 -- the terminal
	if err != nil {
		return nil, nil, errors.New("there is no terminal to ask on")
	}
	return tty, func() { _ = tty.Close() }, nil
}

// muteHelpers keeps a credential_process from our standard input and error, where
// there is nobody for it to talk to: what it says may be a secret, and a command
// that succeeds writes nothing there. The SDK hands its helpers os.Stdin and
// os.Stderr and can be told no other files; the commands themselves use those of
// Env. It does nothing where Env's are not the process's own, as in a test.
func (a *app) muteHelpers() error {
	stderr, ok := a.env.Stderr.(*os.File)
	if !ok || stderr != os.Stderr || a.mayPrompt && isTerminal(stderr) {
		return nil
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	os.Stdin, os.Stderr = null, null
	return nil
}

// readHidden reads a line without showing it. When the context ends it puts the
// terminal back and leaves the read behind, for the process is about to end.
func readHidden(ctx context.Context, terminal *os.File) (string, error) {
	fd := int(terminal.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", err
	}
	type answer struct {
		line []byte
		err  error
	}
	read := make(chan answer, 1)
	go func() {
		line, err := term.ReadPassword(fd)
		read <- answer{line, err}
	}()
	select {
	case <-ctx.Done():
		_ = term.Restore(fd, before)
		return "", ctx.Err()
	case got := <-read:
		if code := strings.TrimSpace(string(got.line)); code != "" || got.err != nil {
			return code, got.err
		}
		return "", errors.New("no MFA code was entered")
	}
}
