package cli

import (
	"fmt"
	"io"
	"slices"

	"github.com/ekskey/ekskey/internal/kubeconfig"
)

// What became of a context, beside the outcomes of [kubeconfig.Outcome].
const (
	outcomeRemoved = "removed"
	outcomeSkipped = "skipped"
	outcomeLeft    = "left alone"
)

// syncRow is what became of a context.
type syncRow struct {
	Context    string `json:"context,omitempty"` // empty where nobody knows the cluster's account
	Cluster    string `json:"cluster"`           // ARN, or the name where there is none
	Profile    string `json:"profile,omitempty"`
	Kubeconfig string `json:"kubeconfig,omitempty"`
	Outcome    string `json:"outcome"` // added, updated, unchanged, removed, skipped, left alone
	Reason     string `json:"reason,omitempty"`

	removed bool // is to go
}

// syncReport is the whole of what a run did.
type syncReport struct {
	Contexts []syncRow      `json:"contexts"`
	Summary  map[string]int `json:"summary"`
	Failures []syncFailure  `json:"failures"`
}

// syncFailure is a listing that failed.
type syncFailure struct {
	Profile string `json:"profile,omitempty"`
	Region  string `json:"region,omitempty"`
	Error   string `json:"error"`
}

// settle adds to the rows what the kubeconfig package did, or would do.
func (s *clusterSync) settle(report kubeconfig.Report) {
	for i, r := range report.Results {
		row := &s.rows[s.changes[i]]
		row.Kubeconfig, row.Outcome = r.File, kubeconfig.Unchanged.String()
		switch {
		case r.Context.Outcome == kubeconfig.Added:
			row.Outcome = kubeconfig.Added.String()
		case r.Changed():
			row.Outcome = kubeconfig.Updated.String()
		}
	}
	fate := map[string]kubeconfig.Removed{}
	for _, r := range report.Removed {
		if first, ok := fate[r.Name]; r.Kind == "context" && (!ok || first.Kept == "") {
			fate[r.Name] = r
		}
	}
	for i := range s.rows {
		row := &s.rows[i]
		if !row.removed {
			continue
		}
		r, ok := fate[row.Context]
		row.Kubeconfig, row.Outcome, row.Reason = r.File, outcomeRemoved, "its cluster is gone"
		switch {
		case !ok:
			row.Outcome, row.Reason = outcomeLeft, "it was changed meanwhile"
		case r.Kept != "":
			row.Outcome, row.Reason = outcomeLeft, r.Kept
		}
	}
}

func (a *app) writeSync(format string, s *clusterSync) error {
	report := syncReport{Contexts: s.rows, Summary: map[string]int{}, Failures: []syncFailure{}}
	if report.Contexts == nil {
		report.Contexts = []syncRow{}
	}
	for _, r := range s.rows {
		report.Summary[r.Outcome]++
	}
	for _, l := range s.listings {
		if l.Err != nil {
			report.Failures = append(report.Failures, syncFailure{l.Profile, l.Region, message(l.Err.Error())})
		}
	}
	if s.note != "" && format != formatTable {
		_, _ = fmt.Fprintln(a.env.Stderr, s.note)
	}
	return a.write(&a.out, format, report, func(w io.Writer) { a.syncTable(w, s) })
}

// syncTable shows what is not as it was, and counts the rest.
func (a *app) syncTable(w io.Writer, s *clusterSync) {
	if len(s.rows) == 0 {
		what := "no cluster was found"
		if s.listed > 0 {
			what = fmt.Sprintf("none of the %d clusters found is wanted", s.listed)
		}
		_, _ = fmt.Fprintln(w, what)
		return
	}
	counts := map[string]int{}
	var cells [][]string
	var files []string
	for _, r := range s.rows {
		counts[r.Outcome]++
		if r.Kubeconfig != "" && !slices.Contains(files, r.Kubeconfig) {
			files = append(files, r.Kubeconfig)
		}
		if r.Outcome != kubeconfig.Unchanged.String() {
			cells = append(cells, []string{dash(r.Context), r.Outcome, r.Cluster, r.Reason})
		}
	}
	if len(cells) > 0 {
		a.table(w, []string{"CONTEXT", "OUTCOME", "CLUSTER", "WHY"}, cells)
	}
	summary := fmt.Sprintf("%d added, %d updated, %d unchanged, %d removed, %d skipped", counts[kubeconfig.Added.String()],
		counts[kubeconfig.Updated.String()], counts[kubeconfig.Unchanged.String()], counts[outcomeRemoved], counts[outcomeSkipped])
	if n := counts[outcomeLeft]; n > 0 {
		summary += fmt.Sprintf(", %d left alone", n)
	}
	_, _ = fmt.Fprintln(w, summary)
	if s.note != "" && len(cells) > 0 {
		_, _ = fmt.Fprintln(w, s.note)
	}
	for _, file := range files {
		_, _ = fmt.Fprintf(w, "kubeconfig: %s\n", printable(file))
	}
}

// warnOfSync tells what a person must know of the outcome, in a few lines however
// many clusters there are.
func (a *app) warnOfSync(s *clusterSync, report kubeconfig.Report) {
	failed := 0
	var example string
	for _, c := range s.found {
		if c.answer.Err != nil {
			if failed++; failed == 1 {
				example = fmt.Sprintf("%s in %s: %v", c.name, c.region, c.answer.Err)
			}
		}
	}
	if failed > 0 {
		a.warn("clusters that could not be described, and are skipped: %d, the first: %s", failed, example)
	}
	if s.twins != "" {
		a.warn("%s", s.twins)
	}
	var odd, left grouped
	for i, warnings := range s.odd {
		for _, w := range warnings {
			odd.add(s.rows[s.changes[i]].Context, w)
		}
	}
	for _, r := range s.rows {
		if r.Outcome == outcomeLeft {
			left.add(r.Context, r.Reason)
		}
	}
	odd.each(func(name, more, why string) { a.warn("%s%s: %s", name, more, why) })
	left.each(func(name, more, why string) { a.warn("context %s%s is left alone: %s", name, more, why) })
	for _, r := range report.Removed {
		switch {
		case r.Kept != "" && r.Kind == "context": // is left alone, see above
		case r.Kept != "":
			a.warn("%s %s stays in %s: %s", r.Kind, r.Name, r.File, r.Kept)
		case r.Kind == "current-context":
			a.warn("the current context %s is gone, and there is none now", r.Name)
		}
	}
}

// grouped are names by what there is to say of them, in the order in which it came.
type grouped struct {
	order []string
	names map[string][]string
}

func (g *grouped) add(name, why string) {
	if g.names == nil {
		g.names = map[string][]string{}
	}
	if len(g.names[why]) == 0 {
		g.order = append(g.order, why)
	}
	g.names[why] = append(g.names[why], name)
}

// each gives the first name of each group, and words for how many more it has.
func (g *grouped) each(tell func(name, more, why string)) {
	for _, why := range g.order {
		more := ""
		if n := len(g.names[why]) - 1; n > 0 {
			more = fmt.Sprintf(" (and %d more)", n)
		}
		tell(g.names[why][0], more, why)
	}
}
