package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckFiles(t *testing.T) {
	const hello = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
	for name, row := range map[string]struct {
		files map[string]string
		list  string
		want  string
	}{
		"as it should be":  {map[string]string{"a.jar": "hello"}, hello + "  a.jar\n", ""},
		"another content":  {map[string]string{"a.jar": "hullo"}, hello + "  a.jar\n", "a.jar has the hash"},
		"one too many":     {map[string]string{"a.jar": "hello", "b.jar": "hello"}, hello + "  a.jar\n", "b.jar has the hash"},
		"one missing":      {map[string]string{}, hello + "  a.jar\n", "a.jar is missing"},
		"another name":     {map[string]string{"b.jar": "hello"}, hello + "  a.jar\n", "a.jar is missing"},
		"nothing expected": {map[string]string{"a.jar": "hello"}, "", "a.jar has the hash"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			lib := filepath.Join(dir, "lib")
			if err := os.Mkdir(lib, 0o700); err != nil {
				t.Fatal(err)
			}
			for name, text := range row.files {
				if err := os.WriteFile(filepath.Join(lib, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			list := filepath.Join(dir, "list")
			if err := os.WriteFile(list, []byte(row.list), 0o600); err != nil {
				t.Fatal(err)
			}
			err := checkFiles(lib, list)
			if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
				t.Errorf("got %v, want %q", err, row.want)
			}
		})
	}
}

func TestOnce(t *testing.T) {
	source, cache := t.TempDir(), t.TempDir()
	if err := os.Mkdir(filepath.Join(source, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(source, "x", "lock"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	in := &installer{source: source, cache: cache, progress: io.Discard}
	filled, broken := 0, errors.New("broken")
	install := func(result error) (string, error) {
		return in.once("x", []string{"lock"}, func(string) error { filled++; return result })
	}
	write("one")
	if _, err := install(broken); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	first, err := install(nil) // what failed is tried again
	if err != nil || filled != 2 {
		t.Fatal(filled, err)
	}
	if again, err := install(broken); err != nil || again != first || filled != 2 {
		t.Error("installed twice", err)
	}
	write("two")
	if other, err := install(nil); err != nil || other == first || filled != 3 {
		t.Error("another lock file was not installed", err)
	}
}

func TestMissingTool(t *testing.T) {
	var missing *missingError
	_, err := (&installer{}).tool("ekskey-no-such-program")
	if !errors.As(err, &missing) || missing.Tool != "ekskey-no-such-program" {
		t.Error(err)
	}
}
