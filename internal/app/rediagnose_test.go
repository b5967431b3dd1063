package app

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/pipeline"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/sqlite"
)

// history makes a store of what is found in recordings, with the evidence for it.
func history(t *testing.T, names ...string) (*sqlite.Store, []record.Record) {
	t.Helper()
	db, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "history.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	var all []record.Record
	for _, name := range names {
		found, _, err := LookInto(t.Context(), "prod", filepath.Join(recordings, name, "dump.tar.gz"), nil, nil)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %d findings, %v", name, len(found), err)
		}
		b := store.Batch{Evidence: map[string]evidence.Evidence{}}
		for _, f := range found {
			b.Records = append(b.Records, f.Record)
			b.Evidence[f.Record.ID] = pipeline.WithoutLog(f.Evidence)
			all = append(all, f.Record)
		}
		if err := db.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	return db, all
}

func TestRediagnose(t *testing.T) {
	db, all := history(t, "gopanic", "oom", "live500", "pendcpu", "nocm", "outofcpu", "act-sandbox")
	run := func(dry bool) (sum Rediagnosis, changes map[string]string) {
		t.Helper()
		changes = make(map[string]string)
		sum, err := Rediagnose(t.Context(), db, store.Query{Limit: 2}, dry, func(was, is record.Record) error {
			changes[was.ID] = was.Diagnosis.Cause + " " + is.Diagnosis.Cause
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return sum, changes
	}
	// What these rules said they say again, of what was stored.
	sum, changes := run(false)
	if diff := cmp.Diff(Rediagnosis{Looked: len(all)}, sum); diff != "" || len(changes) != 0 {
		t.Fatalf("nothing changed (-want +got):\n%s%v", diff, changes)
	}
	// An older version said something else of two, and kept no evidence of a third.
	want := make(map[string]string)
	for i, r := range all {
		if i%3 != 0 || len(want) == 2 {
			continue
		}
		want[r.ID] = "old_words " + r.Diagnosis.Cause
		r.Diagnosis.Cause, r.Diagnosis.RulesVersion = "old_words", "0"
		if err := db.Append(t.Context(), store.Batch{Records: []record.Record{r}}); err != nil {
			t.Fatal(err)
		}
	}
	bare := record.Record{Kind: record.KindStop, ID: "without-evidence", Stop: &record.Stop{}}
	if err := db.Append(t.Context(), store.Batch{Records: []record.Record{bare}}); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name    string
		dry     bool
		changed int
	}{{"dry", true, 2}, {"for real", false, 2}, {"again", false, 0}} {
		sum, changes := run(step.dry)
		if sum.Changed != step.changed || sum.Without != 1 || len(changes) != step.changed {
			t.Errorf("%s: %+v, %v", step.name, sum, changes)
		}
		if step.changed > 0 {
			if diff := cmp.Diff(want, changes); diff != "" {
				t.Errorf("%s (-want +got):\n%s", step.name, diff)
			}
		}
	}
	for _, r := range all {
		got, err := db.Get(context.Background(), r.ID)
		if err != nil {
			t.Fatal(err)
		}
		r.Issue, got.Issue = nil, nil
		if !sameJSON(r, got) {
			t.Errorf("%s is not what it was:\n%s", r.ID, cmp.Diff(r, got))
		}
	}
}

// TestLookIntoOnePod holds that one asks for a pod and gets it, well or not.
func TestLookIntoOnePod(t *testing.T) {
	path := filepath.Join(recordings, "healthy", "dump.tar.gz")
	all, _, err := LookInto(t.Context(), "", path, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		if all[i].Record.Kind == "" {
			t.Errorf("a pod of which there is nothing to find, although nobody asked: %+v", all[i].Record)
		}
	}
	name := ""
	found, _, err := LookInto(t.Context(), "", path, nil, func(pod *corev1.Pod) bool {
		if name == "" && pod.Namespace == "s-healthy" {
			name = pod.Name
		}
		return pod.Name == name
	})
	if err != nil || len(found) != 1 {
		t.Fatalf("%d findings, %v", len(found), err)
	}
	if f := &found[0]; f.Record.Kind != "" || f.Record.Pod != name || f.Record.Workload == nil || len(f.Evidence.Others) == 0 || !f.Evidence.EventsRead {
		t.Errorf("a pod that is well: %+v, evidence %+v", f.Record, f.Evidence)
	}
}
