package cli

import (
	"path/filepath"
	"testing"

	"github.com/spf13/cobra"
)

// K09: a shell leaves ~ alone in --flag=~/x. It is the home directory in each flag that
// names a file.
func TestK09PathFlags(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	root := newRootCommand(testApp())
	named := map[string]int{}
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, flag := range []string{"kubeconfig", "kubeconfig-out", "token-file", "ready-file", "socket", "certificate-authority", "ca-bundle"} {
			f := cmd.Flag(flag)
			if f == nil {
				continue
			}
			named[flag]++
			switch v := f.Value.(type) {
			case pathValue:
				for typed, want := range map[string]string{
					"~/x/y": filepath.Join(home, "x", "y"), " ~/x ": filepath.Join(home, "x"), "~": home,
					"x": "x", "./~/x": "./~/x", "~me/x": "~me/x", "/~/x": "/~/x", "": "",
				} {
					if err := v.Set(typed); err != nil || filepath.ToSlash(v.String()) != filepath.ToSlash(want) {
						t.Errorf("%s --%s=%q is %q, want %q", cmd.CommandPath(), flag, typed, v.String(), want)
					}
				}
			case pathsValue:
				*v.paths = nil
				for _, typed := range []string{"~/a", "b"} {
					if err := v.Set(typed); err != nil {
						t.Error(err)
					}
				}
				if got := *v.paths; len(got) != 2 || got[0] != home+"/a" || got[1] != "b" {
					t.Errorf("--%s: %q", flag, got)
				}
			default:
				t.Errorf("%s --%s takes ~ for a name", cmd.CommandPath(), flag)
			}
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(root)
	if len(named) != 7 || named["kubeconfig"] < 6 {
		t.Errorf("seen: %v", named)
	}
}

func TestShellWords(t *testing.T) {
	if got := shellWords([]string{"a", "", "b c", "it's", "$x", "~/x", "arn:aws:iam::1:role/a+b=@,.-_"}); got != `a '' 'b c' 'it'\''s' '$x' '~/x' arn:aws:iam::1:role/a+b=@,.-_` {
		t.Errorf("got %s", got)
	}
}
