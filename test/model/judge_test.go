package model

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/detect/kubelettest"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/sqlite"
)

// tally is what a run came to.
type tally struct {
	tries map[string]int
	// happened are the instances that ended; recorded and missed what is stored of them; unseen
	// what is neither, within gaps that are stated; doubled what is stored beyond what happened.
	happened, recorded, missed, unseen, doubled int
	// told counts what was delivered, untold the records that never were in their last form.
	told, untold int
}

// late is how long an end may be on its way to whyrestart: a gap that is stated begins when
// the watch was last known to be up to date, and what had not arrived by then is lost with it.
const late = time.Minute

type judge struct {
	w        *world
	db       *sqlite.Store
	gaps     []record.Gap
	since    time.Time
	records  map[string]record.Record
	of       map[string][]record.Record // by pod UID and container, in their order
	tally    tally
	problems []string
}

func (j *judge) problem(format string, args ...any) {
	j.problems = append(j.problems, fmt.Sprintf(format, args...))
}

// judged holds what is stored and what was told against the truth.
func (w *world) judged(db *sqlite.Store) (tally, []string) {
	ctx := context.Background()
	j := &judge{w: w, db: db, records: make(map[string]record.Record), of: make(map[string][]record.Record), tally: tally{tries: w.faults.tries, told: len(w.told)}}
	var err error
	if j.gaps, err = db.Gaps(ctx, clusterName, time.Time{}, time.Time{}); err != nil {
		j.problem("gaps: %v", err)
	}
	scopes, err := db.Scopes(ctx, clusterName)
	if err != nil {
		j.problem("scopes: %v", err)
	}
	for _, sc := range scopes {
		j.since = sc.Since
	}
	for _, g := range j.gaps {
		if g.To.Before(g.From) || g.From.IsZero() || g.To.IsZero() {
			j.problem("gap from %s to %s (%s)", g.From, g.To, g.Why)
		}
	}
	for q := (store.Query{Limit: 5000, Kind: record.KindStop}); ; {
		page, next, err := db.List(ctx, q)
		if err != nil {
			j.problem("list: %v", err)
			break
		}
		for i := range page {
			r, err := db.Get(ctx, page[i].ID)
			if err != nil {
				j.problem("get %s: %v", page[i].ID, err)
			}
			if _, twice := j.records[r.ID]; twice {
				j.problem("record %s is listed twice", r.ID)
			}
			r.Issue = nil
			j.records[r.ID] = r
			key := r.PodUID + "/" + r.Container
			j.of[key] = append(j.of[key], r)
		}
		if q.Cursor = next; next == "" {
			break
		}
	}
	for _, p := range w.cluster.all {
		for _, c := range p.Containers {
			j.container(p, c)
		}
	}
	j.telling()
	if len(j.problems) > 0 {
		for _, g := range j.gaps {
			j.problem("gap %s %s %s", clockTime(g.From), clockTime(g.To), g.Why)
		}
		for _, a := range j.w.away {
			j.problem("away %s %s; by its clock %s %s", clockTime(a.from), clockTime(a.to), clockTime(j.w.clock(a.from)), clockTime(j.w.clock(a.to)))
		}
	}
	return j.tally, j.problems
}

// container holds the records of one container against its instances.
func (j *judge) container(p *simPod, c *kubelettest.Container) {
	name := p.uid + "/" + c.Name
	records := j.of[name]
	slices.SortFunc(records, func(a, b record.Record) int {
		if a.Epoch != b.Epoch {
			return a.Epoch - b.Epoch
		}
		return a.Ordinal - b.Ordinal
	})
	byID := make(map[string]record.Record)
	missed := 0
	for _, r := range records {
		missed += r.MissedBefore
		if r.BeforeWatch && r.When().After(j.since.Add(time.Second)) && j.w.plan.clock == 0 {
			j.problem("%s: instance %d is said to be older than the watch", name, r.Ordinal)
		}
		if r.ContainerID == "" {
			continue
		}
		if other, twice := byID[r.ContainerID]; twice {
			j.tally.doubled++
			j.problem("%s: %s is recorded as %d.%d and as %d.%d", name, r.ContainerID, other.Epoch, other.Ordinal, r.Epoch, r.Ordinal)
		}
		byID[r.ContainerID] = r
	}
	total := len(records) + missed
	j.tally.happened += c.Ended
	j.tally.recorded += len(records)
	j.tally.missed += missed
	if total > c.Ended {
		j.tally.doubled += total - c.Ended
		j.problem("%s: %d recorded and %d missed, but %d ended\n%s", name, len(records), missed, c.Ended, history(c, records))
	}
	excused := 0
	for _, i := range c.All {
		if r, ok := byID[i.ID]; ok {
			j.instance(name, i, &r)
		} else if !i.EndedAt.IsZero() && j.unseen(i.EndedAt) && (!p.deletedAt.IsZero() || j.w.plan.resets) {
			excused++
		}
	}
	if short := c.Ended - total; short > 0 {
		j.tally.unseen += short
		if short > excused {
			j.problem("%s: %d ended, %d recorded, %d missed; %d of the rest in gaps that are stated\n%s", name, c.Ended, len(records), missed, excused, history(c, records))
		}
	}
	j.windows(name, c, records)
}

// unseen tells whether a gap covers a moment.
func (j *judge) unseen(at time.Time) bool {
	t := j.w.clock(at)
	if t.Before(j.since.Add(time.Second)) {
		return true // nobody says that it was watched
	}
	stated := slices.ContainsFunc(j.gaps, func(g record.Gap) bool { return t.After(g.From.Add(-late)) && !t.After(g.To.Add(time.Second)) })
	if stated || j.w.plan.clock == 0 {
		return stated
	}
	// A gap is told by a clock that was wrong, in other ways at its begin and at its end: that it
	// is told is all that can be held.
	return len(j.gaps) >= len(j.w.away) && slices.ContainsFunc(j.w.away, func(a stretch) bool {
		return at.After(a.from.Add(-late)) && !at.After(a.to.Add(time.Second))
	})
}

// instance holds a record against the instance that it is about.
func (j *judge) instance(name string, i *kubelettest.Instance, r *record.Record) {
	switch {
	case i.EndedAt.IsZero():
		j.problem("%s: %s is recorded as ended, and runs", name, i.ID)
	case r.ExitCode == nil, r.Reason == "ContainerStatusUnknown", i.State != "exited":
	case *r.ExitCode != i.Exit || !r.FinishedAt.Equal(i.To.Truncate(time.Second)):
		j.problem("%s: %s ended with %d at %s, and is recorded with %d at %s", name, i.ID, i.Exit, i.To, *r.ExitCode, r.FinishedAt)
	case r.Category == record.Failure && r.Log == nil && !j.w.over(r):
		j.problem("%s: %s failed, and nothing is said of its log", name, i.ID)
	}
}

// over tells that a record was found in the last seconds: its log need not be there.
func (w *world) over(r *record.Record) bool { return r.ObservedAt.After(w.clock(w.calm)) }

// windows checks that what is counted as missed ended when it is said to have.
func (j *judge) windows(name string, c *kubelettest.Container, records []record.Record) {
	if j.w.plan.resets {
		return // which of them are counted is not known
	}
	at := func(id string) int {
		return slices.IndexFunc(c.All, func(i *kubelettest.Instance) bool { return i.ID == id })
	}
	last := -1
	for _, r := range records {
		n := at(r.ContainerID)
		if n < 0 {
			return
		}
		for _, i := range c.All[last+1 : max(n, last+1)] {
			if r.MissedBefore == 0 || i.EndedAt.IsZero() {
				continue
			}
			if end := i.EndedAt; end.Before(r.MissedAfter.Add(-time.Second)) || !r.MissedUntil.IsZero() && end.After(r.MissedUntil.Add(time.Second)) {
				j.problem("%s: %s was missed and ended at %s, not between %s and %s\n%s", name, i.ID, end, r.MissedAfter, r.MissedUntil, history(c, records))
			}
		}
		last = n
	}
}

// telling checks that everything was told, in its last form at last.
func (j *judge) telling() {
	last := make(map[string]record.Record)
	for _, r := range j.w.told {
		last[r.ID] = r
	}
	for id, r := range j.records {
		told, ok := last[id]
		switch {
		case !ok:
			j.problem("record %s (%s %s %d) was never told", id, r.PodUID, r.Container, r.Ordinal)
		case document(told) != document(r):
			j.problem("record %s was told at last as\n%s\nand is stored as\n%s", id, document(told), document(r))
		default:
			continue
		}
		j.tally.untold++
	}
	for id, r := range last {
		if _, ok := j.records[id]; !ok && r.Stop != nil {
			j.problem("record %s was told and is not stored", id)
		}
	}
}

func document(r record.Record) string {
	doc, err := json.Marshal(r)
	if err != nil {
		return err.Error()
	}
	return string(doc)
}

// history shows what happened to a container beside what was recorded.
func history(c *kubelettest.Container, records []record.Record) string {
	var b strings.Builder
	for _, i := range c.All {
		fmt.Fprintf(&b, "   %s %s from %s, ended %s %s %d\n", i.ID, i.State, clockTime(i.From), clockTime(i.EndedAt), i.Reason, i.Exit)
	}
	for _, r := range records {
		fmt.Fprintf(&b, "   -> %d.%d %s missed %d, finished %s, observed %s %v\n", r.Epoch, r.Ordinal, r.ContainerID, r.MissedBefore, clockTime(r.FinishedAt), clockTime(r.ObservedAt), r.ExitObserved)
	}
	return b.String()
}

func clockTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Format("02 15:04:05")
}
