package kubeconfig

import (
	"strings"
	"testing"
)

func TestDiffHidesCommentOfBlockHeader(t *testing.T) {
	for _, in := range []string{
		"users:\n- name: u\n  user:\n    exec:\n      command: other\n      installHint: | # hunter2\n        hi\n",
		"contexts:\n- name: >- # hunter2\n    abc\n",
		"users:\n- name: u\n  user:\n    exec:\n      command: ekskey\n      args:\n      - token\n      - --cluster\n      - | # hunter2\n        abc\n",
		"clusters:\n- name: c\n  cluster:\n    certificate-authority-data: | # hunter2\n      Q0E=\n",
	} {
		if got := shownOf(mustParse(t, in)); strings.Contains(got, "hunter2") {
			t.Errorf("shown:\n%s", got)
		}
	}
}
