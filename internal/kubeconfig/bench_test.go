package kubeconfig

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
)

// thousand are the changes for as many clusters, with a certificate authority as
// long as EKS's.
func thousand(b *testing.B, prefix string) []Change {
	var all []Change
	for i := range 1000 {
		o := demo()
		o.ClusterName = fmt.Sprintf("%s%d", prefix, i)
		o.ClusterARN = strings.TrimSuffix(demoARN, "demo") + o.ClusterName
		o.Alias = o.ClusterName
		o.CAData = []byte(strings.Repeat("Q0FD", 360))
		o.RoleChain = []Hop{{ARN: roleARN + "admin"}}
		all = append(all, mustChange(b, o))
	}
	return all
}

// thousandFile writes a kubeconfig with a thousand contexts.
func thousandFile(b *testing.B) (path string, text []byte) {
	f := mustParse(b, "")
	if _, err := f.Apply(thousand(b, "old")...); err != nil {
		b.Fatal(err)
	}
	path = filepath.Join(b.TempDir(), "config")
	write(b, path, string(f.Bytes()))
	return path, f.Bytes()
}

// One update of a file with a thousand contexts, beside client-go reading and
// writing the same file.
func BenchmarkUpdateOneOf1000(b *testing.B) {
	path, _ := thousandFile(b)
	b.Run("client-go", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c, err := clientcmd.LoadFromFile(path)
			if err == nil {
				err = clientcmd.WriteToFile(*c, path+".2")
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("ekskey", func(b *testing.B) {
		b.ReportAllocs()
		n := 0
		for b.Loop() {
			n++
			o := demo()
			o.Endpoint += fmt.Sprint(n)
			if _, err := Update(b.Context(), Env{Flag: path}, batch(mustChange(b, o))); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// A thousand changes at once, as of a sync.
func BenchmarkUpdate1000(b *testing.B) {
	all := thousand(b, "new")
	_, text := thousandFile(b)
	for _, bb := range []struct {
		name string
		text []byte
	}{{"into nothing", nil}, {"into 1000", text}} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			path := filepath.Join(b.TempDir(), "config")
			for b.Loop() {
				write(b, path, string(bb.text))
				if _, err := Update(b.Context(), Env{Flag: path}, Batch{Changes: all}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// All contexts of a file of a thousand removed at once, but for one.
func BenchmarkRemove1000(b *testing.B) {
	path, text := thousandFile(b)
	var names []string
	for _, c := range mustParse(b, string(text)).contexts[1:] {
		names = append(names, c.Name)
	}
	b.ReportAllocs()
	for b.Loop() {
		write(b, path, string(text))
		if _, err := Update(b.Context(), Env{Flag: path}, Batch{Remove: names}); err != nil {
			b.Fatal(err)
		}
	}
}
