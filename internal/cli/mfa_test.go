package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestSecondFactor(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the commands are for sh")
	}
	for _, tt := range []struct {
		name, code, command string
		want                []string // empty: an error
	}{
		{"a code, once", "123456", "", []string{"123456", ""}},
		{"a code, then the command", "123456", "echo 654321", []string{"123456", "654321", "654321"}},
		{"the command alone", "", "echo 000000", []string{"000000", "000000"}},
		{"spaces around, and more lines", "", `printf ' 123456 \r\nmore\n'`, []string{"123456"}},
		{"no line break", "", "printf 123456", []string{"123456"}},
		{"much", "", "echo 123456; head -c 1000000 /dev/zero", []string{"123456"}},
		{"it leaves something running", "", "sleep 5 & echo 123456", []string{"123456"}},
		{"five digits", "", "echo 12345", []string{""}},
		{"seven digits", "", "echo 1234567", []string{""}},
		{"letters", "", "echo 12345a", []string{""}},
		{"digits of another script", "", "echo １２３４５６", []string{""}},
		{"an empty line first", "", "echo; echo 123456", []string{""}},
		{"nothing", "", "true", []string{""}},
		{"to stderr only", "", "echo 123456 >&2", []string{""}},
		{"a failure after the code", "", "echo 123456; exit 3", []string{""}},
		{"standard input is nobody's", "", "read x; echo 123456$x", []string{"123456"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := testApp()
			a.global.mfa = mfaFlags{code: tt.code, command: tt.command}
			ask, err := a.secondFactor()
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range tt.want {
				got, err := ask(t.Context(), "serial")
				if got != want || (err != nil) != (want == "") {
					t.Errorf("answer %d is %q, %v, want %q", i, got, err, want)
				}
				if err != nil && strings.Contains(err.Error(), "12345") {
					t.Errorf("the error quotes what was printed: %v", err)
				}
			}
		})
	}
}

func TestCodeFlag(t *testing.T) {
	for code, good := range map[string]bool{
		"123456": true, "000000": true, "12345": false, "1234567": false, "12345x": false, " 23456": false, "-12345": false, "١٢٣": false,
	} {
		a := testApp()
		a.global.mfa.code = code
		_, err := a.secondFactor()
		var usage *usageError
		if errors.As(err, &usage) == good {
			t.Errorf("%q: %v", code, err)
		}
		if err != nil && strings.Contains(err.Error(), code) {
			t.Errorf("the error quotes the code: %v", err)
		}
	}
	a := testApp()
	if ask, err := a.secondFactor(); ask != nil || err != nil {
		t.Errorf("with nobody to ask there is somebody, or %v", err)
	}
}

// What the command started must not outlive an interrupt.
func TestCommandIsKilledWithChildren(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the command is for sh")
	}
	// The pipe is open for as long as a process holds its end.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	begun := filepath.Join(t.TempDir(), "begun")
	a := testApp()
	a.global.mfa.command = "{ sleep 1000; sleep 1000; } & touch " + begun + "; sleep 1000; echo 123456"
	ctx, cancel := context.WithCancel(t.Context())
	cmd := shell(ctx, a.global.mfa.command)
	killWithChildren(cmd)
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	for {
		if _, err := os.Stat(begun); err == nil {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	cancel()
	if err := cmd.Wait(); err == nil {
		t.Error("it was not killed")
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("read %d bytes, %v", n, err)
	}

	if _, err := a.mfaFromCommand(ctx, "serial"); !errors.Is(err, context.Canceled) {
		t.Errorf("after an interrupt: %v", err)
	}
}
