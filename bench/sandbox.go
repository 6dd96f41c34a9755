package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// sandbox is a running ekskey-sandbox.
type sandbox struct {
	program, state string
	cancel         context.CancelFunc
	ended          chan struct{}
	err            error // why it ended, once it has
}

// openSandbox starts one that is ready, and gives a client's environment that leads
// to it. It fails with *missingError if there is no such program.
func (p *programs) openSandbox(ctx context.Context, what, program, state string, progress io.Writer) (*sandbox, []string, error) {
	if program == "" {
		return nil, nil, &missingError{what: what, why: "no sandbox was named with -sandbox"}
	}
	program, err := filepath.Abs(program)
	if err != nil {
		return nil, nil, err
	}
	if _, err := os.Stat(program); err != nil {
		return nil, nil, &missingError{what: what, why: "there is no " + program}
	}
	box, err := startSandbox(ctx, program, filepath.Join(p.dir, state), progress)
	if err != nil {
		return nil, nil, err
	}
	env, err := box.environment(ctx)
	if err != nil {
		box.stop()
		return nil, nil, err
	}
	return box, append(p.environment(env...), "HOME="+p.dir, "USERPROFILE="+p.dir), nil
}

// startSandbox starts one. It ends with stop, or else with ctx or with this
// process, and its programs with it. It may first have to compile Kubernetes, so
// that its words are passed on.
func startSandbox(ctx context.Context, program, state string, progress io.Writer) (*sandbox, error) {
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, program, "up", "--state", state) // #nosec G204 -- as named by the user
	cmd.Stderr = progress
	cmd.Cancel = func() error {
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			return cmd.Process.Kill() // on Windows, which has no such signal
		}
		return nil
	}
	cmd.WaitDelay = 30 * time.Second
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, fmt.Errorf("starting the sandbox: %w", err)
	}
	s := &sandbox{program: program, state: state, cancel: cancel, ended: make(chan struct{})}
	go func() {
		s.err = cmd.Wait()
		close(s.ended)
	}()
	return s, nil
}

// stop returns when it has ended.
func (s *sandbox) stop() {
	s.cancel()
	<-s.ended
}

// environment waits until the sandbox is ready, and gives the variables that lead
// to it.
func (s *sandbox) environment(ctx context.Context) ([]string, error) {
	for {
		out, err := exec.CommandContext(ctx, s.program, "env", "--state", s.state, "--output", "json").Output() // #nosec G204 -- as above
		if err == nil {
			return variables(out)
		}
		select {
		case <-s.ended:
			return nil, fmt.Errorf("the sandbox has ended: %w", s.err)
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(200 * time.Millisecond): // it has no other way to tell
		}
	}
}

// variables reads what `ekskey-sandbox env --output json` prints.
func variables(text []byte) ([]string, error) {
	var env struct {
		Set map[string]string `json:"set"`
	}
	if err := json.Unmarshal(text, &env); err != nil {
		return nil, fmt.Errorf("reading the sandbox's environment: %w", err)
	}
	if len(env.Set) == 0 {
		return nil, errors.New("reading the sandbox's environment: it is empty")
	}
	var list []string
	for name, value := range env.Set {
		list = append(list, name+"="+value)
	}
	return list, nil
}
