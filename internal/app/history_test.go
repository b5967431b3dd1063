package app

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/pipeline"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/sqlite"
)

// waited is a finding about a pod of a workload that waited so many seconds for its node.
func waited(workload string, pod, seconds int) pipeline.Finding {
	name := fmt.Sprintf("%s-%d", workload, pod)
	f := pipeline.Finding{
		Record: record.Record{
			Kind: record.KindStop, ID: fmt.Sprintf("%s%08d", "abcdef", pod) + workload, Namespace: "shop", Pod: name, PodUID: name, Container: "api", ContainerType: record.App, Category: record.Failure,
			Workload: &record.Workload{Kind: "Deployment", Name: workload}, Stop: &record.Stop{FinishedAt: noon.Add(time.Duration(pod) * time.Minute)},
		},
		Evidence: evidence.Evidence{Version: evidence.Version, Pod: evidence.Pod{
			Namespace: "shop", Name: name, UID: name, Node: "n1", CreatedAt: noon,
			Conditions: []evidence.Condition{{Type: "PodScheduled", Status: "True", Time: noon.Add(time.Duration(seconds) * time.Second)}},
		}},
	}
	return f
}

// usualWait is how long pods of the workload usually wait for a node, -1 where that is not said.
func usualWait(t *testing.T, f *pipeline.Finding) float64 {
	t.Helper()
	for _, s := range f.Record.Life {
		if s.Step == "scheduled" {
			if s.UsualSeconds == nil {
				return -1
			}
			return *s.UsualSeconds
		}
	}
	t.Fatalf("no such step in %+v", f.Record.Life)
	return 0
}

func TestUsual(t *testing.T) {
	db, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "history.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	b := store.Batch{Evidence: map[string]evidence.Evidence{}}
	for i, seconds := range []int{500, 4, 2, 3} {
		f := waited("api", i, seconds)
		b.Records, b.Evidence[f.Record.ID] = append(b.Records, f.Record), f.Evidence
	}
	for i := range 5 {
		f := waited("other", 10+i, 70)
		b.Records, b.Evidence[f.Record.ID] = append(b.Records, f.Record), f.Evidence
	}
	if err := db.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}

	found := []pipeline.Finding{waited("api", 0, 500)}
	beside := Alike(t.Context(), db, found)
	if len(beside) != 3 {
		t.Errorf("%d pods beside", len(beside))
	}
	AddLife(found)
	AddUsual(found, beside)
	if got := usualWait(t, &found[0]); got != 3 {
		t.Errorf("usually %v s", got)
	}

	// Without a history the other pods that were found tell, where they are enough.
	all := []pipeline.Finding{waited("api", 0, 500), waited("api", 1, 4), waited("api", 2, 2), waited("api", 3, 3), waited("other", 9, 70)}
	AddLife(all)
	AddUsual(all, nil)
	if got := usualWait(t, &all[0]); got != 3 {
		t.Errorf("usually %v s of those found", got)
	}
	if got := usualWait(t, &all[4]); got != -1 {
		t.Errorf("usually %v s of one pod", got)
	}
	bare := waited("api", 5, 5)
	bare.Record.Workload = nil
	if got := Alike(t.Context(), db, []pipeline.Finding{bare}); got != nil {
		t.Errorf("%d pods beside a bare one", len(got))
	}
}
