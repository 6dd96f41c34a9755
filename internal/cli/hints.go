package cli

import (
	"errors"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/awserr"
	"github.com/ekskey/ekskey/internal/kubeapi"
	"github.com/ekskey/ekskey/internal/kubeconfig"
	"github.com/ekskey/ekskey/internal/safefile"
	"github.com/ekskey/ekskey/token"
	"github.com/ekskey/ekskey/verify"
)

// hintFor is the one place that knows what to do about an error.
func hintFor(err error) string {
	var (
		usage     *usageError
		hinted    *hintError
		coded     *codeError
		badRegion *identity.UnknownRegionError
		expired   *token.CredentialsExpiredError
		malformed *token.MalformedCredentialsError
		rule      *token.RuleError
		denied    *verify.DeniedError
		kube      *kubeapi.StatusError
		api       *kubeapi.UnreachableError
		sts       *verify.UnavailableError
	)
	switch {
	case errors.As(err, &hinted):
		return hinted.hint
	case errors.As(err, &coded):
		return coded.hint
	case errors.As(err, &usage):
		return usage.hint
	case errors.As(err, &badRegion):
		return "region names look like eu-central-1"
	case errors.As(err, &expired):
		return "get new credentials, and try again"
	case errors.As(err, &malformed):
		return "set it as AWS gave it, without quotes, blanks and line breaks; ekskey whoami --log-level debug shows where credentials come from"
	case errors.As(err, &rule):
		return ruleHint(rule.Code)
	case errors.As(err, &denied):
		return deniedHint(denied.Code)
	case errors.As(err, &kube):
		return kubeHint(kube)
	case errors.As(err, &sts):
		return "nothing is known of the token; check the network and the STS endpoint, and try again"
	case errors.As(err, &api):
		return "is the cluster's endpoint private? then connect from inside its network"
	}
	if hint := fileHint(err); hint != "" {
		return hint
	}
	return awserr.HintFor(err)
}

// fileHint is about a kubeconfig that was not written.
func fileHint(err error) string {
	var (
		syntax   *kubeconfig.SyntaxError
		wrong    *kubeconfig.TypeError
		key      *kubeconfig.DuplicateKeyError
		entry    *kubeconfig.DuplicateEntryError
		edit     *kubeconfig.NotEditableError
		conflict *kubeconfig.ConflictError
		locked   *safefile.LockedError
		pinned   *safefile.PinnedError
		changed  *safefile.ChangedError
		busy     *safefile.UnsettledError
	)
	switch {
	case errors.As(err, &syntax), errors.As(err, &wrong), errors.As(err, &key), errors.As(err, &entry), errors.As(err, &edit):
		return "nothing was written; fix the file, or name another with --kubeconfig"
	case errors.As(err, &conflict):
		return "nothing was written; choose another name with --user-alias, or another file with --kubeconfig"
	case errors.As(err, &pinned):
		return "nothing was written; --in-place overwrites the file itself, which is not atomic"
	case errors.As(err, &changed), errors.As(err, &busy):
		return "nothing was written; try again when the other program is done"
	case errors.As(err, &locked):
		if locked.PID == 0 {
			return "wait for the other program; if none is running, remove " + locked.Path
		}
		return "wait for the other ekskey, or end it"
	}
	return ""
}

func ruleHint(code token.Code) string {
	switch code {
	case "V02":
		return "a token of EKS begins with " + token.Prefix
	case "V03", "V04":
		return "was all of the token copied, and nothing else?"
	case "V07":
		return "clusters accept AWS's own STS hosts only; some tools sign for AWS_ENDPOINT_URL_STS when that is set"
	case "V16":
		return "check this computer's clock, and that of the one that signed"
	case "V17":
		return "tokens live for 15 minutes; mint a new one with: ekskey token"
	case "V19":
		return "a token for EKS signs exactly the headers host and " + token.ClusterHeader
	}
	return ""
}

func deniedHint(code string) string {
	switch code {
	case "SignatureDoesNotMatch":
		return "the token is for another cluster, or was altered, or its key is not the one it names"
	case "ExpiredToken":
		return "the session that signed the token has ended; mint a new one with: ekskey token"
	case "InvalidClientTokenId":
		return "the key that signed the token does not exist any more, or belongs to another partition"
	}
	return ""
}

func kubeHint(e *kubeapi.StatusError) string {
	switch e.Code {
	case 401:
		return "AWS accepts these credentials, but the cluster does not map them to a user: see its access entries and aws-auth; if the role was deleted and created again, run: ekskey cache clear"
	case 403:
		return "the cluster knows the user, but refuses the request"
	}
	return ""
}
