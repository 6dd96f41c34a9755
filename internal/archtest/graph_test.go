package archtest

import (
	"fmt"
	"slices"
	"strings"
)

// layers are the rooms of the house from the ground up. A package may import
// packages of lower layers only. A name ending in /... stands for a folder and all
// below it.
var layers = [][]string{
	{"identity", "internal/audit", "internal/listener", "internal/resend", "internal/review", "internal/safefile", "internal/tlstest", "internal/yamlnode", "internal/yamlsplice"},
	{"token", "internal/accesspolicy", "internal/awserr", "internal/rbac", "internal/awsfiles", "internal/credcache", "internal/execcred", "internal/fakeaws"},
	{"internal/awsprofile", "internal/credprocess"},
	{"verify", "internal/accessentry", "internal/mapping", "internal/execplugin", "internal/kubeapi", "internal/awsconf"},
	{"internal/accessmap", "internal/authconfigmap", "internal/ec2names", "internal/access", "internal/webhook", "internal/servingtls", "internal/authorizer", "internal/kubeconfig", "internal/discovery", "internal/authproxy", "internal/agent"},
	{"kubeclient"},
	{"internal/cli", "internal/servercli"},
	{"cmd/...", "bench", "bench/server"},
}

// tests are packages that hold tests alone: nothing imports them.
var tests = []string{"internal/archtest"}

// ban forbids packages to those who are named and to all they import.
type ban struct {
	who  []string
	what []string // import path prefixes, matched at slashes; "." is every path outside the standard library
	why  string
}

var bans = []ban{
	{
		who: []string{"identity"}, what: []string{"."},
		why: "everything stands on it, so it uses the standard library only",
	},
	{
		who: []string{"internal/fakeaws"}, what: []string{"."},
		why: "a signing bug shared with the code it judges must not verify itself",
	},
	{
		who:  []string{"identity", "token", "verify", "internal/mapping"},
		what: []string{"k8s.io/client-go"},
		why:  "programs that mint or verify tokens must not pay for a Kubernetes client",
	},
	{
		who:  []string{"internal/accesspolicy"},
		what: []string{"k8s.io", "sigs.k8s.io", "github.com/prometheus", "github.com/aws"},
		why:  "the client explains access with the server's own rules, and must not pay for the server's types",
	},
	{
		who:  []string{"cmd/ekskey"},
		what: []string{"k8s.io", "sigs.k8s.io", "github.com/prometheus"},
		why:  "their initialisers, or their size, cost the client its start-up time",
	},
	{
		who:  []string{"cmd/ekskey", "cmd/ekskey-server"},
		what: []string{"testing", "net/http/httptest", module + "/internal/fakeaws", module + "/internal/tlstest"},
		why:  "what is there for tests must not be in what ships",
	},
}

// pkg is what `go list -json` says of a package, as far as it is needed.
type pkg struct {
	ImportPath string
	Standard   bool
	Imports    []string
	// Deps are all that it imports, and what those import.
	Deps []string
}

// check holds the packages of one module, and those they import, against the
// layers and the bans. It returns what is wrong, sorted.
func check(module string, packages []pkg) []string {
	var wrong []string
	standard := map[string]bool{}
	for _, p := range packages {
		standard[p.ImportPath] = p.Standard
	}
	for _, p := range packages {
		room, ours := strings.CutPrefix(p.ImportPath, module+"/")
		if !ours || slices.Contains(tests, room) {
			continue
		}
		own := layerOf(room)
		if own < 0 {
			wrong = append(wrong, room+" is in no layer: add it to the table, where it belongs")
			continue
		}
		for _, path := range p.Imports {
			if other, ours := strings.CutPrefix(path, module+"/"); ours && layerOf(other) >= own {
				wrong = append(wrong, fmt.Sprintf("%s imports %s, which is not below it", room, other))
			}
		}
		for _, b := range bans {
			if !slices.Contains(b.who, room) {
				continue
			}
			for _, path := range p.Deps {
				if slices.ContainsFunc(b.what, func(prefix string) bool {
					return prefix == "." && !standard[path] || path == prefix || strings.HasPrefix(path, prefix+"/")
				}) {
					wrong = append(wrong, fmt.Sprintf("%s links %s: %s", room, path, b.why))
				}
			}
		}
	}
	slices.Sort(wrong)
	return wrong
}

// layerOf gives a room's layer, or -1.
func layerOf(room string) int {
	return slices.IndexFunc(layers, func(rooms []string) bool {
		return slices.ContainsFunc(rooms, func(r string) bool {
			folder, all := strings.CutSuffix(r, "/...")
			return room == folder || all && strings.HasPrefix(room, folder+"/")
		})
	})
}
