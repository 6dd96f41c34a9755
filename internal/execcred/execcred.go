// Package execcred reads and writes what kubectl and its client plugins say to
// each other: the ExecCredential document on stdout and the KUBERNETES_EXEC_INFO
// variable.
//
// The types are ours, because client-go's would cost the client its start-up
// time.
//
// Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
package execcred

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	group = "client.authentication.k8s.io/"
	kind  = "ExecCredential"
)

// The versions of the document. V1Alpha1 was removed from client-go in 1.24, but
// stands in old kubeconfigs.
const (
	V1       = group + "v1"
	V1Beta1  = group + "v1beta1"
	V1Alpha1 = group + "v1alpha1"
)

// VersionError says that a version of ExecCredential is not known.
type VersionError struct{ Version string }

func (e *VersionError) Error() string {
	return fmt.Sprintf("%q is not a version of %s: v1, v1beta1 and v1alpha1 are", clip(e.Version), kind)
}

// ParseVersion reads a version, with its group or without, and returns it with
// the group. It fails with *VersionError.
func ParseVersion(s string) (string, error) {
	switch v := group + strings.TrimPrefix(s, group); v {
	case V1, V1Beta1, V1Alpha1:
		return v, nil
	}
	return "", &VersionError{Version: s}
}

type document struct {
	Kind       string `json:"kind"`
	APIVersion string `json:"apiVersion"`
	Status     status `json:"status"`
}

type status struct {
	ExpirationTimestamp string `json:"expirationTimestamp"`
	Token               string `json:"token"`
}

// Marshal writes the document with a token in it, and a line break at its end.
// The result is as secret as the token. It fails with *VersionError.
func Marshal(apiVersion, token string, expiry time.Time) ([]byte, error) {
	version, err := ParseVersion(apiVersion)
	if err != nil {
		return nil, err
	}
	out, err := json.Marshal(document{
		Kind: kind, APIVersion: version,
		Status: status{ExpirationTimestamp: expiry.UTC().Format(time.RFC3339), Token: token},
	})
	return append(out, '\n'), err
}

// Token reads the token out of a document. The error does not quote it.
func Token(doc []byte) (string, error) {
	var d document
	if err := json.Unmarshal(doc, &d); err != nil {
		return "", errors.New("the document is not JSON of an " + kind)
	}
	if d.Kind != kind || !strings.HasPrefix(d.APIVersion, group) {
		return "", errors.New("the document is not an " + kind)
	}
	if d.Status.Token == "" {
		return "", errors.New("the " + kind + " holds no token")
	}
	return d.Status.Token, nil
}

func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
