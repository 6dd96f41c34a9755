package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ekskey/ekskey/internal/credcache"
)

// cacheVar chooses how the cache keeps secrets.
const cacheVar = "EKSKEY_CACHE"

// store is the cache that flags and environment choose. It is nil, without an error,
// if nothing is to be cached or there is no directory for it.
func (a *app) store() (*credcache.Store, error) {
	if a.global.noCache {
		return nil, nil
	}
	storage, err := a.cacheStorage()
	if err != nil || storage == credcache.None {
		return nil, err
	}
	dir, err := credcache.DefaultDir(a.env.Getenv)
	if err != nil {
		a.log.Debug("nothing is cached", "reason", err)
		return nil, nil
	}
	return credcache.New(credcache.Config{
		Dir: dir, Storage: storage, Now: a.env.Now, Log: a.log, Waiting: a.tellWaiting, Refresh: a.global.refresh,
	}), nil
}

// tellWaiting says on a terminal why nothing happens.
func (a *app) tellWaiting() {
	if a.mayPrompt && isTerminal(a.env.Stderr) {
		_, _ = fmt.Fprintln(a.env.Stderr, "waiting for another ekskey process that is getting the same credentials; it may be prompting for an MFA code")
	}
}

func (a *app) cacheStorage() (credcache.Storage, error) {
	storage, err := credcache.ParseStorage(a.env.Getenv(cacheVar))
	if err != nil {
		return "", &usageError{reason: cacheVar + ": " + err.Error(), hint: "set " + cacheVar + " to disk, keyring or none"}
	}
	return storage, nil
}

// standing is the cache that exists, even if nothing new is to be cached.
func (a *app) standing() (*credcache.Store, error) {
	storage, err := a.cacheStorage()
	if err != nil {
		return nil, err
	}
	if storage == credcache.None {
		storage = credcache.Disk
	}
	dir, err := credcache.DefaultDir(a.env.Getenv)
	if err != nil {
		return nil, &hintError{err: err, hint: "name the directory with EKSKEY_CACHE_DIR"}
	}
	return credcache.New(credcache.Config{Dir: dir, Storage: storage, Now: a.env.Now, Log: a.log}), nil
}

func newCacheListCommand(_ *app, run func(context.Context) error) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List cached credentials, without the secrets",
		Long: `List the cached credentials: their profile and roles, and when they expire. No
secret is shown.`,
		Example: `  ekskey cache list
  ekskey cache list --output json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context()) },
	}
}

// cacheEntry is a cache entry as it is listed.
type cacheEntry struct {
	Kind        string    `json:"kind"`
	Region      string    `json:"region,omitempty"`
	Profile     string    `json:"profile,omitempty"`
	Roles       []string  `json:"roles,omitempty"`
	Source      string    `json:"source,omitempty"`
	AccessKeyID string    `json:"accessKeyID,omitempty"`
	Created     time.Time `json:"created,omitzero"`
	Expires     time.Time `json:"expires,omitzero"`
	State       string    `json:"state"`
	Sealed      bool      `json:"sealed,omitempty"`
	File        string    `json:"file"`
}

func (a *app) runCacheList(context.Context) error {
	format, err := a.format(formatTable, formatJSON, formatYAML)
	if err != nil {
		return err
	}
	store, err := a.standing()
	if err != nil {
		return err
	}
	list, err := store.List()
	if err != nil {
		return err
	}
	entries := make([]cacheEntry, len(list)) // not nil: an empty list, not null
	for i, e := range list {
		entries[i] = cacheEntry{
			Kind: e.Kind, Region: e.Region, Profile: e.About.Profile, Roles: e.About.Roles,
			Source: e.About.Source, AccessKeyID: e.AccessKeyID, Created: e.Created.UTC(), Expires: e.Expires.UTC(),
			State: e.State, Sealed: e.Sealed, File: e.File,
		}
	}
	return a.write(&a.out, format, entries, func(w io.Writer) {
		rows := make([][]string, len(entries))
		for i, e := range entries {
			rows[i] = []string{
				e.Kind, dash(e.Region), dash(strings.Join(append(nonEmpty(e.Profile), e.Roles...), " > ")),
				dash(e.AccessKeyID), moment(e.Created), moment(e.Expires), e.State,
			}
		}
		a.table(w, []string{"KIND", "REGION", "PROFILE > ROLES", "KEY ID", "CREATED", "EXPIRES", "STATE"}, rows)
	})
}

func newCacheClearCommand(_ *app, run func(context.Context) error) *cobra.Command {
	return &cobra.Command{
		Use:   "clear",
		Short: "Remove all cached credentials",
		Long: `Remove all cached credentials, and with EKSKEY_CACHE=keyring the key from the
keyring. The next command gets new ones from AWS, even if a role was deleted and
created again. Credentials that AWS has issued stay valid until they expire.`,
		Example: "  ekskey cache clear",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return run(cmd.Context()) },
	}
}

func (a *app) runCacheClear(context.Context) error {
	format, err := a.format(formatTable, formatJSON, formatYAML)
	if err != nil {
		return err
	}
	store, err := a.standing()
	if err != nil {
		return err
	}
	removed, err := store.Clear()
	if err != nil {
		return err
	}
	return a.write(&a.out, format, map[string]int{"removed": removed}, func(w io.Writer) {
		_, _ = fmt.Fprintf(w, "%d removed\n", removed)
	})
}

// dash stands in a table where there is nothing, to keep the columns apart.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func nonEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Format(time.RFC3339)
}
