package storetest

import (
	"errors"
	"testing"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/shard"
	"github.com/whyrestart/whyrestart/internal/store"
)

// in returns a stop of a cluster and a namespace.
func in(n int, cluster, namespace string) record.Record {
	return with(stop(n), func(r *record.Record) {
		r.Cluster, r.Namespace = cluster, namespace
		r.ID = record.StopKey{Cluster: cluster, ContainerKey: record.ContainerKey{PodUID: r.PodUID, Name: r.Container}, Ordinal: n}.ID()
	})
}

func changesOfACluster(t *testing.T, f *fixture) {
	f.records(t, in(1, "prod", "shop"), in(2, "test", "shop"), in(3, "prod", "shop"))
	equal(t, "the changes of prod", ids([]record.Record{in(1, "prod", "shop"), in(3, "prod", "shop")}), changeIDs(f.changes(t, "log", 0)))
	other := store.Outbox{Cluster: "test", Consumer: "log"}
	got, err := f.Changes(t.Context(), other, 0)
	if err != nil || len(got) != 1 {
		t.Fatalf("the changes of test are %v, %v", changeIDs(got), err)
	}
	if err := f.Acknowledge(t.Context(), other, got[0].Seq); err != nil {
		t.Fatal(err)
	}
	if n := len(f.changes(t, "log", 0)); n != 2 {
		t.Errorf("%d changes of prod are left after those of test were acknowledged, want 2", n)
	}
	f.prune(t, store.Retention{})
	if n := len(f.changes(t, "log", 0)); n != 2 {
		t.Errorf("%d changes of prod are left after those of test were forgotten, want 2", n)
	}
}

// What four processes were told of, three go on with.
func changesOfAShard(t *testing.T, f *fixture) {
	var all []record.Record
	for n, ns := range []string{"shop", "pay", "edge", "data", "kube-system", "team-a", "x", "monitoring"} {
		all = append(all, in(n, "prod", ns), in(100+n, "prod", ns))
	}
	f.records(t, all...)
	told := make(map[string]int)
	read := func(of, limit int) {
		t.Helper()
		for i := range of {
			o := store.Outbox{Cluster: "prod", Shard: shard.Shard{Index: i, Of: of}, Consumer: "log"}
			got, err := f.Changes(t.Context(), o, limit)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range got {
				if !o.Shard.Contains(c.Record.Namespace) {
					t.Errorf("shard %s is told of namespace %s", o.Shard, c.Record.Namespace)
				}
				told[c.Record.ID]++
			}
			if len(got) > 0 {
				if err := f.Acknowledge(t.Context(), o, got[len(got)-1].Seq); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	read(4, 2)
	f.prune(t, store.Retention{})
	read(3, 0)
	read(1, 0)
	for _, r := range all {
		if told[r.ID] != 1 {
			t.Errorf("the record of namespace %s was told %d times", r.Namespace, told[r.ID])
		}
	}
}

func claim(t *testing.T, f *fixture) {
	take := func(cluster string, s shard.Shard) int64 {
		t.Helper()
		term, err := f.Claim(t.Context(), cluster, s)
		if err != nil {
			t.Fatalf("Claim: %v", err)
		}
		return term
	}
	write := func(n int, cluster string, s shard.Shard, term int64) error {
		return f.Append(t.Context(), store.Batch{Cluster: cluster, Shard: s, Term: term, Records: []record.Record{stop(n)}})
	}
	half, quarter := shard.Shard{Index: 0, Of: 2}, shard.Shard{Index: 1, Of: 4}
	first := take("prod", half)
	other, elsewhere := take("prod", shard.Shard{Index: 1, Of: 2}), take("test", shard.Shard{})
	if err := errors.Join(write(1, "prod", half, first), write(2, "prod", half, first)); err != nil {
		t.Fatalf("the claims of another shard and another cluster took over: %v", err)
	}
	second := take("prod", quarter)
	if second <= first {
		t.Fatalf("term %d comes after term %d", second, first)
	}
	if err := write(3, "prod", half, first); !errors.Is(err, store.ErrFenced) {
		t.Errorf("a process that was taken over from may write: %v", err)
	}
	if got := ids(f.all(t, store.Query{})); len(got) != 2 {
		t.Errorf("what was refused is stored: %v", got)
	}
	if err := errors.Join(
		write(4, "prod", quarter, second),
		write(5, "prod", shard.Shard{Index: 1, Of: 2}, other),
		write(6, "test", shard.Shard{}, elsewhere),
		write(7, "prod", shard.Shard{}, 0), // never claimed anything
	); err != nil {
		t.Error(err)
	}
	f.reopen(t)
	if err := write(8, "prod", half, first); !errors.Is(err, store.ErrFenced) {
		t.Errorf("after reopening, a process that was taken over from may write: %v", err)
	}
	if third := take("prod", half); third <= second {
		t.Errorf("term %d comes after term %d", third, second)
	}
}

// What one shard was told of says nothing about the namespaces of the others.
func changesOfOtherShards(t *testing.T, f *fixture) {
	first, second := shard.Shard{Index: 0, Of: 2}, shard.Shard{Index: 1, Of: 2}
	namespaces := map[bool]string{}
	for _, ns := range []string{"shop", "pay", "edge", "data", "kube-system", "team-a", "x", "monitoring"} {
		namespaces[first.Contains(ns)] = ns
	}
	f.records(t, in(1, "prod", namespaces[false]), in(2, "prod", namespaces[true]))
	o := store.Outbox{Cluster: "prod", Shard: first, Consumer: "log"}
	got, err := f.Changes(t.Context(), o, 0)
	if err != nil || len(got) != 1 {
		t.Fatalf("the changes of the first half are %v, %v", changeIDs(got), err)
	}
	if err := f.Acknowledge(t.Context(), o, got[0].Seq); err != nil {
		t.Fatal(err)
	}
	want := []string{in(1, "prod", namespaces[false]).ID}
	for _, o.Shard = range []shard.Shard{second, {}} {
		got, err := f.Changes(t.Context(), o, 0)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "the changes of shard "+o.Shard.String(), want, changeIDs(got))
	}
}
