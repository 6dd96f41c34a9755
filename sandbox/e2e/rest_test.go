//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ekskey/ekskey/sandbox/internal/seed"
)

var testedBlock = regexp.MustCompile("(?s)<!-- test: ([a-z-]+) -->\n```sh\n(.*?)```")

// TestRESTDocumentation runs the commands that docs/rest.md gives.
func TestRESTDocumentation(t *testing.T) {
	for _, program := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(err)
		}
	}
	page, err := os.ReadFile(filepath.Join(maker.Source, "..", "docs", "rest.md"))
	if err != nil {
		t.Fatal(err)
	}
	wanted := map[string]string{
		"api-server":      `"NamespaceList"`,
		"who-am-i":        `"platform-admins"`,
		"sts":             `arn:aws:iam::111122223333:user/admin`,
		"another-cluster": `SignatureDoesNotMatch`,
	}
	blocks := testedBlock.FindAllStringSubmatch(string(page), -1)
	for _, block := range blocks {
		name, script := block[1], block[2]
		want, ok := wanted[name]
		if !ok {
			t.Errorf("docs/rest.md has a block %s that this test knows nothing of", name)
			continue
		}
		delete(wanted, name)
		t.Run(name, func(t *testing.T) {
			env := append(shared.env(t, "admin"), "CLUSTER="+seed.Cluster)
			// curl finds STS's name at the embedded AWS, and trusts that. What a
			// command line says goes before it.
			home := value(env, "HOME")
			rc := fmt.Sprintf("connect-to = \"sts.%s.amazonaws.com:443:%s\"\ncacert = \"%s\"\n",
				seed.Region, strings.TrimPrefix(shared.Record().AWS, "https://"), shared.Layout().CABundle())
			if err := os.WriteFile(filepath.Join(home, ".curlrc"), []byte(rc), 0o600); err != nil {
				t.Fatal(err)
			}
			has(t, mustRun(t, append(env, "CURL_HOME="+home), "bash", "-c", script), want)
		})
	}
	for name := range wanted {
		t.Errorf("docs/rest.md has no block %s", name)
	}
}
