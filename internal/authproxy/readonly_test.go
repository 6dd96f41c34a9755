package authproxy_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/ekskey/ekskey/internal/authproxy"
)

// One request a row, through a proxy that is read-only.
func TestReadOnly(t *testing.T) {
	api := newStub(t, true, nil)
	f := serve(t, authproxy.Config{Target: api.target(), ReadOnly: true})
	const pod = "/api/v1/namespaces/shop/pods/cart"
	for _, tt := range []struct {
		line string // method, path and headers
		code int
	}{
		{"GET /api/v1/pods", 200},
		{"HEAD /api/v1/pods", 200},
		{"OPTIONS /api/v1/pods", 200},
		{"GET /api/v1/pods?watch=true", 200},
		{"GET " + pod, 200},
		{"GET " + pod + "/log", 200},
		{"GET /version", 200},
		{"GET /openapi/v3", 200},
		{"GET /apis/apps/v1/namespaces/shop/deployments/cart/status", 200},
		{"GET /api/v1/namespaces/shop/status", 200},
		{"GET /apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode", 200},
		{"GET /", 200},
		{"GET /api/", 200},
		// Things may be called so.
		{"GET /api/v1/namespaces/proxy/pods", 200},
		{"GET /api/v1/namespaces/exec/pods/attach", 200},
		{"GET /api/v1/nodes/proxy", 200},
		{"GET /apis/proxy/v1/exec/attach", 200},

		{"POST /api/v1/namespaces", 403},
		{"PUT " + pod, 403},
		{"PATCH " + pod, 403},
		{"DELETE " + pod, 403},
		{"POST /apis/authentication.k8s.io/v1/selfsubjectreviews", 403},
		{"GET " + pod + "/exec?command=sh", 403},
		{"GET " + pod + "/attach", 403},
		{"GET " + pod + "/portforward", 403},
		{"GET " + pod + "/proxy", 403},
		{"GET " + pod + "/proxy/", 403},
		{"GET " + pod + "/proxy/admin/delete", 403},
		{"HEAD " + pod + "/proxy", 403},
		{"OPTIONS " + pod + "/proxy", 403},
		{"GET /api/v1/namespaces/shop/services/https:cart:443/proxy/", 403},
		{"GET /api/v1/nodes/node-1/proxy/run", 403},
		{"GET /api/v1/proxy/nodes/node-1", 403},
		{"GET /api/v1/proxy/namespaces/shop/pods/cart", 403},
		{"GET /api/v1/redirect/nodes/node-1", 403},
		{"GET /api/v1/watch" + strings.TrimPrefix(pod, "/api/v1") + "/exec", 403},
		{"GET /apis/subresources.kubevirt.io/v1/namespaces/shop/virtualmachineinstances/vm/portforward", 403},

		// Other ways to write them.
		{"GET //api/v1/namespaces/shop/pods/cart/exec", 400},
		{"GET /api//v1/namespaces/shop/pods/cart/exec", 400},
		{"GET /api/v1/namespaces/shop/pods/cart//exec", 400},
		{"GET /api/v1/namespaces/shop/pods/cart/./exec", 400},
		{"GET /api/v1/namespaces/shop/pods/x/../cart/exec", 400},
		{"GET /api/v1/namespaces/shop/pods/cart%2fexec", 400},
		{"GET /api/v1/namespaces/shop/pods/cart%2Fexec", 400},
		{"GET /api/v1%2fnamespaces/shop/pods/cart/exec", 400},
		{"GET /api/v1/namespaces/shop/pods/cart%252fexec", 400},
		{"GET /api/v1/namespaces/shop/pods/cart\\exec", 400},
		{"GET /api/v1/namespaces/shop/pods/cart;a=b/exec", 400},
		{"GET /api/v1/namespaces/shop/pods/cart/exec%00", 400},
		{"GET /api/v1/namespaces/shop/pods/cart/exec%0a", 400},
		{"GET /api/v1/namespaces/shop/pods/cart/ex%65c", 403},
		{"GET /api/v1/namespaces/shop/%70ods/cart/%65xec", 403},
		{"GET " + pod + "/exec/", 403},
		{"GET " + pod + "/exec//", 400},

		// By another method, or as an upgrade.
		{"GET /api/v1/pods\nX-HTTP-Method-Override: DELETE", 200}, // stays behind
		{"GET " + pod + "\nConnection: Upgrade\nUpgrade: websocket", 403},
		{"GET " + pod + "\nConnection: Upgrade\nUpgrade: SPDY/3.1", 403},
		{"GET " + pod + "\nconnection: keep-alive, upgrade\nupgrade: websocket", 403},
		{"GET " + pod + "\nUpgrade: websocket", 403},
		{"GET " + pod + "\nConnection: Upgrade", 403},
		{"GET /api/v1/pods?watch=1\nConnection: Upgrade\nUpgrade: websocket", 403},
	} {
		t.Run(tt.line, func(t *testing.T) {
			before := len(api.requests())
			line, headers, _ := strings.Cut(tt.line, "\n")
			res := f.raw(t, line+" HTTP/1.1\nHost: "+f.address+"\nAuthorization: Bearer "+bearer+"\n"+headers+strings.Repeat("\n", map[bool]int{true: 1, false: 2}[headers == ""]))
			if res.StatusCode != tt.code {
				t.Errorf("code %d, want %d", res.StatusCode, tt.code)
			}
			if through := len(api.requests()) > before; through != (tt.code == 200) {
				t.Errorf("it came through: %v", through)
			}
			if tt.code == 403 && !strings.HasPrefix(line, "HEAD ") && !strings.Contains(statusOf(t, res.Body).Message, "read-only") {
				t.Error("it does not say why")
			}
		})
	}
	// Without the switch they pass.
	all := serve(t, authproxy.Config{Target: api.target()})
	for _, line := range []string{"DELETE " + pod, "GET " + pod + "/proxy/a//b", "POST " + pod + "/eviction", "GET " + pod + "/proxy/a%2Fb"} {
		method, path, _ := strings.Cut(line, " ")
		if code, _ := do(t, all.client(true), all.request(t, method, path, nil)); code != http.StatusOK || api.last(t).URL.EscapedPath() != path {
			t.Errorf("%s: %d, and asks for %s", line, code, api.last(t).URL.EscapedPath())
		}
	}
}
