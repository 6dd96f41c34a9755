package awsconf

import (
	"github.com/ekskey/ekskey/internal/awsfiles"
	"github.com/ekskey/ekskey/internal/awsprofile"
)

// Static reports whether the Config leads to an access key that stands in the
// environment or in a profile, and to nothing else: then there is nothing to cache,
// and Load takes no longer than a look into the cache would. Where something is wrong
// with the configuration it is false; Load says what.
func (c *Config) Static() bool {
	if len(c.Roles) > 0 || c.Credentials != nil || c.NoFiles || c.readFiles() != nil {
		return false
	}
	env, err := environment()
	if err != nil {
		return false
	}
	r := &resolver{config: *c, env: env}
	named := first(c.Profile, env.SharedConfigProfile)
	p, ok := c.files.Profile(first(named, awsfiles.DefaultProfile))
	if named != "" && !ok {
		return false
	}
	if c.Profile == "" {
		if env.Credentials.HasKeys() {
			return true
		}
		if env.WebIdentityTokenFilePath != "" || r.halfKey() != nil {
			return false
		}
	}
	if !ok {
		return false
	}
	keys, err := awsprofile.Reader{Files: c.files}.Keys(p)
	return err == nil && keys.HasKeys() && p.Value(awsprofile.RoleARN) == ""
}
