package awsconf

import (
	"errors"
	"os"

	"github.com/ekskey/ekskey/internal/awserr"
	"github.com/ekskey/ekskey/internal/awsfiles"
)

// maxFile is how large a file may be that is read here and not by the SDK, in bytes.
const maxFile = 1 << 20

// openFiles reads the bytes of AWS's two files, once for a Config.
func (c *Config) openFiles() (*awsfiles.Files, error) {
	if c.Getenv == nil {
		c.Getenv = os.Getenv
	}
	if c.opened == nil {
		opened, err := awsfiles.Open(c.Getenv)
		if err != nil {
			return nil, explainFiles(err)
		}
		c.opened = opened
	}
	return c.opened, nil
}

// readFiles parses them, once for a Config. It fails with *CredentialsError.
func (c *Config) readFiles() error {
	if c.files != nil {
		return nil
	}
	opened, err := c.openFiles()
	if err != nil {
		return err
	}
	if c.files, err = opened.Parse(); err != nil {
		return explainFiles(err)
	}
	return nil
}

func explainFiles(err error) error {
	hint := "fix the file, or name another with AWS_CONFIG_FILE or AWS_SHARED_CREDENTIALS_FILE"
	var syntax *awsfiles.SyntaxError
	if errors.As(err, &syntax) {
		return &awserr.CredentialsError{Cause: "the AWS configuration cannot be used: " + syntax.Error(), Hint: hint, Err: err}
	}
	return &awserr.CredentialsError{Cause: "the AWS configuration file " + err.Error(), Hint: hint, Err: err}
}

// Profiles lists the profiles in AWS's two files, sorted; none if they cannot be read.
func Profiles(getenv func(string) string) []string {
	files, err := awsfiles.Read(getenv)
	if err != nil {
		return nil
	}
	return files.Profiles()
}
