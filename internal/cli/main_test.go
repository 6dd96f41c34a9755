package cli_test

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ekskey/ekskey/internal/cli"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"ekskey": func() {
			os.Exit(cli.Main(cli.Env{
				Program: os.Args[0], Args: os.Args[1:],
				Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
				Getenv: os.Getenv, Now: time.Now,
			}))
		},
	})
}

// TestScripts runs testdata/script/*.txtar, each against an AWS and a Kubernetes
// API server of its own, that live in this process.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			w, err := newWorld()
			if err != nil {
				return err
			}
			env.Defer(w.close)
			vars, err := w.environ(env.WorkDir)
			if err != nil {
				return err
			}
			for name, value := range vars {
				env.Setenv(name, value)
			}
			env.Values["world"] = w
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"fails": cmdFails,
			"as":    cmdAs,
			"fault": cmdFault,
			"count": cmdCount,
			"mint":  cmdMint,
			"await": cmdAwait,

			"cluster": cmdCluster,
			"auth":    cmdAuth,
			"entry":   cmdEntry,
		},
	})
}

// cmdFails is `fails CODE command…`: the exit code must be CODE, stdout empty,
// and stderr have one error line.
func cmdFails(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: fails CODE command args...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if err == nil {
		ts.Fatalf("it succeeded")
	} else if !errors.As(err, &exit) {
		ts.Fatalf("%v", err)
	} else if exit.ExitCode() != want {
		ts.Fatalf("exit code %d, want %d", exit.ExitCode(), want)
	}
	if out := ts.ReadFile("stdout"); out != "" {
		ts.Fatalf("stdout is not empty: %q", out)
	}
	if n := countLines(ts.ReadFile("stderr"), "error: "); n != 1 {
		ts.Fatalf("stderr has %d error lines, not one", n)
	}
}

// cmdAs is `as NAME`: use the keys of a user of the world, or those of nobody.
func cmdAs(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: as NAME")
	}
	k, ok := worldOf(ts).keys[args[0]]
	if !ok && args[0] != "nobody" {
		ts.Fatalf("there is no user %s", args[0])
	}
	ts.Setenv("AWS_ACCESS_KEY_ID", k.AccessKeyID)
	ts.Setenv("AWS_SECRET_ACCESS_KEY", k.SecretAccessKey)
	ts.Setenv("AWS_SESSION_TOKEN", k.SessionToken)
}

// cmdFault is `fault ACTION CODE`: AWS answers the action with an error, cuts
// the connection or hangs; `fault clear` ends it.
func cmdFault(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: fault ACTION CODE|cut|hang, or fault clear")
	}
	w := worldOf(ts)
	if args[0] == "clear" {
		w.aws.ClearFaults()
		return
	}
	w.fault(args[0], args[1])
}

// cmdCount is `count ACTION N`: so many requests for the action have come.
func cmdCount(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: count ACTION N")
	}
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	if got := worldOf(ts).count(args[0]); got != want {
		ts.Fatalf("%d requests for %s, want %d", got, args[0], want)
	}
}

// cmdAwait is `await ACTION`: wait until a request for the action has come.
func cmdAwait(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: await ACTION")
	}
	for worldOf(ts).count(args[0]) == 0 {
		time.Sleep(5 * time.Millisecond)
	}
}

// cmdMint is `mint FILE CLUSTER NAME AGE [REGION|HOST]`: write a token of a user,
// signed some time ago, for a region's host or for another one.
func cmdMint(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 4 {
		ts.Fatalf("usage: mint FILE CLUSTER NAME AGE [HOST]")
	}
	age, err := time.ParseDuration(args[3])
	ts.Check(err)
	host := ""
	if len(args) > 4 {
		host = args[4]
	}
	tok, err := worldOf(ts).mint(args[1], args[2], age, host)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(tok+"\n"), 0o600))
}

func worldOf(ts *testscript.TestScript) *world { return ts.Value("world").(*world) }
