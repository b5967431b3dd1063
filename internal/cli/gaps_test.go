package cli

import (
	"bytes"
	"strings"
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
	want := "whyrestart: not watched since 2026-03-01 09:00:00 in shop: forbidden\\x1b\n" +
		"whyrestart: not watched from 2026-02-28 06:00:00 to 16:00:00 (10h): whyrestart was not running\n"
	if b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
	b.Reset()
	for range 9 {
		gaps = append(gaps, gaps[4])
	}
	sayGaps(&b, gaps, at(24*time.Hour))
	if n := strings.Count(b.String(), "\n"); n != toldGaps+1 || !strings.HasSuffix(b.String(), "whyrestart: not watched 8 times more\n") {
		t.Errorf("%d lines:\n%s", n, b.String())
	}
}
