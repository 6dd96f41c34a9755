// Package cli is the command line of ekskey: one file a command, each turning
// flags into an option struct and that into a domain package's Config. What
// the commands do is done elsewhere; here is only what a person types and reads.
package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"

	"golang.org/x/term"

	"github.com/ekskey/ekskey/token"
)

// Env is the world a command runs in. Every field is needed.
type Env struct {
	// Program is the program's name as it was called, which kubeconfigs are to
	// call again.
	Program string
	// Args are the arguments behind it.
	Args []string
	// Stdin is read only by commands that say so. A terminal is one only if it is
	// an *os.File.
	Stdin io.Reader
	// Stdout gets a command's result, whole, and nothing if the command fails.
	Stdout io.Writer
	// Stderr gets errors, hints, warnings, prompts and logs.
	Stderr io.Writer
	// Getenv reads the environment. The AWS SDK reads the process's own.
	Getenv func(string) string
	// Now is the clock.
	Now func() time.Time
}

// app is one run of the program.
type app struct {
	env    Env
	out    bytes.Buffer // becomes stdout if all goes well
	global globalOptions
	log    *slog.Logger
	// started says that the arguments were understood: errors before are wrong
	// usage.
	started bool
	// quiet says that nothing goes to stderr if the command succeeds; notices are what
	// would have.
	quiet   bool
	notices []string
	// mayPrompt is false where the caller forbids questions to the user.
	mayPrompt bool
	// prompting is held while a question stands on the terminal.
	prompting sync.Mutex
	// warned are warnings about kubeconfigs, each of which is given once.
	warned []string
}

// Main runs the command that the arguments name and returns its exit code:
// 0 done, 1 failed, 2 wrong usage, 3 no usable AWS credentials, 4 refused, 5 not
// found. It stops on an interrupt.
func Main(env Env) int {
	a := newApp(env)
	root := newRootCommand(a, env.Args...)
	hideUnusedFlags(root, env.Args)
	root.SetArgs(awsOrder(root, env.Args))
	cmd, err := root.ExecuteContextC(context.Background())
	var result *resultError
	if err != nil && !errors.As(err, &result) {
		return a.report(cmd, err)
	}
	if _, err := env.Stdout.Write(a.out.Bytes()); err != nil {
		return a.report(cmd, fmt.Errorf("writing the output: %w", err))
	}
	if err != nil {
		return a.report(cmd, err)
	}
	return exitDone
}

// sameSignal is how long after a signal the next is taken for the same one: timeout(1)
// and others send each to the process and to its group, which it is in.
const sameSignal = 250 * time.Millisecond

// stoppable is a context that ends at an interrupt, or when the terminal is closed, for
// what takes time or has to tidy up. To ask for it costs a good part of what a token
// from the cache does.
func stoppable(ctx context.Context) context.Context {
	ends := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as it is under nohup
		ends = append(ends, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(ctx, ends...)
	// Not everything looks at the context: a second signal ends the process.
	context.AfterFunc(ctx, func() { time.AfterFunc(sameSignal, stop) })
	return ctx
}

// outliveReaders has a write to a pipe that nobody reads any more, as that of the log,
// fail, and not end the process. The signal is caught, for what is ignored is ignored by
// the programs that it runs too, and those may rely on being ended.
func outliveReaders() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }

func newApp(env Env) *app {
	return &app{env: env, mayPrompt: true, log: slog.New(slog.DiscardHandler)}
}

func (a *app) warn(format string, args ...any) {
	_, _ = fmt.Fprintln(a.env.Stderr, "warning: "+message(fmt.Sprintf(format, args...)))
}

// notice is a warning of a command that writes nothing to stderr when it succeeds,
// because some clients merge its two outputs. It is shown if the command fails, or if
// --log-level is given.
func (a *app) notice(text string) {
	if a.quiet {
		a.notices = append(a.notices, text)
		return
	}
	a.warn("%s", text)
}

// message is a line for stderr without control characters, and without tokens:
// one typed where none belongs would be quoted in the error.
func message(s string) string {
	if strings.Contains(s, token.Prefix) {
		s = regexp.MustCompile(regexp.QuoteMeta(token.Prefix)+"[A-Za-z0-9_=-]+").ReplaceAllString(s, token.Token{}.String())
	}
	return printable(s)
}

// printable keeps what a server or a file said from steering the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.TrimSpace(s))
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// startLog begins to log to stderr at the level that the flag names.
func (a *app) startLog() error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(a.global.logLevel)); err != nil {
		return &usageError{reason: fmt.Sprintf("--log-level %q is not one of debug, info, warn, error", a.global.logLevel)}
	}
	a.log = slog.New(slog.NewTextHandler(a.env.Stderr, &slog.HandlerOptions{Level: level}))
	return nil
}
