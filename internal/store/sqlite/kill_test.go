package sqlite

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/storetest"
)

// killedPath tells the test binary that it is the child of TestKill.
const killedPath = "WHYRESTART_TEST_KILLED_STORE"

// killed is the batch that the child appends as its n-th: new stops, one with a log, the
// previous stop once more, with another cause and so in another issue, and the mark that counts
// them.
func killed(n int) store.Batch {
	b := store.Batch{Cluster: "prod", Marks: []record.Mark{{ContainerKey: record.ContainerKey{PodUID: "pod"}, Accounted: n + 1}}}
	for i := range 1 + n%3 {
		r := storetest.Sample(10*n + i)
		if i == 0 {
			r.Log = storetest.SampleLog(n)
		}
		b.Records = append(b.Records, r)
	}
	if n > 0 {
		again := storetest.Sample(10 * (n - 1))
		again.Reason = "OOMKilled"
		again.Diagnosis.Cause = "oom_killed"
		b.Records = append(b.Records, again)
	}
	return b
}

// appendUntilKilled is the child: it goes on where the last one was killed, and prints
// the number of each batch after Append has returned.
func appendUntilKilled(path string) int {
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(-1) // it lives
	ctx := context.Background()
	s, err := Open(ctx, Options{Path: path})
	if err != nil {
		return fail(err)
	}
	next := 0
	if err := s.Marks(ctx, "prod", func(m record.Mark) bool { next = m.Accounted; return true }); err != nil {
		return fail(err)
	}
	for ; ; next++ {
		if err := s.Append(ctx, killed(next)); err != nil {
			return fail(err)
		}
		if next%5 == 4 {
			if err := s.Acknowledge(ctx, store.Outbox{Cluster: "prod", Consumer: "log"}, int64(next)); err != nil {
				return fail(err)
			}
		}
		if next%7 == 6 {
			if err := amendSome(ctx, s, next); err != nil {
				return fail(err)
			}
		}
		fmt.Println(next)
	}
}

// amendSome mutes an issue, as a person would.
func amendSome(ctx context.Context, s *Store, n int) error {
	r, err := s.Get(ctx, killed(n).Records[0].ID)
	if err != nil {
		return err
	}
	_, err = s.Amend(ctx, r.Issue.ID, issue.Action{Status: issue.StatusMuted, At: r.When()})
	return err
}

// TestKill kills a process that appends, again and again at any moment. Whatever it had
// been told is stored is there, once, and so is its change, and each issue counts its
// records; of the batch that it was killed in, everything or nothing.
func TestKill(t *testing.T) {
	const kills = 20
	rng := rand.New(rand.NewPCG(1, 2))
	path := filepath.Join(t.TempDir(), "history.db")
	acknowledged := -1
	for n := range kills {
		// The first few die while they make the file, or bring an existing one up to date.
		batches, spin := rng.IntN(12), rng.IntN(4_000)
		if n%5 < 2 {
			batches, spin = 0, rng.IntN(200_000)
		}
		acknowledged = max(acknowledged, runAndKill(t, path, batches, spin))
		if t.Failed() {
			return
		}
		// What is found stored stays so, although the child may have died before it said it.
		acknowledged = checkKilled(t, path, acknowledged) - 1
	}
	t.Logf("%d kills, %d batches acknowledged", kills, acknowledged+1)
}

// runAndKill starts a child, kills it some moments after it has acknowledged the given
// number of batches, and returns the last one that it acknowledged.
func runAndKill(t *testing.T, path string, batches, spin int) int {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), killedPath+"="+path)
	var stderr strings.Builder
	child.Stderr = &stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	last, lines := -1, bufio.NewScanner(out)
	scan := func() bool {
		if !lines.Scan() {
			return false
		}
		if last, err = strconv.Atoi(lines.Text()); err != nil {
			t.Fatalf("the child printed %q", lines.Text())
		}
		return true
	}
	for range 1 + batches {
		if !scan() {
			break
		}
	}
	// The child is at work on its next batch; how far it gets is up to this loop.
	for range spin {
		runtime.Gosched()
	}
	if err := child.Process.Kill(); err != nil {
		t.Error(err)
	}
	for scan() {
	}
	if err := child.Wait(); err == nil || stderr.Len() > 0 {
		t.Errorf("the child ended by itself: %v %s", err, stderr.String())
	}
	return last
}

// checkKilled returns how many batches are stored.
func checkKilled(t *testing.T, path string, acknowledged int) int {
	t.Helper()
	s, err := Open(t.Context(), Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	checkIntegrity(t, s)
	stored := 0
	if err := s.Marks(t.Context(), "prod", func(m record.Mark) bool { stored = m.Accounted; return true }); err != nil {
		t.Fatal(err)
	}
	if stored < acknowledged+1 || stored > acknowledged+2 {
		t.Errorf("%d batches are stored, %d were acknowledged", stored, acknowledged+1)
	}
	want := make(map[string]string)
	for n := range stored {
		for _, r := range killed(n).Records {
			want[r.ID] = r.Reason
		}
	}
	got := make(map[string]string)
	members := make(map[string]int64)
	for q := (store.Query{}); ; {
		page, next, err := s.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page {
			if _, twice := got[r.ID]; twice {
				t.Errorf("record %s is there twice", r.ID)
			}
			got[r.ID] = r.Reason
			if r.Issue == nil {
				t.Fatalf("record %s has no issue", r.ID)
			}
			members[r.Issue.ID]++
		}
		if q.Cursor = next; next == "" {
			break
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d records are stored, want %d", len(got), len(want))
	}
	for id, reason := range want {
		if got[id] != reason {
			t.Errorf("record %s has the reason %q, want %q", id, got[id], reason)
		}
	}
	issues := make(map[string]int64)
	for _, i := range allIssues(t, s) {
		if issues[i.ID] = i.Count; i.Count == 0 && i.Status == issue.StatusMuted {
			delete(issues, i.ID) // what a person spoke of stays without records
		}
	}
	if diff := cmp.Diff(members, issues); diff != "" {
		t.Errorf("the issues count otherwise than their records (-records +issues):\n%s", diff)
	}
	changes, err := s.Changes(t.Context(), store.Outbox{Cluster: "prod", Consumer: "new"}, len(want)+1)
	if err != nil || len(changes) != len(want) {
		t.Errorf("%d changes for %d records, error %v", len(changes), len(want), err)
	}
	for n := range stored {
		r, err := s.Get(t.Context(), killed(n).Records[0].ID)
		if err != nil || r.Log == nil || len(r.Log.Lines) != 40 {
			t.Errorf("the log of a record of batch %d is missing, error %v", n, err)
		}
	}
	if total := count(t, s); total != int64(len(want)) {
		t.Errorf("the total is %d, want %d", total, len(want))
	}
	return stored
}
