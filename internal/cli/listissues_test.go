package cli

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/printer"
	"github.com/whyrestart/whyrestart/internal/record"
)

// TestForemost holds that drains do not push what fails off the screen, and that no incident
// with a failure is left out.
func TestForemost(t *testing.T) {
	var all []issue.Incident
	add := func(id string, c record.Category, minute int) {
		all = append(all, issue.Incident{
			ID: id, Last: time.Date(2026, 3, 1, 12, minute, 0, 0, time.UTC),
			Categories: issue.Tally{Values: []issue.Count{{Value: string(record.Disruption)}, {Value: string(c)}}},
		})
	}
	for n := range 5 {
		add(fmt.Sprintf("drain-%d", n), record.Disruption, n)
		add(fmt.Sprintf("failure-%d", n), record.Failure, n)
	}
	slices.SortStableFunc(all, printer.CompareIncidents)
	var got []string
	for _, in := range foremost(all) {
		got = append(got, in.ID)
	}
	want := []string{"failure-4", "failure-3", "failure-2", "failure-1", "failure-0", "drain-4", "drain-3", "drain-2"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("incidents (-want +got):\n%s", diff)
	}
	if len(foremost(nil)) != 0 || len(foremost(all[:2])) != 2 || len(foremost(all[5:6])) != 1 {
		t.Error("few incidents are not all shown")
	}
}
