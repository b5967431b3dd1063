// Package app wires the parts into the programs that the command line offers. It is
// the only one that knows all adapters.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/kube"
	"github.com/whyrestart/whyrestart/internal/metrics"
	"github.com/whyrestart/whyrestart/internal/pipeline"
	"github.com/whyrestart/whyrestart/internal/printer"
	"github.com/whyrestart/whyrestart/internal/redact"
	"github.com/whyrestart/whyrestart/internal/shard"
	"github.com/whyrestart/whyrestart/internal/store"
)

// Source says which pods of which cluster are looked at.
type Source struct {
	Config            *rest.Config
	Cluster           string
	Namespaces        []string
	ExcludeNamespaces []string
	Selector          string
	// Shard is what of the namespaces is looked at.
	Shard shard.Shard
	// Logs captures log tails.
	Logs bool
	// Merge are the rules that merge issues; nil for none.
	Merge *issue.Rules
	// Version goes into the user agent.
	Version string
}

// ServeOptions configure Serve.
type ServeOptions struct {
	Source
	// Store is the path of the SQLite file, or the URL of a database.
	Store string
	// Listen is the address of the HTTP server.
	Listen string
	// Retention bounds the history.
	RetainFor      time.Duration
	RetainBytes    int64
	RetainPerIssue int
	// LeaderElection says whether and how this process is one of several replicas.
	LeaderElection LeaderElection
	// Settle is how long a record waits for its owner and log before it is told.
	Settle time.Duration
	Stdout io.Writer
	Logger *slog.Logger
}

// stdoutConsumer is the name under which the JSON lines on stdout are acknowledged.
const stdoutConsumer = "stdout"

// pruneEvery is how often the retention is applied.
const pruneEvery = time.Hour

// Serve watches, records, and answers on Listen until ctx ends; then what was seen is
// stored and told before it returns nil.
func Serve(ctx context.Context, o ServeOptions) error {
	boundMemory(o.Logger, os.Getenv, cgroupLimit)
	if !o.Shard.Whole() {
		o.Logger = o.Logger.With("shard", o.Shard.String())
	}
	d, err := openDoor(ctx, o.Listen)
	if err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	ending, end := context.WithCancel(gctx)
	g.Go(func() error { return d.run(ending) })
	g.Go(func() error {
		defer end()
		return serveBehind(gctx, o, d)
	})
	return g.Wait()
}

// serveBehind serves behind a door that is open.
func serveBehind(ctx context.Context, o ServeOptions, d *door) error {
	if o.LeaderElection.Enabled {
		return serveReplica(ctx, o, d)
	}
	db, err := awaitStore(ctx, o, d)
	if err != nil {
		return err
	}
	err = serve(ctx, o, heed(db, o.Logger), d)
	if cerr := db.Close(); cerr != nil && err == nil {
		err = fmt.Errorf("close the store: %w", cerr)
	}
	return err
}

// awaitStore opens the history. A database that cannot be reached, as it is when both are
// started together, is waited for; what waiting does not change is an error at once.
func awaitStore(ctx context.Context, o ServeOptions, d *door) (store.Store, error) {
	began, wait, server := time.Now(), time.Duration(0), OnlyServer
	if o.LeaderElection.Enabled {
		server = ElectedServer
	}
	for {
		db, err := OpenStore(ctx, StoreOptions{Location: o.Store, Server: server, Logger: o.Logger})
		switch {
		case err == nil:
			if wait > 0 {
				o.Logger.Info("the history is there", "store", StoreName(o.Store), "after", time.Since(began).Round(time.Millisecond))
			}
			h := heed(db, o.Logger)
			if isPostgres(o.Store) {
				h.inquire(ctx, o.Cluster)
				d.ask(h.away)
			}
			return h, nil
		case !isPostgres(o.Store) || !errors.Is(err, store.ErrUnavailable) || ctx.Err() != nil:
			return nil, err
		case wait == 0:
			d.wait("waits for the history, " + StoreName(o.Store))
			o.Logger.Error("the history cannot be reached; waiting for it, and watching nothing until it is there", "store", StoreName(o.Store), "err", err)
		}
		wait = min(max(2*wait, 250*time.Millisecond), 5*time.Second)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
	}
}

func serve(ctx context.Context, o ServeOptions, db store.Store, d *door) error {
	reg, meter := newMetrics(o)
	term, err := claim(ctx, o, db)
	if err != nil {
		return err
	}
	live, err := newLive(ctx, o.Source, db, term, meter, o.Logger)
	if err != nil {
		return err
	}
	relay := o.relay(db, live.runtime)
	d.show(handler(reg, func() (string, error) { return "", live.runtime.Ready() }, coverageAPI(db, o.Logger)))

	o.Logger.Info("serving", "store", StoreName(o.Store), "listen", d.listener.Addr().String(), "version", o.Version)
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return live.tell(gctx, relay) })
	g.Go(func() error { return prune(gctx, o, db) })
	g.Go(func() error { return live.witnessing(gctx, o.Source, db, meter, o.Logger) })
	g.Go(func() error { return live.steward(o.Source, db, term, meter, o.Logger).Run(gctx) })
	err = g.Wait()
	o.Logger.Info("stopped")
	if errors.Is(err, store.ErrFenced) {
		return fmt.Errorf("another whyrestart writes the history of cluster %q now, so this one has stopped; "+
			"to run several, give each of them --leader-elect: %w", o.Cluster, store.ErrFenced)
	}
	return err
}

func newMetrics(o ServeOptions) (*prometheus.Registry, *metrics.Meter) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return reg, metrics.New(reg, o.Version)
}

// handler answers what a cluster's own machinery asks. ready also tells what a replica does, where
// there may be several.
func handler(reg *prometheus.Registry, ready func() (role string, err error), api http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	mux.Handle("/api/", api)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		role, err := ready()
		if role != "" {
			role = " (" + role + ")"
		}
		if err != nil {
			http.Error(w, "not ready"+role+": "+printer.Escape(err.Error()), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok"+role)
	})
	return mux
}

// prune applies the retention at the start and then every hour. That it fails is
// reported and does not stop the watch.
func prune(ctx context.Context, o ServeOptions, db store.Store) error {
	for {
		next := pruneEvery
		r := store.Retention{MaxBytes: o.RetainBytes, PerIssue: o.RetainPerIssue}
		if o.RetainFor > 0 {
			r.Before, r.Slack = time.Now().Add(-o.RetainFor), retainSlack(o.RetainFor)
		}
		n, err := db.Prune(ctx, r)
		if errors.Is(err, store.ErrUnavailable) {
			next = time.Minute // that it is away is said for all who use it
		} else if err != nil && ctx.Err() == nil {
			o.Logger.Error("cannot remove old records", "err", err)
		} else if n > 0 {
			o.Logger.Info("removed old records", "records", n)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(next):
		}
	}
}

// retainSlack is for how much longer records may be kept: a week where that is little of it.
func retainSlack(retain time.Duration) time.Duration {
	const week = 7 * 24 * time.Hour
	if retain < 4*week {
		return 0
	}
	return week
}

// source is what a cluster is watched and read with.
type source struct {
	watcher *kube.Watcher
	events  *kube.EventWatcher
	readers pipeline.Readers
	witness *pipeline.Witness
	// workloads reads what issues are about.
	workloads pipeline.WorkloadReader
	index     *pipeline.EventIndex
	redactor  *redact.Redactor
}

// live is a watch with the pipeline behind it.
type live struct {
	*source
	runtime *pipeline.Runtime
}

func newLive(ctx context.Context, s Source, ledger pipeline.Ledger, term int64, meter *metrics.Meter, logger *slog.Logger) (*live, error) {
	from, err := newSource(ctx, s, meter, logger)
	if err != nil {
		return nil, err
	}
	var runtime *pipeline.Runtime
	err = untilThere(ctx, func() (err error) {
		runtime, err = from.runtime(ctx, s, ledger, term, meter, logger)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &live{source: from, runtime: runtime}, nil
}

// newSource prepares to watch, and checks that it is allowed.
func newSource(ctx context.Context, s Source, meter *metrics.Meter, logger *slog.Logger) (*source, error) {
	witness := pipeline.NewWitness(meter, time.Now)
	s.Config = kube.Overheard(s.Config, witness.Heard)
	watcher, err := newWatcher(s, logger, tellShard(s, meter, logger))
	if err != nil {
		return nil, err
	}
	if err := watcher.Check(ctx); err != nil {
		return nil, err
	}
	events, err := newEventWatcher(s, logger)
	if err != nil {
		return nil, err
	}
	readers, workloads, index, err := newReaders(s)
	if err != nil {
		return nil, err
	}
	if slices.Contains(events.Scopes(), pipeline.NodeEventScope) {
		index.Await(pipeline.NodeEventScope)
	}
	redactor, err := redact.New(redact.Options{})
	if err != nil {
		return nil, err
	}
	return &source{watcher: watcher, events: events, readers: readers, witness: witness, workloads: workloads, index: index, redactor: redactor}, nil
}

// runtime prepares the pipeline behind a source, to write in a term to a ledger.
func (f *source) runtime(ctx context.Context, s Source, ledger pipeline.Ledger, term int64, meter *metrics.Meter, logger *slog.Logger) (*pipeline.Runtime, error) {
	o := pipeline.Options{
		Cluster:    s.Cluster,
		Selection:  s.Selector,
		Shard:      s.Shard,
		Term:       term,
		Scopes:     f.watcher.Scopes(),
		Ledger:     ledger,
		Readers:    f.readers,
		EventIndex: f.index,
		Redactor:   f.redactor,
		Merge:      s.Merge,
		Meter:      meter,
		Witness:    f.witness,
		Logger:     logger,
		Now:        time.Now,
	}
	if archive, ok := ledger.(pipeline.Archive); ok {
		o.Archive, o.Readers.History = archive, archive
	}
	return pipeline.NewRuntime(ctx, o)
}

// tellShard says which shard is watched, and returns what says whether the API server knows of it.
func tellShard(s Source, meter *metrics.Meter, logger *slog.Logger) func(byServer bool) {
	if s.Shard.Whole() {
		return nil
	}
	meter.Shard(s.Shard.Index, s.Shard.Of)
	var others []string
	for _, ns := range s.Namespaces {
		if !s.Shard.Contains(ns) {
			others = append(others, ns)
		}
	}
	if len(others) > 0 {
		logger.Info("leaving namespaces to other shards", "namespaces", others)
	}
	return func(byServer bool) {
		meter.Sharded(byServer)
		if byServer {
			logger.Info("the API server sends this shard alone")
			return
		}
		logger.Info("the API server sends all shards (it is older than 1.36, or the feature gate ShardedListAndWatch is off); the others are dropped here")
	}
}

// steward looks after the issues of what is watched.
func (l *live) steward(s Source, db store.Store, term int64, meter *metrics.Meter, logger *slog.Logger) *pipeline.Steward {
	return &pipeline.Steward{
		Cluster:   s.Cluster,
		Shard:     s.Shard,
		Term:      term,
		Store:     db,
		Workloads: l.workloads,
		Watches: func(namespace string) bool {
			if !s.Shard.Contains(namespace) {
				return false
			}
			if len(s.Namespaces) > 0 {
				return slices.Contains(s.Namespaces, namespace)
			}
			return !slices.Contains(s.ExcludeNamespaces, namespace)
		},
		Selector: s.Selector,
		Ready:    l.runtime.Ready,
		Count:    meter.Issues,
		Logger:   logger,
		Now:      time.Now,
	}
}

// newReaders prepares what evidence of a live cluster is read from. The index is that of
// its events: until something fills it, they are read one by one.
func newReaders(s Source) (pipeline.Readers, pipeline.WorkloadReader, *pipeline.EventIndex, error) {
	agent := userAgent(s)
	var r pipeline.Readers
	owners, err := kube.NewOwners(kube.OwnersOptions{Config: s.Config, UserAgent: agent})
	if err != nil {
		return r, nil, nil, err
	}
	events, err := kube.NewEvents(kube.EventsOptions{Config: s.Config, UserAgent: agent})
	if err != nil {
		return r, nil, nil, err
	}
	cluster, err := kube.NewCluster(kube.ClusterOptions{Config: s.Config, UserAgent: agent})
	if err != nil {
		return r, nil, nil, err
	}
	index := pipeline.NewEventIndex(events, time.Now)
	r.Owners, r.Events, r.Cluster = owners, index, cluster
	if s.Logs {
		if r.Logs, err = kube.NewLogs(kube.LogsOptions{Config: s.Config, UserAgent: agent}); err != nil {
			return r, nil, nil, err
		}
	}
	return r, cluster, index, nil
}

func newEventWatcher(s Source, logger *slog.Logger) (*kube.EventWatcher, error) {
	return kube.NewEventWatcher(kube.EventWatchOptions{
		Config:            s.Config,
		UserAgent:         userAgent(s),
		Namespaces:        s.Namespaces,
		ExcludeNamespaces: s.ExcludeNamespaces,
		Shard:             s.Shard,
		Logger:            logger,
	})
}

func newWatcher(s Source, logger *slog.Logger, sharded func(byServer bool)) (*kube.Watcher, error) {
	return kube.NewWatcher(kube.Options{
		Config:            s.Config,
		UserAgent:         userAgent(s),
		Namespaces:        s.Namespaces,
		ExcludeNamespaces: s.ExcludeNamespaces,
		LabelSelector:     s.Selector,
		Shard:             s.Shard,
		Sharded:           sharded,
		Logger:            logger,
	})
}

func userAgent(s Source) string { return "whyrestart/" + s.Version }

// drainTimeout bounds what is told after the watch has ended.
const drainTimeout = 10 * time.Second

// tell watches and relays until ctx ends, and then relays what is left.
func (l *live) tell(ctx context.Context, relay *pipeline.Relay) error {
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return l.run(gctx) })
	g.Go(func() error { return relay.Run(gctx, l.runtime.Told()) })
	err := g.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if derr := relay.Drain(last); derr != nil && err == nil {
		err = derr
	}
	return err
}

// showTimeout bounds how long a watch that is to end may take to show its last.
const showTimeout = 5 * time.Second

// run watches until ctx ends. The source stops first, so that everything it showed is
// stored when run returns.
func (l *live) run(ctx context.Context) error {
	return watchAndStore(ctx, l.runtime.Run,
		func(ctx context.Context) error { return l.watcher.Run(ctx, l.runtime) },
		func(ctx context.Context) error { return l.events.Run(ctx, l.runtime) })
}

// watchAndStore watches until ctx ends and the first of the watches has shown its last, and only then
// tells store to. A watch that waits for room in what is to be stored, while the history is away, would
// never end: it is given showTimeout.
func watchAndStore(ctx context.Context, store func(context.Context) error, watches ...func(context.Context) error) error {
	storing, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	shown := make(chan struct{})
	var g errgroup.Group
	for i, watch := range watches {
		g.Go(func() error {
			if i == 0 {
				defer close(shown)
			}
			return watch(watching)
		})
	}
	g.Go(func() error {
		defer stop()
		awaitShown(watching, shown)
		return nil
	})
	g.Go(func() error {
		defer cancel()
		return store(storing)
	})
	return g.Wait()
}

// awaitShown waits until shown is closed, or showTimeout after ctx ended.
func awaitShown(ctx context.Context, shown <-chan struct{}) {
	select {
	case <-shown:
		return
	case <-ctx.Done():
	}
	select {
	case <-shown:
	case <-time.After(showTimeout):
	}
}
