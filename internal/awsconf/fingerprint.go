package awsconf

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/ekskey/ekskey/internal/awsfiles"
	"github.com/ekskey/ekskey/internal/credcache"
)

// Fingerprint stands for everything that decides whose credentials a Config leads
// to: every AWS_ variable but the region's, the home directory, the bytes of AWS's
// two files and of the token files that variables name, and the Config's own fields
// but Region. Two runs with the same Fingerprint sign as the same identity, so it is
// the key of what is cached. It holds digests only. It is immutable.
type Fingerprint struct {
	base  credcache.Key // without the roles
	whole credcache.Key
	files []credcache.Input
}

// NewFingerprint takes the fingerprint of a Config as things are now. It digests the
// files and does not parse them. It fails where something that decides cannot be
// read; then nothing may be cached.
func NewFingerprint(c Config) (*Fingerprint, error) {
	if c.Getenv == nil {
		c.Getenv = os.Getenv
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, err // the SDK has other ways to find one
	}
	if !filepath.IsAbs(home) {
		return nil, fmt.Errorf("the home directory %s is not an absolute path", home)
	}
	h := credcache.NewHash("fingerprint 2")
	h.Add("home", home)
	h.Add("uid", strconv.Itoa(os.Getuid()))
	variables := os.Environ()
	slices.Sort(variables)
	for _, v := range variables {
		if decides(v) {
			h.Add("variable", v)
		}
	}
	f := &Fingerprint{}
	opened, err := c.openFiles()
	if err != nil {
		return nil, err
	}
	for _, file := range []*awsfiles.File{opened.Config, opened.Credentials} {
		in := credcache.Input{Path: file.Path, Digest: file.Digest}
		f.files = append(f.files, in)
		h.Add("file", in.Path)
		h.Add("digest", in.Digest)
	}
	var paths []string
	for _, name := range []string{"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"} {
		if path := c.Getenv(name); path != "" {
			paths = append(paths, awsfiles.Path(path))
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
	h.Add("endpoint", c.EndpointURL)
	h.Add("ca", c.CABundle)
	h.Add("profile role first", strconv.FormatBool(c.ProfileRoleFirst))
	h.Add("opaque", strconv.FormatBool(c.CacheOpaque))
	if c.CacheOpaque {
		if err := addSurroundings(h, variables); err != nil {
			return nil, err
		}
	}
	f.base = h.Sum()
	f.whole = f.after(c, len(c.Roles))
	return f, nil
}

// Key is the key of the credentials that the Config leads to.
func (f *Fingerprint) Key() credcache.Key { return f.whole }

// fingerprint is NewFingerprint, or nil where nothing can be cached.
func (c *Config) fingerprint() *Fingerprint {
	if c.Store == nil || c.NoFiles || c.Credentials != nil {
		return nil
	}
	if _, err := c.openFiles(); err != nil {
		c.debug("nothing is cached", err)
		return nil
	}
	f, err := NewFingerprint(*c)
	if err != nil {
		c.debug("nothing is cached", err)
		return nil
	}
	return f
}

func (c *Config) debug(message string, err error) {
	if c.Log != nil {
		c.Log.Debug(message, "reason", err)
	}
}

// unchanged reports whether all files still have the bytes that the Fingerprint was
// taken of.
func (f *Fingerprint) unchanged() bool { return sameFiles(f.files) }

// after is the key of what the first hops of a chain of roles lead to.
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

// decides reports whether name=value is one of the variables by which the SDK may
// decide whose credentials it uses. An empty one is the same as none to the SDK. The
// region is not among them: it chooses the host of a token when it is minted.
func decides(variable string) bool {
	name, value := splitVariable(variable)
	return strings.HasPrefix(name, "AWS_") && name != "AWS_REGION" && name != "AWS_DEFAULT_REGION" && value != ""
}

func splitVariable(variable string) (name, value string) {
	name, value, _ = strings.Cut(variable, "=")
	if runtime.GOOS == "windows" {
		name = strings.ToUpper(name)
	}
	return name, value
}

// addSurroundings adds what a program or an endpoint with a state of its own may
// depend on: the environment, the working directory, and the computer since it was
// started.
func addSurroundings(h *credcache.Hash, variables []string) error {
	for _, v := range variables {
		if name, _ := splitVariable(v); !changesByItself(name) {
			h.Add("environment", v)
		}
	}
	dir, err := os.Getwd()
	if err != nil {
		return fmt.Errorf("finding the working directory: %w", err)
	}
	h.Add("working directory", dir)
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("finding the host name: %w", err)
	}
	h.Add("host", host)
	boot, err := bootID()
	if err != nil {
		return fmt.Errorf("finding the boot id: %w", err)
	}
	h.Add("boot", boot)
	return nil
}

// changesByItself knows the variables that shells and kubectl change from one
// command to the next, or with the size of a window.
func changesByItself(name string) bool {
	switch name {
	case "_", "SHLVL", "OLDPWD", "COLUMNS", "LINES", "KUBERNETES_EXEC_INFO",
		"RANDOM", "SRANDOM", "SECONDS", "EPOCHSECONDS", "EPOCHREALTIME", "HISTCMD", "LINENO", "BASHPID", "":
		return true
	}
	return false
}

// digest takes the digest of a file, which may be missing.
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

// digests takes those of several files.
func digests(paths []string) ([]credcache.Input, error) {
	inputs := make([]credcache.Input, 0, len(paths))
	for _, path := range paths {
		if !filepath.IsAbs(path) {
			// It is another file in another working directory, which the key does not cover.
			return nil, fmt.Errorf("%s is not an absolute path", path)
		}
		in, err := digest(path)
		if err != nil {
			return nil, err
		}
		inputs = append(inputs, in)
	}
	return inputs, nil
}

// sameFiles reports whether all files still have their digests.
func sameFiles(files []credcache.Input) bool {
	return !slices.ContainsFunc(files, func(was credcache.Input) bool {
		now, err := digest(was.Path)
		return err != nil || now != was
	})
}
