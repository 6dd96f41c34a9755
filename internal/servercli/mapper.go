package servercli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/internal/mapping"
	"github.com/ekskey/ekskey/internal/safefile"
	"github.com/ekskey/ekskey/token"
	"github.com/ekskey/ekskey/verify"
)

// lastGoodFile keeps the last good aws-auth in the state directory.
const lastGoodFile = "aws-auth.last-good.json"

// live is what changes while the server runs: the verifier with its deny lists, and the
// backends with their order. It follows the configuration file and the sources.
type live struct {
	log     *slog.Logger
	alarm   func(error)
	ec2     mapping.Lookup
	offline bool // nothing is written to the state directory
	reloads *reloads

	verifier atomic.Pointer[verify.Verifier]
	chain    atomic.Pointer[mapping.Chain]
	stale    atomic.Bool // the configuration file cannot be used now

	change   sync.Mutex // held through one change of configuration or order
	mu       sync.Mutex // held while the rest changes
	config   *config
	modes    []string        // the order that dynamicBackendModePath says, or nil
	poller   *mapping.Poller // of the modes, or nil
	self     *mapping.Poller // of the configuration file, or nil
	backends []*running
	file     *mapping.Live
	ctx      context.Context // of Run, once that has begun
}

// running is a backend with what it was made of.
type running struct {
	name    string
	spec    any
	backend mapping.Backend
	stop    context.CancelFunc // nil before it runs
}

// newLive makes the backends of a configuration. Call run to follow their sources.
func newLive(c *config, log *slog.Logger, registry prometheus.Registerer) (*live, error) {
	l := &live{
		log: log, alarm: alarmTo(log), reloads: newReloads(registry),
	}
	l.ec2 = l.lookup(c.server.ec2)
	if err := l.apply(c); err != nil {
		return nil, err
	}
	if path := c.server.dynamicBackendModePath; path != "" {
		l.poller = &mapping.Poller{
			Name: "the backend mode file " + path,
			Read: func() ([]byte, error) {
				text, err := safefile.ReadTrusted(path, 4<<10)
				if errors.Is(err, fs.ErrNotExist) { // then the configuration says it
					return nil, nil
				}
				return text, err
			},
			Use:    l.useModes,
			Looked: l.news("server.dynamicBackendModePath"),
		}
		_ = l.poller.Start() // what is wrong is logged, and the configuration's order counts
	}
	if c.text != nil {
		told := l.news("the configuration file, which stays as it was")
		l.self = &mapping.Poller{
			Name: c.path,
			Read: func() ([]byte, error) { return readConfig(c.path) },
			Use:  l.reload,
			Looked: func(err error) {
				l.stale.Store(err != nil)
				l.mu.Lock()
				l.file.Looked(err)
				l.mu.Unlock()
				told(err)
			},
		}
	}
	registry.MustRegister(&mappingCollector{l})
	return l, nil
}

// reread reads the configuration file, the sources and the CAs for STS now. Failures are
// logged, and change nothing.
func (l *live) reread() {
	for _, p := range []*mapping.Poller{l.self, l.poller} {
		if p != nil {
			_ = p.Start()
		}
	}
	l.change.Lock()
	defer l.change.Unlock()
	l.mu.Lock()
	c, backends := l.config, l.backends
	l.mu.Unlock()
	for _, b := range backends {
		if again, ok := b.backend.(interface{ Reread() }); ok {
			again.Reread()
		}
	}
	if err := l.apply(c); err != nil {
		l.log.Error("cannot apply the configuration again; it stays as it was", "problem", err.Error())
	}
}

// Check, Ask and Allow are those of the verifier in force.
func (l *live) Check(raw string) (*token.Parsed, error) { return l.verifier.Load().Check(raw) }

func (l *live) Ask(ctx context.Context, p *token.Parsed) (identity.Identity, error) {
	return l.verifier.Load().Ask(ctx, p)
}

func (l *live) Allow(id identity.Identity) error { return l.verifier.Load().Allow(id) }

// Map is that of the chain in force.
func (l *live) Map(ctx context.Context, id identity.Identity) (mapping.Mapping, error) {
	return l.chain.Load().Map(ctx, id)
}

// apply puts a configuration in force, or fails and changes nothing.
func (l *live) apply(c *config) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	verifier, err := newVerifier(c)
	if err != nil {
		return err
	}
	set, err := mapping.ParseServer(c.server.node, l.options(c, backendFile))
	if err != nil {
		return fmt.Errorf("%s: %w", c.path, err)
	}
	var creator *mapping.Creator
	if c.server.creator != "" {
		if creator, err = mapping.NewCreator(c.server.creator); err != nil {
			return fmt.Errorf("%s: server.creator: %w", c.path, err)
		}
	}
	file := l.file
	if limit := maxStale(c, backendFile); file == nil || file.MaxStale != limit {
		file = &mapping.Live{Name: backendFile, MaxStale: limit}
	}
	order := c.server.order()
	if l.modes != nil {
		order = l.modes
	}
	var next []*running
	for _, name := range order {
		if err := c.server.hasSource(name); err != nil {
			return err
		}
		b, err := l.backend(c, name, file)
		if err != nil {
			return fmt.Errorf("%s: %w", c.path, err)
		}
		next = append(next, b)
	}
	// From here on nothing fails.
	l.verifier.Store(verifier)
	file.Store(set)
	l.file = file
	for _, p := range set.Problems() {
		l.alarm(p)
	}
	if set.Len() > 0 && !slices.Contains(order, backendFile) {
		l.log.Warn("the entries in the configuration file are not asked, because file is none of the backends", "backends", order)
	}
	var links []mapping.Link
	for _, b := range next {
		var mapper mapping.Mapper = b.backend
		if entries := entriesOf(next); entries != nil && b.name == backendAWSAuth {
			mapper = authGate{mapper, entries}
		}
		links = append(links, mapping.Link{Name: b.name, Mapper: mapper})
	}
	if creator != nil {
		links = append(links, mapping.Link{Name: "creator", Mapper: creator, Always: c.server.creatorWhileBroken})
	}
	l.chain.Store(mapping.NewChain(links...))
	before := l.backends
	l.config, l.backends = c, next
	for _, b := range before {
		if b.stop != nil && !slices.Contains(next, b) {
			b.stop()
		}
	}
	l.start()
	return nil
}

// start runs the backends that do not run yet, once run has begun.
func (l *live) start() {
	if l.ctx == nil {
		return
	}
	for _, b := range l.backends {
		if b.stop == nil {
			ctx, stop := context.WithCancel(l.ctx)
			b.stop = stop
			go b.backend.Run(ctx)
		}
	}
}

func (l *live) options(c *config, name string) mapping.Options {
	return mapping.Options{
		Backend: name, Partition: c.server.partition, Dialect: c.server.dialect,
		ReservedPrefixes: c.server.reservedPrefixes[name], Ties: c.server.ties,
		EC2PrivateDNSName: l.ec2,
	}
}

// maxStale is for mapping.FileConfig, where zero means the default.
func maxStale(c *config, name string) time.Duration {
	d, ok := c.server.maxStale[name]
	if ok && d == 0 {
		return -1
	}
	return d
}

// backend returns the backend that runs already, if nothing it is made of has changed.
func (l *live) backend(c *config, name string, file *mapping.Live) (*running, error) {
	if name == backendFile {
		for _, b := range l.backends {
			if b.backend == mapping.Backend(file) {
				return b, nil
			}
		}
		return &running{name: name, backend: file}, nil
	}
	if name == backendAccessEntries {
		spec := []any{c.server.entries, c.server.stateDir, l.options(c, name), maxStale(c, name)}
		for _, b := range l.backends {
			if b.name == name && sameSpec(b.spec, spec) {
				return b, nil
			}
		}
		b, err := l.entriesBackend(c)
		return &running{name: name, spec: spec, backend: b}, err
	}
	cfg := mapping.FileConfig{Path: cmp.Or(c.server.awsAuthFile, c.server.configMapSource()), Options: l.options(c, name), MaxStale: maxStale(c, name)}
	if name == backendDynamicFile {
		cfg.Path, cfg.Options.ByUniqueID = c.server.dynamicFile, c.server.dynamicFileByID
	} else {
		cfg.Options.Ties = mapping.LastWins
		if !l.offline {
			cfg.StateFile = filepath.Join(c.server.stateDir, lastGoodFile)
		}
	}
	for _, b := range l.backends {
		if b.name == name && sameSpec(b.spec, cfg) {
			return b, nil
		}
	}
	out := &running{name: name, spec: cfg}
	cfg.Alarm = l.alarm
	var err error
	if name == backendDynamicFile {
		if out.backend, err = mapping.NewDynamicFile(cfg); err != nil {
			return nil, fmt.Errorf("server.dynamicFilePath: %w", err)
		}
		return out, nil
	}
	if c.server.awsAuthConfigMap {
		out.backend, err = l.configMap(c, cfg)
		return out, err
	}
	if out.backend, err = mapping.NewAWSAuthFile(cfg); err != nil {
		return nil, fmt.Errorf("server.awsAuthFile: %w", err)
	}
	return out, nil
}

// sameSpec compares what backends are made of. The lookup of instances is a function, and one
// for the life of the server.
func sameSpec(a, b any) bool { return reflect.DeepEqual(withoutLookup(a), withoutLookup(b)) }

func withoutLookup(spec any) any {
	switch s := spec.(type) {
	case mapping.FileConfig:
		s.Options.EC2PrivateDNSName = nil
		return s
	case []any:
		out := slices.Clone(s)
		for i, v := range out {
			if o, ok := v.(mapping.Options); ok {
				o.EC2PrivateDNSName = nil
				out[i] = o
			}
		}
		return out
	}
	return spec
}

// run follows the configuration file and the sources until the context ends.
func (l *live) run(ctx context.Context) {
	l.mu.Lock()
	l.ctx = ctx
	l.start()
	l.mu.Unlock()
	var wg sync.WaitGroup
	if l.poller != nil {
		wg.Go(func() { l.poller.Run(ctx) })
	}
	if l.self != nil {
		wg.Go(func() { l.self.Run(ctx) })
	}
	wg.Wait()
}

// news logs each failure once.
func (l *live) news(what string) func(error) {
	last := ""
	return func(err error) {
		text := ""
		if err != nil {
			text = err.Error()
		}
		if text != "" && text != last {
			l.log.Error("cannot use "+what, "problem", text)
		}
		last = text
	}
}

// reload takes a new text of the configuration file.
func (l *live) reload(text []byte) error {
	l.change.Lock()
	defer l.change.Unlock()
	l.mu.Lock()
	before := l.config
	l.mu.Unlock()
	if bytes.Equal(text, before.text) {
		return nil
	}
	err := l.use(before, text)
	l.reloads.count(reloadConfiguration, err)
	return err
}

func (l *live) use(before *config, text []byte) error {
	c, err := parseConfigWith(before.path, text, before.override)
	if err != nil {
		return err
	}
	c.text = text
	restart := restartKeys(before, c)
	// What needs a restart stays as it was, for what follows too.
	c.keep(before)
	if err := l.apply(c); err != nil {
		return err
	}
	l.log.Info("the configuration file has changed and is in force", "file", c.path)
	if len(restart) > 0 {
		l.log.Warn("restart the server for what else has changed", "keys", restart)
	}
	return nil
}

// useModes takes the text of aws-iam-authenticator's dynamicBackendModePath: backend
// modes separated by spaces. Empty means what the configuration says.
func (l *live) useModes(text []byte) error {
	l.change.Lock()
	defer l.change.Unlock()
	var names []string
	if len(text) > 0 {
		var file struct {
			BackendMode string `json:"backendMode"`
		}
		err := json.Unmarshal(text, &file)
		if err == nil {
			names, err = backendsOfModes(strings.Fields(file.BackendMode))
		}
		if err == nil && len(names) == 0 {
			err = errors.New("names no backend mode")
		}
		if err != nil {
			return err
		}
	}
	l.mu.Lock()
	c, before := l.config, l.modes
	l.modes = names
	l.mu.Unlock()
	if slices.Equal(names, before) {
		return nil
	}
	if err := l.apply(c); err != nil {
		l.mu.Lock()
		l.modes = before
		l.mu.Unlock()
		return err
	}
	l.log.Info("the order of backends has changed", "backends", names)
	return nil
}

func readConfig(path string) ([]byte, error) {
	text, err := safefile.ReadTrusted(path, maxConfig)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	return text, nil
}

// prepareState makes the state directory, and refuses one that others can write.
func prepareState(c *config) error {
	err := os.MkdirAll(c.server.stateDir, 0o700)
	if err == nil {
		err = safefile.CheckTrustedDir(c.server.stateDir)
	}
	if err != nil {
		return fmt.Errorf("server.stateDir: %w", err)
	}
	return nil
}

// alarmTo logs problems of a mapping: an error if something is not used, a warning if
// it is used but questionable.
func alarmTo(log *slog.Logger) func(error) {
	return func(err error) {
		var p mapping.Problem
		switch {
		case !errors.As(err, &p):
			log.Error("mapping", "problem", err.Error())
		case p.Dropped:
			log.Error("mapping", "problem", p.Error(), "code", string(p.Code))
		default:
			log.Warn("questionable mapping", "problem", p.Error(), "code", string(p.Code))
		}
	}
}

// mappingCollector tells how the backends fare.
type mappingCollector struct{ live *live }

var (
	entriesMetric  = mappingMetric("ekskey_mapping_entries", "Entries in force, by backend.")
	problemsMetric = mappingMetric("ekskey_mapping_problems", "Entries dropped or doubtful in the text in force, by backend.")
	staleMetric    = mappingMetric("ekskey_mapping_stale", "1 while all or part of the backend's source cannot be used.")
	readyMetric    = mappingMetric("ekskey_mapping_ready", "1 while the backend can answer for every identity.")
	updatedMetric  = mappingMetric("ekskey_mapping_updated_timestamp_seconds", "When the entries in force came into force.")
	configMetric   = prometheus.NewDesc("ekskey_configuration_stale", "1 while the configuration file cannot be used and an older text is in force.", nil, nil)
)

func mappingMetric(name, help string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, []string{"backend"}, nil)
}

// Describe implements prometheus.Collector.
func (m *mappingCollector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{entriesMetric, problemsMetric, staleMetric, readyMetric, updatedMetric, configMetric} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (m *mappingCollector) Collect(to chan<- prometheus.Metric) {
	m.live.mu.Lock()
	backends := m.live.backends
	m.live.mu.Unlock()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	for _, b := range backends {
		s := b.backend.Stats()
		gauge(entriesMetric, float64(s.Entries), b.name)
		gauge(problemsMetric, float64(s.Problems), b.name)
		gauge(staleMetric, number(s.Stale), b.name)
		gauge(readyMetric, number(b.backend.Ready() == nil), b.name)
		if !s.Updated.IsZero() {
			gauge(updatedMetric, float64(s.Updated.UnixMilli())/1000, b.name)
		}
	}
	gauge(configMetric, number(m.live.stale.Load()))
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
