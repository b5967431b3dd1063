package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/whyrestart/whyrestart/internal/metrics"
	"github.com/whyrestart/whyrestart/internal/pipeline"
	"github.com/whyrestart/whyrestart/internal/printer"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

// errNotLeading is that of a delivery that was due when the Lease may have been another's already.
var errNotLeading = errors.New("this replica does not lead any more")

// replica is a process that watches with others, and records and tells while it leads.
type replica struct {
	o       ServeOptions
	reg     *prometheus.Registry
	meter   *metrics.Meter
	leader  *metrics.Leadership
	source  *source
	standby *pipeline.Standby
	lease   *lease
	// shared is the history where every replica has it open; nil where only the leader may.
	shared store.Store
	// ending is closed when the process is to end, watched when the watches have ended.
	ending  <-chan struct{}
	watched chan struct{}

	mu sync.Mutex
	// leading is the pipeline while this replica leads; taking tells that it is about to.
	leading *pipeline.Runtime
	taking  string
	// db is the history while this replica has it open.
	db store.Store
}

// serveReplica watches until ctx ends, and leads whenever it holds the Lease.
func serveReplica(ctx context.Context, o ServeOptions, d *door) error {
	lease, err := newLease(ctx, o.Source, o.LeaderElection, o.Shard, o.Logger)
	if err != nil {
		return err
	}
	p := &replica{o: o, lease: lease, watched: make(chan struct{})}
	if isPostgres(o.Store) {
		db, err := awaitStore(ctx, o, d)
		if err != nil {
			return err
		}
		p.shared = heed(db, o.Logger)
		p.has(p.shared)
		defer func() { _ = db.Close() }()
	}
	p.reg, p.meter = newMetrics(o)
	p.leader = metrics.NewLeadership(p.reg, lease.Describe())
	if p.source, err = newSource(ctx, o.Source, p.meter, o.Logger); err != nil {
		return err
	}
	options := pipeline.StandbyOptions{
		Cluster: o.Cluster, Selection: o.Selector, Shard: o.Shard,
		Scopes: p.source.watcher.Scopes(), EventIndex: p.source.index,
		Meter: p.meter, Logger: o.Logger, Now: time.Now,
	}
	if p.shared != nil {
		options.Progress = p.shared
	}
	p.standby = pipeline.NewStandby(options)
	d.show(handler(p.reg, p.ready, http.HandlerFunc(p.api)))
	o.Logger.Info("serving", "store", StoreName(o.Store), "listen", d.listener.Addr().String(), "version", o.Version,
		"lease", lease.Describe(), "identity", lease.Identity())

	g, gctx := errgroup.WithContext(ctx)
	p.ending = gctx.Done()
	g.Go(func() error {
		defer close(p.watched)
		var w errgroup.Group
		w.Go(func() error { return p.source.watcher.Run(gctx, p.standby) })
		w.Go(func() error { return p.source.events.Run(gctx, p.standby) })
		return w.Wait()
	})
	g.Go(func() error { return p.standby.Run(gctx) })
	g.Go(func() error { return p.remember(gctx) })
	g.Go(func() error {
		p.warm(gctx)
		return p.campaign(gctx)
	})
	err = g.Wait()
	o.Logger.Info("stopped")
	return err
}

// ready tells what this replica does, or why it is not ready to. A follower is as soon as it sees what
// the leader sees: so a rollout goes on.
func (p *replica) ready() (string, error) {
	p.mu.Lock()
	leading, taking := p.leading, p.taking
	p.mu.Unlock()
	switch {
	case leading != nil:
		return "leader", leading.Ready()
	case taking != "":
		return "taking over", errors.New(taking)
	}
	return "follower", p.standby.Ready()
}

func (p *replica) set(leading *pipeline.Runtime, taking string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leading, p.taking = leading, taking
}

// api answers from the history, where this replica has it open.
func (p *replica) api(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	db := p.db
	p.mu.Unlock()
	if db == nil {
		http.Error(w, "this replica follows, and only the one that leads has the history open", http.StatusServiceUnavailable)
		return
	}
	coverageAPI(db, p.o.Logger).ServeHTTP(w, r)
}

func (p *replica) has(db store.Store) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.db = db
}

// remember tells now and then how much is remembered.
func (p *replica) remember(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		p.leader.Remembers(p.standby.Kept())
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// warm waits until this replica has something to lead with.
func (p *replica) warm(ctx context.Context) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !p.standby.Warm() {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// campaign leads whenever the Lease is to be had, until ctx ends.
func (p *replica) campaign(ctx context.Context) error {
	for ctx.Err() == nil {
		err := p.lease.elect(ctx, p.lead)
		pause := p.o.LeaderElection.RetryPeriod
		switch {
		case ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)):
			return nil
		case err == nil, errors.Is(err, errNotLeading), errors.Is(err, context.Canceled):
		case errors.Is(err, store.ErrFenced):
			// Whoever claimed the history does not ask for this Lease, or got it while this process
			// was frozen. It is given time to show.
			p.o.Logger.Warn("another whyrestart writes this history; this replica follows", "err", err)
			pause = p.o.LeaderElection.LeaseDuration
		case errors.Is(err, store.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
			// It is another's turn to try, and what was not stored is remembered. A history that
			// hangs while it is left is no reason to end either.
			p.o.Logger.Error("cannot lead: the history cannot be reached", "err", err)
			pause = p.o.LeaderElection.LeaseDuration
		default:
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	return nil
}

// lead records and tells until ctx ends, because the process is to stop or the Lease is lost, or until
// another process writes the history.
func (p *replica) lead(ctx context.Context) error {
	began := time.Now()
	p.o.Logger.Info("this replica takes over", "lease", p.lease.Describe())
	p.set(nil, "this replica takes over")
	defer p.set(nil, "")
	db, err := p.open(ctx)
	if err != nil {
		return err
	}
	p.has(db)
	err = p.leadWith(ctx, db, began)
	p.leader.Leads(false)
	if p.stopping() {
		p.o.Logger.Info("this replica has stopped leading")
	} else {
		p.leader.Lost()
		p.o.Logger.Warn("this replica does not lead any more and follows", "led", time.Since(began).Round(time.Millisecond), "err", err)
	}
	if p.shared == nil {
		p.has(nil)
		if cerr := db.Close(); cerr != nil && err == nil {
			err = fmt.Errorf("close the store: %w", cerr)
		}
	}
	return err
}

// stopping tells that the process is to end, and not only that it leads no more.
func (p *replica) stopping() bool {
	select {
	case <-p.ending:
		return true
	default:
		return false
	}
}

func (p *replica) open(ctx context.Context) (store.Store, error) {
	if p.shared != nil {
		return p.shared, nil
	}
	for told := false; ; told = true {
		db, err := OpenStore(ctx, StoreOptions{Location: p.o.Store, Server: ElectedServer, Logger: p.o.Logger})
		switch {
		case err == nil:
			return heed(db, p.o.Logger), nil
		case ctx.Err() != nil || !errors.Is(err, store.ErrUnavailable):
			return nil, err
		case !told:
			// A leader that was frozen in the middle of a transaction keeps the file locked.
			p.o.Logger.Error("cannot lead before the history can be opened; trying again", "err", err)
			p.set(nil, err.Error())
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (p *replica) leadWith(ctx context.Context, db store.Store, began time.Time) error {
	if !p.lease.held() {
		return errNotLeading // a process that was frozen before here would take over from who leads now
	}
	// A history that only this replica cannot reach is another's to write: nothing is lost yet by
	// giving the Lease back.
	claiming, cancel := context.WithTimeout(ctx, p.o.LeaderElection.LeaseDuration)
	term, err := claim(claiming, p.o, db)
	cancel()
	if err != nil {
		return err
	}
	runtime, err := p.source.runtime(ctx, p.o.Source, db, term, p.meter, p.o.Logger)
	if err != nil {
		return fmt.Errorf("go on with the history: %w", err)
	}
	relay := p.o.relay(db, runtime)
	tell := relay.Deliver
	relay.Deliver = func(r record.Record) error {
		if !p.lease.held() {
			return errNotLeading // the next leader tells it
		}
		return tell(r)
	}
	// What the watch showed is stored, where the process is to end; where the Lease is lost, as much
	// as the history takes of it.
	storing, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer stop()
		<-gctx.Done()
		if p.stopping() {
			awaitShown(gctx, p.watched)
		}
		return nil
	})
	g.Go(func() error { return runtime.Run(storing) })
	g.Go(func() error {
		t, err := p.standby.Lead(gctx, runtime)
		if err != nil {
			return err
		}
		p.set(runtime, "")
		p.leader.Leads(true)
		p.o.Logger.Info("this replica leads", "term", term, "after", time.Since(began).Round(time.Millisecond),
			"pods", t.Pods, "played", t.Played, "known", t.Known, "gaps", t.Gaps)
		return nil
	})
	g.Go(func() error { return relay.Run(gctx, runtime.Told()) })
	g.Go(func() error { return prune(gctx, p.o, db) })
	l := &live{source: p.source, runtime: runtime}
	g.Go(func() error { return l.witnessing(gctx, p.o.Source, db, p.meter, p.o.Logger) })
	g.Go(func() error { return l.steward(p.o.Source, db, term, p.meter, p.o.Logger).Run(gctx) })
	err = g.Wait()
	p.set(nil, "")
	p.standby.Follow()
	if !p.stopping() {
		return err
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if derr := relay.Drain(last); derr != nil && err == nil {
		err = derr
	}
	return err
}

// claim begins a term of who writes the history.
func claim(ctx context.Context, o ServeOptions, db store.Store) (term int64, err error) {
	err = untilThere(ctx, func() (err error) {
		term, err = db.Claim(ctx, o.Cluster, o.Shard)
		return err
	})
	return term, err
}

// untilThere asks a history something again while it is away.
func untilThere(ctx context.Context, ask func() error) error {
	for {
		err := ask()
		if err == nil || ctx.Err() != nil || !errors.Is(err, store.ErrUnavailable) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// relay tells what is recorded on stdout.
func (o *ServeOptions) relay(db store.Store, runtime *pipeline.Runtime) *pipeline.Relay {
	return &pipeline.Relay{
		Ledger:  db,
		Outbox:  store.Outbox{Cluster: o.Cluster, Shard: o.Shard, Consumer: stdoutConsumer},
		Settle:  o.Settle,
		Settled: runtime.Settled,
		Deliver: func(r record.Record) error { return printer.JSONLine(o.Stdout, r) },
		Now:     time.Now,
	}
}
