package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Where a word is searched.
const (
	inHelp     = 1 << iota // --help of every command
	inTexts                // string literals with blanks: errors, hints, logs, columns
	inComments             // comments in Go
	inDocs                 // Markdown
	inNames                // names declared in Go

	inProduct    = inHelp | inTexts | inDocs
	inEverything = inProduct | inComments
)

// words are the words to avoid, as regular expressions without regard to case, and
// what to write instead. With except, a match is fine if the text around it matches
// that.
var words = []struct {
	pattern string
	instead string
	where   int
	except  string
}{
	{`\bfolders?\b`, "directory", inEverything, `make-?folder`},
	{`\bthe house\b|\brooms?\b`, "package, space", inEverything, ``},
	{`\b(is|are|was|were) no [a-z]`, "is not a …", inProduct, `\b(there|here|this|it|that) (is|are|was|were) no\b|no (longer|more)\b`},
	{`\b(is|are|was|were) not there\b`, "does not exist", inEverything, ``},
	{`\bcannot be seen\b`, "cannot be read: …", inEverything, ``},
	{`\bgreatest\b`, "maximum", inEverything, ``},
	{`\basking\b`, "calling, requesting", inProduct, ``},
	// AWS's own messages have it, and fakeaws copies them.
	{`\bgiven\b`, "set, specified", inProduct, `may be given\.|must be given once`},
	{`\bwished?\b`, "requested", inEverything, ``},
	{`\banew\b`, "again, a new …", inEverything, ``},
	{`\belsewhere\b`, "say where", inProduct, ``},
	{`\blate\b`, "expired, delayed", inProduct, ``},
	{`\b(to be|are|is) had\b`, "available", inEverything, ``},
	{`\bcannot be: `, "is invalid: …", inTexts, ``},
	{`\btakes? (you|it|them|the caller) (for|apart)\b|\btaken apart\b`, "identity; parse", inEverything, ``},
	{`\bin vain\b`, "without effect", inEverything, ``},
	{`\bforgets?\b`, "clear, remove", inHelp | inTexts, ``},
	{`\bfor good\b`, "permanently", inProduct, ``},
	{`\b(asks?|asking) (nobody|no one|anyone|anybody)\b|\bno service is asked\b`, "offline", inEverything, ``},
	{`\bsecond factors?\b`, "MFA code, MFA device", inProduct, ``},
	{`\bmend\b`, "fix", inEverything, ``},
	{`\b(what|which) there (is|are)\b`, "the existing …", inProduct, ``},
	{`\bwho you are\b|\bsay who\b`, "your identity", inProduct, ``},

	{`^(others|absent|wished|late|seen|print|given|gave|asking|lanes?|ending|learnt?|elsewhere|anew|reaching|forget)$`, "name what it holds", inNames, ``},
}

// avoided are the words of a text that are not plain.
func avoided(where int, text string) []string {
	var found []string
	for _, w := range compiledWords() {
		if w.where&where == 0 {
			continue
		}
		for _, at := range w.pattern.FindAllStringIndex(text, -1) {
			around := text[max(0, at[0]-20):min(len(text), at[1]+20)]
			if w.except == nil || !w.except.MatchString(around) {
				found = append(found, strconv.Quote(text[at[0]:at[1]])+" (better: "+w.instead+") in "+strconv.Quote(strings.TrimSpace(around)))
			}
		}
	}
	return found
}

type compiledWord struct {
	pattern, except *regexp.Regexp
	instead         string
	where           int
}

var compiledWords = sync.OnceValue(func() []compiledWord {
	var list []compiledWord
	for _, w := range words {
		c := compiledWord{pattern: regexp.MustCompile(`(?i)` + w.pattern), instead: w.instead, where: w.where}
		if w.except != "" {
			c.except = regexp.MustCompile(`(?i)` + w.except)
		}
		list = append(list, c)
	}
	return list
})

func TestAvoidedFinds(t *testing.T) {
	for _, c := range []struct {
		where int
		text  string
		want  int
	}{
		{inTexts, "x is no directory", 1},
		{inTexts, "there is no cluster x, and it is no longer ACTIVE", 0},
		{inTexts, "the file is not there", 1},
		{inDocs, "The Folder exists.", 1},
		{inDocs, "Use --make-directory.", 0},
		{inComments, "no flag is given", 0},
		{inHelp, "no flag is given", 1},
		{inNames, "seen", 1},
		{inNames, "unseen", 0},
	} {
		if got := avoided(c.where, c.text); len(got) != c.want {
			t.Errorf("%q: %v, want %d", c.text, got, c.want)
		}
	}
}

// supersededDecision stays as it was written.
const supersededDecision = "docs/adr/0012-cache-entries-and-markers.md"

// Help, errors, hints, documents and comments use the field's own terms.
func TestW01PlainWords(t *testing.T) {
	t.Run("documents and Go", func(t *testing.T) {
		walk(t, func(path string, text []byte) {
			if strings.Contains(path, "testdata/") {
				return
			}
			switch {
			case strings.HasSuffix(path, ".md"):
				if path == supersededDecision {
					return
				}
				for _, paragraph := range strings.Split(string(text), "\n\n") {
					for _, wrong := range avoided(inDocs, strings.Join(strings.Fields(paragraph), " ")) {
						t.Errorf("%s: %s", path, wrong)
					}
				}
			case strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go"):
				plainGo(t, path, text)
			}
		})
	})
	for _, c := range []struct {
		module, command string
		least           int // commands
	}{
		{".", "ekskey", 20}, {".", "ekskey-server", 4}, {"sandbox", "ekskey-sandbox", 5},
	} {
		t.Run("help of "+c.command, func(t *testing.T) {
			t.Parallel()
			binary := filepath.Join(t.TempDir(), c.command)
			build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./cmd/"+c.command)
			build.Dir = filepath.Join(root, c.module)
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if n := plainHelp(t, binary); n < c.least {
				t.Errorf("only %d commands were found", n)
			}
		})
	}
}

// plainGo checks the comments, texts and names of a Go file.
func plainGo(t *testing.T, path string, text []byte) {
	t.Helper()
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	report := func(at token.Pos, where int, text string) {
		for _, wrong := range avoided(where, text) {
			t.Errorf("%s: %s", files.Position(at), wrong)
		}
	}
	for _, group := range file.Comments {
		report(group.Pos(), inComments, strings.Join(strings.Fields(group.Text()), " "))
	}
	name := func(n ast.Expr) {
		if id, ok := n.(*ast.Ident); ok {
			report(id.Pos(), inNames, id.Name)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.BasicLit:
			if s, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING && strings.Contains(s, " ") {
				report(n.Pos(), inTexts, strings.Join(strings.Fields(s), " "))
			}
		case *ast.FuncDecl:
			name(n.Name)
		case *ast.TypeSpec:
			name(n.Name)
		case *ast.Field:
			for _, id := range n.Names {
				name(id)
			}
		case *ast.ValueSpec:
			for _, id := range n.Names {
				name(id)
			}
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				for _, left := range n.Lhs {
					name(left)
				}
			}
		case *ast.RangeStmt:
			if n.Tok == token.DEFINE {
				name(n.Key)
				name(n.Value)
			}
		}
		return true
	})
}

// commandList begins the lists of commands: a title after the examples.
var commandList = regexp.MustCompile(`(?m)^(?:Available Commands|Commands|Tokens and identity):$`)

var subcommand = regexp.MustCompile(`(?m)^  ([a-z][a-z-]+) +\S`)

// plainHelp checks the help of a program and of all its commands, and returns how
// many it found.
func plainHelp(t *testing.T, binary string, command ...string) int {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), binary, append(command, "--help")...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v --help: %v\n%s", command, err, out)
	}
	for _, wrong := range avoided(inHelp, strings.Join(strings.Fields(string(out)), " ")) {
		t.Errorf("%s %s --help: %s", filepath.Base(binary), strings.Join(command, " "), wrong)
	}
	commands := 1
	var names []string
	if start := commandList.FindIndex(out); start != nil {
		list, _, _ := strings.Cut(string(out[start[1]:]), "\nFlags:")
		for _, m := range subcommand.FindAllStringSubmatch(list, -1) {
			names = append(names, m[1])
		}
	}
	if len(command) == 0 && filepath.Base(binary) == "ekskey" {
		names = append(names, "eks") // hidden
	}
	if slices.Equal(command, []string{"eks"}) {
		names = []string{"get-token"}
	}
	for _, name := range names {
		if name != "help" {
			commands += plainHelp(t, binary, append(slices.Clone(command), name)...)
		}
	}
	return commands
}
