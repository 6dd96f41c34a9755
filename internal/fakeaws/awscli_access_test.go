package fakeaws_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ekskey/ekskey/internal/fakeaws"
)

var update = flag.Bool("update", false, "write the transcripts in testdata/awscli again")

// changing are what differs from run to run.
var changing = []struct {
	pattern *regexp.Regexp
	name    string
}{
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "UUID"},
	{regexp.MustCompile(`\b(AROA|AIDA|AGPA|ANPA|AIPA)[A-Z2-7]{17}\b`), "${1}ID"},
	{regexp.MustCompile(`(?m)("(?:createdAt|modifiedAt|associatedAt|CreateDate|UpdateDate|LaunchTime)": )[^,\n]+`), "${1}TIME"},
}

// TestAWSCommandTranscripts lets AWS's own command judge each shape. It drops what
// its models do not know, so what it prints is compared whole. A line of a transcript
// that begins with a user's name and `$ aws` is run as that user; `ID` in it stands
// for the last UUID that was printed.
func TestAWSCommandTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/awscli/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := playTranscript(t, string(want))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(want) {
				t.Errorf("%s: got\n%s", file, firstDifference(got, string(want)))
			}
		})
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range g {
		if i >= len(w) || g[i] != w[i] {
			return fmt.Sprintf("line %d: %s\nwant: %s", i+1, g[i], strings.Join(w[i:min(i+1, len(w))], ""))
		}
	}
	return "fewer lines than wanted"
}

// playTranscript runs the commands of a transcript and writes it with what they print.
func playTranscript(t *testing.T, script string) string {
	c := newCloud(t, fakeaws.Config{Now: at(time.Now()), UpdateTime: time.Minute})
	k := newCommand(t, c)
	seedTranscript(t, c)
	reader, err := c.AddUser(fakeaws.User{Account: account, Name: "reader", Policies: map[string]string{
		"read": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["eks:Describe*","eks:List*"],"Resource":"*"}]}`,
	}})
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]fakeaws.Key{"alice": c.alice, "reader": reader}
	env := k.env
	var out strings.Builder
	id := ""
	for line := range strings.Lines(script) {
		if rest, ok := strings.CutPrefix(line, "advance "); ok {
			d, err := time.ParseDuration(strings.TrimSpace(rest))
			if err != nil {
				t.Fatal(err)
			}
			c.SetSkew(d)
		}
		if strings.HasPrefix(line, "advance ") || strings.HasPrefix(line, "#") {
			out.WriteString(line)
		}
		user, command, ok := strings.Cut(line, "$ aws ")
		key, known := keys[user]
		if !ok || !known {
			continue
		}
		k.env = append(env[:len(env):len(env)], "AWS_ACCESS_KEY_ID="+key.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+key.SecretAccessKey)
		stdout, stderr, err := k.run(t, words(strings.ReplaceAll(command, "ID", id))...)
		out.WriteString(line)
		if err != nil {
			_, message, _ := strings.Cut(stderr, "An error occurred ")
			out.WriteString(fixed("error: "+message) + "\n")
			continue
		}
		if found := changing[0].pattern.FindString(string(stdout)); found != "" {
			id = found
		}
		out.WriteString(fixed(string(indented(t, stdout))) + "\n")
	}
	return out.String()
}

func seedTranscript(t *testing.T, c *cloud) {
	t.Helper()
	node := c.role(t, fakeaws.Role{Name: "node", TrustPolicy: trust(`"Service":"ec2.amazonaws.com"`)})
	c.role(t, fakeaws.Role{Name: "ops", Path: "/team/"})
	profile, err := c.AddInstanceProfile(fakeaws.InstanceProfile{Account: account, Name: "node", RoleARN: node})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		c.AddCluster(fakeaws.Cluster{
			Account: account, Region: "eu-west-1", Name: "demo", AuthenticationMode: "CONFIG_MAP", CreatorARN: "arn:aws:iam::111122223333:user/ops/alice",
		}),
		c.AddNodegroup(fakeaws.Nodegroup{Account: account, Region: "eu-west-1", Cluster: "demo", RoleARN: node}),
		c.AddInstance(fakeaws.Instance{
			Account: account, Region: "eu-west-1", ID: "i-0123456789abcdef0", PrivateDNSName: "ip-10-0-0-7.eu-west-1.compute.internal", PrivateIP: "10.0.0.7",
			ProfileARN: profile, Tags: map[string]string{"eks:cluster-name": "demo"},
		}),
		c.AddInstance(fakeaws.Instance{Account: account, Region: "eu-west-1", ID: "i-0123456789abcdef1", State: "stopped"}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// words splits a command line; single quotes hold a word together.
func words(line string) []string {
	var all []string
	for i, part := range strings.Split(strings.TrimSpace(line), "'") {
		if i%2 == 1 {
			all = append(all, part)
		} else {
			all = append(all, strings.Fields(part)...)
		}
	}
	return all
}

// indented is JSON in one spelling: versions of the command differ in theirs.
func indented(t *testing.T, document []byte) []byte {
	t.Helper()
	if len(strings.TrimSpace(string(document))) == 0 {
		return []byte("(nothing)")
	}
	var v any
	if err := json.Unmarshal(document, &v); err != nil {
		t.Fatalf("%v in %s", err, document)
	}
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func fixed(text string) string {
	for _, c := range changing {
		text = c.pattern.ReplaceAllString(text, c.name)
	}
	return strings.TrimSpace(text)
}
