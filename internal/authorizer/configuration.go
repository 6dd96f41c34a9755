package authorizer

import (
	"fmt"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// MaxTTL is the longest that kube-apiserver may keep an answer of the authorizer. Its
// own default keeps an allow for five minutes, for which a revoked policy would go on
// allowing what was allowed before.
const MaxTTL = 10 * time.Second

// timeout is how long kube-apiserver waits for an answer.
const timeout = 3 * time.Second

// Configuration is the part of kube-apiserver's AuthorizationConfiguration that can
// be chosen.
type Configuration struct {
	// Kubeconfig is the absolute path, on kube-apiserver's machine, of the kubeconfig
	// file that names the authorizer's URL, its CA and a client certificate.
	Kubeconfig string
	// AuthorizedTTL and UnauthorizedTTL are how long kube-apiserver may keep an answer.
	// Zero means MaxTTL, and more is refused.
	AuthorizedTTL, UnauthorizedTTL time.Duration
}

// YAML is the file for kube-apiserver's --authorization-config, which takes the place
// of --authorization-mode. Node and RBAC come first, in their customary order, so that
// the authorizer is asked only about what they do not allow, and, by the condition,
// only about users whom the webhook authenticated: an outage costs nobody else
// anything.
//
// Source: https://kubernetes.io/docs/reference/access-authn-authz/authorization/#using-configuration-file-for-authorization
// (apiserver.config.k8s.io/v1 since Kubernetes 1.32)
func (c Configuration) YAML() ([]byte, error) {
	// It may be written on another system than kube-apiserver's.
	if !filepath.IsAbs(c.Kubeconfig) && !path.IsAbs(c.Kubeconfig) {
		return nil, fmt.Errorf("the kubeconfig's path %q must be absolute", c.Kubeconfig)
	}
	for _, ttl := range []*time.Duration{&c.AuthorizedTTL, &c.UnauthorizedTTL} {
		if *ttl == 0 {
			*ttl = MaxTTL
		}
		if *ttl < time.Millisecond || *ttl > MaxTTL {
			return nil, fmt.Errorf("a TTL of %s is not between 1ms and %s", *ttl, MaxTTL)
		}
	}
	// A quoted string of Go is one of YAML.
	return []byte(strings.NewReplacer(
		"AUTHORIZED", c.AuthorizedTTL.String(), "UNALLOWED", c.UnauthorizedTTL.String(),
		"TIMEOUT", timeout.String(), "KUBECONFIG", strconv.Quote(c.Kubeconfig),
	).Replace(configuration)), nil
}

const configuration = `apiVersion: apiserver.config.k8s.io/v1
kind: AuthorizationConfiguration
authorizers:
- type: Node
  name: node
- type: RBAC
  name: rbac
- type: Webhook
  name: ekskey
  webhook:
    authorizedTTL: AUTHORIZED
    unauthorizedTTL: UNALLOWED
    timeout: TIMEOUT
    subjectAccessReviewVersion: v1
    matchConditionSubjectAccessReviewVersion: v1
    failurePolicy: NoOpinion
    connectionInfo:
      type: KubeConfigFile
      kubeConfigFile: KUBECONFIG
    matchConditions:
    - expression: "'canonicalArn' in request.extra"
`
