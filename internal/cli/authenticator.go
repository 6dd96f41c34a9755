package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/ekskey/ekskey/internal/safefile"
)

// What stands here makes `ekskey token` take the words, the variables and the
// configuration file of `aws-iam-authenticator token`.
//
// Source: https://github.com/kubernetes-sigs/aws-iam-authenticator/tree/v0.6.31/cmd/aws-iam-authenticator

const (
	clusterVar = "KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID"
	roleVar    = "DEFAULT_ROLE"
	// maxAuthenticatorConfig is how large the configuration file may be, in bytes.
	maxAuthenticatorConfig = 1 << 20
)

// addAuthenticatorFlags adds the flags that ekskey has no use for, which nobody
// needs to see.
func addAuthenticatorFlags(f *pflag.FlagSet, o *tokenOptions) {
	f.StringVarP(&o.authenticatorConfig, "config", "c", "", "configuration `file` of aws-iam-authenticator, for its clusterID")
	f.Bool("cache", false, "ignored: credentials are always cached")
	f.StringP("log-format", "l", "", "ignored")
	f.StringP("log-verbosity", "v", "", "ignored: see --log-level")
	f.String("feature-gates", "", "ignored")
	for _, name := range []string{"config", "cache", "log-format", "log-verbosity", "feature-gates"} {
		f.Lookup(name).Hidden = true
	}
}

// defaultRole assumes the role of the variable where no flag names one. It counts
// only for those who speak as to aws-iam-authenticator: the variable's name is
// anybody's.
func (a *app) defaultRole() error {
	roles := &a.global.roles
	role := a.env.Getenv(roleVar)
	for _, f := range roles.typed {
		if f.field == roleARN {
			return nil
		}
	}
	if role == "" {
		return nil
	}
	a.log.Debug("role from the environment", "variable", roleVar, "role", role)
	return roles.value(roleARN).Set(role)
}

// readAuthenticatorConfig takes the cluster from the file, if nothing else named
// one. Whatever else the file says about tokens is refused, for passing it over
// would make a token for somebody else.
func (o *tokenOptions) readAuthenticatorConfig() error {
	path := o.authenticatorConfig
	data, err := safefile.Read(path, maxAuthenticatorConfig)
	if err != nil {
		var bad *fs.PathError
		if errors.As(err, &bad) {
			err = bad.Err
		}
		return &hintError{err: fmt.Errorf("reading %s: %w", path, err), hint: "ekskey takes the clusterID from it alone: name the cluster with --cluster, and leave the file out"}
	}
	var doc map[string]yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return &usageError{reason: path + " is not a configuration file of aws-iam-authenticator in YAML or JSON"}
	}
	for key, node := range doc {
		flag := ""
		switch strings.ToLower(key) {
		case "clusterid":
			if o.cluster == "" {
				o.cluster = node.Value
			}
		case "role":
			flag = "--role"
		case "externalid":
			flag = "--external-id"
		case "sessionname":
			flag = "--session-name"
		case "forwardsessionname":
			flag = "--forward-session-name"
		case "region":
			flag = "--region"
		case "tokenonly":
			flag = "--token-only"
		}
		if flag != "" {
			return &usageError{reason: fmt.Sprintf("%s sets %s, which is not read from there", path, key), hint: "give it by " + flag}
		}
	}
	return nil
}
