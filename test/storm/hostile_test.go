package storm

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/sqlite"
	"github.com/whyrestart/whyrestart/internal/store/storetest"
)

// controls are what a terminal must never see, and what cuts texts in the wrong places, in 4 KiB.
func controls(n int) string {
	part := fmt.Sprintf("fatal %d \x1b]0;owned\x07\x1b[2J\x1b]8;;http://evil\x1b\\link\u202e\u2066\x00\x7f\u009b31m\r\n\tpanic: %08x ", n, n*7919)
	return strings.Repeat(part, 4096/len(part)+1)[:4096]
}

// screaming answers with a line that does not end, of what a terminal must not see, as much as
// the kubelet sends.
func screaming(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	limit := 1 << 20
	if _, err := fmt.Sscan(r.URL.Query().Get("limitBytes"), &limit); err != nil {
		limit = 1 << 20
	}
	line := time.Now().Add(-time.Second).UTC().Format(time.RFC3339Nano) + " " + strings.Repeat(controls(limit)+"\xff\xfe", limit/4096+1)
	_, _ = w.Write([]byte(strings.ReplaceAll(line, "\n", " ")[:limit]))
}

// command runs a command of whyrestart, and returns what it printed and the most memory that it had.
func command(t testing.TB, args ...string) (string, int64) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), child+"=1")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, errs.String())
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		t.Fatal("no usage")
	}
	for _, line := range strings.Split(out.String()+errs.String(), "\n") {
		if raw([]byte(line)) > 0 {
			t.Errorf("%v printed what no terminal should see: %q", args, line)
		}
	}
	return out.String(), usage.Maxrss << 10
}

// A pod whose containers stop every second, each with a message of control characters, another
// one every time, and a log of lines without an end: half an hour of it, at speed.
func TestHostilePod(t *testing.T) {
	rounds := sized(40, 1800) // half an hour
	const containers, perIssue = 2, 20
	api := newAPIServer(t)
	api.log = screaming
	all := fleet(api, 1, containers)
	s := serve(t, api)
	s.watching(1)
	var truth int64
	for n := range rounds {
		all[0].message = controls(n)
		truth += crash(api, all)
		if n%50 == 49 {
			s.stored(truth)
		}
	}
	s.stored(truth)
	s.allTold(truth)
	peak := s.end()

	db, err := sqlite.Open(t.Context(), sqlite.Options{Path: s.store})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	before, err := db.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// See package issue: from the 51st signature of a container and day on, all others are one.
	if before.Issues > containers*60 {
		t.Errorf("%d issues of %d containers", before.Issues, containers)
	}
	if _, err := db.Prune(t.Context(), store.Retention{PerIssue: perIssue}); err != nil {
		t.Fatal(err)
	}
	after, err := db.Stats(t.Context())
	if err != nil || after.Stops > before.Issues*perIssue || after.Stops+after.Pruned+after.Missed != truth {
		t.Errorf("after retention: %+v, error %v", after, err)
	}
	t.Logf("%d stops: peak memory %d MiB; %d issues; stored %d KiB, after retention by %d for an issue %d records, %d KiB",
		truth, peak>>20, before.Issues, before.Bytes>>10, perIssue, after.Stops, after.Bytes>>10)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"list"}, {"list", "-o", "wide"}, {"list", "--ungrouped"}, {"list", "-o", "json"}, {"list", "-o", "yaml"}, {"list", "-o", "jsonl"}} {
		command(t, append(args, "-A", "--store", s.store)...)
	}
}

// A flood of events, pods of a thousand containers and pods with as much annotation as etcd takes.
func TestOddPods(t *testing.T) {
	events, wide, heavy := sized(2000, 100_000), sized(1, 3), sized(5, 200)
	containers := sized(100, 1000)
	api := newAPIServer(t)
	api.log = shortLog
	all := fleet(api, heavy+20, 1)
	for _, r := range all[:heavy] {
		r.extra = map[string]string{"example.com/huge": strings.Repeat("\x1b[31mx", 200_000)}
	}
	for n := range wide {
		all = append(all, &replica{n: len(all) + n, restarts: make([]int32, containers)})
	}
	at := time.Now()
	for _, r := range all {
		api.set(&api.pods, r.pod(false, at))
	}
	s := serve(t, api)
	s.watching(len(all))
	for n := range events {
		p := all[n%len(all)].pod(false, at)
		api.set(&api.events, &corev1.Event{
			ObjectMeta:     metav1.ObjectMeta{Namespace: p.Namespace, Name: fmt.Sprintf("e.%x", n)},
			InvolvedObject: corev1.ObjectReference{Kind: "Pod", APIVersion: "v1", Namespace: p.Namespace, Name: p.Name, UID: uidOf("other", fmt.Sprint(n))},
			Type:           "Warning", Reason: []string{"Unhealthy", "Killing", "BackOff", "FailedMount"}[n%4], Message: controls(n)[:1024],
			FirstTimestamp: metav1.NewTime(at), LastTimestamp: metav1.NewTime(at), Count: 1, Source: corev1.EventSource{Component: "kubelet"},
		})
	}
	var truth int64
	for range 2 {
		truth += crash(api, all)
		s.stored(truth)
	}
	s.allTold(truth)
	peak := s.end()
	t.Logf("%d events; %d pods of 1.4 MB, %d of %d containers; %d stops: peak memory %d MiB", events, heavy, wide, containers, truth, peak>>20)
}

// A crashing fleet for a while: memory is as steady as what happens.
func TestSteady(t *testing.T) {
	if !large() {
		t.Skip("only in the large form: the small one of TestBurst is the same")
	}
	api := newAPIServer(t)
	api.log = shortLog
	all := fleet(api, 2000, 1)
	s := serve(t, api)
	s.watching(len(all))
	var truth int64
	for n := range 6 {
		truth += crash(api, all)
		s.stored(truth)
		t.Logf("after round %d: %.0f MiB resident, %.0f MiB of heap", n, s.metric("process_resident_memory_bytes")/(1<<20), s.metric("go_memstats_heap_inuse_bytes")/(1<<20))
	}
	s.allTold(truth)
	t.Logf("2000 pods, %d stops: peak memory %d MiB", truth, s.end()>>20)
}

// Commands over a large history cost what their page costs. Retention by size keeps the file,
// and its log, within bounds beside appends.
func TestLargeHistory(t *testing.T) {
	records := sized(3000, 200_000)
	maxBytes := int64(sized(2<<20, 64<<20))
	path := t.TempDir() + "/history.db"
	db, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for n := 0; n < records; n += 1000 {
		var b store.Batch
		for i := n; i < n+1000; i++ {
			b.Records = append(b.Records, storetest.Sample(i))
		}
		if err := db.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	stats, err := db.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"list", "--state", "all", "--since", "100000h"}, {"list", "--ungrouped", "--since", "100000h"}} {
		_, peak := command(t, append(args, "-A", "--store", path)...)
		t.Logf("%v over %d records, %d MiB: peak memory %d MiB", args, stats.Stops, stats.Bytes>>20, peak>>20)
	}
	// A storm of stops with logs, and retention by size beside it.
	var log int64
	ctx, stop := context.WithCancel(t.Context())
	pruned := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			if _, err := db.Prune(ctx, store.Retention{MaxBytes: maxBytes}); err != nil && ctx.Err() == nil {
				pruned <- err
				return
			}
		}
		pruned <- nil
	}()
	for n := range sized(10, 100) {
		var b store.Batch
		for i := range 300 {
			r := storetest.Sample(records + 300*n + i)
			r.Message, r.Log = controls(i), storetest.SampleLog(n*300+i)
			b.Records = append(b.Records, r)
		}
		if err := db.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path + "-wal"); err == nil {
			log = max(log, info.Size())
		}
	}
	stop()
	if err := <-pruned; err != nil {
		t.Fatal(err)
	}
	if _, err := db.Prune(t.Context(), store.Retention{MaxBytes: maxBytes}); err != nil {
		t.Fatal(err)
	}
	stats, err = db.Stats(t.Context())
	if err != nil || stats.Bytes > maxBytes {
		t.Errorf("%d bytes are stored beyond %d, error %v", stats.Bytes, maxBytes, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	const logBound = 64 << 20
	if log > logBound {
		t.Errorf("the write-ahead log grew to %d MiB", log>>20)
	}
	all, _, err := db.List(t.Context(), store.Query{Kind: record.KindStop, Limit: 1})
	if err != nil || len(all) != 1 {
		t.Errorf("%d records, error %v", len(all), err)
	}
	t.Logf("retention by %d MiB beside appends: content %d KiB, file %d KiB, the write-ahead log at most %d KiB", maxBytes>>20, stats.Bytes>>10, info.Size()>>10, log>>10)
}
