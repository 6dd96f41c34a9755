package safefile

import (
	"os"
	"path/filepath"
	"testing"
)

// kubectl truncates and then writes, while it holds the lock.
func TestReadSettledWaitsForAnInPlaceWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	for _, step := range []error{os.WriteFile(path, []byte("ha"), 0o600), os.WriteFile(path+".lock", nil, 0o600)} {
		if step != nil {
			t.Fatal(step)
		}
	}
	got := make(chan string)
	go func() {
		data, err := ReadSettled(path, 100)
		if err != nil {
			t.Error(err)
		}
		got <- string(data)
	}()
	if err := os.WriteFile(path, []byte("half and half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path + ".lock"); err != nil {
		t.Fatal(err)
	}
	if text := <-got; text != "half and half" {
		t.Errorf("read %q", text)
	}
}

// What a killed kubectl has left is not waited for without end, and a lock of ours
// not at all: we never write in place.
func TestReadSettledGoesOn(t *testing.T) {
	for name, lock := range map[string]string{"left by kubectl": "", "ours": markerMagic + "pid=1 host=here"} {
		path := filepath.Join(t.TempDir(), "config")
		for file, text := range map[string]string{path: "whole", path + ".lock": lock} {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if data, err := ReadSettled(path, 100); err != nil || string(data) != "whole" {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
	if _, err := ReadSettled(filepath.Join(t.TempDir(), "missing"), 100); !os.IsNotExist(err) {
		t.Errorf("missing: %v", err)
	}
}
