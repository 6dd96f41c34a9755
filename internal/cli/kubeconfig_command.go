package cli

import (
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/ekskey/ekskey/internal/awsconf"
	"github.com/ekskey/ekskey/internal/discovery"
	"github.com/ekskey/ekskey/internal/execplugin"
	"github.com/ekskey/ekskey/internal/kubeconfig"
)

// kubeconfigFlags say which kubeconfigs are meant, and how they are written.
type kubeconfigFlags struct {
	file    string
	inPlace bool
}

// bind adds the flags, and --in-place to a command that writes.
func (k *kubeconfigFlags) bind(f *pflag.FlagSet, usage string, writes bool) {
	pathVar(f, &k.file, "kubeconfig", usage)
	if writes {
		f.BoolVar(&k.inPlace, "in-place", false, "overwrite the file instead of replacing it, for example a single mounted file; not atomic")
	}
}

// kubeconfigs is what says which kubeconfigs are meant. The same warning is given once.
func (a *app) kubeconfigs(k kubeconfigFlags) kubeconfig.Env {
	home, _ := os.UserHomeDir() // if there is none, it is said where it matters
	return kubeconfig.Env{
		Flag: k.file, Kubeconfig: a.env.Getenv("KUBECONFIG"), Home: home, InPlace: k.inPlace,
		Warn: func(text string) {
			if !slices.Contains(a.warned, text) {
				a.warned = append(a.warned, text)
				a.warn("%s", text)
			}
		},
	}
}

// principalWords are the flags of update that name whom a context authenticates as, and
// with what help.
func principalWords(m execplugin.Meaning) []string {
	var words []string
	add := func(flag, value string) {
		if value != "" {
			words = append(words, "--"+flag, value)
		}
	}
	add("profile", m.Profile)
	for _, h := range m.Roles {
		add("role-arn", h.ARN)
		add("external-id", h.ExternalID)
		add("session-name", h.SessionName)
		add("mfa-serial", h.MFASerial)
		add("duration", h.Duration)
	}
	if m.ForwardSessionName {
		words = append(words, "--forward-session-name")
	}
	add("mfa-command", m.MFACommand)
	if m.CacheAll {
		words = append(words, "--cache-all")
	}
	return words
}

// updateCommand is the command that writes the entries of a context again as EKS has its
// cluster now, for the same principal and under the same names.
func (a *app) updateCommand(c kubeconfig.MergedContext, cluster discovery.Cluster, k kubeconfigFlags) string {
	words := []string{"ekskey", "kubeconfig", "update", "--no-set-context", "--region", cluster.Region, "--name", cluster.Name}
	add := func(flag, value string) {
		if value != "" {
			words = append(words, "--"+flag, value)
		}
	}
	if c.Name != cluster.ARN {
		add("alias", c.Name)
	}
	if c.Cluster != cluster.ARN {
		add("cluster-alias", c.Cluster)
	}
	if c.EKS.Program == execplugin.Ekskey && !kubeconfig.IsGeneratedUser(c.User, cluster.ARN, c.EKS.Meaning) {
		add("user-alias", c.User)
	}
	if c.ClusterEntry.TLSServerName != "" && endpointOf(c.ClusterEntry.Server) != endpointOf(cluster.Endpoint) {
		add("server", c.ClusterEntry.Server)
	}
	words = append(words, principalWords(c.EKS.Meaning)...)
	if c.EKS.Profile == "" && (a.env.Getenv("AWS_PROFILE") != "" || a.env.Getenv("AWS_DEFAULT_PROFILE") != "") {
		words = append(words, "--no-profile")
	}
	if c.EKS.Program == execplugin.Ekskey {
		e := c.UserEntry.Exec
		if in := execplugin.Unwrapped(execplugin.Invocation{Command: e.Command, Args: e.Args, Env: e.Env}); !strings.ContainsAny(in.Command, `/\`) {
			add("exec-command", in.Command)
		}
		if v := strings.TrimPrefix(e.APIVersion, "client.authentication.k8s.io/"); v == "v1beta1" {
			add("exec-api-version", v)
		}
	}
	add("kubeconfig", k.file)
	return shellWords(words)
}

// typedAgain is the command as it was typed, without some flags and with more words.
func (a *app) typedAgain(without []string, more ...string) string {
	words := []string{"ekskey"}
	for i := 0; i < len(a.env.Args); i++ {
		name, _, joined := strings.Cut(a.env.Args[i], "=")
		switch {
		case name == "--mfa-code": // good for one use, and no one else's business
			if !joined {
				i++
			}
		case slices.Contains(without, name):
		default:
			words = append(words, a.env.Args[i])
		}
	}
	return shellWords(append(words, more...))
}

// shellWords is a command line for a POSIX shell.
func shellWords(words []string) string {
	const plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./:@%+=,-"
	quoted := make([]string, len(words))
	for i, w := range words {
		if quoted[i] = w; w == "" || strings.Trim(w, plain) != "" {
			quoted[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}

// writtenProfile is the profile to be written into user entries: the flag's, or else
// the environment's if it is what signs. A flag goes before keys in the environment, and
// so one is written only where there are none.
func (a *app) writtenProfile(session *awsconf.Session, leaveOut bool) (profile, note string) {
	if a.global.profile != "" || leaveOut || session == nil {
		return a.global.profile, ""
	}
	for _, name := range []string{"AWS_PROFILE", "AWS_DEFAULT_PROFILE"} {
		if value := a.env.Getenv(name); value != "" {
			if session.SigningProfile() != value {
				return "", ""
			}
			return value, "profile: " + printable(value) + ", from " + name + " (--no-profile leaves it out)"
		}
	}
	return "", ""
}
