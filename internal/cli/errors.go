package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/awserr"
	"github.com/ekskey/ekskey/internal/execcred"
	"github.com/ekskey/ekskey/internal/kubeapi"
	"github.com/ekskey/ekskey/internal/kubeconfig"
	"github.com/ekskey/ekskey/token"
	"github.com/ekskey/ekskey/verify"
)

// The exit codes, for scripts.
const (
	exitDone          = 0
	exitFailed        = 1
	exitUsage         = 2
	exitNoCredentials = 3
	exitRefused       = 4
	exitNotFound      = 5
)

// usageError says that the command was typed wrong.
type usageError struct {
	reason string
	hint   string // empty means: see the command's help
}

func (e *usageError) Error() string { return e.reason }

// hintError adds a hint to an error of another type.
type hintError struct {
	err  error
	hint string
}

func (e *hintError) Error() string { return e.err.Error() }
func (e *hintError) Unwrap() error { return e.err }

// codeError says that something was refused, or not found, that no domain
// package has a type for.
type codeError struct {
	code         int
	reason, hint string
}

func (e *codeError) Error() string { return e.reason }

// resultError is the result of a check that found something: the output is printed all the
// same, and the exit code says what was found.
type resultError struct {
	code   int
	reason string
}

func (e *resultError) Error() string { return e.reason }

// report tells the user what went wrong and returns the exit code.
func (a *app) report(cmd *cobra.Command, err error) int {
	var usage *usageError
	if !errors.As(err, &usage) && !a.started {
		usage = usageOf(err)
		err = usage
	}
	for _, text := range a.notices {
		a.warn("%s", text)
	}
	reason := err.Error()
	if errors.Is(err, context.Canceled) {
		reason = "interrupted"
	}
	_, _ = fmt.Fprintln(a.env.Stderr, "error: "+message(reason))
	hint := hintFor(err)
	if usage != nil && hint == "" && cmd != nil {
		hint = "see " + cmd.CommandPath() + " --help"
	}
	if hint != "" {
		_, _ = fmt.Fprintln(a.env.Stderr, "hint: "+message(hint))
	}
	return exitCode(err)
}

// usageOf makes one line, and a hint, of what cobra says.
func usageOf(err error) *usageError {
	first, rest, _ := strings.Cut(err.Error(), "\n")
	u := &usageError{reason: first}
	if _, names, ok := strings.Cut(rest, "Did you mean this?"); ok {
		u.hint = "did you mean: " + strings.Join(strings.Fields(names), ", ")
	}
	return u
}

// exitCode is the one place that maps errors to exit codes.
func exitCode(err error) int {
	var (
		usage       *usageError
		coded       *codeError
		result      *resultError
		config      *awserr.ConfigError
		noRegion    *awserr.NoRegionError
		badRegion   *identity.UnknownRegionError
		tokenConfig *token.ConfigError
		version     *execcred.VersionError
		creds       *awserr.CredentialsError
		expired     *token.CredentialsExpiredError
		malformed   *token.MalformedCredentialsError
		api         *awserr.APIError
		rule        *token.RuleError
		denied      *verify.DeniedError
		kube        *kubeapi.StatusError
		option      *kubeconfig.OptionError
	)
	switch {
	case errors.As(err, &coded):
		return coded.code
	case errors.As(err, &result):
		return result.code
	case errors.As(err, &usage), errors.As(err, &config), errors.As(err, &noRegion), errors.As(err, &badRegion),
		errors.As(err, &tokenConfig), errors.As(err, &version):
		return exitUsage
	case errors.As(err, &creds), errors.As(err, &expired), errors.As(err, &malformed):
		return exitNoCredentials
	case errors.As(err, &api):
		switch {
		case api.NotFound():
			return exitNotFound
		case api.Unauthorized():
			return exitRefused
		case api.BadCredentials():
			return exitNoCredentials
		}
	case errors.As(err, &rule), errors.As(err, &denied):
		return exitRefused
	case errors.As(err, &option) && fromFlag(option):
		return exitUsage
	case errors.As(err, &kube) && (kube.Code == 401 || kube.Code == 403):
		return exitRefused
	}
	return exitFailed
}

// fromFlag reports whether the value was typed, and not what EKS answered.
func fromFlag(e *kubeconfig.OptionError) bool {
	return e.Option != "certificate authority" && e.Option != "server"
}
