package cli

import (
	"fmt"

	"github.com/spf13/pflag"

	"github.com/ekskey/ekskey/internal/execcred"
)

// execVersion decides the version of the document, and whether questions may be
// asked. A client that asks for nothing intelligible gets what it would have got
// had it not asked.
func (a *app) execVersion(flag string) (string, error) {
	fallback := execcred.V1Beta1
	if flag != "" {
		v, err := execcred.ParseVersion(flag)
		if err != nil {
			return "", &usageError{reason: "--exec-api-version: " + err.Error()}
		}
		fallback = v
	}
	value := a.env.Getenv(execcred.EnvVar)
	if value == "" {
		return fallback, nil
	}
	info, err := execcred.ParseInfo(value)
	if err != nil {
		a.notice(fmt.Sprintf("%v; answering in %s", err, fallback))
		return fallback, nil
	}
	a.mayPrompt = info.Interactive
	if info.APIVersion == execcred.V1Alpha1 {
		a.notice("the kubeconfig asks for " + execcred.V1Alpha1 + ", which Kubernetes 1.24 removed: change it to v1")
	}
	return info.APIVersion, nil
}

// fillIn names the cluster where no flag does: as the client says, else as
// aws-iam-authenticator would find it. An empty flag is a mistake of whoever
// wrote it, and not the same as none.
func (a *app) fillIn(o *tokenOptions, typed *pflag.FlagSet) error {
	foreign := typed.Changed("cluster-id")
	if !foreign && !typed.Changed("cluster") && !typed.Changed("cluster-name") {
		if info, err := execcred.ParseInfo(a.env.Getenv(execcred.EnvVar)); err == nil {
			o.cluster = info.ClusterName
		}
		if o.cluster == "" {
			o.cluster = a.env.Getenv(clusterVar)
			foreign = o.cluster != ""
		}
	}
	if o.authenticatorConfig != "" {
		foreign = true
		if err := o.readAuthenticatorConfig(); err != nil {
			return err
		}
	}
	if err := a.takeClusterARN(&o.cluster); err != nil {
		return err
	}
	if foreign {
		return a.defaultRole()
	}
	return nil
}
