package process

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The test binary plays every part: guard, supervisor and program.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case GuardCommand:
			os.Exit(Guard(os.Args[2:], os.Stdin, os.Stdout, os.Stderr))
		case "play":
			play(os.Args[2], os.Args[3:])
			os.Exit(0)
		}
	}
	os.Exit(m.Run())
}

func play(part string, args []string) {
	switch part {
	case "sleeper":
		fmt.Println("sleeping")
		time.Sleep(time.Minute)
	case "stubborn":
		signal.Ignore(terminate)
		fmt.Println("ignoring")
		time.Sleep(time.Minute)
	case "failing":
		fmt.Println("first line")
		fmt.Println("port 1 is taken")
		os.Exit(3)
	case "supervisor":
		c, err := Start(os.Args[0], specIn(args[0], "sleeper"))
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("started")
		<-c.Done()
	}
}

func specIn(dir, part string) Spec {
	return Spec{
		Name: part, Path: os.Args[0], Args: []string{"play", part},
		Log: filepath.Join(dir, part+".log"), PIDFile: filepath.Join(dir, part+".pid"), Grace: 200 * time.Millisecond,
	}
}

func TestStopEndsTheProgram(t *testing.T) {
	for _, part := range []string{"sleeper", "stubborn"} {
		t.Run(part, func(t *testing.T) {
			dir := t.TempDir()
			spec := specIn(dir, part)
			c, err := Start(os.Args[0], spec)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Stop()
			waitFor(t, "the program to speak", func() bool { return lastLine(spec.Log) != "" })
			pid, err := PID(spec.PIDFile)
			if err != nil {
				t.Fatal(err)
			}
			if !alive(pid) {
				t.Fatal("the program is not running")
			}
			c.Stop()
			c.Stop()
			waitFor(t, "the program to end", func() bool { return !alive(pid) })
			if _, err := os.Stat(spec.PIDFile); !os.IsNotExist(err) {
				t.Errorf("the pid file is still there: %v", err)
			}
		})
	}
}

func TestExitTellsTheLastLine(t *testing.T) {
	dir := t.TempDir()
	c, err := Start(os.Args[0], specIn(dir, "failing"))
	if err != nil {
		t.Fatal(err)
	}
	<-c.Done()
	got := c.Exit().Error()
	for _, want := range []string{"failing exited with 3", "port 1 is taken", "failing.log"} {
		if !strings.Contains(got, want) {
			t.Errorf("got %q, want %q in it", got, want)
		}
	}
}

func TestProgramThatIsNotThere(t *testing.T) {
	spec := specIn(t.TempDir(), "sleeper")
	spec.Path = filepath.Join(t.TempDir(), "nothing")
	c, err := Start(os.Args[0], spec)
	if err != nil {
		t.Fatal(err)
	}
	<-c.Done()
	if got := c.Exit().Error(); !strings.Contains(got, "nothing") {
		t.Errorf("got %q, want the path in it", got)
	}
}

func TestKilledSupervisorLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	supervisor := exec.Command(os.Args[0], "play", "supervisor", dir)
	out, err := supervisor.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := supervisor.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "started\n" {
		t.Fatalf("supervisor said %q, %v", line, err)
	}
	spec := specIn(dir, "sleeper")
	waitFor(t, "the program to speak", func() bool { return lastLine(spec.Log) != "" })
	pid, err := PID(spec.PIDFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := supervisor.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = supervisor.Wait()
	waitFor(t, "the program to end", func() bool { return !alive(pid) })
}

func TestKilledGuardLeavesNothing(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux's kernel ends a program with its parent")
	}
	spec := specIn(t.TempDir(), "sleeper")
	guard := exec.Command(os.Args[0], GuardCommand, spec.PIDFile, "1s", spec.Path, "play", "sleeper")
	stdin, err := guard.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	if err := guard.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	waitFor(t, "the program to start", func() bool {
		pid, err = PID(spec.PIDFile)
		return err == nil
	})
	if err := guard.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = guard.Wait()
	waitFor(t, "the program to end", func() bool { return !alive(pid) })
}

func TestGuardRefusesNonsense(t *testing.T) {
	for _, args := range [][]string{nil, {"a", "1s"}, {"a", "soon", "b"}} {
		if code := Guard(args, strings.NewReader(""), os.Stdout, &strings.Builder{}); code != 2 {
			t.Errorf("Guard(%q) = %d, want 2", args, code)
		}
	}
}

func TestPIDFileOfNonsense(t *testing.T) {
	for _, text := range []string{"", "x", "0", "1", "-5", "12 13"} {
		file := filepath.Join(t.TempDir(), "pid")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if pid, err := PID(file); err == nil {
			t.Errorf("PID of %q = %d, want an error", text, pid)
		}
	}
}

// alive counts a process that has ended but was not yet reaped as ended.
func alive(pid int) bool {
	if stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat"); err == nil {
		_, state, _ := strings.Cut(string(stat), ") ")
		return !strings.HasPrefix(state, "Z")
	} else if runtime.GOOS == "linux" {
		return false
	}
	return signalZero(pid)
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
