package pipeline

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

// gapLedger keeps what an earlier run left, gaps too.
type gapLedger struct{ *ledger }

func (l gapLedger) Gaps(_ context.Context, _ string, _, _ time.Time) ([]record.Gap, error) {
	kept := gapStore{}
	for _, g := range l.gaps() {
		key := fmt.Sprint(g.Kind, g.From.UnixNano(), g.Scope, g.Why)
		if old, ok := kept[key]; ok && g.To.IsZero() {
			g.To = old.To
		}
		kept[key] = g
	}
	return kept.all(), nil
}

// TestGapsOfARun holds that an outage of the store, of the watch of events and of permissions are stored
// with what else is found, and that a run after a kill ends what the killed one left open.
func TestGapsOfARun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := gapLedger{new(ledger)}
		g := start(t, l.ledger, func(o *Options) { o.Ledger = l })
		g.Replace("", nil, "1")
		time.Sleep(time.Minute)

		l.fail(fmt.Errorf("append: %w: disk full", store.ErrUnavailable))
		broke := time.Now().UTC()
		for n := range 3 {
			g.Apply("", object(pod(fmt.Sprint("u", n), 2, crashed(0))))
		}
		synctest.Wait()
		time.Sleep(time.Minute)
		if len(l.gaps()) > 0 {
			t.Errorf("stored in a store that is away: %v", l.gaps())
		}
		l.fail(nil)
		time.Sleep(time.Minute)

		refused := time.Now().UTC()
		g.EventTrouble("", errors.New("refused"))
		g.opts.Witness.Heard(logsInShop, Forbidden)
		time.Sleep(time.Minute)
		synctest.Wait()
		got, err := l.Gaps(t.Context(), "", time.Time{}, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range got {
			if gap := &got[i]; gap.Kind == record.GapStore {
				if d := gap.To.Sub(broke); d < time.Minute || d > 80*time.Second || gap.Count < 3 {
					t.Errorf("the outage: %+v", gap)
				}
				gap.To, gap.Count = time.Time{}, 0
			}
		}
		want := []record.Gap{
			{Kind: record.GapEvents, From: refused, Why: "refused"},
			{Kind: record.GapPermission, From: refused, Scope: "pods/log in shop", Why: "not allowed to get", Count: 1},
			{Kind: record.GapStore, From: broke, Why: "append: store unavailable: disk full"},
		}
		byKind := cmpopts.SortSlices(func(a, b record.Gap) bool { return a.Kind < b.Kind })
		if diff := cmp.Diff(want, got, byKind); diff != "" {
			t.Errorf("the gaps (-want +got):\n%s", diff)
		}

		// Killed: nothing is written any more. The next run is allowed again what it could not.
		g.ledger.fail(errors.New("killed"))
		_ = g.stop()
		l.fail(nil)
		g = start(t, l.ledger, func(o *Options) { o.Ledger = l })
		g.Replace("", nil, "9")
		time.Sleep(time.Minute)
		g.EventTrouble("", nil)
		g.opts.Witness.Heard(logsInShop, Answered)
		again := time.Now().UTC()
		time.Sleep(lapseJoins + time.Minute)
		synctest.Wait()
		if got, err = l.Gaps(t.Context(), "", time.Time{}, time.Time{}); err != nil {
			t.Fatal(err)
		}
		for _, gap := range got {
			switch gap.Kind {
			case record.GapEvents, record.GapPermission:
				if !gap.From.Equal(refused) || !gap.To.Equal(again) {
					t.Errorf("want it from %s to %s: %+v", refused, again, gap)
				}
			case record.GapWatch, record.GapStore, record.GapEvidence, record.GapNotification:
			}
		}
		if len(got) != 4 { // and that it was not running
			t.Errorf("%d gaps: %v", len(got), got)
		}
		if err := g.stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestSkippedEvidenceIsCounted holds that each stop whose evidence is not collected is counted in a gap.
func TestSkippedEvidenceIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := start(t, new(ledger), func(o *Options) { o.Readers.Logs = logs{make(chan struct{})} })
		g.Replace("", nil, "1")
		const n = 3000
		for i := range n {
			g.Apply("", object(pod(fmt.Sprint("u", i), 2, crashed(0))))
		}
		synctest.Wait()
		if err := g.stop(); err != nil {
			t.Error(err)
		}
		skipped, counted := int64(0), make(map[time.Time]int64)
		for _, r := range g.told {
			if r.Log != nil && r.Log.Missing == "not captured: "+tooMany {
				skipped++
			}
		}
		for _, gap := range g.ledger.gaps() {
			if gap.Kind == record.GapEvidence {
				counted[gap.From] = max(counted[gap.From], gap.Count)
			}
		}
		var total int64
		for _, c := range counted {
			total += c
		}
		if skipped == 0 || total != skipped {
			t.Errorf("%d stops have no evidence for the crowd, %d are counted", skipped, total)
		}
	})
}
