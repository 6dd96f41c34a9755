package kubeapi_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ekskey/ekskey/internal/kubeapi"
	"github.com/ekskey/ekskey/internal/rbac"
)

func newClient(t *testing.T, h http.HandlerFunc) *kubeapi.Client {
	t.Helper()
	server, ca := serve(t, h)
	c, err := kubeapi.New(kubeapi.Config{Server: server.URL, CA: ca, Token: mint(t), Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConfigMap(t *testing.T) {
	var got []string
	answer := `{"kind":"ConfigMap","metadata":{"name":"aws-auth","namespace":"kube-system","resourceVersion":"7","managedFields":[{"manager":"eksctl","operation":"Update","time":"2026-01-02T03:04:05Z"}]},"data":{"mapRoles":"x"}}`
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = append(got, r.Method+" "+r.URL.String()+" "+r.Header.Get("Content-Type")+" "+string(body))
		_, _ = w.Write([]byte(answer))
	})
	m, err := c.ConfigMap(t.Context(), "kube-system", "aws-auth")
	if err != nil || m.Data["mapRoles"] != "x" || m.Metadata.ResourceVersion != "7" || m.Metadata.ManagedFields[0].Manager != "eksctl" {
		t.Errorf("%+v, %v", m, err)
	}
	text := "y"
	if _, err := c.PatchConfigMap(t.Context(), "kube-system", "aws-auth", "7", map[string]*string{"mapRoles": &text, "mapUsers": nil}, kubeapi.Write{DryRun: true, Manager: "ekskey"}); err != nil {
		t.Error(err)
	}
	if _, err := c.CreateConfigMap(t.Context(), "kube-system", "aws-auth", map[string]string{"mapRoles": "y"}, kubeapi.Write{Manager: "ekskey"}); err != nil {
		t.Error(err)
	}
	want := []string{
		"GET /api/v1/namespaces/kube-system/configmaps/aws-auth  ",
		`PATCH /api/v1/namespaces/kube-system/configmaps/aws-auth?dryRun=All&fieldManager=ekskey&fieldValidation=Strict application/merge-patch+json {"data":{"mapRoles":"y","mapUsers":null},"metadata":{"resourceVersion":"7"}}`,
		`POST /api/v1/namespaces/kube-system/configmaps?fieldManager=ekskey&fieldValidation=Strict application/json {"apiVersion":"v1","data":{"mapRoles":"y"},"kind":"ConfigMap","metadata":{"name":"aws-auth","namespace":"kube-system"}}`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	// What is not the object that was asked for is not believed.
	for _, answer = range []string{`{}`, `[]`, `{"kind":"ConfigMap","metadata":{"name":"other","resourceVersion":"1"}}`, `{"kind":"ConfigMap","metadata":{"name":"aws-auth"}}`, `{"kind":"Secret","metadata":{"name":"aws-auth","resourceVersion":"1"}}`} {
		var odd *kubeapi.UnreachableError
		if m, err := c.ConfigMap(t.Context(), "kube-system", "aws-auth"); !errors.As(err, &odd) || m != nil {
			t.Errorf("%s: %v, %v", answer, m, err)
		}
	}
}

func TestRBACIsPaged(t *testing.T) {
	expired := false
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		kind := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
		next := r.URL.Query().Get("continue")
		if kind == "roles" && next == "2" && !expired {
			expired = true
			w.WriteHeader(http.StatusGone)
			_, _ = w.Write([]byte(`{"kind":"Status","message":"The provided continue parameter is too old"}`))
			return
		}
		page := map[string]any{"items": []any{map[string]any{"metadata": map[string]string{"name": kind + next}}}}
		if next == "" {
			page["metadata"] = map[string]string{"continue": "2"}
		}
		_ = json.NewEncoder(w).Encode(page)
	})
	p, err := c.RBAC(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, list := range [][]rbac.Role{p.ClusterRoles, p.Roles} {
		for _, r := range list {
			names = append(names, r.Metadata.Name)
		}
	}
	for _, list := range [][]rbac.Binding{p.ClusterBindings, p.RoleBindings} {
		for _, b := range list {
			names = append(names, b.Metadata.Name)
		}
	}
	if got := strings.Join(names, " "); got != "clusterroles clusterroles2 roles roles2 clusterrolebindings clusterrolebindings2 rolebindings rolebindings2" || !expired {
		t.Error(got)
	}
}

func TestReviews(t *testing.T) {
	var body string
	answer := `{"kind":"SelfSubjectAccessReview","status":{"allowed":true,"reason":"because"}}`
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		body = r.URL.Path + " " + string(text)
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(answer))
	})
	got, err := c.CanI(t.Context(), rbac.Request{Verb: "get", Resource: "pods", Subresource: "log", Namespace: "dev"})
	if err != nil || !got.Allowed || got.Reason != "because" || body != `/apis/authorization.k8s.io/v1/selfsubjectaccessreviews {"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectAccessReview","spec":{"resourceAttributes":{"verb":"get","resource":"pods","subresource":"log","namespace":"dev"}}}` {
		t.Errorf("%+v, %v, %s", got, err, body)
	}
	answer = `{"kind":"SubjectAccessReview","status":{"allowed":false}}`
	got, err = c.Can(t.Context(), kubeapi.Subject{User: "alice", Groups: []string{"a"}}, rbac.Request{Verb: "get", Path: "/metrics"})
	if err != nil || got.Allowed || body != `/apis/authorization.k8s.io/v1/subjectaccessreviews {"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","spec":{"user":"alice","groups":["a"],"nonResourceAttributes":{"path":"/metrics","verb":"get"}}}` {
		t.Errorf("%+v, %v, %s", got, err, body)
	}
	// No status is no answer.
	answer = `{"kind":"SubjectAccessReview"}`
	var odd *kubeapi.UnreachableError
	if _, err := c.Can(t.Context(), kubeapi.Subject{User: "alice"}, rbac.Request{Verb: "get", Path: "/metrics"}); !errors.As(err, &odd) {
		t.Error(err)
	}
}
