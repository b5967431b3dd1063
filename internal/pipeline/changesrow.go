package pipeline

import (
	"context"
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

const (
	// rowBreaks is the silence after which a failure is the first again.
	rowBreaks = 24 * time.Hour
	// rowPages and rowPage bound what is read of the history to find the first failure of a row,
	// rowReach how far back.
	rowPages, rowPage = 4, 500
	rowReach          = latelyRolledOut + 2*rowBreaks
)

// rowKey is what the failures of a row have in common.
type rowKey struct {
	namespace, container, cause string
	workload                    record.Workload
	// revision is the pods', number what the workload calls it: a rollback begins another row.
	revision, number string
}

func keyOfRow(r *record.Record, ro *rollout) rowKey {
	k := rowKey{namespace: r.Namespace, container: r.Container, cause: r.Diagnosis.Cause, revision: r.Revision, number: ro.to}
	if r.Workload != nil {
		k.workload = *r.Workload
	}
	return k
}

// row is a row of failures of one container of a workload, of one revision and cause, each at most
// a day after the one before it.
type row struct {
	// known tells that the history was read as far as it is wanted.
	known bool
	// first is its first failure as far as was recorded, zero where that is not known: it began
	// before anybody watched, or too much was recorded since.
	first, last time.Time
	// earlier counts the failures with other revisions that were recorded since a day before
	// the rollout.
	earlier int
}

// row returns the row that a failure belongs to. The history is read for the first of them; then
// it is remembered.
func (c *collector) row(ctx context.Context, r *record.Record, ro *rollout) row {
	if c.watched == nil || c.History == nil || r.Workload == nil {
		return row{}
	}
	key := keyOfRow(r, ro)
	at := r.When()
	is, ok := c.changes.rows.get(key)
	switch {
	case ok && at.Sub(is.last) <= rowBreaks:
	case ok:
		is.first, is.last = at, at
	default:
		if is, ok = c.readRow(ctx, r, ro); !ok {
			return row{}
		}
	}
	if at.After(is.last) {
		is.last = at
	}
	if !is.first.IsZero() && at.Before(is.first) {
		is.first = at
	}
	c.changes.rows.put(key, is)
	return is
}

// readRow reads the row that a failure is the newest of; false where the history cannot be read.
func (c *collector) readRow(ctx context.Context, r *record.Record, ro *rollout) (row, bool) {
	is := row{known: true, first: r.When(), last: r.When()}
	// The row ends where the revision was rolled out, or at a silence; whether others failed
	// before the rollout is of interest for a day.
	until := is.first.Add(-rowBreaks)
	if !ro.at.IsZero() && ro.at.Add(-rowBreaks).Before(until) {
		until = ro.at.Add(-rowBreaks)
	}
	broken := false
	q := store.Query{
		Cluster: r.Cluster, Namespaces: []string{r.Namespace}, Workload: r.Workload, Container: r.Container,
		Categories: []record.Category{record.Failure}, Since: r.When().Add(-rowReach), Limit: rowPage,
	}
	for range rowPages {
		found, next, err := c.History.List(ctx, q)
		if err != nil {
			return row{}, false
		}
		for i := range found {
			old := &found[i]
			if !sameContainer(old, r) || old.ID == r.ID || old.When().After(r.When()) {
				continue
			}
			at := old.When()
			before := !ro.at.IsZero() && at.Before(ro.at)
			switch {
			case old.Revision != r.Revision || before:
				if !ro.at.IsZero() && !at.Before(ro.at.Add(-rowBreaks)) {
					is.earlier++
				}
			case broken || old.Diagnosis.Cause != r.Diagnosis.Cause:
			case is.first.Sub(at) > rowBreaks:
				broken = true
			default:
				is.first = at
			}
			if broken && at.Before(until) {
				next = ""
				break
			}
		}
		if next == "" {
			if is.first.Before(r.When().Add(rowBreaks - rowReach)) {
				is.first = time.Time{} // or it goes on before that
			}
			return c.seenWhole(is, r, ro), true
		}
		q.Cursor = next
	}
	is.known, is.first = false, time.Time{} // too much was recorded
	return is, true
}

// seenWhole says of a row that began before anybody watched that its beginning is not known.
func (c *collector) seenWhole(is row, r *record.Record, ro *rollout) row {
	since := c.watchedSince(r.Namespace)
	made := ro.at
	if r.Workload.Kind == "Pod" {
		made = r.PodCreatedAt
	}
	if since.IsZero() || (made.IsZero() || !since.Before(made)) && !since.Before(is.first.Add(-rowBreaks)) {
		is.first = time.Time{}
	}
	return is
}

// watchedSince is when it was first watched for failures in a namespace; zero where nobody does.
func (c *collector) watchedSince(namespace string) time.Time {
	if c.watched == nil {
		return time.Time{}
	}
	return c.watched(namespace)
}

// sameContainer tells whether two failures are of the same container of a workload: a history may
// return more than it was asked for.
func sameContainer(a, b *record.Record) bool {
	return a.Category == record.Failure && a.Namespace == b.Namespace && a.Container == b.Container && a.Workload != nil && b.Workload != nil && *a.Workload == *b.Workload
}
