package servercli

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ekskey/ekskey/internal/mapping"
)

// clusterIDVar is where aws-iam-authenticator finds the cluster's id too.
const clusterIDVar = "KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID"

// words are the flags of aws-iam-authenticator's commands server and init, with its names and
// letters. What is given goes before the configuration file.
//
// Source: https://github.com/kubernetes-sigs/aws-iam-authenticator, cmd/aws-iam-authenticator
type words struct {
	flags                                   *pflag.FlagSet
	config, clusterID, logFormat            string
	verbosity                               int
	address, hostname, stateDir, kubeconfig string
	generateKubeconfig, partition, master   string
	port, qps, burst                        int
	pregenerated                            bool
	backendMode, scrubbed, featureGates     []string
}

func (w *words) bind(f *pflag.FlagSet) {
	w.flags = f
	f.StringVarP(&w.config, "config", "c", "", "configuration `file` (YAML)")
	f.StringVarP(&w.clusterID, "cluster-id", "i", "", "`name` that tokens must be signed for (default: $"+clusterIDVar+")")
	f.StringVarP(&w.logFormat, "log-format", "l", "", "accepted and ignored: logs are JSON")
	f.IntVarP(&w.verbosity, "log-verbosity", "v", 0, "`level`: from 1 on, debug messages too")
	f.StringVar(&w.address, "address", "", "IP `address` to listen on")
	f.StringVar(&w.hostname, "hostname", "", "host `name` in the certificate")
	f.StringVar(&w.stateDir, "state-dir", "", "`directory` of the certificate and other state")
	f.StringVar(&w.generateKubeconfig, "generate-kubeconfig", "", "`file` to write the kubeconfig for kube-apiserver to")
	f.BoolVar(&w.pregenerated, "kubeconfig-pregenerated", false, "do not write that file")
}

func (w *words) bindServer(f *pflag.FlagSet) {
	f.IntVar(&w.port, "port", 0, "`port` to listen on")
	f.StringVar(&w.partition, "partition", "", "AWS `partition`")
	f.StringSliceVar(&w.backendMode, "backend-mode", nil, "`backends` in their order: MountedFile, EKSConfigMap, DynamicFile")
	f.StringSliceVar(&w.scrubbed, "scrubbed-account", nil, "`accounts` whose ARNs are not logged")
	f.StringVar(&w.kubeconfig, "kubeconfig", "", "`file` with which to reach the Kubernetes API, for EKSConfigMap (default: the pod's service account)")
	f.StringVar(&w.master, "master", "", "`URL` of the Kubernetes API, in place of the kubeconfig's")
	f.StringSliceVar(&w.featureGates, "feature-gates", nil, "`NAME=true|false`; ConfiguredInitDirectories, IAMIdentityMappingCRD and SSORoleMatch are known")
	f.IntVar(&w.qps, "ec2-describeInstances-qps", 0, "`limit` of calls to EC2 a second")
	f.IntVar(&w.burst, "ec2-describeInstances-burst", 0, "`limit` of calls to EC2 at once")
}

// override puts what is given in place of what the file says.
func (w *words) override(r *reader, c *config) {
	s := &c.server
	s.ties = mapping.LastWins
	if c.clusterID == "" {
		c.clusterID = os.Getenv(clusterIDVar)
	}
	set := func(name string, to *string, value string) {
		if w.flags.Changed(name) {
			*to = value
		}
	}
	set("cluster-id", &c.clusterID, w.clusterID)
	set("address", &s.address, w.address)
	set("hostname", &s.hostname, w.hostname)
	set("state-dir", &s.stateDir, w.stateDir)
	set("generate-kubeconfig", &s.generateKubeconfig, w.generateKubeconfig)
	set("partition", &s.partition, w.partition)
	set("kubeconfig", &s.kubeconfig, w.kubeconfig)
	set("master", &s.master, w.master)
	for name, n := range map[string]struct{ to, value *int }{
		"port": {&s.port, &w.port}, "ec2-describeInstances-qps": {&s.ec2.qps, &w.qps}, "ec2-describeInstances-burst": {&s.ec2.burst, &w.burst},
	} {
		if w.flags.Changed(name) {
			*n.to = *n.value
		}
	}
	if w.flags.Changed("kubeconfig-pregenerated") {
		s.kubeconfigPregenerated = w.pregenerated
	}
	if w.flags.Changed("scrubbed-account") {
		s.scrubbedAccounts = w.scrubbed
	}
	if w.flags.Changed("backend-mode") {
		names, err := backendsOfModes(w.backendMode)
		if err != nil {
			r.fail(nil, strings.ReplaceAll(err.Error(), "server.backendMode", "--backend-mode"))
		}
		s.backends = names
		s.awsAuthConfigMap = s.awsAuthConfigMap || slices.Contains(names, backendAWSAuth) && s.awsAuthFile == ""
	}
}

// initDefaults are those of aws-iam-authenticator's init without a configuration: it writes
// into the working directory.
func (w *words) initDefaults() {
	for name, value := range map[string]string{"state-dir": ".", "generate-kubeconfig": "aws-iam-authenticator.kubeconfig"} {
		if w.config == "" && !w.flags.Changed(name) {
			_ = w.flags.Set(name, value) // it exists
		}
	}
}

// check refuses flags that would change who has access if they were ignored.
func (w *words) check() error {
	for _, gate := range w.featureGates {
		name, value, _ := strings.Cut(gate, "=")
		switch {
		case name != "ConfiguredInitDirectories" && name != "IAMIdentityMappingCRD" && name != "SSORoleMatch":
			return &usageError{fmt.Errorf("--feature-gates: %s is not known", name)}
		case name == "IAMIdentityMappingCRD" && value == "true":
			return &usageError{errors.New("--feature-gates: IAMIdentityMappingCRD is not supported")}
		}
	}
	return nil
}

// load reads the configuration. Without a file, the flags are all.
func (w *words) load(env Env) (*config, options, error) {
	if err := w.check(); err != nil {
		return nil, options{}, err
	}
	o := options{config: w.config, logLevel: "info"}
	if w.verbosity > 0 {
		o.logLevel = "debug"
	}
	text := []byte("{}\n")
	if w.config != "" {
		var err error
		if text, err = readConfig(w.config); err != nil {
			return nil, o, err
		}
	}
	path := w.config
	if path == "" {
		path = "(flags)"
	}
	c, err := parseConfigWith(path, text, w.override)
	if err == nil && w.config != "" {
		c.text = text
	}
	return c, o, err
}

// newServerWords is aws-iam-authenticator's command server, for who swaps the program alone.
func newServerWords(env Env) *cobra.Command {
	var w words
	cmd := &cobra.Command{
		Use:   "server",
		Short: "The same as serve, with aws-iam-authenticator's flags",
		Long: `Answer TokenReviews as serve does, with the command line of aws-iam-authenticator's
server: flags go before the configuration file. Of two mappings for one principal,
the last counts and is logged; serve refuses both.`,
		Example: "  ekskey-server server --config /etc/aws-iam-authenticator/config.yaml --state-dir /var/aws-iam-authenticator",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, o, err := w.load(env)
			if err != nil {
				return err
			}
			log, err := o.log(env.Stderr)
			if err != nil {
				return err
			}
			return serve(cmd.Context(), c, log)
		},
	}
	w.bind(cmd.Flags())
	w.bindServer(cmd.Flags())
	return cmd
}
