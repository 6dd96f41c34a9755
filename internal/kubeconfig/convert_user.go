package kubeconfig

import (
	"runtime"
	"slices"

	"github.com/ekskey/ekskey/internal/execplugin"
)

// awsExecAPIVersion is what the AWS CLI writes, and what it and
// aws-iam-authenticator answer to clients that do not ask for a version.
const awsExecAPIVersion = "client.authentication.k8s.io/v1beta1"

// translate fills in what becomes of a user, and returns the settings for it.
func (c Conversion) translate(u User, r *ConvertedUser) []setting {
	leave := func(reason string) []setting {
		r.State, r.Reason = LeftAlone, reason
		return nil
	}
	if u.Exec == nil {
		return leave("it runs no program")
	}
	from, reason := execplugin.Known(u.Exec.invocation(), runtime.GOOS == "windows")
	if u.Exec.Command == c.Command {
		from, reason = execplugin.Ekskey, ""
	}
	if reason != "" {
		return leave(reason)
	}
	r.From = from
	if (from == execplugin.Ekskey) != c.ToAWS {
		r.State, r.Reason = NotConverted, "it already runs "+from
		return nil
	}
	switch u.Exec.APIVersion {
	case "client.authentication.k8s.io/v1alpha1", awsExecAPIVersion, execAPIVersion:
	default:
		return leave("it has no apiVersion that clients know")
	}
	var to Exec
	var words execplugin.Invocation
	var err error
	if from == execplugin.Ekskey {
		to.APIVersion = awsExecAPIVersion
		words, err = execplugin.FromEkskey(u.Exec.invocation(), c.Command)
	} else {
		to = Exec{APIVersion: execAPIVersion, InstallHint: installHint, InteractiveMode: "IfAvailable"}
		words, err = execplugin.ToEkskey(u.Exec.invocation(), c.Command, execVersionArg)
	}
	if err != nil {
		return leave(err.Error())
	}
	to.Command, to.Args, to.Env = words.Command, words.Args, words.Env
	r.State, r.To = Converted, words.Command
	if from != execplugin.Ekskey {
		r.To = execplugin.Ekskey
	}
	return convertSettings(u.Exec, &to)
}

// convertSettings names what differs. Comments are no part of it: what a person
// says of the installation, of prompts or of variables stays.
func convertSettings(old, to *Exec) []setting {
	at := func(key string, value any) setting { return set(value, "user", "exec", key) }
	words := make([]any, len(to.Args))
	for i, a := range to.Args {
		words[i] = a
	}
	args := at("args", words)
	args.KeepComments = true
	s := []setting{at("apiVersion", to.APIVersion), args, at("command", to.Command)}
	if !slices.Equal(old.Env, to.Env) {
		vars := make([]any, len(to.Env))
		for i, v := range to.Env {
			vars[i] = variable(v.Name, v.Value)
		}
		s = append(s, at("env", vars))
	}
	switch {
	case to.InstallHint != "" && old.InstallHint == "":
		s = append(s, at("installHint", to.InstallHint))
	case to.InstallHint == "" && old.InstallHint == installHint:
		s = append(s, at("installHint", nil))
	}
	// v1 demands it, and this is what no word means in older versions
	// (k8s.io/client-go/tools/clientcmd/api/v1, SetDefaults_ExecConfig).
	if old.InteractiveMode == "" && to.InteractiveMode != "" {
		s = append(s, at("interactiveMode", to.InteractiveMode))
	}
	return s
}
