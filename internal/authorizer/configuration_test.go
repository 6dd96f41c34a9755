package authorizer

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

func TestConfiguration(t *testing.T) {
	path := filepath.Join(t.TempDir(), `a "b" \ $c: #`, "authorizer.kubeconfig")
	text, err := Configuration{Kubeconfig: path, UnauthorizedTTL: 1500 * time.Millisecond}.YAML()
	if err != nil {
		t.Fatal(err)
	}
	var got any
	if err := yaml.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	type object = map[string]any
	if diff := cmp.Diff(object{
		"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthorizationConfiguration",
		"authorizers": []any{
			object{"type": "Node", "name": "node"}, object{"type": "RBAC", "name": "rbac"},
			object{"type": "Webhook", "name": "ekskey", "webhook": object{
				"authorizedTTL": "10s", "unauthorizedTTL": "1.5s", "timeout": "3s", "failurePolicy": "NoOpinion",
				"subjectAccessReviewVersion": "v1", "matchConditionSubjectAccessReviewVersion": "v1",
				"connectionInfo":  object{"type": "KubeConfigFile", "kubeConfigFile": path},
				"matchConditions": []any{object{"expression": "'canonicalArn' in request.extra"}},
			}},
		},
	}, got); diff != "" {
		t.Error(diff)
	}
	for name, c := range map[string]Configuration{
		"no path":         {},
		"a relative path": {Kubeconfig: "authorizer.kubeconfig"},
		"a long allow":    {Kubeconfig: path, AuthorizedTTL: MaxTTL + 1},
		"a long no":       {Kubeconfig: path, UnauthorizedTTL: time.Minute},
		"negative":        {Kubeconfig: path, AuthorizedTTL: -time.Second},
	} {
		if text, err := c.YAML(); err == nil || text != nil {
			t.Errorf("%s: %s", name, text)
		}
	}
}

// The page shows the very file.
func TestConfigurationIsDocumented(t *testing.T) {
	text, err := Configuration{Kubeconfig: "/etc/kubernetes/ekskey/authorizer.kubeconfig"}.YAML()
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/authorizer.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), "```yaml\n"+string(text)+"```\n") {
		t.Errorf("not in docs/authorizer.md:\n%s", text)
	}
}
