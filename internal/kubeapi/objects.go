package kubeapi

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/ekskey/ekskey/internal/rbac"
)

// The limits of a list: objects in a page, and bytes of a page.
const (
	pageSize = "500"
	maxPage  = 32 << 20
)

// ConfigMap is a ConfigMap, without binary data.
type ConfigMap struct {
	Metadata ObjectMeta        `json:"metadata"`
	Data     map[string]string `json:"data"`
}

// ObjectMeta says whose an object is and when it was changed.
type ObjectMeta struct {
	Name              string            `json:"name"`
	Namespace         string            `json:"namespace,omitempty"`
	UID               string            `json:"uid,omitempty"`
	ResourceVersion   string            `json:"resourceVersion,omitempty"`
	CreationTimestamp time.Time         `json:"creationTimestamp,omitzero"`
	Labels            map[string]string `json:"labels,omitempty"`
	Annotations       map[string]string `json:"annotations,omitempty"`
	ManagedFields     []ManagedFields   `json:"managedFields,omitempty"`
}

// ManagedFields says which program wrote an object last.
type ManagedFields struct {
	Manager   string    `json:"manager"`
	Operation string    `json:"operation"`
	Time      time.Time `json:"time,omitzero"`
}

// ConfigMap gets a ConfigMap. It fails with *StatusError, with code 404 if there is none.
func (c *Client) ConfigMap(ctx context.Context, namespace, name string) (*ConfigMap, error) {
	return c.configMap(ctx, request{method: http.MethodGet, path: configMapPath(namespace, name), most: maxPage}, name)
}

func configMapPath(namespace, name string) string {
	return "api/v1/namespaces/" + url.PathEscape(namespace) + "/configmaps/" + url.PathEscape(name)
}

func (c *Client) configMap(ctx context.Context, r request, name string) (*ConfigMap, error) {
	var out struct {
		Kind string `json:"kind"`
		ConfigMap
	}
	if err := c.call(ctx, r, &out); err != nil {
		return nil, err
	}
	if out.Kind != "ConfigMap" || out.Metadata.Name != name || out.Metadata.ResourceVersion == "" {
		return nil, c.odd(nil)
	}
	return &out.ConfigMap, nil
}

// Write says how an object is written.
type Write struct {
	// DryRun lets the API server check the change, admission included, and not keep it.
	DryRun bool
	// Manager is the name in the managed fields.
	Manager string
}

func (w Write) query() url.Values {
	q := url.Values{"fieldManager": {w.Manager}, "fieldValidation": {"Strict"}}
	if w.DryRun {
		q.Set("dryRun", "All")
	}
	return q
}

// PatchConfigMap changes keys of a ConfigMap, and nothing else in it; nil removes a key.
// The ConfigMap must still have the given resource version, or it fails with a
// *StatusError with code 409.
//
// Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
func (c *Client) PatchConfigMap(ctx context.Context, namespace, name, resourceVersion string, data map[string]*string, w Write) (*ConfigMap, error) {
	return c.configMap(ctx, request{
		method: http.MethodPatch, path: configMapPath(namespace, name), query: w.query(), most: maxPage,
		contentType: "application/merge-patch+json",
		body:        map[string]any{"metadata": map[string]string{"resourceVersion": resourceVersion}, "data": data},
	}, name)
}

// CreateConfigMap makes a ConfigMap. It fails with a *StatusError with code 409 if there is
// one.
func (c *Client) CreateConfigMap(ctx context.Context, namespace, name string, data map[string]string, w Write) (*ConfigMap, error) {
	return c.configMap(ctx, request{
		method: http.MethodPost, path: "api/v1/namespaces/" + url.PathEscape(namespace) + "/configmaps", query: w.query(), most: maxPage,
		body: map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "data": data,
			"metadata": map[string]string{"namespace": namespace, "name": name},
		},
	}, name)
}

// RBAC gets all roles and bindings. It fails with *StatusError or *UnreachableError.
func (c *Client) RBAC(ctx context.Context) (*rbac.Policy, error) {
	var p rbac.Policy
	const group = "apis/rbac.authorization.k8s.io/v1/"
	for _, list := range []func() error{
		func() error { return listAll(ctx, c, group+"clusterroles", &p.ClusterRoles) },
		func() error { return listAll(ctx, c, group+"clusterrolebindings", &p.ClusterBindings) },
		func() error { return listAll(ctx, c, group+"roles", &p.Roles) },
		func() error { return listAll(ctx, c, group+"rolebindings", &p.RoleBindings) },
	} {
		if err := list(); err != nil {
			return nil, err
		}
	}
	return &p, nil
}

// listAll gets all objects of a list, page by page. Where a page has expired meanwhile it
// begins again, once.
func listAll[T any](ctx context.Context, c *Client, path string, to *[]T) error {
	err := listPages(ctx, c, path, to)
	var status *StatusError
	if errors.As(err, &status) && status.Code == http.StatusGone {
		return listPages(ctx, c, path, to)
	}
	return err
}

func listPages[T any](ctx context.Context, c *Client, path string, to *[]T) error {
	*to = nil
	query := url.Values{"limit": {pageSize}}
	for {
		var page struct {
			Metadata struct {
				Continue string `json:"continue"`
			} `json:"metadata"`
			Items *[]T `json:"items"`
		}
		if err := c.call(ctx, request{method: http.MethodGet, path: path, query: query, most: maxPage}, &page); err != nil {
			return err
		}
		if page.Items == nil {
			return c.odd(nil)
		}
		*to = append(*to, *page.Items...)
		if page.Metadata.Continue == "" {
			return nil
		}
		query.Set("continue", page.Metadata.Continue)
	}
}

// Review is the API server's answer to whether somebody may do something.
type Review struct {
	Allowed bool   `json:"allowed"`
	Denied  bool   `json:"denied,omitempty"`
	Reason  string `json:"reason,omitempty"`
	// EvaluationError is what went wrong; the answer counts all the same.
	EvaluationError string `json:"evaluationError,omitempty"`
}

// Subject is whom a review is about.
type Subject struct {
	User   string              `json:"user,omitempty"`
	Groups []string            `json:"groups,omitempty"`
	UID    string              `json:"uid,omitempty"`
	Extra  map[string][]string `json:"extra,omitempty"`
}

type resourceAttributes struct {
	Verb        string `json:"verb"`
	Group       string `json:"group,omitempty"`
	Resource    string `json:"resource"`
	Subresource string `json:"subresource,omitempty"`
	Name        string `json:"name,omitempty"`
	Namespace   string `json:"namespace,omitempty"`
}

type nonResourceAttributes struct {
	Path string `json:"path"`
	Verb string `json:"verb"`
}

type reviewSpec struct {
	Subject
	Resource    *resourceAttributes    `json:"resourceAttributes,omitempty"`
	NonResource *nonResourceAttributes `json:"nonResourceAttributes,omitempty"`
}

func specOf(q rbac.Request, s Subject) reviewSpec {
	if q.Path != "" {
		return reviewSpec{Subject: s, NonResource: &nonResourceAttributes{Path: q.Path, Verb: q.Verb}}
	}
	return reviewSpec{Subject: s, Resource: &resourceAttributes{
		Verb: q.Verb, Group: q.Group, Resource: q.Resource, Subresource: q.Subresource, Name: q.Name, Namespace: q.Namespace,
	}}
}

// CanI asks whether the caller may do something. Access policies count.
//
// Source: https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access
func (c *Client) CanI(ctx context.Context, q rbac.Request) (Review, error) {
	return c.review(ctx, "SelfSubjectAccessReview", "selfsubjectaccessreviews", specOf(q, Subject{}))
}

// Can asks whether somebody may do something. The caller must be allowed to create
// SubjectAccessReviews.
func (c *Client) Can(ctx context.Context, s Subject, q rbac.Request) (Review, error) {
	return c.review(ctx, "SubjectAccessReview", "subjectaccessreviews", specOf(q, s))
}

func (c *Client) review(ctx context.Context, kind, resource string, spec reviewSpec) (Review, error) {
	var answer struct {
		Kind   string  `json:"kind"`
		Status *Review `json:"status"`
	}
	body := map[string]any{"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}
	if err := c.post(ctx, "apis/authorization.k8s.io/v1/"+resource, body, &answer); err != nil {
		return Review{}, err
	}
	if answer.Kind != kind || answer.Status == nil {
		return Review{}, c.odd(nil)
	}
	return *answer.Status, nil
}
