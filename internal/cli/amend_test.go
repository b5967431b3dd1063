package cli

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/sqlite"
)

// TestAmendBesideServe decides about an issue while another process has the history open and
// goes on writing: what is decided counts for the next stop.
func TestAmendBesideServe(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	path := filepath.Join(t.TempDir(), "h.db")
	ctx := context.Background()
	db, err := sqlite.Open(ctx, sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	now := time.Now().Truncate(time.Second)
	stop := fleet(now)[0]
	appended := func(pod, image string, created, finished time.Time) {
		t.Helper()
		r := stop.Clone()
		r.Pod, r.PodUID, r.Image, r.ImageID, r.PodCreatedAt, r.FinishedAt = pod, pod, image, "sha256:"+image, created, finished
		r.ObservedAt = finished
		r.ID = record.StopKey{ContainerKey: record.ContainerKey{PodUID: pod, Type: record.App, Name: "api"}}.ID()
		if err := db.Append(ctx, store.Batch{Records: []record.Record{r}}); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) (string, int) {
		t.Helper()
		var out, errs bytes.Buffer
		code := Main(ctx, append([]string{"whyrestart"}, append(args, "--store", path)...), Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
		if code == exitError {
			t.Fatalf("%v: %s", args, errs.String())
		}
		return out.String(), code
	}
	state := func(want string) {
		t.Helper()
		if got, _ := run("list", "--state", "all", "-o", "jsonpath={.issues[*].state}"); got != want {
			t.Fatalf("state %q, want %q", got, want)
		}
	}
	appended("a", "shop/checkout:1", now.Add(-3*time.Hour), now.Add(-2*time.Hour))
	appended("b", "shop/checkout:2", now.Add(-2*time.Hour), now.Add(-time.Hour))
	state("new")
	id, _ := run("list", "-o", "name")
	id = strings.TrimSpace(id)
	// What a script leaves of an ID that is not there is not the ID of the only one.
	for _, none := range []string{"", "w", "WR-", "issue/", "issue/WR-"} {
		var errs bytes.Buffer
		code := Main(ctx, []string{"whyrestart", "resolve", none, "--store", path}, Streams{In: strings.NewReader(""), Out: new(bytes.Buffer), Err: &errs})
		if code != exitError || !strings.Contains(errs.String(), "there is no such issue") {
			t.Fatalf("resolve %q: exit code %d, %s", none, code, &errs)
		}
	}
	state("new")
	if out, code := run("resolve", id, "--note", "fixed"); code != exitDone || out != id+" resolved\n" {
		t.Fatalf("exit code %d, %q", code, out)
	}
	state("resolved")
	if got, _ := run("list", "--state", "resolved", "-o", "jsonpath={.issues[0].image}"); got != "shop/checkout:2" {
		t.Errorf("resolved on image %q, want the newest", got)
	}
	appended("a2", "shop/checkout:1", now.Add(-3*time.Hour), now.Add(time.Minute)) // lags behind
	state("resolved")
	appended("c", "shop/checkout:3", now.Add(time.Second), now.Add(2*time.Minute))
	state("regressed")
	run("archive", id)
	state("archived")
	run("reopen", id)
	if got, _ := run("list", "--state", "all", "-o", "jsonpath={.issues[0].count}"); got != "4" {
		t.Errorf("%s stops, want 4", got)
	}
}

// TestResolveWhatLasts holds that nobody takes a stall for over because it left the list.
func TestResolveWhatLasts(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	path := filepath.Join(t.TempDir(), "h.db")
	db, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	r := record.Record{
		Kind: record.KindStall, ID: "0123456789abcdef01234567", Namespace: "shop", Pod: "web-0", PodUID: "u", Category: record.Failure,
		Stall: &record.Stall{Begin: time.Now().Add(-time.Hour)}, ObservedAt: time.Now(), Diagnosis: record.Diagnosis{Cause: "unschedulable", Confidence: record.Confirmed},
	}
	if err := db.Append(t.Context(), store.Batch{Records: []record.Record{r}}); err != nil {
		t.Fatal(err)
	}
	list, _, err := db.Issues(t.Context(), store.IssueQuery{})
	if err != nil || len(list) != 1 {
		t.Fatalf("%d issues, %v", len(list), err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	code := Main(t.Context(), []string{"whyrestart", "resolve", list[0].ID, "--store", path}, Streams{In: strings.NewReader(""), Out: new(bytes.Buffer), Err: &errs})
	if want := "whyrestart: " + list[0].ID + ": stalls that still last no longer show in the list: 1\n"; code != exitDone || errs.String() != want {
		t.Errorf("exit code %d, %q", code, &errs)
	}
}
