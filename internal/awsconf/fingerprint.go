package awsconf

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/ekskey/ekskey/internal/credcache"
)

// Fingerprint stands for everything that decides whose credentials a Config
// leads to: each AWS_ variable, the home folder, the bytes of AWS's two files and
// of the token files that variables name, and the Config's own fields. Two runs
// with the same Fingerprint sign as the same identity, which is why it is the key
// to what is kept between them. It holds digests only. It is immutable.
type Fingerprint struct {
	base  credcache.Key // without the roles
	whole credcache.Key
	files []credcache.Input
}

// NewFingerprint takes the fingerprint of a Config as things are now. It reads
// the files to digest them and looks at nothing inside. It fails where something
// that decides cannot be seen; then nothing may be kept.
func NewFingerprint(c Config) (*Fingerprint, error) {
	if c.Getenv == nil {
		c.Getenv = os.Getenv
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, err // the SDK has other ways to find one
	}
	if !filepath.IsAbs(home) {
		return nil, fmt.Errorf("the home folder %s is not an absolute path", home)
	}
	h := credcache.NewHash("fingerprint")
	h.Add("home", home)
	h.Add("uid", strconv.Itoa(os.Getuid()))
	variables := os.Environ()
	slices.Sort(variables)
	for _, v := range variables {
		if isAWS(v) {
			h.Add("variable", v)
		}
	}
	f := &Fingerprint{}
	paths := newFiles(c.Getenv).paths
	for _, name := range []string{"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"} {
		if path := c.Getenv(name); path != "" {
			paths = append(paths, path)
		}
	}
	for _, path := range paths {
		in, err := digest(path)
		if err != nil {
			return nil, err
		}
		f.files = append(f.files, in)
		h.Add("file", in.Path)
		h.Add("digest", in.Digest)
	}
	h.Add("profile", c.Profile)
	h.Add("region", c.Region)
	h.Add("endpoint", c.EndpointURL)
	h.Add("ca", c.CABundle)
	h.Add("profile role first", strconv.FormatBool(c.ProfileRoleFirst))
	h.Add("opaque", strconv.FormatBool(c.CacheOpaque))
	f.base = h.Sum()
	f.whole = f.after(c, len(c.Roles))
	return f, nil
}

// fingerprint is NewFingerprint for who wants none if there is nothing to keep.
func (c *Config) fingerprint() *Fingerprint {
	if c.Store == nil || c.NoFiles || c.EnvironmentOnly {
		return nil
	}
	f, err := NewFingerprint(*c)
	if err != nil {
		c.debug("nothing is kept", err)
		return nil
	}
	return f
}

func (c *Config) debug(message string, err error) {
	if c.Log != nil {
		c.Log.Debug(message, "reason", err)
	}
}

// after is the key of what the first hops of a chain lead to.
func (f *Fingerprint) after(c Config, hops int) credcache.Key {
	h := credcache.NewHash("chain")
	h.Add("base", f.base.String())
	h.Add("forward", strconv.FormatBool(c.ForwardSessionName))
	for _, r := range c.Roles[:hops] {
		h.Add("role", r.ARN)
		h.Add("external id", r.ExternalID)
		h.Add("session name", r.SessionName)
		h.Add("mfa serial", r.MFASerial)
		h.Add("duration", r.Duration.String())
	}
	return h.Sum()
}

// isAWS reports whether name=value is one of the variables that the SDK may read,
// and is not empty, which is the same as unset to the SDK.
func isAWS(variable string) bool {
	name, value, _ := strings.Cut(variable, "=")
	if runtime.GOOS == "windows" {
		name = strings.ToUpper(name)
	}
	return strings.HasPrefix(name, "AWS_") && value != ""
}

// TokenKey is the key of the token for a cluster. Which STS host it is for
// follows from what the Fingerprint covers.
func (f *Fingerprint) TokenKey(cluster string) credcache.Key {
	h := credcache.NewHash("token")
	h.Add("chain", f.whole.String())
	h.Add("cluster", cluster)
	return h.Sum()
}

// digest takes the digest of a file. A missing one is as good as any other.
func digest(path string) (credcache.Input, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return credcache.Input{}, err
	}
	sum, err := credcache.DigestFile(path)
	if err != nil {
		return credcache.Input{}, fmt.Errorf("taking the digest of %s: %w", path, err)
	}
	return credcache.Input{Path: path, Digest: sum}, nil
}
