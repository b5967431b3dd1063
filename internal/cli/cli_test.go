package cli

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/whyrestart/whyrestart/internal/app"
	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

func TestMain(m *testing.M) {
	run := func() {
		os.Exit(Main(context.Background(), os.Args, Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
	}
	testscript.Main(m, map[string]func(){"whyrestart": run, "kubectl-why_restart": run})
}

// TestScripts runs the command line as a person would. Beside the usual commands,
// scripts have "recording NAME FILE", which writes a recorded watch, "history NAME FILE",
// which makes a store of one ("recent NAME FILE": as if it had ended a minute ago), "fleet FILE", which makes
// one of many workloads, "gapped FILE", which makes one that did not see everything, "cmpids GOT WANT", which compares but for IDs and ages, and "outdated NAME FILE", which makes a store of a recorded state
// by rules that knew no cause.
func TestScripts(t *testing.T) {
	forbidding := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"pods is forbidden: User \"dev\" cannot list resource \"pods\" in API group \"\" in the namespace \"prod\"","reason":"Forbidden","details":{"kind":"pods"},"code":403}`)
	}))
	t.Cleanup(forbidding.Close)
	recordings, err := filepath.Abs("../../test/recordings")
	if err != nil {
		t.Fatal(err)
	}
	crashing, idle := newRecordedServer(t, filepath.Join(recordings, "gopanic")), newRecordedServer(t, filepath.Join(recordings, "healthy"))
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("RECORDINGS", recordings)
			e.Setenv("FORBIDDING", forbidding.URL)
			e.Setenv("CRASHING", crashing.URL)
			e.Setenv("IDLE", idle.URL)
			e.Setenv("HOME", e.WorkDir)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"recording": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Check(os.WriteFile(ts.MkAbs(args[1]), unpack(ts, filepath.Join(recordings, args[0], "watch.jsonl.gz")), 0o600))
			},
			"history": func(ts *testscript.TestScript, _ bool, args []string) {
				makeHistory(ts, unpack(ts, filepath.Join(recordings, args[0], "watch.jsonl.gz")), ts.MkAbs(args[1]))
			},
			"recent": func(ts *testscript.TestScript, _ bool, args []string) {
				makeHistory(ts, movedToNow(unpack(ts, filepath.Join(recordings, args[0], "watch.jsonl.gz"))), ts.MkAbs(args[1]))
			},
			"cmpids": func(ts *testscript.TestScript, _ bool, args []string) {
				got, want := anyID.ReplaceAllString(ts.ReadFile(args[0]), "$1-XXXXXX"), ts.ReadFile(args[1])
				// The clock goes on meanwhile.
				if diff := cmp.Diff(anyAge.ReplaceAllString(want, "AGE"), anyAge.ReplaceAllString(got, "AGE")); diff != "" {
					ts.Fatalf("%s and %s differ (-want +got):\n%s", args[1], args[0], diff)
				}
			},
			"fleet": func(ts *testscript.TestScript, _ bool, args []string) {
				makeFleet(ts, ts.MkAbs(args[0]))
			},
			"gapped": func(ts *testscript.TestScript, _ bool, args []string) {
				makeGapped(ts, ts.MkAbs(args[0]))
			},
			"outdated": func(ts *testscript.TestScript, _ bool, args []string) {
				makeOutdated(ts, filepath.Join(recordings, args[0], "dump.tar.gz"), ts.MkAbs(args[1]))
			},
		},
	})
}

func unpack(ts *testscript.TestScript, path string) []byte {
	f, err := os.Open(path)
	ts.Check(err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	ts.Check(err)
	b, err := io.ReadAll(z)
	ts.Check(err)
	return b
}

// makeHistory stores what a replay finds, with a log beside the first stop.
func makeHistory(ts *testscript.TestScript, stream []byte, path string) {
	ctx := context.Background()
	db, err := app.OpenStore(ctx, app.StoreOptions{Location: path})
	ts.Check(err)
	var found []record.Record
	_, err = app.Replay(ctx, "", []string{"-"}, bytes.NewReader(stream), func(r record.Record) error {
		if len(found) == 0 {
			r.Log = &record.Log{Lines: []string{"starting", "fatal: \x1b[31mno route\x1b[0m"}, Instance: record.LogProven}
		}
		found = append(found, r)
		return nil
	})
	ts.Check(err)
	ts.Check(db.Append(ctx, store.Batch{Records: found}))
	ts.Check(db.Close())
}

var (
	anyID  = regexp.MustCompile(`(W[RI])-[0-9A-F]{6}`)
	anyAge = regexp.MustCompile(`[ .▁▂▃▄▅▆▇█]*[0-9]+[smh][0-9]*s?( +[.▁▂▃▄▅▆▇█]+)? *`)
)

// movedToNow moves all times so that the newest is a minute ago.
func movedToNow(stream []byte) []byte {
	var newest time.Time
	each := func(f func(time.Time) time.Time) []byte {
		return timestamp.ReplaceAllFunc(stream, func(text []byte) []byte {
			t, err := time.Parse(time.RFC3339, string(text))
			if err != nil {
				return text
			}
			return []byte(f(t).Format(time.RFC3339))
		})
	}
	each(func(t time.Time) time.Time {
		if t.After(newest) {
			newest = t
		}
		return t
	})
	by := time.Since(newest).Truncate(time.Second) - time.Minute
	return each(func(t time.Time) time.Time { return t.Add(by) })
}

// makeOutdated stores what a recorded state shows, with its evidence, as older rules would
// have explained it; one record has no evidence.
func makeOutdated(ts *testscript.TestScript, dump, path string) {
	ctx := context.Background()
	found, _, err := app.LookInto(ctx, "", dump, nil, nil)
	ts.Check(err)
	db, err := app.OpenStore(ctx, app.StoreOptions{Location: path})
	ts.Check(err)
	b := store.Batch{Evidence: make(map[string]evidence.Evidence)}
	for _, f := range found {
		b.Evidence[f.Record.ID] = f.Evidence
		f.Record.Diagnosis = record.Diagnosis{Cause: "unknown", Confidence: record.Unknown, RulesVersion: "0"}
		b.Records = append(b.Records, f.Record)
	}
	lost := b.Records[0].Clone()
	lost.ID = strings.Repeat("0", 24)
	b.Records = append(b.Records, lost)
	ts.Check(db.Append(ctx, b))
	ts.Check(db.Close())
}

func TestExitCodes(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	healthy := filepath.Join("..", "..", "test", "recordings", "healthy", "watch.jsonl.gz")
	crashing := filepath.Join("..", "..", "test", "recordings", "exit1", "watch.jsonl.gz")
	for _, tc := range []struct {
		args string
		want int
	}{
		{"version", exitDone},
		{"replay " + crashing, exitDone},
		{"replay " + healthy, exitNothing},
		{"replay -o json " + healthy, exitNothing},
		{"replay no-such-file", exitError},
		{"replay", exitError},
		{"no-such-command", exitError},
		{"watch", exitError},
		{"list --source=nowhere", exitError},
		{"replay --color=blue " + crashing, exitError},
		{"replay -o xml " + crashing, exitError},
		{"replay --category=bad " + crashing, exitError},
		{"demo --speed=-1", exitError},
	} {
		var out, errs bytes.Buffer
		got := Main(t.Context(), append([]string{"whyrestart"}, strings.Fields(tc.args)...), Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
		if got != tc.want {
			t.Errorf("%s: exit code %d, want %d\n%s", tc.args, got, tc.want, errs.String())
		}
		if got == exitError && (strings.Count(errs.String(), "\n") != 1 || out.Len() > 0) {
			t.Errorf("%s: want one sentence on stderr and nothing else, got %q and %q", tc.args, errs.String(), out.String())
		}
	}
}

// firstRow cancels when something was written.
type firstRow struct {
	text   bytes.Buffer
	cancel func()
}

func (w *firstRow) Write(b []byte) (int, error) {
	w.cancel()
	return w.text.Write(b)
}

// TestWatchShowsStalls watches a cluster in which nothing happens but a pod that no node
// can take.
func TestWatchShowsStalls(t *testing.T) {
	server := newRecordedServer(t, filepath.Join("..", "..", "test", "recordings", "pendcpu"))
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	rows := &rowsUntil{want: "unschedulable", cancel: cancel}
	var errs bytes.Buffer
	code := Main(ctx, []string{"whyrestart", "watch", "-A", "--server", server.URL}, Streams{In: strings.NewReader(""), Out: rows, Err: &errs})
	if want := regexp.MustCompile(`s-pendcpu +pod/big +big +unschedulable +confirmed +failure +\S+\+ +insufficient_cpu: .*, NEW WR-[0-9A-F]{6}\n`); code != exitDone || !want.MatchString(rows.text.String()) {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, rows.text.String(), errs.String())
	}
}

// rowsUntil cancels when a text was written.
type rowsUntil struct {
	text   bytes.Buffer
	want   string
	cancel func()
}

func (w *rowsUntil) Write(b []byte) (int, error) {
	n, err := w.text.Write(b)
	if strings.Contains(w.text.String(), w.want) {
		w.cancel()
	}
	return n, err
}

// TestServeOrDemo plays the recording where there is no cluster, and ends well when it
// is interrupted.
func TestServeOrDemo(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	ctx, cancel := context.WithCancel(t.Context())
	out := &firstRow{cancel: cancel}
	var errs bytes.Buffer
	code := Main(ctx, []string{"whyrestart", "serve", "--or-demo"}, Streams{In: strings.NewReader(""), Out: out, Err: &errs})
	if code != exitDone || !strings.HasPrefix(out.text.String(), "TIME") || !strings.Contains(errs.String(), "There is no kubeconfig") {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, out.text.String(), errs.String())
	}
}
