package kubeconfig

import (
	"errors"
	"strings"
	"testing"
)

// shapes are how other programs, and people, lay kubeconfigs out. Each can be edited.
var shapes = map[string]string{
	"kind":                     "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: Q0E=\n    server: https://127.0.0.1:36475\n  name: kind-kind\ncontexts:\n- context:\n    cluster: kind-kind\n    user: kind-kind\n  name: kind-kind\ncurrent-context: kind-kind\nkind: Config\npreferences: {}\nusers:\n- name: kind-kind\n  user:\n    client-certificate-data: Q0E=\n    client-key-data: Q0E=\n",
	"minikube":                 "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority: /home/me/.minikube/ca.crt\n    extensions:\n    - extension:\n        last-update: Mon, 01 Jan 2024 10:00:00 CET\n        provider: minikube.sigs.k8s.io\n        version: v1.32.0\n      name: cluster_info\n    server: https://192.168.49.2:8443\n  name: minikube\ncontexts:\n- context:\n    cluster: minikube\n    extensions:\n    - extension:\n        version: v1.32.0\n      name: context_info\n    namespace: default\n    user: minikube\n  name: minikube\ncurrent-context: minikube\nkind: Config\npreferences: {}\nusers:\n- name: minikube\n  user:\n    client-certificate: /home/me/.minikube/client.crt\n    client-key: /home/me/.minikube/client.key\n",
	"minikube on Windows":      "apiVersion: v1\r\nclusters:\r\n- cluster:\r\n    certificate-authority: C:\\Users\\me\\.minikube\\ca.crt\r\n    server: https://192.168.49.2:8443\r\n  name: minikube\r\ncontexts: []\r\nkind: Config\r\nusers:\r\n- name: minikube\r\n  user:\r\n    client-key: C:\\Users\\me\\client.key\r\n",
	"Rancher, all quoted":      "apiVersion: v1\nkind: Config\nclusters:\n- name: \"prod\"\n  cluster:\n    server: \"https://rancher.example/k8s/clusters/c-1\"\n    certificate-authority-data: \"LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0t\\\n      LS0t\"\n\nusers:\n- name: \"prod\"\n  user:\n    token: \"kubeconfig-user-abc:def\"\n\n\ncontexts:\n- name: \"prod\"\n  context:\n    user: \"prod\"\n    cluster: \"prod\"\n\ncurrent-context: \"prod\"\n",
	"eksctl":                   "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: Q0E=\n    server: https://ABC.eks.amazonaws.com\n  name: demo.eu-west-1.eksctl.io\ncontexts:\n- context:\n    cluster: demo.eu-west-1.eksctl.io\n    user: me@demo.eu-west-1.eksctl.io\n  name: me@demo.eu-west-1.eksctl.io\nkind: Config\nusers:\n- name: me@demo.eu-west-1.eksctl.io\n  user:\n    exec:\n      apiVersion: client.authentication.k8s.io/v1beta1\n      args:\n      - eks\n      - get-token\n      - --output\n      - json\n      - --cluster-name\n      - demo\n      - --region\n      - eu-west-1\n      command: aws\n      env:\n      - name: AWS_STS_REGIONAL_ENDPOINTS\n        value: regional\n      interactiveMode: IfAvailable\n      provideClusterInfo: false\n",
	"gcloud":                   "users:\n- name: gke\n  user:\n    exec:\n      apiVersion: client.authentication.k8s.io/v1beta1\n      command: gke-gcloud-auth-plugin\n      installHint: Install gke-gcloud-auth-plugin for use with kubectl by following\n        https://cloud.google.com/kubernetes-engine/docs/how-to/cluster-access-for-kubectl#install_plugin\n      provideClusterInfo: true\n",
	"gcloud, old":              "users:\n- name: gke\n  user:\n    auth-provider:\n      config:\n        access-token: t\n        cmd-args: config config-helper --format=json\n        expiry: \"2019-02-25T22:31:16Z\"\n        expiry-key: '{.credential.token_expiry}'\n      name: gcp\n",
	"Teleport":                 "apiVersion: v1\nclusters:\n- cluster:\n    server: https://tele.example:443\n    tls-server-name: kube-teleport-proxy-alpn.tele.example\n  name: tele\nusers:\n- name: tele-demo\n  user:\n    exec:\n      apiVersion: client.authentication.k8s.io/v1beta1\n      args:\n      - kube\n      - credentials\n      - --kube-cluster=demo\n      command: /usr/local/bin/tsh\n      env: null\n      provideClusterInfo: false\n",
	"Lens, indented lists":     "apiVersion: v1\nkind: Config\npreferences: {}\ncurrent-context: a\nclusters:\n  - name: a\n    cluster:\n      server: https://a\n      skip-tls-verify: false\ncontexts:\n  - name: a\n    context:\n      cluster: a\n      user: a\nusers:\n  - name: a\n    user:\n      token: t\n",
	"kubectl config view":      "apiVersion: v1\nclusters: null\ncontexts: null\ncurrent-context: \"\"\nkind: Config\npreferences: {}\nusers: null\n",
	"JSON":                     "{\n    \"kind\": \"Config\",\n    \"apiVersion\": \"v1\",\n    \"preferences\": {},\n    \"clusters\": [],\n    \"users\": [],\n    \"contexts\": [],\n    \"current-context\": \"\"\n}\n",
	"JSON, with tabs":          "{\n\t\"apiVersion\": \"v1\",\n\t\"clusters\": [\n\t\t{\n\t\t\t\"name\": \"a\",\n\t\t\t\"cluster\": {\"server\": \"https://a\"}\n\t\t}\n\t],\n\t\"users\": null\n}",
	"Terraform's heredoc":      "\n\napiVersion: v1\nclusters:\n- cluster:\n    server: https://a\n  name: kubernetes\ncontexts:\n- context:\n    cluster: kubernetes\n    user: aws\n  name: aws\nusers:\n- name: aws\n  user:\n    exec:\n      apiVersion: client.authentication.k8s.io/v1alpha1\n      command: aws-iam-authenticator\n      args:\n        - \"token\"\n        - \"-i\"\n        - \"demo\"\n        # - \"-r\"\n        # - \"<role-arn>\"\n      # env:\n        # - name: AWS_PROFILE\n        #   value: \"<aws-profile>\"\n",
	"entries without bodies":   "clusters:\n- name: " + demoARN + "\ncontexts:\n- name: demo\n  context:\nusers:\n- name: " + demoUser + "\n\n\n",
	"an entry without a name":  "contexts:\n- context:\n    cluster: a\n    user: a\n- name: b\n",
	"names of all sorts":       "contexts:\n- name: \"123\"\n- name: \"true\"\n- name: 'it''s: #1'\n- name: größe\n- name: \"a\\tb\"\n- name: 2001-01-01\n",
	"a vendor's key":           "x-vendor: &v {a: [1, 2]}\nclusters:\n- name: a\n  cluster: {server: https://a, x-note: *v}\n",
	"comments everywhere":      "# top\n---\n# before\nclusters: # all\n# one\n- name: a # named\n  # inside\n  cluster: # body\n    server: https://a # where\n    # last\n# between\ncontexts:\n\n# end\n",
	"no line break at the end": "users:\n- name: a\n  user:\n    token: t\ncurrent-context: a",
	"a tag":                    "!!map\nclusters: !!seq\n- !!map {name: !!str a}\n",
}

func TestPeersShapes(t *testing.T) {
	for name, text := range shapes {
		t.Run(name, func(t *testing.T) {
			if !checkEdit(t, mustParse(t, text), "demo", "") {
				_, err := mustParse(t, text).Apply(mustChange(t, demo()))
				t.Errorf("an edit is refused: %v", err)
			}
			checkConvert(t, mustParse(t, text), toOursTest())
			for _, c := range mustParse(t, text).contexts {
				if err := checkRemove(t, mustParse(t, text), []string{c.Name}); err != nil {
					t.Errorf("removing %q is refused: %v", c.Name, err)
				}
			}
			for _, w := range mustParse(t, text).warnings {
				t.Errorf("warning: %s", w)
			}
		})
	}
}

// What is refused is told with file, line and reason, and stays as it is.
func TestPeersShapesRefused(t *testing.T) {
	for name, row := range map[string]struct{ text, want string }{
		"two documents":          {"apiVersion: v1\nkind: Config\n---\napiVersion: v1\nkind: Config\n", "config:3: has a second YAML document"},
		"tabs as indentation":    {"clusters:\n- name: a\n\tcluster: {}\n", "config:3: is not YAML"},
		"a number as a name":     {"contexts:\n- name: 123\n", "config:2: contexts[0].name is a number, not a string"},
		"a list that is text":    {"clusters: none\n", "config:1: clusters is a string, not a list"},
		"an entry that is text":  {"clusters:\n- none\n", "config:2: clusters[0] is a string, not a mapping"},
		"another kind":           {"apiVersion: v1\nkind: ConfigMap\n", "config:2: is of another kind than Config"},
		"UTF-16":                 {"\xff\xfea\x00p\x00i\x00", "config:1: is UTF-16, not UTF-8"},
		"text":                   {"error: You must be logged in\nto: [", "config:"},
		"a merge key":            {"x: &x {server: https://a}\nclusters:\n- name: \"" + demoARN + "\"\n  cluster:\n    <<: *x\n", "config:3: what is to be changed has a merge key"},
		"an anchor with aliases": {"clusters:\n- &a {name: \"" + demoARN + "\", cluster: {}}\nold: *a\n", "config:2: an anchor is used in another item"},
		"HTML of a login page":   {"<!DOCTYPE html>\n<html></html>\n", "config:1: the top level is a string"},
	} {
		f, err := Parse("config", []byte(row.text))
		if err == nil {
			_, err = f.Apply(mustChange(t, demo()))
		}
		if err == nil || !strings.HasPrefix(err.Error(), row.want) {
			t.Errorf("%s: %v, want %s", name, err, row.want)
		}
	}
}

// oddShapes are valid kubeconfigs as nobody writes them.
var oddShapes = map[string]string{
	"explicit keys":                 "? contexts\n: - name: a\n  - name: b\n",
	"explicit keys, list in place":  "? contexts\n:\n- name: a\n- name: b\n",
	"explicit keys everywhere":      "? clusters\n: - name: c\n    cluster: {server: https://x}\n? contexts\n: - name: a\n    context: {cluster: c, user: u}\n? users\n: - name: u\n    user: {exec: {command: aws, args: [eks, get-token, --cluster-name, x]}}\n? current-context\n: a\n",
	"explicit keys in an entry":     "contexts:\n- ? name\n  : a\n  ? context\n  : {cluster: c, user: u}\n",
	"explicit key of the body":      "clusters:\n- name: " + demoARN + "\n  ? cluster\n  : server: https://x\n",
	"explicit keys in flow":         "{? contexts : [{name: a}]}\n",
	"explicit current context":      "? current-context\n: a\ncontexts: [{name: a}]\n",
	"explicit key of one list":      "apiVersion: v1\nkind: Config\n? clusters\n: - name: c\n    cluster: {server: https://x}\ncontexts:\n- name: a\n  context: {cluster: c, user: u}\nusers:\n- name: u\n  user: {token: t}\ncurrent-context: a\n",
	"explicit key of an old entry":  "apiVersion: v1\n? clusters\n:\n- name: " + demoARN + "\n  cluster:\n    server: https://x\ncontexts: []\nusers: []\n",
	"explicit key of a flow list":   "? clusters\n: [{name: c, cluster: {server: https://x}}]\ncontexts: []\nusers: []\n",
	"explicit key of an item":       "clusters:\n- name: c\n  cluster: {server: https://x}\n- ? name\n  : d\n  ? cluster\n  : server: https://y\ncontexts: []\nusers: []\n",
	"explicit key of null":          "? clusters\n:\ncontexts: []\nusers: []\n",
	"explicit key of one, no value": "contexts: []\nusers: []\n? clusters\n",
	"explicit key without value":    "? contexts\n",
	"anchored list":                 "contexts: &c\n- name: a\n",
	"tagged list":                   "contexts: !!seq\n- name: a\n- !!map\n  name: b\n",
	"aliased entry":                 "x: &x {name: a}\ncontexts:\n- *x\n",
	"aliased body":                  "x: &x {server: https://a}\nclusters:\n- name: " + demoARN + "\n  cluster: *x\n",
	"anchored current context":      "current-context: &c a\ncontexts: [{name: *c}]\n",
	"aliased current context":       "x: &c a\ncurrent-context: *c\ncontexts: [{name: a}]\n",
	"current context in a block":    "current-context: |-\n  a\ncontexts: [{name: a}]\n",
	"current context over lines":    "current-context: \"a\\\n  b\"\ncontexts: [{name: ab}]\n",
	"plain current context":         "current-context: a\n  b\ncontexts: [{name: a b}]\n",
	"tagged current context":        "current-context: !!str a\ncontexts: [{name: a}]\n",
	"dashes alone":                  "contexts:\n-\n  name: a\n-\n\n  name: b\n",
	"comment at the dash":           "contexts:\n- # x\n  name: a\n",
	"end of document":               "--- \ncontexts:\n- name: a\n...\n# end\n",
	"directive":                     "%YAML 1.1\n---\ncontexts: [{name: a}]\n",
	"flow after dashes":             "--- {contexts: [{name: a}]}\n",
	"empty flow with a comment":     "contexts: [ # none\n]\nclusters: [ # none\n]\nusers: [{name: a}, ]\n",
	"nulls":                         "contexts: ~\nclusters: Null\nusers:\ncurrent-context:\n",
	"space before colons":           "contexts :\n- name : a\n  context : {cluster : a}\n",
	"tabs after colons":             "contexts:\t# x\n- name:\ta\n",
	"mixed line endings":            "contexts:\r\n- name: a\n  context:\r\n    cluster: c\n",
	"block scalar at the end":       "contexts: [{name: a}]\nx: |+\n  a\n\n\n",
	"byte order mark":               "\ufeffcontexts: [{name: a}]\n",
	"name with a NEL":               "contexts:\n- name: \"a\\Nb\"\n",
	"no line break at the end":      "contexts:\n- name: a\n  context:\n    cluster: c",
	"comments only":                 "# nothing\n",
	"quoted keys":                   "\"contexts\":\n- \"name\": a\n  'context':\n    'cluster': c\n",
}

// What no splice can change is refused with line and reason, never found out after the
// edit.
func TestOddShapes(t *testing.T) {
	for name, text := range oddShapes {
		t.Run(name, func(t *testing.T) {
			_, err := mustParse(t, text).Apply(mustChange(t, demo()))
			var notEditable *NotEditableError
			if err != nil && (!errors.As(err, &notEditable) || notEditable.Line == 0) {
				t.Errorf("update: %v", err)
			}
			checkConvert(t, mustParse(t, text), toOursTest())
			for _, c := range mustParse(t, text).contexts {
				if err := checkRemove(t, mustParse(t, text), []string{c.Name}); err != nil && (!errors.As(err, &notEditable) || notEditable.Line == 0) {
					t.Errorf("remove %s: %v", c.Name, err)
				}
			}
		})
	}
}
