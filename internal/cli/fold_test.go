package cli

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/printer"
	"github.com/whyrestart/whyrestart/internal/record"
)

// TestFold holds that of an incident the first few stops are shown, and that no stop is lost:
// those that are not shown are counted, once each.
func TestFold(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var out bytes.Buffer
	f := &folder{
		rows: printer.NewTable(&out, printer.TableOptions{Clock: true}),
		incident: func(id string) (issue.Incident, bool) {
			return issue.Incident{ID: id, Summary: "node-17 rebooted"}, id == "WI-1"
		},
	}
	stop := func(n int, incident string) record.Record {
		return record.Record{
			Kind: record.KindStop, ID: fmt.Sprintf("%s/%d", incident, n), Namespace: "shop", Pod: fmt.Sprintf("pod%s%d", incident, n), ObservedAt: now,
			Stop: &record.Stop{ExitObserved: true}, Diagnosis: record.Diagnosis{Cause: "runtime_restarted"},
			Issue: &record.IssueRef{ID: "WR-1", Count: int64(n), Incident: incident},
		}
	}
	show := once(f.show)
	send := func(r record.Record) {
		t.Helper()
		if err := show(r); err != nil {
			t.Fatal(err)
		}
	}
	flush := func(at time.Time) string {
		t.Helper()
		out.Reset()
		if err := f.flush(at); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	for n := range 25 {
		send(stop(n, "WI-1"))
		send(stop(n, "WI-1")) // late evidence
	}
	for n := range 5 {
		send(stop(n, "WI-2"))
		send(stop(n, ""))
	}
	if rows := strings.Count(out.String(), " podWI-1"); rows != ofIncident {
		t.Errorf("%d rows of an incident:\n%s", rows, out.String())
	}
	if rows := strings.Count(out.String(), "shop"); rows != 0 {
		t.Errorf("%d rows with a namespace that nobody asked for", rows)
	}
	if rows := strings.Count(out.String(), "runtime_restarted"); rows != 2*ofIncident+5 {
		t.Errorf("%d rows, want those of no incident too:\n%s", rows, out.String())
	}
	if got := flush(now); strings.Count(got, "\n") != 2 || !strings.Contains(got, "  !  22 more folded into WI-1: node-17 rebooted\n") || !strings.Contains(got, "  !  2 more folded into WI-2\n") {
		t.Errorf("said of what was folded:\n%s", got)
	}
	if got := flush(now); got != "" {
		t.Errorf("said again: %q", got)
	}
	send(stop(25, "WI-1"))
	if got := flush(now); !strings.Contains(got, " 1 more folded into WI-1") {
		t.Errorf("said of one more: %q", got)
	}
	if flush(now.Add(2 * forgetAfter)); len(f.incidents) != 0 {
		t.Errorf("%d incidents are never forgotten", len(f.incidents))
	}
}

func TestFoldFails(t *testing.T) {
	f := &folder{rows: printer.NewTable(failingWriter{}, printer.TableOptions{}), incident: func(string) (issue.Incident, bool) { return issue.Incident{}, false }}
	f.incidents = map[string]*folded{"WI-1": {waiting: 1}}
	if err := f.flush(time.Time{}); !errors.Is(err, errClosed) {
		t.Errorf("error %v", err)
	}
}

type failingWriter struct{}

var errClosed = errors.New("the pipe is closed")

func (failingWriter) Write([]byte) (int, error) { return 0, errClosed }
