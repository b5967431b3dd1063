package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/sqlstore"
)

// Append implements store.Writer.
//
// It takes four messages to the server and back, however many records there are: one begins, one
// locks and reads all that new records need, one writes, one commits. Records that are stored already
// take another one, and so does each rare question about issues that could not be foreseen.
func (s *Store) Append(ctx context.Context, b store.Batch) error {
	attempt := "append to store " + s.location
	if len(b.Records)+len(b.Marks)+len(b.Forget)+len(b.Gaps)+len(b.Scopes)+len(b.Observed) == 0 {
		return ctx.Err()
	}
	rows, err := sqlstore.EncodeBatch(b)
	if err != nil {
		return fmt.Errorf("%s: %w", attempt, err)
	}
	before := func(ctx context.Context) error { return s.before(ctx, b) }
	return s.write(ctx, attempt, before, func(ctx context.Context, tx *transaction) error {
		a := s.appender(ctx, tx, b)
		return a.append(rows)
	})
}

// An appender writes one batch in one transaction.
type appender struct {
	*transaction
	store    *Store
	batch    store.Batch
	now      time.Time
	group    *sqlstore.Group
	clusters map[string]*lockedCluster
	// records are those of the batch that are read or to be written, by ID; order is that in which
	// they came.
	records map[string]*heldRecord
	order   []*heldRecord
	// changes are by record, so that one has only its latest.
	changes map[int64]change
	seen    observed
}

// before makes what a transaction needs and cannot make itself, as it is there for all.
func (s *Store) before(ctx context.Context, b store.Batch) error {
	names := []string{}
	var weeks []int32
	if len(b.Marks)+len(b.Forget)+len(b.Gaps)+len(b.Scopes)+len(b.Observed) > 0 || b.Term != 0 {
		names = append(names, b.Cluster)
	}
	for i := range b.Records {
		names = append(names, b.Records[i].Cluster)
		weeks = append(weeks, s.choose(sqlstore.Nanos(b.Records[i].When())))
	}
	slices.Sort(names)
	if err := s.makeClusters(ctx, slices.Compact(names)); err != nil {
		return err
	}
	if len(weeks) == 0 {
		return nil
	}
	return s.makeWeeks(ctx, append(weeks, s.ahead()...))
}

func (s *Store) appender(ctx context.Context, tx *transaction, b store.Batch) *appender {
	a := &appender{
		transaction: tx, store: s, batch: b, now: s.now(), group: sqlstore.NewGroup(ctx, tx, s.codec, s.logger),
		clusters: make(map[string]*lockedCluster), records: make(map[string]*heldRecord), changes: make(map[int64]change),
	}
	tx.spill, tx.moved = a.spillRecords, a.moveRecords
	return a
}

func (a *appender) append(rows []sqlstore.Encoded) error {
	if err := a.begin(rows); err != nil {
		return err
	}
	for _, r := range rows {
		if err := a.record(r); err != nil {
			return fmt.Errorf("record %s: %w", r.Record.ID, err)
		}
	}
	if err := a.group.Flush(); err != nil {
		return err
	}
	if err := a.spillRecords(); err != nil {
		return err
	}
	a.writeChanges()
	if err := a.rest(); err != nil {
		return err
	}
	a.addUp(a.clusters)
	return nil
}

// cluster is the locked row of a cluster. A record that names another than before has one that is
// not locked yet; adding to it locks it.
func (a *appender) cluster(name string) *lockedCluster {
	c := a.clusters[name]
	if c == nil {
		c = new(lockedCluster)
		a.clusters[name] = c
	}
	return c
}

// begin locks the clusters, and reads all that can be foreseen.
func (a *appender) begin(rows []sqlstore.Encoded) error {
	b := a.batch
	if len(b.Marks)+len(b.Forget)+len(b.Gaps)+len(b.Scopes)+len(b.Observed) > 0 || b.Term != 0 {
		a.cluster(b.Cluster)
	}
	ids := make([]string, 0, len(rows))
	for i := range rows {
		a.cluster(rows[i].Record.Cluster)
		ids = append(ids, rows[i].Record.ID)
	}
	a.lock(a.clusters)
	var newest int64
	if b.Term != 0 {
		from, to := b.Shard.Slots()
		a.ask("SELECT coalesce(max(term), 0) FROM whyrestart.terms WHERE cluster = $1 AND slot >= $2 AND slot < $3",
			[]any{spell(b.Cluster), from, to}, func(scan func(...any) error) error { return scan(&newest) })
	}
	have := make(map[string]*heldRecord)
	w := new(wants)
	if len(rows) > 0 {
		a.reserve()
		a.ask("SELECT id, week, seq FROM whyrestart.keys WHERE id = ANY($1)", []any{spellAll(ids)}, func(scan func(...any) error) error {
			h := new(heldRecord)
			var id string
			err := scan(&id, &h.week, &h.seq)
			h.id = unspell(id)
			have[id] = h
			return err
		})
		for i := range rows {
			w.add(&rows[i].Record)
		}
		w.ask(a.transaction)
	}
	a.askMarks()
	a.askObserved()
	if err := a.flush(); err != nil {
		return err
	}
	if err := holds(a.clusters); err != nil {
		return err
	}
	if newest > b.Term {
		return fmt.Errorf("%w (term %d; this process has term %d)", store.ErrFenced, newest, b.Term)
	}
	if len(rows) == 0 {
		return nil
	}
	if err := w.tell(a.group); err != nil {
		return err
	}
	for _, id := range ids {
		if h := have[spell(id)]; h != nil {
			h.id = id
		}
	}
	return a.readRecords(have)
}

// wants are what is asked for many records at once.
type wants struct {
	ids, prints, kins, kinds, subjects []string
	since                              int64
	asked                              []issue.Wants
	found                              sqlstore.Known
}

// aroundSlack is how long before a record its incident may have been seen last: more than any.
const aroundSlack = int64(time.Hour)

func (w *wants) add(r *record.Record) {
	x := issue.WantsOf(r)
	w.ids, w.prints, w.kins = append(w.ids, x.ID), append(w.prints, x.Fingerprint), append(w.kins, x.Kin)
	if x.Kind != "" {
		since := sqlstore.Nanos(r.When()) - aroundSlack
		if len(w.kinds) == 0 || since < w.since {
			w.since = since
		}
		w.kinds, w.subjects = append(w.kinds, x.Kind), append(w.subjects, x.Subject)
	}
	w.asked = append(w.asked, x)
}

func sorted(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

func (w *wants) ask(t *transaction) {
	w.ids, w.prints, w.kins = sorted(w.ids), sorted(w.prints), sorted(w.kins)
	into := func(rows *[]sqlstore.Row) func(scan func(...any) error) error {
		return func(scan func(...any) error) error {
			var r sqlstore.Row
			err := scan(&r.Seq, &r.ID, &r.Doc)
			*rows = append(*rows, r)
			return err
		}
	}
	t.ask("SELECT seq, id, doc FROM whyrestart.issues WHERE id = ANY($1) OR fingerprint = ANY($2) OR kin = ANY($3)",
		[]any{w.ids, w.prints, w.kins}, into(&w.found.Issues))
	t.ask("SELECT a.alias, i.seq, i.id, i.doc FROM whyrestart.issue_aliases a JOIN whyrestart.issues i ON i.seq = a.issue WHERE a.alias = ANY($1)",
		[]any{w.ids}, func(scan func(...any) error) error {
			var alias string
			var r sqlstore.Row
			err := scan(&alias, &r.Seq, &r.ID, &r.Doc)
			if w.found.Aliases == nil {
				w.found.Aliases = make(map[string]sqlstore.Row)
			}
			w.found.Aliases[alias] = r
			return err
		})
	if len(w.kinds) > 0 {
		t.ask("SELECT seq, id, doc FROM whyrestart.incidents WHERE kind = ANY($1) AND subject = ANY($2) AND at >= $3",
			[]any{spellAll(sorted(slices.Clone(w.kinds))), spellAll(sorted(slices.Clone(w.subjects))), w.since}, into(&w.found.Incidents))
	}
}

func (w *wants) tell(g *sqlstore.Group) error {
	k := w.found
	k.IDs, k.Fingerprints, k.Kins, k.Since = w.ids, w.prints, w.kins, w.since
	for _, x := range w.asked {
		if x.Kind != "" {
			k.Subjects = append(k.Subjects, sqlstore.Subject{Cluster: x.Cluster, Kind: x.Kind, Subject: x.Subject})
		}
	}
	return g.Know(k)
}

// askMarks counts those marks of the batch that are there, so that the total can be kept.
func (a *appender) askMarks() {
	if len(a.batch.Marks) == 0 {
		return
	}
	uids, types, names, _ := a.marks()
	c := a.cluster(a.batch.Cluster)
	a.ask(`SELECT count(*) FROM unnest($2::text[], $3::text[], $4::text[]) AS u (pod_uid, type, name) JOIN whyrestart.marks m
		ON m.cluster = $1 AND m.pod_uid = u.pod_uid AND m.type = u.type AND m.name = u.name`,
		[]any{spell(a.batch.Cluster), uids, types, names}, func(scan func(...any) error) error {
			var have int64
			err := scan(&have)
			c.marks = int64(len(uids)) - have
			return err
		})
}

// marks are the marks of the batch, each container once.
func (a *appender) marks() (uids, types, names []string, marks []record.Mark) {
	last := make(map[record.ContainerKey]int)
	for i, m := range a.batch.Marks {
		last[m.ContainerKey] = i
	}
	for i, m := range a.batch.Marks {
		if last[m.ContainerKey] == i {
			uids, types, names, marks = append(uids, spell(m.PodUID)), append(types, spell(string(m.Type))), append(names, spell(m.Name)), append(marks, m)
		}
	}
	return uids, types, names, marks
}

// rest queues all of the batch that is not about records.
func (a *appender) rest() error {
	b, cluster := a.batch, spell(a.batch.Cluster)
	if len(b.Marks) > 0 {
		uids, types, names, marks := a.marks()
		docs := make([][]byte, len(marks))
		for i, m := range marks {
			var err error
			if docs[i], err = json.Marshal(m); err != nil {
				return fmt.Errorf("encode the mark of pod %s/%s: %w", m.Namespace, m.Pod, err)
			}
		}
		a.queue(`INSERT INTO whyrestart.marks (cluster, pod_uid, type, name, mark)
			SELECT $1, u.* FROM unnest($2::text[], $3::text[], $4::text[], $5::bytea[]) AS u (pod_uid, type, name, mark)
			ON CONFLICT (cluster, pod_uid, type, name) DO UPDATE SET mark = excluded.mark`, cluster, uids, types, names, docs)
	}
	if len(b.Forget) > 0 {
		a.cluster(b.Cluster).forget = b.Forget
	}
	for _, g := range b.Gaps {
		a.queue(`INSERT INTO whyrestart.gaps (cluster, from_at, what, to_at, count, kind, scope, why) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
			ON CONFLICT (cluster, from_at, what) DO UPDATE SET
				to_at = CASE WHEN excluded.to_at <> 0 THEN excluded.to_at ELSE gaps.to_at END, count = greatest(gaps.count, excluded.count)`,
			cluster, sqlstore.Nanos(g.From), gapKey(g), sqlstore.Nanos(g.To), g.Count, []byte(g.Kind), []byte(g.Scope), []byte(g.Why))
	}
	for _, name := range slices.Sorted(maps.Keys(b.Scopes)) {
		c := b.Scopes[name]
		a.queue(`INSERT INTO whyrestart.scopes (cluster, scope, since, seen, name, version) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (cluster, scope) DO UPDATE SET since = excluded.since, seen = excluded.seen, version = excluded.version`,
			cluster, spell(name), sqlstore.Nanos(c.Since), sqlstore.Nanos(c.Seen), []byte(name), []byte(c.ResourceVersion))
	}
	a.observe()
	return nil
}
