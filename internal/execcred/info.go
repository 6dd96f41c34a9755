package execcred

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// EnvVar is the variable in which a client tells its plugin what it wants.
const EnvVar = "KUBERNETES_EXEC_INFO"

// maxInfo is how long the variable's value may be, in bytes. Linux takes no
// variable of more than 128 KiB, Windows none of more than 32 Ki characters.
const maxInfo = 1 << 18

// InfoError says why the variable's value cannot be understood.
type InfoError struct{ Reason string }

func (e *InfoError) Error() string { return EnvVar + " " + e.Reason }

// Info is what a client says in the variable.
type Info struct {
	// APIVersion is the version the answer must have.
	APIVersion string
	// Interactive says that the plugin may ask the user on standard input.
	Interactive bool
	// ClusterName is clusterName in spec.cluster.config, which clients fill from the
	// extension of this package's group in the kubeconfig's cluster entry, if the
	// user entry has provideClusterInfo: true. It is as it came; empty if there is
	// none.
	//
	// Source: https://kubernetes.io/docs/reference/config-api/client-authentication.v1/#client-authentication-k8s-io-v1-Cluster
	ClusterName string
}

// ParseInfo reads the variable's value. Fields it does not know are passed over,
// as Kubernetes adds some; names count byte by byte, and one that stands twice
// is refused, because two readers might take two values. It fails with
// *InfoError.
func ParseInfo(value string) (Info, error) {
	info, err := parseInfo(value)
	if err != nil {
		return Info{}, &InfoError{Reason: err.Error()}
	}
	return info, nil
}

func parseInfo(value string) (Info, error) {
	if len(value) > maxInfo {
		return Info{}, fmt.Errorf("is longer than %d bytes", maxInfo)
	}
	if !strings.HasPrefix(strings.TrimLeft(value, " \t\r\n"), "{") {
		return Info{}, errors.New("is not a JSON object")
	}
	doc, err := object([]byte(value))
	if err != nil {
		return Info{}, fmt.Errorf("does not parse: %w", err)
	}
	var apiVersion, docKind string
	if err := errors.Join(text(doc, "apiVersion", &apiVersion), text(doc, "kind", &docKind)); err != nil {
		return Info{}, err
	}
	if docKind != kind && docKind != "" { // some clients leave it out
		return Info{}, fmt.Errorf("has the kind %q, not %s", clip(docKind), kind)
	}
	if !strings.HasPrefix(apiVersion, group) {
		return Info{}, fmt.Errorf("has the apiVersion %q, not one of %s", clip(apiVersion), strings.TrimSuffix(group, "/"))
	}
	info := Info{Interactive: true}
	if info.APIVersion, err = ParseVersion(apiVersion); err != nil {
		return Info{}, fmt.Errorf("asks for what is not known: %w", err)
	}
	if isMissing(doc["spec"]) {
		return info, nil
	}
	spec, err := object(doc["spec"])
	if err != nil {
		return Info{}, fmt.Errorf("has a spec that does not parse: %w", err)
	}
	// In v1alpha1 it may be left out, and then clients gave a terminal.
	if raw := spec["interactive"]; !isMissing(raw) && json.Unmarshal(raw, &info.Interactive) != nil {
		return Info{}, errors.New("has an interactive that is neither true nor false")
	}
	info.ClusterName, err = clusterName(spec["cluster"])
	return info, err
}

// clusterName reads the name out of spec.cluster. The config in it is anybody's:
// one of another shape is none of ours.
func clusterName(cluster json.RawMessage) (string, error) {
	for _, key := range []string{"config", "clusterName"} {
		if !bytes.HasPrefix(bytes.TrimLeft(cluster, " \t\r\n"), []byte("{")) {
			return "", nil
		}
		fields, err := object(cluster)
		if err != nil {
			return "", fmt.Errorf("has a cluster that does not parse: %w", err)
		}
		cluster = fields[key]
	}
	var name string
	if json.Unmarshal(cluster, &name) != nil {
		return "", nil
	}
	return name, nil
}

// object splits a JSON object into its fields.
func object(doc []byte) (map[string]json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(doc))
	if start, err := dec.Token(); err != nil || start != json.Delim('{') {
		return nil, errors.New("it is not a JSON object")
	}
	fields := map[string]json.RawMessage{}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		name, ok := key.(string)
		if !ok {
			return nil, errors.New("a field has no name")
		}
		if _, twice := fields[name]; twice {
			return nil, fmt.Errorf("%q stands in it twice", clip(name))
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		fields[name] = value
	}
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something stands behind it")
	}
	return fields, nil
}

// text reads a field that is a string or missing.
func text(fields map[string]json.RawMessage, name string, into *string) error {
	if raw := fields[name]; !isMissing(raw) && json.Unmarshal(raw, into) != nil {
		return fmt.Errorf("has a field %s that is not a string", name)
	}
	return nil
}

func isMissing(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }
