package awsconf

import (
	"bytes"
	"errors"
	"io/fs"
	"os"

	"github.com/ekskey/ekskey/internal/safefile"
)

// Static reports whether the environment alone says who signs and for which host,
// so that there is nothing for the SDK to load: keys and a region, and no files that
// may choose among a region's hosts.
//
// Source: https://docs.aws.amazon.com/sdkref/latest/guide/feature-endpoints.html
func (c Config) Static() bool {
	if c.Getenv == nil {
		c.Getenv = os.Getenv
	}
	if c.Profile != "" || c.CABundle != "" || len(c.Roles) > 0 || first(c.Getenv("AWS_PROFILE"), c.Getenv("AWS_DEFAULT_PROFILE")) != "" {
		return false
	}
	if c.Getenv("AWS_ACCESS_KEY_ID") == "" || c.Getenv("AWS_SECRET_ACCESS_KEY") == "" {
		return false
	}
	if first(c.Region, c.Getenv("AWS_REGION"), c.Getenv("AWS_DEFAULT_REGION")) == "" {
		return false
	}
	files := newFiles(c.Getenv).paths
	if len(files) < 2 {
		return false // there is no HOME; the SDK has other ways to find one
	}
	for _, path := range files {
		if path == os.DevNull {
			continue
		}
		data, err := safefile.Read(path, maxFile)
		if err != nil && !errors.Is(err, fs.ErrNotExist) || chooses(data) {
			return false
		}
	}
	return true
}

// chooses reports whether a file may hold a setting that chooses among a region's
// hosts. It looks for the name anywhere, so that nothing needs to be parsed.
func chooses(data []byte) bool {
	data = bytes.ToLower(data)
	return bytes.Contains(data, []byte("use_fips_endpoint")) || bytes.Contains(data, []byte("use_dualstack_endpoint"))
}
