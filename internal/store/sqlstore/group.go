package sqlstore

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

// A Group is issue.Tx in a transaction. What was read or put stays in memory until Flush
// writes it, so that a batch of 500 stops of one issue reads and writes that once. What it has
// asked once, or was told by Know, it does not ask again: nobody else writes meanwhile.
type Group struct {
	//nolint:containedctx // It lives as long as the call that the context belongs to.
	ctx    context.Context
	tx     Tx
	codec  *Codec
	logger *slog.Logger

	issues    map[string]*heldIssue // by ID
	byPrint   map[string]string     // fingerprint to ID
	byKin     map[string][]string   // kin to IDs, of those that are held
	byAlias   map[string]string     // alias to ID, empty where it is known to be none
	incidents map[string]*heldIncident
	// gone are the rows that were deleted, and the ID of the issue that has their records.
	gone map[int64]string
	// What was asked for, all of which is held.
	asked asked
}

type asked struct {
	ids, prints, kins, incidents map[string]bool
	subjects                     map[Subject]int64
}

var _ issue.Tx = (*Group)(nil)

// A heldIssue with the number 0 has no row yet.
type heldIssue struct {
	seq   int64
	issue *issue.Issue
	// What the row has.
	identity identity
	nodes    []string
	dirty    bool
}

func (h *heldIssue) get() *issue.Issue {
	if h == nil {
		return nil
	}
	return h.issue
}

// An identity is what of an issue's row does not change from stop to stop.
type identity struct {
	fingerprint, kin, cluster, namespace string
	workload                             record.Workload
	container                            string
	kind                                 record.Kind
	category                             record.Category
	cause                                string
}

func identify(i *issue.Issue) identity {
	return identity{
		i.Fingerprint, i.Kin(), i.Cluster, i.Namespace, i.Workload, i.Container, i.Kind, i.Category, i.Cause,
	}
}

func (i identity) columns() []any {
	return []any{
		i.fingerprint, i.kin, i.cluster, i.namespace, i.workload.Kind, i.workload.Name,
		i.container, string(i.kind), string(i.category), i.cause,
	}
}

// NewGroup returns the group of a transaction.
func NewGroup(ctx context.Context, tx Tx, codec *Codec, logger *slog.Logger) *Group {
	return &Group{
		ctx: ctx, tx: tx, codec: codec, logger: logger,
		issues: make(map[string]*heldIssue), byPrint: make(map[string]string), byKin: make(map[string][]string),
		byAlias: make(map[string]string), incidents: make(map[string]*heldIncident), gone: make(map[int64]string),
		asked: asked{
			ids: make(map[string]bool), prints: make(map[string]bool), kins: make(map[string]bool), incidents: make(map[string]bool),
			subjects: make(map[Subject]int64),
		},
	}
}

// A Row is one of an issue or an incident.
type Row struct {
	Seq int64
	ID  string
	Doc []byte
}

// rows reads what a statement finds.
func (g *Group) rows(s Statement, args ...any) ([]Row, error) {
	var out []Row
	err := g.tx.Query(s, args, func(scan func(...any) error) error {
		var r Row
		err := scan(&r.Seq, &r.ID, &r.Doc)
		out = append(out, r)
		return err
	})
	return out, err
}

// find holds what a statement finds.
func (g *Group) find(s Statement, args ...any) error {
	rows, err := g.rows(s, args...)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if err := g.take(r); err != nil {
			return err
		}
	}
	return nil
}

// take holds what a row has, unless it is held already or was deleted since.
func (g *Group) take(r Row) error {
	if _, gone := g.gone[r.Seq]; gone {
		return nil
	}
	if g.issues[r.ID] != nil {
		return nil
	}
	g.asked.ids[r.ID] = true
	i, err := g.codec.Issue(r.Doc)
	if err != nil {
		return g.lose(r, err)
	}
	g.enter(&heldIssue{seq: r.Seq, issue: &i, identity: identify(&i), nodes: values(i.Nodes)})
	return nil
}

// lose removes an issue that cannot be read. To fail here would hold up this batch, and so
// everything after it, for ever; the records of it that are stored are counted anew.
func (g *Group) lose(r Row, why error) error {
	g.logger.WarnContext(g.ctx, "removed a stored issue that cannot be read; its records are counted anew", "id", r.ID, "error", why)
	if err := g.tx.Exec(ReleaseRecords, r.ID); err != nil {
		return err
	}
	g.gone[r.Seq] = ""
	return g.tx.Exec(DropIssue, r.Seq)
}

// enter makes a held issue one that is found, leave one that is not.
func (g *Group) enter(h *heldIssue) {
	g.issues[h.issue.ID] = h
	g.byPrint[h.identity.fingerprint] = h.issue.ID
	g.byKin[h.identity.kin] = append(g.byKin[h.identity.kin], h.issue.ID)
}

func (g *Group) leave(h *heldIssue) {
	id := h.issue.ID
	delete(g.issues, id)
	if g.byPrint[h.identity.fingerprint] == id {
		delete(g.byPrint, h.identity.fingerprint)
	}
	g.byKin[h.identity.kin] = slices.DeleteFunc(g.byKin[h.identity.kin], func(other string) bool { return other == id })
}

// ByID implements issue.Tx.
func (g *Group) ByID(id string) (*issue.Issue, error) {
	held, err := g.hold(id)
	if held != nil || err != nil {
		return held.get(), err
	}
	now, known := g.byAlias[id]
	if !known {
		rows, err := g.rows(FindAlias, id)
		if err != nil {
			return nil, fmt.Errorf("issue %s: %w", id, err)
		}
		for _, r := range rows {
			if err := g.take(r); err != nil {
				return nil, err
			}
			now = g.owner(r)
		}
		g.byAlias[id] = now
	}
	if now == "" {
		return nil, nil
	}
	held, err = g.hold(now)
	return held.get(), err
}

// owner is the ID of the issue that has what a row has, which may have been absorbed since.
func (g *Group) owner(r Row) string {
	if into, gone := g.gone[r.Seq]; gone {
		return into
	}
	return r.ID
}

// hold returns the issue with exactly this ID, or nil.
func (g *Group) hold(id string) (*heldIssue, error) {
	if held := g.issues[id]; held != nil || g.asked.ids[id] {
		return held, nil
	}
	g.asked.ids[id] = true
	if err := g.find(FindIssue, id); err != nil {
		return nil, fmt.Errorf("issue %s: %w", id, err)
	}
	return g.issues[id], nil
}

// ByFingerprint implements issue.Tx.
func (g *Group) ByFingerprint(fingerprint string) (*issue.Issue, error) {
	if g.byPrint[fingerprint] == "" && !g.asked.prints[fingerprint] {
		g.asked.prints[fingerprint] = true
		if err := g.find(FindPrint, fingerprint); err != nil {
			return nil, fmt.Errorf("issue with the fingerprint %s: %w", fingerprint, err)
		}
	}
	return g.issues[g.byPrint[fingerprint]].get(), nil
}

// ByKin implements issue.Tx.
func (g *Group) ByKin(kin string) ([]*issue.Issue, error) {
	if kin == "" {
		return nil, nil
	}
	if !g.asked.kins[kin] {
		g.asked.kins[kin] = true
		if err := g.find(FindKin, kin); err != nil {
			return nil, fmt.Errorf("issues of one kin: %w", err)
		}
	}
	var out []*issue.Issue
	for _, id := range g.byKin[kin] {
		out = append(out, g.issues[id].issue)
	}
	return out, nil
}

// Put implements issue.Tx.
func (g *Group) Put(i *issue.Issue) error {
	held, err := g.hold(i.ID)
	if err != nil {
		return err
	}
	now := identify(i)
	if held == nil {
		// One that was absorbed is back, under its own ID.
		g.byAlias[i.ID] = ""
		g.enter(&heldIssue{issue: i, identity: now, dirty: true})
		return nil
	}
	held.issue, held.dirty = i, true
	if now == held.identity {
		return nil
	}
	if held.seq != 0 {
		if err := g.tx.Exec(IdentifyIssue, append(now.columns(), held.seq)...); err != nil {
			return fmt.Errorf("change issue %s: %w", i.ID, err)
		}
	}
	g.leave(held)
	held.identity = now
	g.enter(held)
	return nil
}

func statusOf(i *issue.Issue) issue.Status {
	if i.Status == "" {
		return issue.Open
	}
	return i.Status
}

// write writes what was put of an issue.
func (g *Group) write(held *heldIssue) error {
	if !held.dirty {
		return nil
	}
	i := held.issue
	packed, err := g.codec.PackIssue(i)
	if err != nil {
		return fmt.Errorf("encode issue %s: %w", i.ID, err)
	}
	columns := []any{string(statusOf(i)), Nanos(i.Last), i.Count, i.Open, packed}
	if held.seq == 0 {
		err = g.tx.Exec(DropAlias, i.ID)
		if err == nil {
			args := append([]any{i.ID}, held.identity.columns()...)
			held.seq, err = g.tx.Insert(AddIssue, append(args, columns...)...)
		}
	} else {
		err = g.tx.Exec(ChangeIssue, append(columns, held.seq)...)
	}
	if err != nil {
		return fmt.Errorf("write issue %s: %w", i.ID, err)
	}
	nodes := values(i.Nodes)
	if err := g.difference(held.nodes, nodes, DropIssueNode, AddIssueNode, held.seq); err != nil {
		return fmt.Errorf("change the nodes of issue %s: %w", i.ID, err)
	}
	held.nodes, held.dirty = nodes, false
	return nil
}

// difference brings the rows for a list of values up to date.
func (g *Group) difference(was, is []string, drop, add Statement, seq int64) error {
	for _, v := range was {
		if !slices.Contains(is, v) {
			if err := g.tx.Exec(drop, v, seq); err != nil {
				return err
			}
		}
	}
	for _, v := range is {
		if !slices.Contains(was, v) {
			if err := g.tx.Exec(add, v, seq); err != nil {
				return err
			}
		}
	}
	return nil
}

func values(t issue.Tally) []string {
	var out []string
	for _, c := range t.Values {
		out = append(out, c.Value)
	}
	return out
}

// Delete implements issue.Tx.
func (g *Group) Delete(id string) error {
	held, err := g.hold(id)
	if held == nil || err != nil {
		return err
	}
	if err := g.drop(held, ""); err != nil {
		return fmt.Errorf("delete issue %s: %w", id, err)
	}
	return nil
}

// drop deletes an issue, of which another may have everything.
func (g *Group) drop(held *heldIssue, into string) error {
	id := held.issue.ID
	for alias, of := range g.byAlias {
		if of == id {
			g.byAlias[alias] = into
		}
	}
	g.byAlias[id] = into
	g.leave(held)
	if held.seq == 0 {
		return nil
	}
	// What was absorbed by it before is its own in the rows that were not read yet.
	for seq, of := range g.gone {
		if of == id {
			g.gone[seq] = into
		}
	}
	g.gone[held.seq] = into
	return g.tx.Exec(DropIssue, held.seq)
}

// Absorb implements issue.Tx.
func (g *Group) Absorb(from, into *issue.Issue) error {
	attempt := fmt.Sprintf("give the records of issue %s to %s", from.ID, into.ID)
	if err := g.Put(into); err != nil {
		return err
	}
	source, err := g.hold(from.ID)
	if err != nil {
		return err
	}
	target := g.issues[into.ID]
	if source == nil || source == target {
		return fmt.Errorf("%s: there is no such issue, or it is the same", attempt)
	}
	if err := g.write(target); err != nil { // it needs a row before it can have aliases
		return err
	}
	if err := g.tx.Exec(MoveRecords, into.ID, from.ID); err != nil {
		return fmt.Errorf("%s: %w", attempt, err)
	}
	if source.seq != 0 {
		if err := g.tx.Exec(MoveAliases, target.seq, source.seq); err != nil {
			return fmt.Errorf("%s: %w", attempt, err)
		}
	}
	if err := g.tx.Exec(AddAlias, from.ID, target.seq); err != nil {
		return fmt.Errorf("%s: %w", attempt, err)
	}
	if err := g.drop(source, into.ID); err != nil {
		return fmt.Errorf("%s: %w", attempt, err)
	}
	return nil
}

// Span implements issue.Tx.
func (g *Group) Span(id, without string) (first, last issue.Point, err error) {
	return g.span(FirstOfIssue, LastOfIssue, id, without)
}

// SpanOfIncident implements issue.Tx.
func (g *Group) SpanOfIncident(id, without string) (first, last issue.Point, err error) {
	return g.span(FirstOfIncident, LastOfIncident, id, without)
}

func (g *Group) span(firstOf, lastOf Statement, id, without string) (first, last issue.Point, err error) {
	for _, end := range []struct {
		of Statement
		at *issue.Point
	}{{firstOf, &first}, {lastOf, &last}} {
		err := g.tx.Query(end.of, []any{id, without}, func(scan func(...any) error) error {
			var at int64
			err := scan(&end.at.ID, &at)
			end.at.Time = FromNanos(at)
			return err
		})
		if err != nil {
			return first, last, fmt.Errorf("records of %s: %w", id, err)
		}
	}
	return first, last, nil
}

// Post counts a record in its issue.
func (g *Group) Post(old *record.Record, was issue.Place, next *record.Record) (issue.Place, error) {
	place, err := issue.Post(g, old, was, next)
	if err != nil {
		return issue.Place{}, fmt.Errorf("count it in its issue: %w", err)
	}
	return place, nil
}

// Amend applies an action to an issue, and returns it as it is then; store.ErrNotFound where there is
// none.
func (g *Group) Amend(id string, action issue.Action) (issue.Issue, error) {
	i, err := g.ByID(IssueID(id))
	if err != nil {
		return issue.Issue{}, err
	}
	if i == nil {
		return issue.Issue{}, store.ErrNotFound
	}
	if err := i.Amend(action); err != nil {
		return issue.Issue{}, err
	}
	if err := g.Put(i); err != nil {
		return issue.Issue{}, err
	}
	return *i, g.Flush()
}

// Release takes removed stalls that lasted out of what their issues have open: nobody will
// see their end. n is how many, by the ID of the issue.
func (g *Group) Release(n map[string]int64) error {
	for _, id := range slices.Sorted(maps.Keys(n)) {
		i, err := g.ByID(id)
		if err != nil {
			return err
		}
		if i == nil {
			continue
		}
		i.Open = max(0, i.Open-n[id])
		if err := g.Put(i); err != nil {
			return err
		}
	}
	return g.Flush()
}

// Flush writes what was put.
func (g *Group) Flush() error {
	for _, id := range slices.Sorted(maps.Keys(g.issues)) {
		if err := g.write(g.issues[id]); err != nil {
			return err
		}
	}
	return g.flushIncidents()
}

// Known is what a search found. A Group that is told does not ask.
type Known struct {
	// Issues are all that have one of the IDs, fingerprints or kins; Aliases the rows of those that
	// absorbed one of the IDs.
	IDs, Fingerprints, Kins []string
	Issues                  []Row
	Aliases                 map[string]Row
	// Incidents are, among others, all of the subjects that were seen at or after Since.
	Subjects  []Subject
	Since     int64
	Incidents []Row
}

// Know tells a group what a search found, before it is used for anything else.
func (g *Group) Know(k Known) error {
	for _, r := range k.Issues {
		if err := g.take(r); err != nil {
			return err
		}
	}
	for alias, r := range k.Aliases {
		if err := g.take(r); err != nil {
			return err
		}
		g.byAlias[alias] = g.owner(r)
	}
	for _, id := range k.IDs {
		g.asked.ids[id] = true
		if _, known := g.byAlias[id]; !known {
			g.byAlias[id] = ""
		}
	}
	for _, p := range k.Fingerprints {
		g.asked.prints[p] = true
	}
	for _, kin := range k.Kins {
		g.asked.kins[kin] = true
	}
	for _, r := range k.Incidents {
		if err := g.takeIncident(r); err != nil {
			return err
		}
	}
	for _, s := range k.Subjects {
		g.asked.subjects[s] = k.Since
	}
	return nil
}
