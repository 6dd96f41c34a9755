// Command vectorgen writes the test vectors that are made from one good token
// by changing one thing: those that a verifier must refuse, and those at the
// edge that it must accept. Their names begin with the rule they break, or with
// "ok". The tokens of other programs (foreign-*.txt) are not its own and stay as
// they are. The same run gives the same bytes.
//
//	go -C tools run ./vectorgen -o ../verify/testdata/vectors
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// vector is one file. Header fields that are empty are left out.
type vector struct {
	name            string
	token           string
	now, partition  string
	maxAge, denyKey string
}

func main() {
	log.SetFlags(0)
	out := flag.String("o", "", "the directory to write to")
	flag.Parse()
	if *out == "" || flag.NArg() > 0 {
		log.Fatal("usage: vectorgen -o directory")
	}
	all, err := vectors()
	if err != nil {
		log.Fatal(err)
	}
	if err := write(*out, all); err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(all), "vectors")
}

func vectors() ([]vector, error) {
	var all []vector
	for _, group := range []func() ([]vector, error){accepted, wholeTokens, edited, timed} {
		some, err := group()
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	names := make(map[string]bool, len(all))
	for _, v := range all {
		if names[v.name] {
			return nil, fmt.Errorf("two vectors are called %s", v.name)
		}
		names[v.name] = true
	}
	return all, nil
}

// write replaces what an earlier run wrote, so that no dropped vector stays.
func write(dir string, all []vector) error {
	for _, pattern := range []string{"ok-*.txt", "v[0-9][0-9]-*.txt"} {
		old, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return err
		}
		for _, name := range old {
			if err := os.Remove(name); err != nil {
				return err
			}
		}
	}
	for _, v := range all {
		if err := os.WriteFile(filepath.Join(dir, v.name+".txt"), []byte(v.text()), 0o644); err != nil { //nolint:gosec // test data, readable by all
			return err
		}
	}
	return nil
}

// text is the file: headers, an empty line, the token, a line feed.
func (v vector) text() string {
	var b strings.Builder
	header := func(key, value string) {
		if value != "" {
			b.WriteString(key + ": " + value + "\n")
		}
	}
	expect, _, _ := strings.Cut(v.name, "-")
	if expect != "ok" {
		expect = strings.ToUpper(expect)
	}
	if v.now == "" {
		v.now = usualNow
	}
	if v.partition == "" {
		v.partition = "aws"
	}
	header("expect", expect)
	header("cluster", cluster)
	header("now", v.now)
	header("partition", v.partition)
	header("max-age", v.maxAge)
	header("deny-key", v.denyKey)
	token := v.token
	if !isPlain(token) {
		header("encoding", "quoted")
		token = strconv.QuoteToASCII(token)
	}
	b.WriteString("\n" + token + "\n")
	return b.String()
}

// isPlain says that a token stands in a line as it is: printable ASCII without
// spaces, and at least one byte.
func isPlain(token string) bool {
	for i := 0; i < len(token); i++ {
		if token[i] <= ' ' || token[i] >= 0x7f {
			return false
		}
	}
	return token != ""
}
