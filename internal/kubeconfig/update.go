// Package kubeconfig reads, edits and writes kubeconfig files.
//
// Edits are splices on the bytes: what a change does not name stays identical,
// with its comments, order, quoting, indentation, blank lines and line breaks.
// A file that cannot be read for certain is refused whole, with file, line and
// reason, and a change that cannot be made without touching something else is
// refused too. After each edit the result is parsed again and compared with the
// original before anything is written.
package kubeconfig

import "context"

// Batch is what one command wants of the kubeconfigs. It is done whole, in memory,
// before a byte is written, and each file is written once at most.
type Batch struct {
	// Changes are made in order, each as if those before it were there already.
	Changes []Change
	// Remove names contexts that are to go, from every file that has one of the
	// name: one in a later file would come to light otherwise. With a context go
	// the cluster and the user that it names, if no other context names them and
	// the user could be written again: it holds no credentials of its own and runs
	// no plugin but those known to make tokens for EKS. A current-context of that
	// name is emptied, unless another file would then make another context current.
	Remove []string
	// Only is asked, where it is not nil, whether a context that is there is really
	// to go, and under the locks again; of each file that has one of the name, since
	// all would go. If it says no to one that another hides, all stay and the report
	// says so. With it a context that is no longer there is no error.
	Only func(MergedContext) bool
}

// Report says what a batch did, or would do.
type Report struct {
	Results []Result  // one for each change, in order
	Removed []Removed // in the order of Batch.Remove, then those kept for a hidden one's sake
}

// Removed is one entry that went, or that was kept although what named it went.
type Removed struct {
	File string
	Kind string // context, cluster, user or current-context
	Name string
	Kept string // why it stays; empty where it is gone
}

// Update makes the changes and removals of a batch in the files of env. An entry that a
// file has is changed where it stands. A new one goes to the first file that has
// another entry of the change, else to the first that exists, else to the last. A
// current-context goes where there is one.
//
// See [rewrite] for how it is written, and for the errors: besides those, of [File.Apply]
// that one change is to blame for in a *ChangeError, and *MissingError.
func Update(ctx context.Context, env Env, b Batch) (Report, error) {
	return rewrite(ctx, env, func(s fileSet) (Report, []Edit, error) { return s.apply(b) })
}

// Plan says what [Update] would do now, and to which files, in the order in which
// they would be written. It takes no lock and writes nothing, and its errors are
// those of Update but for the lock's and for writing.
func Plan(ctx context.Context, env Env, b Batch) (Report, []Edit, error) {
	return preview(ctx, env, func(s fileSet) (Report, []Edit, error) { return s.apply(b) })
}
