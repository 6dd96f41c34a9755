package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/user"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"

	"go.yaml.in/yaml/v3"

	"github.com/ekskey/ekskey/internal/awsconf"
	"github.com/ekskey/ekskey/internal/safefile"
)

// maxAgentConfig is more than a list of thousands of clusters has, in bytes.
const maxAgentConfig = 4 << 20

// agentPlan is what the agent is to do, be it from flags or from a file.
type agentPlan struct {
	// Listen and ReadyFile are the flags of these names.
	Listen    string         `yaml:"listen"`
	ReadyFile string         `yaml:"readyFile"`
	Clusters  []agentCluster `yaml:"clusters"`
}

// agentCluster is one cluster. What it leaves out, the flags say.
type agentCluster struct {
	Name      string      `yaml:"name"`
	TokenFile string      `yaml:"tokenFile"`
	Group     string      `yaml:"group"`
	Region    string      `yaml:"region"`
	Profile   string      `yaml:"profile"`
	Roles     []agentRole `yaml:"roles"`
}

// agentRole is a role of a chain.
type agentRole struct {
	ARN         string `yaml:"arn"`
	ExternalID  string `yaml:"externalID"`
	SessionName string `yaml:"sessionName"`
	MFASerial   string `yaml:"mfaSerial"`
	Duration    string `yaml:"duration"`
}

// agentPlan reads the flags, and the file that they name.
func (a *app) agentPlan(o agentOptions) (agentPlan, error) {
	var plan agentPlan
	if err := checkMaxAge(o.maxAge); err != nil {
		return plan, err
	}
	if len(o.clusters) != len(o.tokenFiles) {
		return plan, &usageError{
			reason: fmt.Sprintf("%d --cluster and %d --token-file do not form pairs", len(o.clusters), len(o.tokenFiles)),
			hint:   "each --cluster needs a --token-file, in the same order",
		}
	}
	if o.config != "" {
		if len(o.clusters) > 0 {
			return plan, &usageError{reason: "--config and --cluster exclude each other", hint: "add the cluster to the file"}
		}
		var err error
		if plan, err = readAgentConfig(o.config); err != nil {
			return plan, err
		}
	}
	for i, name := range o.clusters {
		plan.Clusters = append(plan.Clusters, agentCluster{Name: name, TokenFile: o.tokenFiles[i]})
	}
	if len(plan.Clusters) == 0 {
		return plan, &usageError{reason: "cluster name is required", hint: "name one with --cluster and --token-file, or several in a --config"}
	}
	if o.listen != "" {
		plan.Listen = o.listen
	}
	if o.readyFile != "" {
		plan.ReadyFile = o.readyFile
	}
	taken := map[string]string{}
	if plan.ReadyFile != "" {
		path, err := resolved(plan.ReadyFile)
		if err != nil {
			return plan, err
		}
		taken[path] = "the ready file"
	}
	for i := range plan.Clusters {
		c := &plan.Clusters[i]
		if c.Group == "" {
			c.Group = o.group
		}
		if c.Name == "" && o.config != "" {
			return plan, &usageError{
				reason: fmt.Sprintf("reading --config %s: number %d of the clusters has no name", o.config, i+1), hint: "see docs/agent.md for what may be in it",
			}
		}
		if err := takeClusterARN(&c.Name, &c.Region, "leave region out, or name the cluster without its ARN"); err != nil {
			return plan, err
		}
		if err := needCluster(c.Name); err != nil {
			return plan, err
		}
		if c.TokenFile == "" {
			return plan, &usageError{reason: "cluster " + c.Name + " has no token file"}
		}
		path, err := resolved(c.TokenFile)
		if err != nil {
			return plan, err
		}
		if other, ok := taken[path]; ok {
			return plan, &usageError{reason: fmt.Sprintf("%s is the file of cluster %s, and of %s", c.TokenFile, c.Name, other)}
		}
		taken[path] = "cluster " + c.Name
	}
	return plan, nil
}

// resolved is a path whose existing directories are resolved from symbolic links, so
// that one file has one name.
func resolved(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	rest := filepath.Base(path)
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			return filepath.Join(real, rest), nil
		}
		if dir == filepath.Dir(dir) {
			return path, nil
		}
		rest = filepath.Join(filepath.Base(dir), rest)
	}
}

// readAgentConfig reads the file. A key that is not known is refused: it may be a
// role, misspelt.
func readAgentConfig(path string) (agentPlan, error) {
	var plan agentPlan
	data, err := safefile.ReadOwn(path, maxAgentConfig)
	if err != nil {
		return plan, fmt.Errorf("reading --config: %w", err)
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(&plan); err != nil && !errors.Is(err, io.EOF) {
		return agentPlan{}, &usageError{reason: "reading --config " + path + ": " + yamlReason(err), hint: "see docs/agent.md for what may be in it"}
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return agentPlan{}, &usageError{reason: "reading --config " + path + ": there is more than one document in it"}
	}
	return plan, nil
}

// yamlReason leaves out what our types are called.
func yamlReason(err error) string {
	return regexp.MustCompile(` (?:in type|into) cli\.\w+`).ReplaceAllString(err.Error(), "")
}

// clusterConfig is the AWS configuration of one cluster.
func (a *app) clusterConfig(c agentCluster) (awsconf.Config, error) {
	config, err := a.awsConfig()
	if err != nil {
		return config, err
	}
	if c.Region != "" {
		config.Region = c.Region
	}
	if c.Profile != "" {
		config.Profile = c.Profile
	}
	if len(c.Roles) > 0 {
		config.Roles = nil
	}
	for _, r := range c.Roles {
		role := awsconf.Role{ARN: r.ARN, ExternalID: r.ExternalID, SessionName: r.SessionName, MFASerial: r.MFASerial}
		if r.Duration != "" {
			if role.Duration, err = parseRoleDuration(r.Duration); err != nil {
				return config, &usageError{reason: fmt.Sprintf("cluster %s, role %s: duration: %s", c.Name, r.ARN, err)}
			}
		}
		config.Roles = append(config.Roles, role)
	}
	what := "--role-arn"
	if len(c.Roles) > 0 {
		what = "cluster " + c.Name + ", roles: arn"
	}
	return config, checkRoles(what, config.Roles)
}

// groupNumber is the number of a group.
func groupNumber(group string) (int, error) {
	if runtime.GOOS == "windows" {
		return 0, &usageError{reason: "file groups are not supported on Windows", hint: "remove the group, and set the directory's access list"}
	}
	text := group
	if g, err := user.LookupGroup(group); err == nil {
		text = g.Gid
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0, &usageError{reason: fmt.Sprintf("there is no group %q", group)}
	}
	return int(n), nil
}
