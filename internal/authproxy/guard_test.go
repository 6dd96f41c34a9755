package authproxy_test

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/ekskey/ekskey/internal/authproxy"
)

// One attack a row: what is written to the connection, as it is. HOST stands for
// the proxy's address, KEY for the line with its bearer. None may reach the API
// server.
func TestAttacksStayOutside(t *testing.T) {
	api := newStub(t, true, nil)
	f := serve(t, authproxy.Config{Target: api.target()})
	for _, tt := range []struct {
		name, request string
		code          int
	}{
		{"no bearer", "GET /api HTTP/1.1\nHost: HOST\n\n", 401},
		{"another bearer", "GET /api HTTP/1.1\nHost: HOST\nAuthorization: Bearer other\n\n", 401},
		{"a part of the bearer", "GET /api HTTP/1.1\nHost: HOST\nAuthorization: Bearer " + bearer[:5] + "\n\n", 401},
		{"the bearer and more", "GET /api HTTP/1.1\nHost: HOST\nAuthorization: Bearer " + bearer + "x\n\n", 401},
		{"an empty bearer", "GET /api HTTP/1.1\nHost: HOST\nAuthorization: Bearer \n\n", 401},
		{"another scheme", "GET /api HTTP/1.1\nHost: HOST\nAuthorization: Basic " + bearer + "\n\n", 401},
		{"two, the good one first", "GET /api HTTP/1.1\nHost: HOST\nKEY\nAuthorization: Bearer other\n\n", 401},
		{"two, the good one last", "GET /api HTTP/1.1\nHost: HOST\nAuthorization: Bearer other\nKEY\n\n", 401},
		{"in the query", "GET /api?access_token=" + bearer + " HTTP/1.1\nHost: HOST\n\n", 401},
		{"in a cookie", "GET /api HTTP/1.1\nHost: HOST\nCookie: authorization=" + bearer + "\n\n", 401},
		{"in a subprotocol", "GET /api HTTP/1.1\nHost: HOST\nConnection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.dGhl\n\n", 401},
		{"in a trailer", "POST /api HTTP/1.1\nHost: HOST\nTransfer-Encoding: chunked\nTrailer: Authorization\n\n0\nKEY\n\n", 401},

		{"DNS rebinding", "GET /api HTTP/1.1\nHost: evil.example:8001\nKEY\n\n", 403},
		{"a name that begins like a loopback one", "GET /api HTTP/1.1\nHost: 127.0.0.1.evil.example\nKEY\n\n", 403},
		{"a name that begins with localhost", "GET /api HTTP/1.1\nHost: localhost.evil.example\nKEY\n\n", 403},
		{"a loopback address of others", "GET /api HTTP/1.1\nHost: 127.0.0.2\nKEY\n\n", 403},
		{"the loopback address in decimal", "GET /api HTTP/1.1\nHost: 2130706433\nKEY\n\n", 403},
		{"an empty Host", "GET /api HTTP/1.1\nHost:\nKEY\n\n", 403},
		{"two Hosts", "GET /api HTTP/1.1\nHost: HOST\nHost: evil.example\nKEY\n\n", 400},
		{"no Host", "GET /api HTTP/1.1\nKEY\n\n", 400},
		{"no Host, HTTP/1.0", "GET /api HTTP/1.0\nKEY\n\n", 403},
		{"another URL in the request line", "GET http://evil.example/api HTTP/1.1\nHost: HOST\nKEY\n\n", 403},
		{"the metadata service in the request line", "GET http://169.254.169.254/latest HTTP/1.1\nHost: HOST\nKEY\n\n", 403},
		{"a tunnel", "CONNECT HOST HTTP/1.1\nHost: HOST\nKEY\n\n", 405},
		{"a tunnel to elsewhere", "CONNECT evil.example:443 HTTP/1.1\nHost: HOST\nKEY\n\n", 403},
		{"TRACE", "TRACE /api HTTP/1.1\nHost: HOST\nKEY\n\n", 405},
		{"another method", "BREW /api HTTP/1.1\nHost: HOST\nKEY\n\n", 405},
		{"OPTIONS *", "OPTIONS * HTTP/1.1\nHost: HOST\nKEY\n\n", 400},

		{"a foreign page", "POST /api HTTP/1.1\nHost: HOST\nOrigin: https://evil.example\nKEY\nContent-Length: 0\n\n", 403},
		{"a file, a sandboxed frame", "GET /api HTTP/1.1\nHost: HOST\nOrigin: null\nKEY\n\n", 403},
		{"a page of this machine", "GET /api HTTP/1.1\nHost: HOST\nOrigin: http://localhost:3000\nKEY\n\n", 403},
		{"a page without TLS", "GET /api HTTP/1.1\nHost: HOST\nOrigin: http://HOST\nKEY\n\n", 403},
		{"two origins", "GET /api HTTP/1.1\nHost: HOST\nOrigin: https://HOST\nOrigin: https://evil.example\nKEY\n\n", 403},
		{"a picture of a foreign page", "GET /api HTTP/1.1\nHost: HOST\nSec-Fetch-Site: cross-site\nKEY\n\n", 403},
		{"a page of another port", "GET /api HTTP/1.1\nHost: HOST\nSec-Fetch-Site: same-site\nKEY\n\n", 403},

		{"an upgrade to h2c", "GET /api HTTP/1.1\nHost: HOST\nConnection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\nKEY\n\n", 400},
		{"an upgrade to h2c beside another", "GET /api HTTP/1.1\nHost: HOST\nConnection: Upgrade\nUpgrade: websocket, h2c\nKEY\n\n", 400},
		{"two upgrades", "GET /api HTTP/1.1\nHost: HOST\nConnection: Upgrade\nUpgrade: websocket\nUpgrade: h2c\nKEY\n\n", 400},
		{"an upgrade to nothing", "GET /api HTTP/1.1\nHost: HOST\nConnection: Upgrade\nKEY\n\n", 400},

		{"dots", "GET /api/../../metrics HTTP/1.1\nHost: HOST\nKEY\n\n", 400},
		{"encoded dots", "GET /api/%2e%2e/metrics HTTP/1.1\nHost: HOST\nKEY\n\n", 400},
		{"dots between encoded slashes", "GET /api%2f..%2fmetrics HTTP/1.1\nHost: HOST\nKEY\n\n", 400},
		{"dots behind a backslash", "GET /api\\..\\metrics HTTP/1.1\nHost: HOST\nKEY\n\n", 400},

		{"two lengths", "POST /api HTTP/1.1\nHost: HOST\nKEY\nContent-Length: 3\nContent-Length: 5\n\nabcde", 400},
		{"two lengths in one", "POST /api HTTP/1.1\nHost: HOST\nKEY\nContent-Length: 3, 5\n\nabcde", 400},
		{"a negative length", "POST /api HTTP/1.1\nHost: HOST\nKEY\nContent-Length: -1\n\n", 400},
		{"a length with a sign", "POST /api HTTP/1.1\nHost: HOST\nKEY\nContent-Length: +3\n\nabc", 400},
		{"an unknown transfer encoding", "POST /api HTTP/1.1\nHost: HOST\nKEY\nTransfer-Encoding: xchunked\n\n0\n\n", 501},
		{"two transfer encodings", "POST /api HTTP/1.1\nHost: HOST\nKEY\nTransfer-Encoding: chunked\nTransfer-Encoding: identity\n\n0\n\n", 501},
		{"a space before the colon", "GET /api HTTP/1.1\nHost: HOST\nKEY\nImpersonate-User : x\n\n", 400},
		{"a name with a NUL", "GET /api HTTP/1.1\nHost: HOST\nKEY\nX\x00: b\n\n", 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			request := strings.NewReplacer("HOST", f.address, "KEY", "Authorization: Bearer "+bearer).Replace(tt.request)
			res := f.raw(t, request)
			if res.StatusCode != tt.code {
				t.Errorf("code %d, want %d", res.StatusCode, tt.code)
			}
			if got := res.Header.Get("Access-Control-Allow-Origin"); got != "" {
				t.Errorf("a page may read it: %q", got)
			}
			if len(api.requests()) > 0 {
				t.Fatal("it came through")
			}
			if strings.HasPrefix(res.Header.Get("Content-Type"), "application/json") {
				if s := statusOf(t, res.Body); s.Code != tt.code {
					t.Errorf("the Status says %d", s.Code)
				}
			}
		})
	}
}

// What is right comes through, whatever it looks like.
func TestComesThrough(t *testing.T) {
	api := newStub(t, true, nil)
	f := serve(t, authproxy.Config{Target: api.target()})
	_, port, _ := strings.Cut(f.address, ":")
	for name, request := range map[string]string{
		"by name":                 "GET /api HTTP/1.1\nHost: localhost:" + port + "\nKEY\n\n",
		"by the name in capitals": "GET /api HTTP/1.1\nHost: LocalHost:" + port + "\nKEY\n\n",
		"by IPv6":                 "GET /api HTTP/1.1\nHost: [::1]:" + port + "\nKEY\n\n",
		"without a port":          "GET /api HTTP/1.1\nHost: [::1]\nKEY\n\n",
		"a scheme in small":       "GET /api HTTP/1.1\nHost: HOST\nAuthorization: bearer " + bearer + "\n\n",
		"a header in small":       "GET /api HTTP/1.1\nhost: HOST\nauthorization: Bearer " + bearer + "\n\n",
		"its own origin":          "GET /api HTTP/1.1\nHost: HOST\nOrigin: https://HOST\nKEY\n\n",
		"typed into a browser":    "GET /api HTTP/1.1\nHost: HOST\nSec-Fetch-Site: none\nKEY\n\n",
		"a namespace of dots":     "GET /api/v1/namespaces/a..b HTTP/1.1\nHost: HOST\nKEY\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			before := len(api.requests())
			request = strings.NewReplacer("HOST", f.address, "KEY", "Authorization: Bearer "+bearer).Replace(request)
			if res := f.raw(t, request); res.StatusCode != 200 || len(api.requests()) != before+1 {
				t.Errorf("code %d", res.StatusCode)
			}
		})
	}
}

// Smuggling: one request in, one request out, with the body that the framing says.
func TestOneRequestIsOne(t *testing.T) {
	for name, request := range map[string]string{
		"a length beside chunks":   "POST /api HTTP/1.1\nHost: HOST\nKEY\nContent-Length: 100\nTransfer-Encoding: chunked\n\n3\nabc\n0\n\n",
		"chunks with extensions":   "POST /api HTTP/1.1\nHost: HOST\nKEY\nTransfer-Encoding: chunked\n\n3;a=b\nabc\n0\n\n",
		"the length is hop by hop": "POST /api HTTP/1.1\nHost: HOST\nKEY\nConnection: Content-Length\nContent-Length: 3\n\nabc",
	} {
		t.Run(name, func(t *testing.T) {
			api := newStub(t, false, nil)
			f := serve(t, authproxy.Config{Target: api.target()})
			c := f.dial(t)
			request = strings.NewReplacer("HOST", f.address, "KEY", "Authorization: Bearer "+bearer, "\n", "\r\n").Replace(request)
			// Behind it, one that says whose it is only if it is read on its own.
			inner := "GET /smuggled HTTP/1.1\r\nHost: x\r\nConnection: close\r\nImpersonate-User: root\r\n\r\n"
			if _, err := io.WriteString(c, request+inner); err != nil {
				t.Fatal(err)
			}
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil || res.StatusCode != 200 {
				t.Fatal(res, err)
			}
			_, _ = io.Copy(io.Discard, res.Body)
			_, _ = io.Copy(io.Discard, c) // until it is closed, or the second one was refused
			if got := api.requests(); len(got) != 1 || got[0].URL.Path != "/api" || api.bodies[0] != "abc" {
				t.Errorf("%d requests, bodies %q", len(got), api.bodies)
			}
		})
	}
}
