package servercli

import (
	"context"

	"github.com/ekskey/ekskey/internal/authconfigmap"
	"github.com/ekskey/ekskey/internal/mapping"
)

// configMapSource names the ConfigMap where a file would be named: what is kept of one source
// does not count for another.
func (s *serverConfig) configMapSource() string {
	if !s.awsAuthConfigMap {
		return ""
	}
	return "configmap " + authconfigmap.Namespace + "/" + authconfigmap.Name + " by " + s.kubeconfig + " " + s.master
}

// configMap makes the backend that follows the cluster's own aws-auth.
func (l *live) configMap(c *config, cfg mapping.FileConfig) (mapping.Backend, error) {
	b := mapping.NewAWSAuth(cfg)
	follower, err := authconfigmap.New(c.server.kubeconfig, c.server.master, b)
	if err != nil {
		return nil, err
	}
	return &followed{b, follower}, nil
}

// followed is an aws-auth that is followed by its own Run.
type followed struct {
	*mapping.AWSAuth
	follower *authconfigmap.Follower
}

// Run follows the ConfigMap until the context ends.
func (f *followed) Run(ctx context.Context) { f.follower.Run(ctx) }
