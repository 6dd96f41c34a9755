package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestSaid(t *testing.T) {
	p := &program{log: filepath.Join(t.TempDir(), "log")}
	if got := p.said(); got != "" {
		t.Errorf("nothing was said, and it gives %q", got)
	}
	text := "SLF4J(W): no providers\none\nException: why\n\tat A.b(C.java:1)\n    at D.e(F.java:2)\nCaused by: that\n\tat G.h(I.java:3)\n\t... 4 more\nlast\n"
	if err := os.WriteFile(p.log, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, want := p.said(), "one | Exception: why | Caused by: that | last"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
