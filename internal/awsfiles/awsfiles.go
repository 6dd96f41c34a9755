// Package awsfiles reads AWS's two files, config and credentials, as the AWS CLI
// does, and refuses what the AWS CLI or an SDK would pass over in silence: a line
// that is no section header, setting, continuation, comment or blank, and a section
// or setting that stands twice. A file that is only half understood could make
// somebody sign as somebody else.
//
// Errors carry the file and the line. They never quote a line, which may be a secret.
//
// Sources: https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html, and
// botocore/configloader.py with Python's configparser, which are what the AWS CLI
// reads them with.
package awsfiles

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/ekskey/ekskey/internal/safefile"
)

// MaxSize is the largest file that is read, in bytes.
const MaxSize = 4 << 20

// Absent is the Digest of a file that does not exist.
const NoFile = "absent"

// The variables that name the files.
const (
	ConfigVar      = "AWS_CONFIG_FILE"
	CredentialsVar = "AWS_SHARED_CREDENTIALS_FILE" // #nosec G101 -- a variable's name
)

// Files are AWS's two files, read once. They are immutable.
type Files struct {
	Config, Credentials *File
}

// File is one of the two files, as it was when it was read.
type File struct {
	// Path is absolute. It is empty where nothing names a file, for want of a home
	// directory, and then the file does not exist.
	Path string
	// Variable is the environment variable that names the file; empty for the default
	// path.
	Variable string
	// Exists is false where there is no file at Path, which AWS allows.
	Exists bool
	// Digest is the SHA-256 of the bytes that were read, in hexadecimal, or Absent.
	Digest string

	data []byte
}

// ReadError says that a file is there and cannot be read.
type ReadError struct {
	Path string
	Err  error
}

func (e *ReadError) Error() string {
	var path *fs.PathError
	var odd *safefile.NotRegularError
	var large *safefile.TooLargeError
	reason := e.Err.Error()
	switch {
	case errors.As(e.Err, &path):
		reason = path.Err.Error()
	case errors.As(e.Err, &odd) && odd.Mode.IsDir():
		reason = "is a directory"
	case errors.As(e.Err, &odd):
		reason = "is not a regular file"
	case errors.As(e.Err, &large):
		reason = fmt.Sprintf("is larger than %d bytes", large.Limit)
	}
	return e.Path + " cannot be read: " + reason
}

// Unwrap gives the cause.
func (e *ReadError) Unwrap() error { return e.Err }

// Open reads the bytes of both files. A file that does not exist is no error. It
// fails with *ReadError.
func Open(getenv func(string) string) (*Files, error) {
	config, err := open(getenv, ConfigVar, "config")
	if err != nil {
		return nil, err
	}
	credentials, err := open(getenv, CredentialsVar, "credentials")
	if err != nil {
		return nil, err
	}
	return &Files{Config: config, Credentials: credentials}, nil
}

// Read is Open and Parse.
func Read(getenv func(string) string) (*Config, error) {
	files, err := Open(getenv)
	if err != nil {
		return nil, err
	}
	return files.Parse()
}

func open(getenv func(string) string, variable, name string) (*File, error) {
	f := &File{Digest: NoFile}
	if path := getenv(variable); path != "" {
		f.Path, f.Variable = expandUser(expandVars(path, getenv)), variable
	} else if home := homeDir(); home != "" {
		f.Path = filepath.Join(home, ".aws", name)
	}
	if f.Path == "" || f.Path == os.DevNull {
		return f, nil
	}
	path, err := filepath.Abs(f.Path)
	if err != nil {
		return nil, &ReadError{Path: f.Path, Err: err}
	}
	f.Path = path
	data, err := read(path)
	switch {
	case err == nil:
		sum := sha256.Sum256(data)
		f.Exists, f.Digest, f.data = true, hex.EncodeToString(sum[:]), data
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), f.Variable == "" && hidden(path):
	default:
		return nil, &ReadError{Path: path, Err: err}
	}
	return f, nil
}

// read takes pipes as well: shells make them of <(command).
func read(path string) ([]byte, error) {
	data, err := safefile.Read(path, MaxSize)
	var odd *safefile.NotRegularError
	if !errors.As(err, &odd) || odd.Mode&fs.ModeNamedPipe == 0 {
		return data, err
	}
	pipe, err := os.Open(path) // #nosec G304 -- the user's own variable names it
	if err != nil {
		return nil, err
	}
	defer pipe.Close()
	data, err = io.ReadAll(io.LimitReader(pipe, MaxSize+1))
	if err == nil && len(data) > MaxSize {
		err = &safefile.TooLargeError{Path: path, Limit: MaxSize}
	}
	return data, err
}

// hidden reports whether it cannot even be told if there is a file: the home
// directory is another user's, as root's is in many containers.
func hidden(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrPermission)
}

// Files are the two files that the configuration was parsed from.
func (c *Config) Files() *Files { return c.files }

// Names lists the paths that were read, and marks those that do not exist, for hints.
func (f *Files) Names() string {
	var names []string
	for _, file := range []*File{f.Config, f.Credentials} {
		switch {
		case file.Path == "":
			continue
		case file.Exists || file.Path == os.DevNull:
			names = append(names, file.Path)
		case file.Variable != "":
			names = append(names, file.Path+" (of "+file.Variable+"; it does not exist)")
		default:
			names = append(names, file.Path+" (it does not exist)")
		}
	}
	return strings.Join(names, " and ")
}
