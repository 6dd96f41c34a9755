package client

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ekskey/ekskey/internal/fakeaws"
	"github.com/ekskey/ekskey/internal/tlstest"
	"github.com/ekskey/ekskey/token"
)

const (
	account = "111122223333"
	region  = "eu-central-1"
	cluster = "demo"
)

// world is an AWS with a cluster, whose API server answers what the programs ask.
type world struct {
	aws    *fakeaws.Server
	k8s    *tlstest.Server
	key    fakeaws.Key
	env    []string
	refuse atomic.Int64 // how many requests with a good token are refused next
	shown  atomic.Int64 // how many had one
	// upgrade answers exec, if set.
	upgrade http.HandlerFunc
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{aws: fakeaws.New(fakeaws.Config{})}
	w.k8s = tlstest.Serve(t, http.HandlerFunc(w.serve))
	server := tlstest.Serve(t, w.aws)
	home := t.TempDir()
	bundle := filepath.Join(home, "aws.pem")
	if err := os.WriteFile(bundle, server.CA, 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.key, err = w.aws.AddUser(fakeaws.User{Account: account, Name: "admin"}); err != nil {
		t.Fatal(err)
	}
	err = w.aws.AddCluster(fakeaws.Cluster{
		Account: account, Region: region, Name: cluster, Endpoint: "https://" + w.k8s.Address,
		CAData: base64.StdEncoding.EncodeToString(w.k8s.CA),
	})
	if err != nil {
		t.Fatal(err)
	}
	w.env = []string{
		"HOME=" + home, "USERPROFILE=" + home, "AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE=" + home + "/config", "AWS_SHARED_CREDENTIALS_FILE=" + home + "/credentials",
		"AWS_ENDPOINT_URL=https://" + server.Address, "AWS_CA_BUNDLE=" + bundle,
		"AWS_ACCESS_KEY_ID=" + w.key.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + w.key.SecretAccessKey,
		"CLUSTER=" + cluster, "CLUSTER_REGION=" + region,
	}
	return w
}

const (
	podOne = `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"one","namespace":"default","resourceVersion":"1","uid":"1"},"spec":{"nodeName":"node-a"}}`
	podTwo = `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"two","namespace":"shop","resourceVersion":"2","uid":"2"}}`
)

var answers = map[string]string{
	"/version": `{"major":"1","minor":"36","gitVersion":"v1.36.3"}`,
	"/api":     `{"kind":"APIVersions","versions":["v1"]}`,
	"/apis":    `{"kind":"APIGroupList","apiVersion":"v1","groups":[]}`,
	"/api/v1": `{"kind":"APIResourceList","groupVersion":"v1","resources":[` +
		`{"name":"pods","singularName":"pod","namespaced":true,"kind":"Pod","verbs":["get","list","watch"]}]}`,
	"/api/v1/namespaces":                  `{"kind":"NamespaceList","apiVersion":"v1","items":[{"metadata":{"name":"default"}},{"metadata":{"name":"shop"}}]}`,
	"/api/v1/pods":                        `{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"2"},"items":[` + podOne + "," + podTwo + `]}`,
	"/api/v1/namespaces/default/pods/one": podOne,
}

func (w *world) serve(rw http.ResponseWriter, r *http.Request) {
	const status = `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":%q,"code":%d,"message":%q}`
	rw.Header().Set("Content-Type", "application/json")
	_, err := token.Parse(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	if err != nil || w.refuse.Add(-1) >= 0 {
		rw.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(rw, status, "Unauthorized", 401, "Unauthorized")
		return
	}
	w.shown.Add(1)
	switch answer, ok := answers[r.URL.Path]; {
	case strings.HasSuffix(r.URL.Path, "/exec"):
		w.upgrade(rw, r)
	case r.URL.Query().Get("watch") != "":
		if r.URL.Query().Get("sendInitialEvents") != "" {
			const end = `{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"2","annotations":{"k8s.io/initial-events-end":"true"}}}`
			_, _ = fmt.Fprintf(rw, `{"type":"ADDED","object":%s}{"type":"ADDED","object":%s}{"type":"BOOKMARK","object":%s}`, podOne, podTwo, end)
		}
		rw.(http.Flusher).Flush()
		<-r.Context().Done()
	case ok:
		_, _ = fmt.Fprint(rw, answer)
	default:
		rw.WriteHeader(http.StatusNotFound)
		fmt.Fprintf(rw, status, "NotFound", 404, "not found")
	}
}

// role adds a role that the given principal may assume, with an external id if
// there is one.
func (w *world) role(t *testing.T, name, trusted, externalID string) string {
	t.Helper()
	condition := ""
	if externalID != "" {
		condition = `,"Condition":{"StringEquals":{"sts:ExternalId":"` + externalID + `"}}`
	}
	arn, err := w.aws.AddRole(fakeaws.Role{Account: account, Name: name, TrustPolicy: `{"Version":"2012-10-17","Statement":[{` +
		`"Effect":"Allow","Principal":{"AWS":"` + trusted + `"},"Action":"sts:AssumeRole"` + condition + `}]}`})
	if err != nil {
		t.Fatal(err)
	}
	return arn
}
