package app

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/pipeline"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/shard"
	"github.com/whyrestart/whyrestart/internal/store"
)

// SightQuery says what coverage is asked of. Zero fields ask for everything.
type SightQuery struct {
	// Cluster is asked for by name; nil for all that there are.
	Cluster    *string
	Namespaces []string
	// Since is when the stretch of time begins that ends Now.
	Since, Now time.Time
}

const (
	// quietFor is how long a watch may say nothing: an API server sends a bookmark about once a minute,
	// and what was seen is stored at the latest half a minute after.
	quietFor = 5 * time.Minute
	// maxSightGaps, maxMissedRows and maxMissedRead bound an answer, and what is read for it.
	maxSightGaps  = 1000
	maxMissedRows = 500
	maxMissedRead = 20_000
)

// StoredSight says what a history saw, and what it did not.
func StoredSight(ctx context.Context, r store.Reader, q SightQuery) (record.Sight, error) {
	s := sightMaker{q: q, Sight: record.Sight{Since: q.Since.UTC(), Until: q.Now.UTC()}}
	clusters, err := r.Clusters(ctx)
	if err != nil {
		return s.Sight, err
	}
	if len(clusters) == 0 {
		clusters = []string{""} // of which nothing was ever watched
	}
	several := len(clusters) > 1
	if q.Cluster != nil {
		clusters, several = []string{*q.Cluster}, false
	}
	for _, c := range clusters {
		if s.cluster = ""; several {
			s.cluster = c
		}
		if err := s.add(ctx, r, c); err != nil {
			return s.Sight, err
		}
	}
	stats, err := r.Stats(ctx)
	if err != nil {
		return s.Sight, err
	}
	if n := stats.Unlooked; n > 0 {
		s.Missing = append(s.Missing, record.Missing{
			What: fmt.Sprintf("what was missed before %d of the stops", n),
			Why:  "an earlier version stored them, and serve has not looked at them yet",
		})
	}
	s.finish()
	return s.Sight, nil
}

// StoredGaps returns the gaps of a history since a time (zero: since ever), with those that nobody has
// written because nothing is watched any more. An empty cluster stands for all.
func StoredGaps(ctx context.Context, r store.Reader, cluster string, namespaces []string, since time.Time) ([]record.Gap, error) {
	clusters := []string{cluster}
	if cluster == "" {
		var err error
		if clusters, err = r.Clusters(ctx); err != nil {
			return nil, err
		}
	}
	var out []record.Gap
	for _, c := range clusters {
		s := sightMaker{q: SightQuery{Namespaces: namespaces, Since: since, Now: time.Now()}}
		gaps, err := s.readGaps(ctx, r, c)
		if err != nil {
			return nil, err
		}
		if len(clusters) > 1 {
			for i := range gaps {
				gaps[i].Cluster = c
			}
		}
		if len(s.Scopes) > 0 { // else nobody ever said what is watched
			out = append(out, gaps...)
		} else {
			out = append(out, slices.DeleteFunc(gaps, func(g record.Gap) bool { return g.From.IsZero() && g.To.IsZero() })...)
		}
	}
	slices.SortStableFunc(out, func(a, b record.Gap) int { return a.From.Compare(b.From) })
	return out, nil
}

// InLife keeps the gaps in the watch in which one of the containers that were found may have stopped:
// from when its pod was created until it ended for good, as far as that is known.
func InLife(gaps []record.Gap, found []pipeline.Finding) []record.Gap {
	return slices.DeleteFunc(slices.Clone(gaps), func(g record.Gap) bool {
		if g.Kind != record.GapWatch && g.Kind != "" {
			return true
		}
		return !slices.ContainsFunc(found, func(f pipeline.Finding) bool {
			from, to := lifeOf(&f.Record)
			return shard.InScope(g.Scope, f.Record.Namespace) && g.Overlaps(from, to)
		})
	})
}

// lifeOf is from when to when a container of a pod may have stopped, as far as a record of it tells; the
// zero end is open.
func lifeOf(r *record.Record) (from, to time.Time) {
	from = r.PodCreatedAt
	if r.Stop != nil {
		from = cmp.Or(from, r.MissedAfter, r.StartedAt)
		if r.WillRestart == nil || !*r.WillRestart {
			to = r.When()
		}
	}
	return cmp.Or(from, r.When()), to
}

// LookSight says what a single look at a cluster, or at a recorded state of one, can know.
func LookSight(found []pipeline.Finding, c record.Coverage, now time.Time) record.Sight {
	s := sightMaker{q: SightQuery{Now: now}, Sight: record.Sight{
		Until: now.UTC(), Pods: c.Pods, Stops: c.Stops, Missing: c.Missing, Gaps: c.Gaps,
	}}
	s.rows = make(map[missedKey]*record.MissedStops)
	for i := range found {
		s.missed(&found[i].Record, nil)
	}
	s.finish()
	what := fmt.Sprintf("This is a single look at %s: of each container it shows the last stop alone", plural(int64(s.Pods), "pod"))
	if s.Missed > 0 {
		what += fmt.Sprintf("; %s before those are only counted", plural(int64(s.Missed), "stop"))
	}
	s.Summary = what + ". serve keeps a history."
	s.Whole = false
	return s.Sight
}

// sightMaker sums up clusters one by one.
type sightMaker struct {
	record.Sight
	q SightQuery
	// cluster is how what is added is marked.
	cluster string
	rows    map[missedKey]*record.MissedStops
	pods    map[missedKey]map[string]bool
}

type missedKey struct {
	cluster, namespace string
	workload           record.Workload
	container, why     string
}

func (s *sightMaker) add(ctx context.Context, r store.Reader, cluster string) error {
	gaps, err := s.readGaps(ctx, r, cluster)
	if err != nil {
		return err
	}
	if err := s.readMissed(ctx, r, cluster, gaps); err != nil {
		return err
	}
	backlogs, err := r.Backlogs(ctx, cluster)
	if err != nil {
		return err
	}
	s.told(backlogs, gaps)
	for i := range gaps {
		g := gaps[i]
		g.Cluster = s.cluster
		s.Gaps = append(s.Gaps, g)
		if a, ok := pipeline.Denied(g); ok {
			s.Denied = append(s.Denied, record.Denial{
				Cluster: s.cluster, Verb: a.Verb, Resource: a.Resource, Namespace: a.Namespace,
				Since: g.From, Until: g.To, Refused: g.Count, Means: deniedMeans(a),
			})
		}
	}
	return nil
}

// readGaps returns the gaps of a cluster that are asked for, and adds what is watched.
func (s *sightMaker) readGaps(ctx context.Context, r store.Reader, cluster string) ([]record.Gap, error) {
	scopes, err := r.Scopes(ctx, cluster)
	if err != nil {
		return nil, err
	}
	gaps, err := r.Gaps(ctx, cluster, s.q.Since, time.Time{})
	if err != nil {
		return nil, err
	}
	gaps = slices.DeleteFunc(gaps, func(g record.Gap) bool { return !s.concerns(&g) })
	return append(gaps, s.watched(scopes)...), nil
}

// concerns tells whether a gap is about the namespaces that are asked for, as far as it is about any.
func (s *sightMaker) concerns(g *record.Gap) bool {
	if len(s.q.Namespaces) == 0 {
		return true
	}
	scope := g.Scope
	switch g.Kind {
	case record.GapPermission:
		a, _ := pipeline.Denied(*g)
		scope = a.Namespace
	case record.GapWatch, record.GapEvents, "":
	case record.GapStore, record.GapNotification, record.GapEvidence:
		return true
	}
	return s.asks(scope)
}

// asks tells whether a scope has one of the namespaces that are asked for; what is no part of the
// namespaces, such as the events of nodes, always has.
func (s *sightMaker) asks(scope string) bool {
	if len(s.q.Namespaces) == 0 || scope == "" {
		return true
	}
	if _, _, slots := shard.ParseScope(scope); !slots && strings.Contains(scope, " ") {
		return true
	}
	return slices.ContainsFunc(s.q.Namespaces, func(ns string) bool { return shard.InScope(scope, ns) })
}

// watched adds what is watched, and returns the gaps that nobody has written: before the first watch,
// and since whoever watched has ceased to.
func (s *sightMaker) watched(stored map[string]store.Scope) (gaps []record.Gap) {
	var scopes []record.WatchedScope
	for key, sc := range stored {
		w := record.WatchedScope{Cluster: s.cluster, Since: sc.Since, Seen: sc.Seen}
		w.Scope, w.Selector, _ = strings.Cut(key, "|")
		if s.asks(w.Scope) {
			scopes = append(scopes, w)
		}
	}
	slices.SortFunc(scopes, func(a, b record.WatchedScope) int {
		return cmp.Or(cmp.Compare(a.Scope, b.Scope), cmp.Compare(a.Selector, b.Selector))
	})
	fresh := s.q.Now.Add(-quietFor)
	anew := slices.ContainsFunc(scopes, func(w record.WatchedScope) bool { return w.Seen.After(fresh) })
	// What was given up before the time that is asked for, as something else is watched now, is past.
	scopes = slices.DeleteFunc(scopes, func(w record.WatchedScope) bool { return anew && w.Seen.Before(s.q.Since) })
	for _, w := range scopes {
		if !s.q.Since.IsZero() && w.Since.After(s.q.Since) && !covered(scopes, &w, func(o *record.WatchedScope) bool { return !o.Since.After(s.q.Since) }) {
			gaps = append(gaps, record.Gap{Kind: record.GapWatch, To: w.Since, Scope: w.Scope, Why: "the watch had not begun"})
		}
		if w.Seen.After(fresh) || covered(scopes, &w, func(o *record.WatchedScope) bool { return o.Seen.After(fresh) && !o.Since.After(w.Seen.Add(quietFor)) }) {
			continue
		}
		gaps = append(gaps, record.Gap{Kind: record.GapWatch, From: w.Seen, Scope: w.Scope, Why: "nothing was stored since: whyrestart does not run, or cannot watch or store"})
	}
	for _, ns := range s.q.Namespaces {
		if !slices.ContainsFunc(scopes, func(w record.WatchedScope) bool { return shard.InScope(w.Scope, ns) }) {
			gaps = append(gaps, record.Gap{Kind: record.GapWatch, Scope: ns, Why: "this namespace is not watched"})
		}
	}
	if len(scopes) == 0 && len(s.q.Namespaces) == 0 {
		gaps = append(gaps, record.Gap{Kind: record.GapWatch, Why: "nothing was ever watched"})
	}
	s.Scopes = append(s.Scopes, scopes...)
	return gaps
}

// covered tells whether others than w that hold watched all that it is of.
func covered(scopes []record.WatchedScope, w *record.WatchedScope, holds func(*record.WatchedScope) bool) bool {
	from, to, slots := shard.ParseScope(w.Scope)
	if !slots {
		from = shard.Slot(w.Scope)
		to = from + 1
	}
	for slot := from; slot < to; slot++ {
		if !slices.ContainsFunc(scopes, func(o record.WatchedScope) bool {
			if o == *w || o.Selector != "" && o.Selector != w.Selector || !holds(&o) {
				return false
			}
			f, t, others := shard.ParseScope(o.Scope)
			return others && f <= slot && slot < t || !others && o.Scope == w.Scope
		}) {
			return false
		}
	}
	return true
}

// readMissed adds the stops that are only counted.
func (s *sightMaker) readMissed(ctx context.Context, r store.Reader, cluster string, gaps []record.Gap) error {
	q := store.Query{Cluster: cluster, Namespaces: s.q.Namespaces, Missed: true, Since: s.q.Since}
	for read := 0; ; {
		records, next, err := r.List(ctx, q)
		if err != nil {
			return err
		}
		for i := range records {
			if records[i].Cluster == cluster { // an empty name selects all
				s.missed(&records[i], gaps)
			}
		}
		if read += len(records); next == "" {
			return nil
		}
		if read >= maxMissedRead {
			s.Missing = append(s.Missing, record.Missing{
				What: "older missed stops",
				Why:  fmt.Sprintf("the newest %d stops that missed others were read", read),
			})
			return nil
		}
		q.Cursor = next
	}
}

func (s *sightMaker) missed(r *record.Record, gaps []record.Gap) {
	if r.Stop == nil || r.MissedBefore == 0 {
		return
	}
	k := missedKey{s.cluster, r.Namespace, record.Workload{Kind: "Pod", Name: r.Pod}, r.Container, "it restarted faster than its states came"}
	if r.Workload != nil {
		k.workload = *r.Workload
	}
	switch {
	case gaps == nil:
		k.why = "nobody watched"
	case r.BeforeWatch:
		k.why = "the watch had not begun"
	default:
		for i := range gaps {
			if g := &gaps[i]; g.Kind != record.GapWatch && g.Kind != "" || !g.Overlaps(r.MissedAfter, cmp.Or(r.MissedUntil, r.When())) ||
				!shard.InScope(g.Scope, r.Namespace) {
				continue
			}
			k.why = gaps[i].Why
			break
		}
	}
	if r.BeforeWatch && gaps != nil {
		s.MissedBeforeWatch += r.MissedBefore
	} else {
		s.Missed += r.MissedBefore
	}
	if s.rows == nil {
		s.rows = make(map[missedKey]*record.MissedStops)
	}
	if s.pods == nil {
		s.pods = make(map[missedKey]map[string]bool)
	}
	m, ok := s.rows[k]
	if !ok {
		w := k.workload
		m = &record.MissedStops{
			Cluster: k.cluster, Namespace: k.namespace, Workload: &w, Pod: r.Pod, Container: k.container, Why: k.why,
			After: r.MissedAfter, BeforeWatch: r.BeforeWatch && gaps != nil,
		}
		s.rows[k], s.pods[k] = m, make(map[string]bool)
	}
	m.Count += r.MissedBefore
	if s.pods[k][r.PodUID] = true; len(s.pods[k]) > 1 {
		m.Pod = ""
	}
	m.Pods = len(s.pods[k])
	if r.MissedAfter.IsZero() || r.MissedAfter.Before(m.After) {
		m.After = r.MissedAfter
	}
	if until := cmp.Or(r.MissedUntil, r.When()); until.After(m.Until) {
		m.Until = until
	}
}

// told adds who is told, and what was not.
func (s *sightMaker) told(backlogs []store.Backlog, gaps []record.Gap) {
	dropped := make(map[string]int64)
	for i := range gaps {
		if gaps[i].Kind == record.GapNotification {
			dropped[gaps[i].Scope] += gaps[i].Count
		}
	}
	for _, b := range backlogs {
		s.Consumers = append(s.Consumers, record.Consumer{
			Cluster: s.cluster, Name: b.Consumer, Waiting: b.Changes, Oldest: b.Oldest, Dropped: dropped[b.Consumer],
		})
		delete(dropped, b.Consumer)
	}
	for name, n := range dropped {
		s.Consumers = append(s.Consumers, record.Consumer{Cluster: s.cluster, Name: name, Dropped: n})
	}
}

// finish orders, bounds and sums up.
func (s *sightMaker) finish() {
	for _, m := range s.rows {
		s.MissedStops = append(s.MissedStops, *m)
	}
	slices.SortFunc(s.MissedStops, func(a, b record.MissedStops) int {
		if a.BeforeWatch != b.BeforeWatch {
			return map[bool]int{true: 1, false: -1}[a.BeforeWatch]
		}
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Namespace, b.Namespace),
			cmp.Compare(a.Workload.Name, b.Workload.Name), cmp.Compare(a.Workload.Kind, b.Workload.Kind), cmp.Compare(a.Container, b.Container), cmp.Compare(a.Why, b.Why))
	})
	if n := len(s.MissedStops); n > maxMissedRows {
		for _, m := range s.MissedStops[maxMissedRows:] {
			s.MoreMissed += m.Count
		}
		s.MissedStops = s.MissedStops[:maxMissedRows]
	}
	slices.SortStableFunc(s.Gaps, func(a, b record.Gap) int { return a.From.Compare(b.From) })
	slices.SortFunc(s.Consumers, func(a, b record.Consumer) int {
		return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Name, b.Name))
	})
	s.Denied = joined(s.Denied)
	s.sum()
	if n := len(s.Gaps) - maxSightGaps; n > 0 {
		s.MoreGaps, s.Gaps = n, slices.Clone(s.Gaps[n:])
	}
	if n := len(s.Denied) - maxSightGaps; n > 0 {
		s.Denied = slices.Clone(s.Denied[n:])
	}
}

// joined makes one of what is refused to several processes at the same time, in the order of time.
func joined(all []record.Denial) []record.Denial {
	slices.SortStableFunc(all, func(a, b record.Denial) int { return a.Since.Compare(b.Since) })
	type key struct{ cluster, verb, resource, namespace string }
	at := make(map[key]int)
	out := all[:0]
	for _, d := range all {
		k := key{d.Cluster, d.Verb, d.Resource, d.Namespace}
		if i, ok := at[k]; ok && (out[i].Until.IsZero() || !out[i].Until.Before(d.Since)) {
			had := &out[i]
			if had.Refused += d.Refused; !had.Until.IsZero() && (d.Until.IsZero() || d.Until.After(had.Until)) {
				had.Until = d.Until
			}
			continue
		}
		at[k] = len(out)
		out = append(out, d)
	}
	return out
}

// sum says in a sentence what was seen.
func (s *sightMaker) sum() {
	var watch []record.Gap
	since := s.q.Since
	for i := range s.Gaps {
		g := &s.Gaps[i]
		switch {
		case g.Kind != record.GapWatch && g.Kind != "":
		case g.From.IsZero() && !g.To.IsZero(): // before that nothing was watched
			if g.To.After(since) {
				since = g.To
			}
		default:
			watch = append(watch, *g)
		}
	}
	unseen := union(watch, s.q.Since, s.q.Now)
	s.UnseenSeconds = int64(unseen / time.Second)
	waiting, dropped := int64(0), int64(0)
	for i := range s.Consumers {
		dropped += s.Consumers[i].Dropped
		if c := &s.Consumers[i]; c.Waiting > 0 && !c.Oldest.IsZero() && s.q.Now.Sub(c.Oldest) >= quietFor {
			waiting += c.Waiting
		}
	}
	s.Whole = len(s.Gaps) == 0 && s.Missed == 0 && waiting == 0 && len(s.Missing) == 0

	in := "since the watch began"
	switch {
	case since.After(s.q.Since):
		in += " " + span(s.q.Now.Sub(since)) + " ago"
	case !s.q.Since.IsZero():
		in = "in the last " + span(s.q.Now.Sub(s.q.Since))
	}
	text := "Everything that is watched was seen " + in
	switch {
	case len(watch) == 0:
	case !since.IsZero() && unseen >= s.q.Now.Sub(since):
		text = "Nothing was seen " + in
		if len(s.Scopes) > 1 || len(s.q.Namespaces) > 1 {
			text = "Not everything that is watched was seen " + in
		}
	default:
		text += fmt.Sprintf(", but for %s (%s)", span(unseen), plural(int64(len(watch)), "gap"))
	}
	var more []string
	if s.Missed > 0 {
		more = append(more, areOnlyCounted(s.Missed))
	}
	lasting := 0
	for i := range s.Denied {
		if s.Denied[i].Until.IsZero() {
			lasting++
		}
	}
	if lasting > 0 {
		more = append(more, plural(int64(lasting), "permission")+" missing")
	}
	if dropped > 0 {
		more = append(more, plural(dropped, "notification")+" dropped")
	}
	if waiting > 0 {
		more = append(more, plural(waiting, "notification")+" late")
	}
	s.Summary = strings.Join(append([]string{text}, more...), "; ") + "."
}

func areOnlyCounted(n int) string {
	if n == 1 {
		return "1 stop is only counted"
	}
	return fmt.Sprintf("%d stops are only counted", n)
}

func plural(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// union is how long the gaps last within a stretch of time, where they overlap counted once.
func union(gaps []record.Gap, since, now time.Time) time.Duration {
	type stretch struct{ from, to time.Time }
	var all []stretch
	for i := range gaps {
		st := stretch{gaps[i].From, gaps[i].To}
		if st.to.IsZero() || st.to.After(now) {
			st.to = now
		}
		if st.from.Before(since) {
			st.from = since
		}
		if !st.from.IsZero() && st.to.After(st.from) {
			all = append(all, st)
		}
	}
	slices.SortFunc(all, func(a, b stretch) int { return a.from.Compare(b.from) })
	var sum time.Duration
	var until time.Time
	for _, st := range all {
		if st.from.Before(until) {
			st.from = until
		}
		if st.to.After(st.from) {
			sum += st.to.Sub(st.from)
			until = st.to
		}
	}
	return sum
}
