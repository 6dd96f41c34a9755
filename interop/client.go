package main

import (
	"context"
	"path/filepath"
	"time"
)

// client is one that others wrote.
type client struct {
	name string
	// install gets it ready and says how it is driven. It fails with *missingError
	// if a toolchain is not installed.
	install func(ctx context.Context, in *installer) (driver, error)
	// tokenFileUser is the user entry that has the client read a token file, with
	// %s for the file; empty means Kubernetes' own tokenFile.
	tokenFileUser string
	// rereads says, and where that is written, that the client reads a token file
	// again so seldom that it needs tokens of longAge. Empty means that it does not.
	rereads string
	// limits says for a way what the client itself cannot do, and where that is
	// written.
	limits map[string]string
}

// driver takes a client through a session and says in a few words what was seen.
type driver func(ctx context.Context, s *session) (string, error)

// age is how long tokens live where the client is driven in this way.
func (c *client) age(way string) time.Duration {
	if way == wayTokenFile && c.rereads != "" {
		return longAge
	}
	return shortAge
}

// clients are all, in the order of the report.
func clients() []*client {
	const clientGo = "client-go reads the file once a minute (k8s.io/client-go transport/token_source.go:79)"
	return []*client{
		{name: "kubectl", install: installKubectl, rereads: clientGo},
		{name: "helm", install: installHelm, rereads: clientGo},
		{
			name: "node", install: installNode,
			tokenFileUser: "auth-provider:\n  name: tokenFile\n  config:\n    tokenFile: %s",
			rereads:       "it reads the file once a minute (@kubernetes/client-node dist/file_auth.js:36)",
		},
		{name: "java", install: installJava("java")},
		{name: "fabric8", install: installJava("fabric8")},
		{name: "python", install: installPython},
	}
}

// ours drives one of the programs of this directory.
func ours(path string, args ...string) driver {
	return func(ctx context.Context, s *session) (string, error) {
		e := newEvents()
		p, err := s.watch(e, "client", path, args...)
		if err != nil {
			return "", err
		}
		defer p.stop()
		return s.hold(ctx, e, true, p)
	}
}

// installNode installs what package-lock.json names, each with its hash.
func installNode(ctx context.Context, in *installer) (driver, error) {
	node, err := in.tool("node", "--version")
	if err != nil {
		return nil, err
	}
	npm, err := in.tool("npm", "--version")
	if err != nil {
		return nil, err
	}
	dir, err := in.once("node", []string{"package.json", "package-lock.json", "client.mjs"}, func(dir string) error {
		return in.run(ctx, dir, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	})
	return ours(node, filepath.Join(dir, "client.mjs")), err
}

// installPython makes a virtual environment of what requirements.txt names, each
// with its hash.
func installPython(ctx context.Context, in *installer) (driver, error) {
	python, err := in.tool("python3", "-c", "import venv, ensurepip")
	if err != nil {
		return nil, err
	}
	dir, err := in.once("python", []string{"requirements.txt", "client.py", "many.py"}, func(dir string) error {
		if err := in.run(ctx, dir, python, "-m", "venv", "venv"); err != nil {
			return err
		}
		return in.run(ctx, dir, venvPython(dir), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
			"--only-binary=:all:", "--require-hashes", "-r", "requirements.txt")
	})
	drive := ours(venvPython(dir), filepath.Join(dir, "client.py"))
	return func(ctx context.Context, s *session) (string, error) {
		if s.way == wayExec {
			if err := s.manyClients(ctx, venvPython(dir), filepath.Join(dir, "many.py")); err != nil {
				return "", err
			}
		}
		return drive(ctx, s)
	}, err
}

// installJava brings the libraries of a pom.xml together, and holds each to the
// hash in dependencies.sha256. Java runs the source file itself.
func installJava(name string) func(context.Context, *installer) (driver, error) {
	return func(ctx context.Context, in *installer) (driver, error) {
		java, err := in.tool("java", "-version")
		if err != nil {
			return nil, err
		}
		if _, err := in.tool("javac", "-version"); err != nil {
			return nil, err // without a compiler, java runs no source
		}
		maven, err := in.tool("mvn", "--version")
		if err != nil {
			return nil, err
		}
		dir, err := in.once(name, []string{"pom.xml", "dependencies.sha256", "Client.java"}, func(dir string) error {
			if err := in.run(ctx, dir, maven, "-q", "-B", "dependency:copy-dependencies"); err != nil {
				return err
			}
			return checkFiles(filepath.Join(dir, "lib"), filepath.Join(dir, "dependencies.sha256"))
		})
		return ours(java, "-cp", filepath.Join(dir, "lib", "*"), filepath.Join(dir, "Client.java")), err
	}
}
