package sqlite

import (
	"cmp"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/sqlstore"
	"github.com/whyrestart/whyrestart/internal/store/storetest"
)

// A plainTx is issue.Tx in its simplest form.
type plainTx struct {
	issues    map[string]issue.Issue
	aliases   map[string]string
	incidents map[string]issue.Incident
}

func (p *plainTx) absorb(from, into string) {
	delete(p.issues, from)
	for alias, id := range p.aliases {
		if id == from {
			p.aliases[alias] = into
		}
	}
	p.aliases[from] = into
}

func (p *plainTx) remove(id string) {
	delete(p.issues, id)
	maps.DeleteFunc(p.aliases, func(_, of string) bool { return of == id })
}

func at(second int) time.Time { return storetest.Epoch().Add(time.Duration(second) * time.Second) }

// TestGroup holds that a group answers as if it wrote everything at once, wherever its
// transactions begin and end.
func TestGroup(t *testing.T) {
	empty := stored(t, 0)
	rapid.Check(t, func(rt *rapid.T) {
		s := openTest(t, Options{Path: copyOf(t, empty)})
		plain := &plainTx{issues: make(map[string]issue.Issue), aliases: make(map[string]string), incidents: make(map[string]issue.Incident)}
		number := rapid.IntRange(0, 5)
		for range rapid.IntRange(1, 4).Draw(rt, "transactions") {
			err := s.writer.transact(t.Context(), func(tx *sql.Tx) error {
				g := newGroup(t.Context(), tx, s.writer)
				for range rapid.IntRange(1, 8).Draw(rt, "steps") {
					n, m := number.Draw(rt, "n"), number.Draw(rt, "m")
					id, other := fmt.Sprintf("WR-%06d", n), fmt.Sprintf("WR-%06d", m)
					switch rapid.SampledFrom([]string{"put", "put", "change", "change", "delete", "absorb", "incident", "drop incident", "flush"}).Draw(rt, "step") {
					case "put":
						delete(plain.aliases, id) // one that was absorbed can come back
						i := drawIssue(rt, id)
						must(rt, g.Put(new(i.Clone())))
						plain.issues[id] = i
					case "change": // what was read may be written to
						i, err := g.ByID(id)
						must(rt, err)
						if i == nil {
							continue
						}
						i.Count++
						i.Last = at(number.Draw(rt, "last"))
						i.Nodes.Add(fmt.Sprintf("node-%d", m), i.Last, 1, 3)
						must(rt, g.Put(i))
						plain.issues[i.ID] = i.Clone()
					case "delete":
						must(rt, g.Delete(id))
						plain.remove(id)
					case "absorb":
						from, into := plain.issues[id], plain.issues[other]
						if n == m || from.ID == "" || into.ID == "" {
							continue
						}
						a, err := g.ByID(id)
						must(rt, err)
						b, err := g.ByID(other)
						must(rt, err)
						b.Count += a.Count
						must(rt, g.Put(b))
						must(rt, g.Absorb(a, b))
						into.Count += from.Count
						plain.issues[other] = into
						plain.absorb(id, other)
					case "incident":
						i := issue.Incident{ID: fmt.Sprintf("WI-%06d", n), Kind: issue.OnNode, Subject: fmt.Sprint(m % 2), Last: at(m), Count: int64(m)}
						for k := range m {
							i.Pods.Add(fmt.Sprint(k), i.Last, 1, 10)
						}
						if old, ok := plain.incidents[i.ID]; ok {
							i.Subject = old.Subject
						}
						must(rt, g.PutIncident(new(i.Clone())))
						plain.incidents[i.ID] = i
					case "drop incident":
						must(rt, g.DeleteIncident(fmt.Sprintf("WI-%06d", n)))
						delete(plain.incidents, fmt.Sprintf("WI-%06d", n))
					case "flush":
						must(rt, g.Flush())
					}
					compareGroup(rt, g, plain)
				}
				return g.Flush()
			})
			must(rt, err)
		}
		checkGroup(rt, s, plain)
		must(rt, s.Close())
	})
}

func drawIssue(t *rapid.T, id string) issue.Issue {
	n := rapid.IntRange(0, 3).Draw(t, "what")
	i := issue.Issue{
		ID: id, Fingerprint: "print of " + id, Category: record.Failure, Count: int64(n), Last: at(n), Status: issue.Open,
		Key: issue.Key{Namespace: "shop", Container: fmt.Sprint(rapid.IntRange(0, 1).Draw(t, "container"))},
	}
	for k := range n {
		i.Nodes.Add(fmt.Sprintf("node-%d", k), i.Last, 1, 10)
	}
	return i
}

func must(t *rapid.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func same(t *rapid.T, what string, want, got any) {
	t.Helper()
	if diff := gocmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

func compareGroup(t *rapid.T, g *sqlstore.Group, plain *plainTx) {
	for n := range 6 {
		id := fmt.Sprintf("WR-%06d", n)
		now := cmp.Or(plain.aliases[id], id)
		got, err := g.ByID(id)
		must(t, err)
		want, ok := plain.issues[now]
		if !ok {
			same(t, "an issue that is not there", (*issue.Issue)(nil), got)
		} else {
			same(t, "issue "+id, &want, got)
		}
		byPrint, err := g.ByFingerprint("print of " + id)
		must(t, err)
		if want, ok := plain.issues[id]; ok {
			same(t, "the issue with the fingerprint of "+id, &want, byPrint)
		} else {
			same(t, "the issue with the fingerprint of "+id, (*issue.Issue)(nil), byPrint)
		}
		incident, err := g.Incident(fmt.Sprintf("WI-%06d", n))
		must(t, err)
		if want, ok := plain.incidents[fmt.Sprintf("WI-%06d", n)]; ok {
			same(t, "an incident", &want, incident)
		} else {
			same(t, "an incident", (*issue.Incident)(nil), incident)
		}
	}
	for _, container := range []string{"0", "1"} {
		kin := (&issue.Issue{Category: record.Failure, Key: issue.Key{Namespace: "shop", Container: container}}).Kin()
		var want, got []string
		for id, i := range plain.issues {
			if i.Container == container {
				want = append(want, id)
			}
		}
		issues, err := g.ByKin(kin)
		must(t, err)
		for _, i := range issues {
			got = append(got, i.ID)
		}
		slices.Sort(want)
		slices.Sort(got)
		same(t, "the kin", want, got)
	}
	for _, since := range []time.Time{{}, at(2), at(4)} {
		for _, subject := range []string{"0", "1"} {
			var want time.Time
			for _, i := range plain.incidents {
				if i.Subject == subject && !i.Last.Before(since) && i.Last.After(want) {
					want = i.Last
				}
			}
			i, err := g.Around("", issue.OnNode, subject, since)
			must(t, err)
			if i == nil && !want.IsZero() || i != nil && !i.Last.Equal(want) {
				t.Fatalf("around %s of %s: %+v, want one of %s", since, subject, i, want)
			}
		}
	}
}

// checkGroup holds that what is read beside a group is what it was told.
func checkGroup(t *rapid.T, s *Store, plain *plainTx) {
	for n := range 6 {
		node := fmt.Sprintf("node-%d", n)
		var want, got []string
		for id, i := range plain.issues {
			if slices.ContainsFunc(i.Nodes.Values, func(c issue.Count) bool { return c.Value == node }) {
				want = append(want, id)
			}
		}
		must(t, query(t.Context(), s.reader, "SELECT i.id FROM issue_nodes n JOIN issues i ON i.seq = n.issue WHERE n.node = ? ORDER BY i.id", []any{node}, func(scan func(...any) error) error {
			var id string
			err := scan(&id)
			got = append(got, id)
			return err
		}))
		slices.Sort(want)
		same(t, "the issues of a node", want, got)
	}
	for id, want := range plain.issues {
		var last, total int64
		err := s.reader.QueryRowContext(t.Context(), "SELECT at, total FROM issues WHERE id = ?", id).Scan(&last, &total)
		if err != nil || last != sqlstore.Nanos(want.Last) || total != want.Count {
			t.Fatalf("the row of %s has %d and %d, want %+v; error %v", id, last, total, want, err)
		}
	}
	var rows int
	if err := s.reader.QueryRowContext(t.Context(), "SELECT count(*) FROM issue_aliases").Scan(&rows); err != nil || rows != len(plain.aliases) {
		t.Fatalf("there are %d aliases, want %v; error %v", rows, plain.aliases, err)
	}
	shown := 0
	for _, i := range plain.incidents {
		if i.Shown() {
			shown++
		}
	}
	if err := s.reader.QueryRowContext(t.Context(), "SELECT count(*) FROM incidents WHERE shown").Scan(&rows); err != nil || rows != shown {
		t.Fatalf("%d incidents are shown, want %d; error %v", rows, shown, err)
	}
}

func TestSpan(t *testing.T) {
	s := newTest(t)
	records := older(20)
	mustAppend(t, s, records...)
	r, err := s.Get(t.Context(), records[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	members, _, err := s.List(t.Context(), store.Query{Issue: r.Issue.ID})
	if err != nil || len(members) != 1 {
		t.Fatal(len(members), err)
	}
	again := records[0].Clone()
	again.ID, again.FinishedAt = "again", again.FinishedAt.Add(time.Hour)
	mustAppend(t, s, again)
	err = s.writer.transact(t.Context(), func(tx *sql.Tx) error {
		g := newGroup(t.Context(), tx, s.writer)
		one := issue.Point{ID: records[0].ID, Time: records[0].When()}
		two := issue.Point{ID: again.ID, Time: again.When()}
		for _, c := range []struct {
			id, without string
			first, last issue.Point
		}{
			{r.Issue.ID, "", one, two},
			{r.Issue.ID, one.ID, two, two},
			{r.Issue.ID, two.ID, one, one},
			{"WR-none", "", issue.Point{}, issue.Point{}},
		} {
			first, last, err := g.Span(c.id, c.without)
			if err != nil || !gocmp.Equal(first, c.first) || !gocmp.Equal(last, c.last) {
				t.Errorf("the span of %s without %q is %v to %v, error %v", c.id, c.without, first, last, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
