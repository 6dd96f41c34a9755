package authproxy

import (
	"net/url"
	"path"
	"strings"
	"testing"
)

// FuzzReadOnly looks for a way to write a subresource that reaches into a pod so
// that it is let through, and understood by a server that decodes and cleans
// paths as often as it likes.
func FuzzReadOnly(f *testing.F) {
	for _, tail := range []string{
		"/exec", "/log", "/./exec", "//exec", "/%65xec", "%2fexec", "%252fexec", "/a/../exec", "/log/../exec", "\\exec", ";/exec", "/exec/", "?/exec",
		"/%2e/exec", "/\x00exec", "/portforward", "/proxy/a/b", "/..%2fexec", "/exec%0a", "/%20exec", "",
	} {
		f.Add(tail)
	}
	const pod = "/api/v1/namespaces/shop/pods/cart"
	f.Fuzz(func(t *testing.T, tail string) {
		u, err := url.ParseRequestURI(pod + tail)
		if err != nil || hasDots(u.Path) || checkReadOnly("GET", u) != nil {
			return
		}
		read := u.Path
		for range 3 {
			if replayable, err := url.PathUnescape(read); err == nil {
				read = replayable
			}
			read = path.Clean(strings.ReplaceAll(read, "\\", "/"))
			rest, ok := strings.CutPrefix(read, pod+"/")
			element, _, _ := strings.Cut(rest, "/")
			element, _, _ = strings.Cut(element, ";")
			if ok && execSubresources[strings.TrimSpace(element)] {
				t.Fatalf("%q is let through, and may be read as %q", pod+tail, read)
			}
		}
	})
}
