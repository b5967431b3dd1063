package diagnose

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

func TestPattern(t *testing.T) {
	for _, tc := range []struct {
		want pattern
		runs []int64
	}{
		{tooFew, nil},
		{tooFew, []int64{180, 180, 180}},
		{constant, []int64{178, 181, 180, 179}},
		{constant, []int64{0, 1, 0, 2}},
		{constant, []int64{0, 0, 0, 0}},
		{constant, []int64{1000, 1020, 1049, 1010}},
		{irregular, []int64{1000, 1020, 1070, 1010}},
		{constant, []int64{400, 180, 181, 180, 179}}, // one is out of line
		{irregular, []int64{400, 180, 181, 180}},     // but not of four
		{irregular, []int64{400, 180, 181, 20, 179}}, // nor two
		{growing, []int64{10, 20, 40, 80}},
		{growing, []int64{10, 20, 15, 40, 80, 160}},
		{irregular, []int64{10, 20, 15, 40}},
		{irregular, []int64{100, 104, 108, 113}}, // they do, but hardly
		{shrinking, []int64{9000, 4000, 2000, 900}},
		{shrinking, []int64{9000, 4000, 2000, 2100, 900, 300}},
		{irregular, []int64{9000, 30, 2000, 7}},
		{constant, []int64{1, 5000, 7, 900, 60, 60, 60, 60, 60, 60, 60, 61}}, // the newest eight
	} {
		if got := patternIn(tc.runs); got != tc.want {
			t.Errorf("%v: %q, want %q", tc.runs, got, tc.want)
		}
	}
}

// TestPatternOfAny holds what is true of every pattern, whatever the lifetimes.
func TestPatternOfAny(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		runs := rapid.SliceOfN(rapid.Int64Range(0, 1_000_000), 0, 12).Draw(t, "runs")
		before := slices.Clone(runs)
		got := patternIn(runs)
		if !slices.Equal(before, runs) {
			t.Fatal("the lifetimes were written to")
		}
		if (got == tooFew) != (len(runs) < patternOf) {
			t.Fatalf("%q of %d lifetimes", got, len(runs))
		}
		back := slices.Clone(runs[max(0, len(runs)-patternUpTo):])
		slices.Reverse(back)
		want := map[pattern]pattern{growing: shrinking, shrinking: growing}
		if w, ok := want[got]; !ok && patternIn(back) != got || ok && patternIn(back) != w {
			// Halves of an odd number overlap in neither, so that backwards is the other way round.
			t.Fatalf("%v: %q, and backwards %q", runs, got, patternIn(back))
		}
		if n := len(back); n > 0 {
			same := slices.Repeat([]int64{back[0]}, n)
			if p := patternIn(same); p != tooFew && p != constant {
				t.Fatalf("%v: %q", same, p)
			}
		}
	})
}

// ranBefore is how long earlier instances ran, which ended in ways that are not told.
func ranBefore(cause string, code int32, seconds ...int64) change {
	return func(e *evidence.Evidence) {
		for _, s := range seconds {
			history(endedBeforehand{cause, code, s})(e)
		}
	}
}

func image(name string, images ...evidence.ImageHistory) change {
	return func(e *evidence.Evidence) {
		history()(e)
		e.History.Image, e.History.Images = name, images
	}
}

func TestHistory(t *testing.T) {
	const failure, confirmed, likely, unknown = record.Failure, record.Confirmed, record.Likely, record.Unknown
	probe := &evidence.Probe{Kind: "httpGet", Target: "GET :8080/healthz", InitialDelaySeconds: 120, PeriodSeconds: 10, TimeoutSeconds: 1, FailureThreshold: 3}
	alike := ranBefore("unknown", 137, 171, 170, 169)
	first := evidence.ImageHistory{Image: "api:1", Stops: 3, First: at(-9000), Began: at(-90000), Last: at(-500), LongestSeconds: 80000}
	second := evidence.ImageHistory{Image: "api:2", Stops: 2, Failures: 2, First: at(-400), Began: at(-430), Last: at(-100), LongestSeconds: 61}
	undecided := verdict{"unknown", "", failure, unknown}
	killed := verdict{"sigkill_unattributed", "", failure, unknown}
	exit := verdict{"app_exit", "", failure, likely}

	runRulings(t, []ruling{
		// The pattern of lifetimes.
		{"the same each time", exited(1, "Error", ranBefore("app_exit", 1, 59, 61, 60)), exit, `"field":"ranSeconds","value":"59, 61, 60, 60: about the same each time"`, ""},
		{"two lifetimes before", exited(1, "Error", ranBefore("app_exit", 1, 60, 60)), exit, "", "ranSeconds"},
		{"longer each time", exited(1, "Error", ranBefore("app_exit", 1, 5, 11, 30)), exit, "5, 11, 30, 60: longer and longer", ""},
		{"as it comes", exited(1, "Error", ranBefore("app_exit", 1, 500, 11, 300)), exit, "without a pattern", ""},
		{"one run of each pod", exited(1, "Error", image("api:1"), func(e *evidence.Evidence) { e.History.OthersRanSeconds = []int64{60, 61, 60} }), exit, "60, 61, 60, 60: about the same each time, in all pods of the workload", ""},
		{"runs of pods that differ", exited(1, "Error", image("api:1"), func(e *evidence.Evidence) { e.History.OthersRanSeconds = []int64{10, 20, 30} }), exit, "", "ranSeconds"},
		{"no times", exited(1, "Error", ranBefore("app_exit", 1, 59, 61, 60), noTimes), exit, "", "ranSeconds"},
		{"a stop that was wanted", exited(143, "Error", ranBefore("app_exit", 1, 59, 61, 60), deletedAt(at(58)), event("Killing", stopping, at(58))), verdict{"pod_deleted", "direct", record.Lifecycle, confirmed}, "", "ranSeconds"},

		// A probe's arithmetic: 120 s, and three failures 10 s apart, and then the grace of 30 s.
		{"as long as the probe takes", exited(137, "Error", noEvents, liveness(probe), alike, ranFor(170)), killed,
			`"alternatives":[{"cause":"liveness_probe"|170, 169, 170 s, and a probe that never succeeds ends it 2m50s to 3m1s after its start (delay 2m, 3 failures, 10s apart, grace period 30s)`, ""},
		{"as long as the probe takes, and it obeyed", exited(2, "Error", noEvents, liveness(probe), ranBefore("unknown", 2, 141, 145, 146), ranFor(143)), undecided,
			`"alternatives":[{"cause":"liveness_probe"|ends it 2m20s to 2m36s after its start`, ""},
		{"much longer than the probe takes", exited(137, "Error", noEvents, liveness(probe), ranBefore("unknown", 137, 400, 401, 400), ranFor(400)), killed, `"alternatives":[{"cause":"oom_killed"|liveness_probe`, "never succeeds"},
		{"as long as the probe takes, somewhere in its period", exited(137, "Error", noEvents, liveness(probe), ranBefore("unknown", 137, 181, 172, 176), ranFor(170)), killed, `"alternatives":[{"cause":"liveness_probe"|181, 172, 176, 170 s, and|livenessProbe`, ""},
		{"a probe that kills at once", exited(1, "Error", noEvents, liveness(&evidence.Probe{Kind: "exec", PeriodSeconds: 2, FailureThreshold: 1}), ranBefore("unknown", 1, 2, 3, 2), ranFor(3)), undecided, `"alternatives":[{"cause":"app_exit"`, "never succeeds"},
		{"as long as the probe takes, now and then", exited(137, "Error", noEvents, liveness(probe), ranBefore("unknown", 137, 171, 300, 900), ranFor(170)), killed, `"alternatives":[{"cause":"oom_killed"`, "never succeeds"},
		{"as long as the probe takes, and it was not", exited(137, "Error", liveness(probe), alike, ranFor(170)), killed, `"ruledOut":[{"cause":"liveness_probe"`, "never succeeds"},
		{"the liveness probe begins after the startup probe", exited(137, "Error", noEvents, liveness(probe), startup(httpGet("GET :8080/")), alike, ranFor(170)), killed, `"alternatives":[{"cause":"oom_killed"`, "never succeeds"},
		{"the startup probe's arithmetic", exited(137, "Error", noEvents, liveness(probe), startup(httpGet("GET :8080/")), ranBefore("unknown", 137, 52, 50, 51), ranFor(51)), killed, `"alternatives":[{"cause":"startup_probe"|3 failures, 10s apart, grace period 30s`, ""},

		// SIGKILL that nobody explains.
		{"killed after the same time, with a limit", exited(137, "Error", calm, memory(256), ranBefore("sigkill_unattributed", 137, 3600, 3590, 3610), ranFor(3605)), killed,
			`"cause":"oom_killed","why":"the runtime may not|ran about as long each time, 1h, as it does where memory fills up steadily; the kernel log of the node would settle it|kernel log`, `"oom_killed","detail`},
		{"killed sooner each time, with a limit of the pod", exited(137, "Error", calm, podMemoryLimit(256), ranBefore("sigkill_unattributed", 137, 9000, 5000, 2000), ranFor(900)), killed, "shorter and shorter, as it does where memory", ""},
		{"killed after the same time, without a limit", exited(137, "Error", calm, ranBefore("sigkill_unattributed", 137, 3600, 3590, 3610), ranFor(3605)), killed, "ranSeconds", "fills up"},
		{"killed at once each time", exited(137, "Error", calm, memory(256), ranBefore("sigkill_unattributed", 137, 3, 3, 2), ranFor(3)), killed, "ranSeconds", "fills up"},
		{"killed at any time", exited(137, "Error", calm, memory(256), ranBefore("sigkill_unattributed", 137, 3000, 30, 700), ranFor(80)), killed, "ranSeconds", "fills up"},

		// Out of memory again and again.
		{"out of memory after the same time", exited(137, "OOMKilled", calm, memory(256), ranBefore("oom_killed", 137, 3600, 3590, 3610), ranFor(3605)), verdict{"oom_killed", "container_limit", failure, confirmed}, "memory_fills|4 times in a row, about 1h after its start|3600, 3590, 3610, 3605", "limit_too_low"},
		{"out of memory sooner and sooner", exited(137, "OOMKilled", calm, memory(256), ranBefore("oom_killed", 137, 9000, 5000, 2000), ranFor(900)), verdict{"oom_killed", "container_limit", failure, confirmed}, "memory_fills|sooner and sooner", ""},
		{"out of memory at any time", exited(137, "OOMKilled", calm, memory(256), ranBefore("oom_killed", 137, 300, 5000, 20), ranFor(900)), verdict{"oom_killed", "container_limit", failure, confirmed}, "without a pattern", "memory_fills"},
		{"out of memory three times", exited(137, "OOMKilled", calm, memory(256), ranBefore("oom_killed", 137, 900, 900), ranFor(900)), verdict{"oom_killed", "container_limit", failure, confirmed}, "", "memory_fills"},
		{"out of memory at the start", exited(137, "OOMKilled", calm, memory(256), ranBefore("oom_killed", 137, 3, 3, 3), ranFor(3)), verdict{"oom_killed", "container_limit", failure, confirmed}, "limit_too_low", "memory_fills"},
		{"out of memory after other ends", exited(137, "OOMKilled", calm, memory(256), ranBefore("app_exit", 1, 900, 900, 900), ranFor(900)), verdict{"oom_killed", "container_limit", failure, confirmed}, "ranSeconds", "memory_fills"},

		// The image with which it began.
		{"it began with an image", exited(1, "Error", image("api:2", first, second)), exit,
			"first recorded stop with api:2 at 2026-03-01T11:53:20Z; with api:1 before it 3 stops, none of them a failure, the longest run 22h13m20s", ""},
		{"this is the first with its image", exited(1, "Error", image("api:2", first)), exit, "first recorded stop with api:2 at 2026-03-01T12:01:00Z; with api:1 before it 3 stops", ""},
		{"the image before failed too", exited(1, "Error", image("api:2", func() evidence.ImageHistory { i := first; i.Failures = 2; return i }(), second)), exit, "3 stops, 2 of them failures", "none"},
		{"not all is known", exited(1, "Error", image("api:2", first, second), func(e *evidence.Evidence) { e.History.ImagesCut = true }), exit, "at least 3 stops, none of those that are known a failure", ""},
		{"one image alone", exited(1, "Error", image("api:2", second)), exit, "", "first recorded stop"},
		{"back to the image before", exited(1, "Error", image("api:1", first, second)), exit, "", "first recorded stop"},
		{"an image that nobody told", exited(1, "Error", image("", first, second)), exit, "", "first recorded stop"},

		// What it got over.
		{"it got over it before", exited(1, "Error", image("api:1"), func(e *evidence.Evidence) {
			e.History.Survived, e.History.SurvivedOf, e.History.SurvivedCause = 3, 7, "app_exit"
		}), exit, `"field":"survived","value":"after 3 of the last 7 stops with this cause the container ran for more than 10m"`, ""},
		{"it got over something else", exited(1, "Error", image("api:1"), func(e *evidence.Evidence) {
			e.History.Survived, e.History.SurvivedOf, e.History.SurvivedCause = 3, 7, "oom_killed"
		}), exit, "", "survived"},
	})
}

// TestHistoryProvesNothing holds that what other pods, images and runs did makes no cause and
// none more certain.
func TestHistoryProvesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := anyEvidence(t)
		with := Diagnose(&e)
		if e.History != nil {
			h := *e.History
			h.Images, h.Image, h.ImagesCut, h.OthersRanSeconds, h.Survived, h.SurvivedOf, h.SurvivedCause = nil, "", false, nil, 0, 0, ""
			e.History = &h
		}
		without := Diagnose(&e)
		if a, b := verdictOf(&with), verdictOf(&without); a != b {
			t.Fatalf("%+v with that, and %+v without", a, b)
		}
	})
}
