package kubeconfig

import (
	"path"
	"runtime"
	"slices"
	"strings"

	iam "github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/token"
)

// The programs, by the names of their files.
const (
	progOurs          = "ekskey"
	progAWS           = "aws"
	progAuthenticator = "aws-iam-authenticator"
	progHeptio        = "heptio-authenticator-aws" // its name until 2018
)

// awsSession is what `aws eks get-token` calls the sessions of --role-arn.
// Kubernetes usernames may be made of it, so it is said where ekskey takes over.
//
// Source: https://github.com/aws/aws-cli/blob/develop/awscli/customizations/eks/get_token.py
const awsSession = "EKSGetTokenAuth"

// awsOrderFlag has ekskey look for credentials in the AWS CLI's order: a role of the
// profile goes before a web identity of the environment.
const awsOrderFlag = "aws-cli-order"

// ourSession is what ekskey calls the sessions of roles where nothing else does.
const ourSession = "ekskey"

// awsExecAPIVersion is what the AWS CLI writes, and what it and
// aws-iam-authenticator answer to clients that do not ask for a version.
const awsExecAPIVersion = "client.authentication.k8s.io/v1beta1"

// clusterIDVar and its like are what aws-iam-authenticator reads besides AWS_*.
const clusterIDVar = "KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID"

// program names the known program that a command runs, or returns "" and why
// not. A path beside the kubeconfig is somebody's wrapper, and on other systems
// a program for Windows has its own home folder and so its own credentials.
func program(command string, windows bool) (name, reason string) {
	slashed := command
	if windows {
		slashed = strings.ReplaceAll(command, `\`, "/")
	}
	base := path.Base(slashed)
	if windows {
		base = strings.ToLower(base)
		base = strings.TrimSuffix(strings.TrimSuffix(base, ".exe"), ".cmd")
	}
	if !slices.Contains([]string{progOurs, progAWS, progAuthenticator, progHeptio}, base) {
		return "", "it runs another program"
	}
	drive := windows && len(slashed) > 2 && slashed[1] == ':' && slashed[2] == '/'
	if strings.Contains(slashed, "/") && !strings.HasPrefix(slashed, "/") && !drive {
		return "", "its program is beside the kubeconfig"
	}
	return base, ""
}

// translate fills in what becomes of a user, and returns the settings for it.
func (c Conversion) translate(u User, r *ConvertedUser) []setting {
	leave := func(reason string) []setting {
		r.State, r.Reason = LeftAlone, reason
		return nil
	}
	if u.Exec == nil {
		return leave("it runs no program")
	}
	from, reason := program(u.Exec.Command, runtime.GOOS == "windows")
	if u.Exec.Command == c.Command {
		from, reason = progOurs, ""
	}
	if reason != "" {
		return leave(reason)
	}
	r.From = from
	if (from == progOurs) != c.ToAWS {
		r.State, r.Reason = NotConverted, "it already runs "+from
		return nil
	}
	switch u.Exec.APIVersion {
	case "client.authentication.k8s.io/v1alpha1", awsExecAPIVersion, execAPIVersion:
	default:
		return leave("it has no apiVersion that clients know")
	}
	var to *Exec
	if from == progOurs {
		to, reason = toAWS(u.Exec)
	} else {
		to, reason = toOurs(u.Exec, from, c.Command)
	}
	if reason != "" {
		return leave(reason)
	}
	r.State, r.To = Converted, to.Command
	if from != progOurs {
		r.To = progOurs
	}
	return convertSettings(u.Exec, to)
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

// toOurs returns the words of ekskey for a user of another program.
func toOurs(e *Exec, from, command string) (*Exec, string) {
	g, want, clusterFlag := authenticatorGrammar, "token", "cluster-id"
	if from == progAWS {
		g, want, clusterFlag = awsGrammar, "eks get-token", "cluster"
	}
	w, reason := g.read(e.Args)
	if reason == "" {
		reason = decidingVar(e.Env, from == progAWS)
	}
	o := w.options
	switch {
	case reason != "":
		return nil, reason
	case w.command != want:
		return nil, "it runs another command than " + want
	case o["output"] != "" && o["output"] != "json":
		return nil, "its --output is not json"
	case o["cluster"] != "" && o["cluster-id"] != "":
		return nil, "it names two clusters"
	case o["session-name"] != "" && o["forward-session-name"] == "true":
		return nil, "--session-name and --forward-session-name exclude each other"
	}
	cluster := firstOf(o["cluster"], o["cluster-id"])
	if from == progAWS {
		// As --cluster-id, ekskey would take DEFAULT_ROLE from the environment.
		delete(o, "cluster-id")
		if o["region"] == "" {
			var differ bool
			if o["region"], differ = regionVars(e.Env); differ {
				return nil, "its two variables for the region differ"
			}
		}
		if o["role-arn"] != "" {
			o["session-name"] = awsSession
		}
	} else if cluster == "" {
		for _, v := range e.Env {
			if v.Name == clusterIDVar {
				cluster = v.Value
			}
		}
	}
	o[clusterFlag] = cluster
	if reason := checkWords(cluster, o); reason != "" {
		return nil, reason
	}
	args := []string{"token"}
	for _, name := range []string{"cluster", "cluster-id", "region", "profile", "role-arn", "external-id", "session-name", "ca-bundle"} {
		if o[name] != "" {
			args = append(args, "--"+name, o[name])
		}
	}
	if o["forward-session-name"] == "true" {
		args = append(args, "--forward-session-name=true")
	}
	if from == progAWS {
		args = append(args, "--"+awsOrderFlag+"=true")
	}
	return &Exec{
		APIVersion: execAPIVersion, Command: command, Args: append(args, "--exec-api-version", execVersionArg),
		InstallHint: installHint, InteractiveMode: "IfAvailable",
	}, ""
}

// regionVars is the region that AWS_DEFAULT_REGION names, which version 1 of the AWS
// CLI alone reads and ekskey reads after AWS_REGION.
func regionVars(env []EnvVar) (region string, differ bool) {
	other := ""
	for _, v := range env {
		switch v.Name {
		case "AWS_DEFAULT_REGION":
			region = v.Value
		case "AWS_REGION":
			other = v.Value
		}
	}
	return region, region != "" && other != "" && region != other
}

// toAWS returns the words of the program that a user of ekskey speaks like:
// aws-iam-authenticator where the cluster is named by --cluster-id, in which
// case ekskey honours its DEFAULT_ROLE too, and the AWS CLI otherwise.
func toAWS(e *Exec) (*Exec, string) {
	w, reason := ourGrammar.read(e.Args)
	o := w.options
	likeAWS := w.command == "eks get-token"
	authenticator := o["cluster-id"] != "" && !likeAWS
	if reason == "" {
		reason = decidingVar(e.Env, !authenticator)
	}
	cluster := firstOf(o["cluster"], o["cluster-id"])
	switch {
	case reason != "":
		return nil, reason
	case w.command != "token" && !likeAWS:
		return nil, "it runs another command than token"
	case o["output"] != "" && o["output"] != "json":
		return nil, "its --output is not json"
	case o["cluster"] != "" && o["cluster-id"] != "":
		return nil, "it names two clusters"
	}
	if reason := checkWords(cluster, o); reason != "" {
		return nil, reason
	}
	if authenticator && o[awsOrderFlag] == "true" {
		return nil, progAuthenticator + " looks for credentials in another order"
	}
	to, lacks := progAWS, []string{"external-id", "mfa-serial", "duration", "mfa-command"}
	if authenticator {
		to, lacks = progAuthenticator, []string{"mfa-serial", "duration", "mfa-command", "profile", "ca-bundle"}
	} else if o["forward-session-name"] == "true" {
		lacks = append(lacks, "forward-session-name")
	}
	for _, name := range lacks {
		if o[name] != "" {
			return nil, to + " has no --" + name
		}
	}
	if authenticator {
		args := []string{"token", "--cluster-id", cluster}
		for _, f := range []flagValue{{"region", o["region"]}, {"role", o["role-arn"]}, {"external-id", o["external-id"]}, {"session-name", o["session-name"]}} {
			if f.value != "" {
				args = append(args, "--"+f.name, f.value)
			}
		}
		switch {
		case o["forward-session-name"] == "true":
			args = append(args, "--forward-session-name")
		case o["role-arn"] != "" && o["session-name"] == "":
			args = append(args, "--session-name", ourSession)
		}
		return &Exec{APIVersion: awsExecAPIVersion, Command: to, Args: args}, ""
	}
	if o["session-name"] == "" && likeAWS {
		o["session-name"] = awsSession
	}
	if o["role-arn"] != "" && o["session-name"] != awsSession {
		return nil, "aws calls a role's session " + awsSession + ", this one has another name, and usernames may be made of it"
	}
	if !likeAWS && o[awsOrderFlag] != "true" && o["profile"] == "" {
		return nil, "aws looks for credentials in another order, unless a --profile is named"
	}
	var args []string
	for _, name := range []string{"region", "profile", "ca-bundle"} {
		if o[name] != "" {
			args = append(args, "--"+name, o[name])
		}
	}
	args = append(args, "eks", "get-token", "--cluster-name", cluster, "--output", "json")
	if o["role-arn"] != "" {
		args = append(args, "--role-arn", o["role-arn"])
	}
	return &Exec{APIVersion: awsExecAPIVersion, Command: to, Args: args}, ""
}

// checkWords refuses what one program may take and the other not.
func checkWords(cluster string, o map[string]string) string {
	if cluster == "" {
		return "it names no cluster"
	}
	if token.ValidCluster(cluster) != nil {
		return "its cluster has no name that a token can be made for"
	}
	if role := o["role-arn"]; role != "" {
		if p, err := iam.ParsePrincipal(role); err != nil || p.Kind != iam.KindRole {
			return "its role is not the ARN of a role"
		}
	}
	for _, value := range o {
		if checkText("", value) != nil {
			return "it has a control character"
		}
	}
	return ""
}

// decidingVar says which variable of an entry may mean another thing to the
// other program. Those that mean the same to both stay where they are.
func decidingVar(env []EnvVar, aws bool) string {
	for _, v := range env {
		upper := strings.ToUpper(v.Name)
		switch {
		case v.Name == "AWS_PROFILE" && v.Value != "", v.Name == "AWS_DEFAULT_OUTPUT":
		case v.Name == "AWS_DEFAULT_PROFILE" && !aws:
			// The AWS CLI looks at it before AWS_PROFILE, all others behind it.
		case slices.Contains(harmless, v.Name):
		case upper == "HOME", upper == "USERPROFILE":
			return "its variable " + upper + " decides where credentials are looked for"
		case strings.HasPrefix(upper, "AWS_") && strings.Trim(upper, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") == "":
			return "its variable " + upper + " may decide whom it acts as"
		case strings.HasPrefix(upper, "AWS_"):
			return "one of its variables may decide whom it acts as"
		}
	}
	return ""
}
