package cli_test

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// inNamespaces runs a command as root of new namespaces.
func inNamespaces(t *testing.T, cmd *exec.Cmd, flags uintptr) []byte {
	t.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | flags,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: syscall.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: syscall.Getgid(), Size: 1}},
	}
	out, err := cmd.Output()
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EINVAL) {
		t.Skip("this kernel allows no namespaces: ", err)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		t.Fatalf("%v: %s", err, exit.Stderr)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// C07: two hosts with one home directory. A program is asked on each.
func TestC07AnotherHost(t *testing.T) {
	u := newUser(t)
	program := filepath.Join(u.home, "program")
	u.write(t, program, "echo x >>"+filepath.Join(u.home, "runs")+"\nprintf '%s' '"+processAnswer(t, u.keys["session"])+"'\n")
	u.write(t, filepath.Join(u.home, "config"), "[profile vendor]\ncredential_process = sh "+program+"\n")
	u.set("AWS_CONFIG_FILE", filepath.Join(u.home, "config"))
	on := func(host string) {
		cmd := u.command(t, "--profile", "vendor", "--cache-all")
		if host != "" {
			cmd = exec.CommandContext(t.Context(), "sh", append([]string{"-c", `echo ` + host + ` >/proc/sys/kernel/hostname && exec "$@"`, "sh", cmd.Path}, cmd.Args[1:]...)...)
		} else {
			cmd = exec.CommandContext(t.Context(), cmd.Path, cmd.Args[1:]...)
		}
		cmd.Env = u.env
		inNamespaces(t, cmd, syscall.CLONE_NEWUTS)
	}
	for i, c := range []struct {
		host string
		runs int
	}{{"one", 1}, {"one", 1}, {"two", 2}, {"", 3}, {"one", 3}, {"two", 3}} {
		on(c.host)
		if n := lines(t, filepath.Join(u.home, "runs")); n != c.runs {
			t.Errorf("run %d, on %q: the program ran %d times, want %d", i, c.host, n, c.runs)
		}
	}
	// A container of its own network has endpoints of its own.
	cmd := u.command(t, "--profile", "vendor", "--cache-all")
	inNamespaces(t, cmd, syscall.CLONE_NEWNET)
	if n := lines(t, filepath.Join(u.home, "runs")); n != 4 {
		t.Errorf("in another network the program ran %d times, want 4", n)
	}
}

// C09: process 1 of a container has no parent that it knows of.
func TestC09ProcessOne(t *testing.T) {
	u := newUser(t)
	keys := map[string]bool{}
	for range 3 {
		keys[keyOf(t, inNamespaces(t, u.command(t, "--role-arn", devRole), syscall.CLONE_NEWPID))] = true
	}
	if n := u.assumed(); n != 1 || len(keys) != 1 {
		t.Errorf("the role was assumed %d times, %d keys; want 1 and 1", n, len(keys))
	}
	// It is process 1 indeed.
	pid := inNamespaces(t, exec.CommandContext(t.Context(), "sh", "-c", "echo $$"), syscall.CLONE_NEWPID)
	if strings.TrimSpace(string(pid)) != "1" {
		t.Errorf("it is process %s", pid)
	}
}
