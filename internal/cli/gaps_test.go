package cli

import (
	"bytes"
	"testing"
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
)

// TestSayGaps holds that a person hears of what was not watched lately, the newest first,
// and not of what is over or took no time.
func TestSayGaps(t *testing.T) {
	local := time.Local
	time.Local = time.UTC
	t.Cleanup(func() { time.Local = local })
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	at := func(ago time.Duration) time.Time { return now.Add(-ago) }
	gaps := []record.Gap{
		{To: at(90 * time.Hour), Why: "before the first watch"},
		{From: at(50 * time.Hour), To: at(40 * time.Hour), Why: "long ago"},
		{From: at(30 * time.Hour), To: at(20 * time.Hour), Why: "whyrestart was not running"},
		{From: at(5 * time.Hour), To: at(5*time.Hour - time.Second), Why: "too short"},
		{From: at(3 * time.Hour), Scope: "shop", Why: "forbidden\x1b"},
	}
	var b bytes.Buffer
	sayGaps(&b, gaps, at(24*time.Hour))
	want := "whyrestart: not watched since 2026-03-01 09:00:00 in namespace shop: forbidden\\x1b; and once more (see whyrestart coverage)\n"
	if b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
	b.Reset()
	sayGaps(&b, append(gaps[:3], record.Gap{Kind: record.GapPermission, From: at(time.Hour), Scope: "nodes"}), at(24*time.Hour))
	want = "whyrestart: not watched from 2026-02-28 06:00:00 to 16:00:00 (10h): whyrestart was not running; 1 permission is missing (see whyrestart coverage)\n"
	if b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
	b.Reset()
	sayGaps(&b, []record.Gap{
		{Kind: record.GapStore, From: at(time.Hour), To: at(0), Why: "disk full"},
		{Kind: record.GapPermission, From: at(time.Hour), To: at(time.Minute), Scope: "nodes"},
	}, at(24*time.Hour))
	if b.Len() > 0 {
		t.Errorf("%q is said of what hides no stop", b.String())
	}
}

// TestSayLife holds that a person hears that what is explained may have stopped unseen.
func TestSayLife(t *testing.T) {
	local := time.Local
	time.Local = time.UTC
	t.Cleanup(func() { time.Local = local })
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var b bytes.Buffer
	sayLife(&b, nil)
	sayLife(&b, []record.Gap{
		{From: at.Add(-time.Hour), To: at.Add(-30 * time.Minute), Why: "x"},
		{From: at, To: at.Add(21 * time.Second), Why: "whyrestart was not running\x1b"},
	})
	want := "whyrestart: this was not watched from 2026-03-01 12:00:00 to 12:00:21 (21s), and once before: whyrestart was not running\\x1b. It may have stopped then, which is only counted (see whyrestart coverage)\n"
	if b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
}
