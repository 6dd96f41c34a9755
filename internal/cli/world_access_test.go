package cli_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	"go.yaml.in/yaml/v3"

	"github.com/ekskey/ekskey/internal/fakeaws"
)

// kubeObjects are what the world's API server has: the ConfigMap aws-auth, as each cluster's,
// and lists of roles and bindings.
type kubeObjects struct {
	auth    map[string]string // nil if there is none
	version int
	lists   map[string][]any // by resource
	writes  []string
	onRead  func() // after the ConfigMap was read, once
}

const authPath = "/api/v1/namespaces/kube-system/configmaps"

// serveObjects answers for aws-auth and RBAC as kube-apiserver does; false if a request
// is for something else. w.mu is held.
func (w *world) serveObjects(rw http.ResponseWriter, r *http.Request, refuse func(int, string)) bool {
	o := &w.objects
	dry := r.URL.Query().Get("dryRun") == "All"
	answer := func(code int, v any) {
		rw.Header().Set("Content-Type", "application/json")
		rw.WriteHeader(code)
		_ = json.NewEncoder(rw).Encode(v)
	}
	object := func(data map[string]string) map[string]any {
		return map[string]any{"kind": "ConfigMap", "apiVersion": "v1", "data": data,
			"metadata": map[string]any{"name": "aws-auth", "namespace": "kube-system", "resourceVersion": strconv.Itoa(o.version)}}
	}
	var body struct {
		Metadata struct{ ResourceVersion string }
		Data     map[string]*string
	}
	switch {
	case strings.HasPrefix(r.URL.Path, "/apis/rbac.authorization.k8s.io/v1/"):
		list := o.lists[strings.TrimPrefix(r.URL.Path, "/apis/rbac.authorization.k8s.io/v1/")]
		if list == nil {
			list = []any{}
		}
		answer(http.StatusOK, map[string]any{"items": list})
	case r.URL.Path == authPath+"/aws-auth" && r.Method == http.MethodGet:
		if o.auth == nil {
			refuse(http.StatusNotFound, `configmaps "aws-auth" not found`)
			return true
		}
		answer(http.StatusOK, object(o.auth))
		if f := o.onRead; f != nil {
			o.onRead = nil
			f()
		}
	case r.URL.Path == authPath && r.Method == http.MethodPost, r.URL.Path == authPath+"/aws-auth" && r.Method == http.MethodPatch:
		text, _ := io.ReadAll(r.Body)
		if json.Unmarshal(text, &body) != nil {
			refuse(http.StatusBadRequest, "bad JSON")
			return true
		}
		if r.Method == http.MethodPost && o.auth != nil || r.Method == http.MethodPatch && body.Metadata.ResourceVersion != strconv.Itoa(o.version) {
			refuse(http.StatusConflict, "the object has been modified")
			return true
		}
		data := map[string]string{}
		for k, v := range o.auth {
			data[k] = v
		}
		for k, v := range body.Data {
			if delete(data, k); v != nil {
				data[k] = *v
			}
		}
		if !dry {
			o.auth = data
			o.version++
			o.writes = append(o.writes, r.Method)
		}
		answer(http.StatusOK, object(data))
	default:
		return false
	}
	return true
}

// cmdAuth is `auth set FILE`, which makes a manifest the ConfigMap aws-auth, `auth remove`,
// `auth get FILE`, which writes its sections, or `auth list RESOURCE FILE`, which makes the
// items of a YAML list the roles or bindings of the cluster.
func cmdAuth(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: auth set|get FILE, auth remove, auth list RESOURCE FILE")
	}
	w := worldOf(ts)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch args[0] {
	case "remove":
		w.objects.auth = nil
	case "set":
		var m struct{ Data map[string]string }
		ts.Check(yaml.Unmarshal([]byte(ts.ReadFile(args[1])), &m))
		w.objects.auth = m.Data
		w.objects.version++
	case "get":
		ts.Check(writeFile(ts.MkAbs(args[1]), w.objects.auth))
	case "list":
		var items []any
		ts.Check(yaml.Unmarshal([]byte(ts.ReadFile(args[2])), &items))
		if w.objects.lists == nil {
			w.objects.lists = map[string][]any{}
		}
		w.objects.lists[args[1]] = items
	default:
		ts.Fatalf("auth %s", args[0])
	}
}

// cmdEntry is `entry CLUSTER PRINCIPAL [type=T] [username=U] [groups=a,b]
// [policy=NAME[:namespace,...]]...`, which adds an access entry.
func cmdEntry(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: entry CLUSTER PRINCIPAL [KEY=VALUE...]")
	}
	e := fakeaws.AccessEntry{Account: testAccount, Region: testRegion, Cluster: args[0], PrincipalARN: args[1]}
	for _, pair := range args[2:] {
		switch key, value, _ := strings.Cut(pair, "="); key {
		case "type":
			e.Type = value
		case "username":
			e.Username = value
		case "groups":
			e.Groups = strings.Split(value, ",")
		case "policy":
			name, namespaces, scoped := strings.Cut(value, ":")
			p := fakeaws.AccessPolicy{Name: name}
			if scoped {
				p.Namespaces = strings.Split(namespaces, ",")
			}
			e.Policies = append(e.Policies, p)
		}
	}
	ts.Check(worldOf(ts).aws.AddAccessEntry(e))
}

func writeFile(path string, sections map[string]string) error {
	var b strings.Builder
	for _, name := range []string{"mapRoles", "mapUsers", "mapAccounts"} {
		if text, ok := sections[name]; ok {
			b.WriteString("== " + name + "\n" + text)
		}
	}
	return os.WriteFile(path, []byte(b.String()), 0o600)
}
