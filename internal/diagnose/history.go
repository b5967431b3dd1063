package diagnose

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// This file lets what was recorded before help: how long the instances ran, with which
// image it began, and whether the container got over the same before. None of that proves
// a cause, nor makes one more certain; it says which of the alternatives to look at first.

// pattern is how the lifetimes of instances follow each other.
type pattern string

const (
	// tooFew: nothing can be told.
	tooFew pattern = ""
	// constant: something counts from the start, such as a probe, a timer, or memory that fills
	// at a steady rate.
	constant  pattern = "about the same each time"
	growing   pattern = "longer and longer"
	shrinking pattern = "shorter and shorter"
	irregular pattern = "without a pattern"
)

const (
	// patternOf is how many lifetimes it takes to tell a pattern, patternUpTo how many are looked at.
	patternOf, patternUpTo = 4, 8
	// steady is by how much lifetimes differ that are about the same: both ends are known to
	// the second, and what counts looks now and then.
	steadySeconds, steadyPercent = 2, 5
)

// patternIn tells the pattern of the newest lifetimes, which come oldest first.
//
// They are constant if the longest and the shortest differ by no more than two seconds or
// five percent of the median; one of five or more may be out of line, as the first run on a
// node often is. They grow, or shrink, if of all pairs nine of ten are in that order, all of
// them where there are fewer than five (Kendall's tau of 0.8, which chance gives in less
// than one case of twenty), and the newer half's median is a quarter away from the older half's.
func patternIn(runs []int64) pattern {
	runs = runs[max(0, len(runs)-patternUpTo):]
	n := len(runs)
	if n < patternOf {
		return tooFew
	}
	sorted := slices.Sorted(slices.Values(runs))
	near := max(steadySeconds, median(sorted)*steadyPercent/100)
	spread := sorted[n-1] - sorted[0]
	if n > patternOf {
		spread = min(sorted[n-1]-sorted[1], sorted[n-2]-sorted[0])
	}
	if spread <= near {
		return constant
	}
	up, pairs := 0, 0
	for i := range runs {
		for j := range i {
			pairs++
			switch {
			case runs[i] > runs[j]:
				up++
			case runs[i] < runs[j]:
				up--
			}
		}
	}
	before, after := median(slices.Sorted(slices.Values(runs[:n/2]))), median(slices.Sorted(slices.Values(runs[n-n/2:])))
	switch {
	case 5*up >= 4*pairs && 4*after >= 5*before:
		return growing
	case -5*up >= 4*pairs && 5*after <= 4*before:
		return shrinking
	}
	return irregular
}

// median is that of sorted numbers; the lower one of two in the middle.
func median(sorted []int64) int64 { return sorted[(len(sorted)-1)/2] }

// lifetimes are those of a container.
type lifetimes struct {
	seconds []int64
	pattern pattern
	// elsewhere tells that those of other pods are among them.
	elsewhere bool
}

// lifetimesOf returns how long the newest instances ran, this one last: those of this pod or,
// where they are too few, those of all pods if they agree. The order of instances of
// different pods says nothing.
func lifetimesOf(e *evidence.Evidence) lifetimes {
	h := e.History
	d, known := ran(e)
	if h == nil || !known {
		return lifetimes{}
	}
	last := int64(d / time.Second)
	own := append(slices.Clone(h.RanSeconds), last)
	if p := patternIn(own); p != tooFew {
		return lifetimes{seconds: own[max(0, len(own)-patternUpTo):], pattern: p}
	}
	all := append(slices.Clone(h.OthersRanSeconds), own...)
	if patternIn(all) == constant {
		return lifetimes{seconds: all[max(0, len(all)-patternUpTo):], pattern: constant, elsewhere: true}
	}
	return lifetimes{}
}

// String is the numbers alone.
func (l *lifetimes) String() string {
	out := make([]string, len(l.seconds))
	for i, s := range l.seconds {
		out[i] = strconv.FormatInt(s, 10)
	}
	return strings.Join(out, ", ")
}

// within tells that all of them are between two durations; of five or more, all but one.
func (l *lifetimes) within(from, to time.Duration) bool {
	out := 0
	for _, s := range l.seconds {
		if d := seconds(s); d < from || d > to {
			out++
		}
	}
	return out == 0 || out == 1 && len(l.seconds) > patternOf
}

// usual is the median.
func (l *lifetimes) usual() time.Duration {
	return seconds(median(slices.Sorted(slices.Values(l.seconds))))
}

// remember adds what was recorded before to the answer for a failure.
func remember(e *evidence.Evidence, a *answer) {
	if a.category != record.Failure || e.History == nil {
		return
	}
	if l := lifetimesOf(e); l.pattern != tooFew {
		value := l.String() + ": " + string(l.pattern)
		if l.elsewhere {
			value += ", in all pods of the workload"
		}
		a.evidence = append(a.evidence, historyEvidence(e, "ranSeconds", value))
		if a.confidence != record.Confirmed {
			a.probeFirst(e, &l)
			a.memoryPattern(e, &l)
		}
	}
	if q, ok := imageEvidence(e); ok {
		a.evidence = append(a.evidence, q)
	}
	if h := e.History; h.Survived > 0 && h.SurvivedCause == a.cause {
		a.evidence = append(a.evidence, historyEvidence(e, "survived",
			fmt.Sprintf("after %d of the last %s with this cause the container ran for more than 10m", h.Survived, count(h.SurvivedOf, "stop", "stops"))))
	}
}

// probeFirst names a probe first among the alternatives where the container always ran as
// long as that probe takes to kill it. That need not be the same each time: the prober
// looks once a period, which does not begin with the container.
func (a *answer) probeFirst(e *evidence.Evidence, l *lifetimes) {
	for _, p := range probeKinds() {
		spec := p.spec(&e.Container)
		at := slices.IndexFunc(a.alternatives, func(o record.Alternative) bool { return o.Cause == p.cause })
		if spec == nil || at < 0 || p.cause == "liveness_probe" && e.Container.Startup != nil {
			continue // a liveness probe begins when the startup probe has passed, which is not known
		}
		from, to := killsWithin(e, p.cause, spec)
		if from < probeTells || !l.within(from-skew, to+skew) {
			continue
		}
		o := a.alternatives[at]
		o.Why += fmt.Sprintf("; the container ran for %s s, and a probe that never succeeds ends it %s to %s after its start (%s)", l, span(from), span(to), arithmetic(e, p.cause, spec))
		a.alternatives = slices.Insert(slices.Delete(slices.Clone(a.alternatives), at, at+1), 0, o)
		a.evidence = append(a.evidence, containerEvidence(e, p.name+"Probe", probeText(spec)))
		return
	}
}

// probeTells is how long a probe has to take at least for that to tell it from an end at the start.
const probeTells = 10 * time.Second

// killsWithin returns how long after its start at the earliest and at the latest the kubelet
// ends a container whose probe never succeeds (pkg/kubelet/prober/worker.go). A program that
// does not end when it is asked to goes on until the grace period is over.
func killsWithin(e *evidence.Evidence, cause string, p *evidence.Probe) (from, to time.Duration) {
	from = killAfter(p)
	to = from + seconds(p.PeriodSeconds) + seconds(p.TimeoutSeconds)
	if e.Stop.ExitCode != 137 {
		return from, to + probeObeyed
	}
	grace := probeGrace(e, cause)
	if e.Container.PreStop == nil {
		from += grace
	}
	return from, to + grace
}

// probeObeyed is how long a program may take to end when it is asked to.
const probeObeyed = 5 * time.Second

// arithmetic writes what killsWithin counts.
func arithmetic(e *evidence.Evidence, cause string, p *evidence.Probe) string {
	text := fmt.Sprintf("%d failures, %s apart", max(p.FailureThreshold, 1), span(seconds(p.PeriodSeconds)))
	if p.FailureThreshold <= 1 {
		text = "1 failure, asked every " + span(seconds(p.PeriodSeconds))
	}
	if p.InitialDelaySeconds > 0 {
		text = "delay " + span(seconds(p.InitialDelaySeconds)) + ", " + text
	}
	if e.Stop.ExitCode == 137 {
		text += ", grace period " + span(probeGrace(e, cause))
	}
	return text
}

// memoryPattern says of a kill that nobody explains what speaks for memory: it fills up in the
// same time, or in less and less.
func (a *answer) memoryPattern(e *evidence.Evidence, l *lifetimes) {
	if a.cause != "sigkill_unattributed" || l.pattern != constant && l.pattern != shrinking || e.Container.MemoryLimit == 0 && podMemory(e) == 0 || l.usual() < memoryFills {
		return
	}
	for i := range a.alternatives {
		if o := &a.alternatives[i]; o.Cause == "oom_killed" {
			how := "about as long each time, " + span(l.usual())
			if l.pattern == shrinking {
				how = string(shrinking)
			}
			o.Why += fmt.Sprintf("; the container ran %s, as it does where memory fills up steadily; the kernel log of the node would settle it", how)
			return
		}
	}
}

// memoryFills is how long it takes at least that memory fills up while the program works; what
// fills it sooner is what it loads when it starts.
const memoryFills = time.Minute

// imageEvidence tells with which image the stops began, where another one ran before.
func imageEvidence(e *evidence.Evidence) (record.Evidence, bool) {
	h := e.History
	if h.Image == "" {
		return record.Evidence{}, false
	}
	now := evidence.ImageHistory{Image: h.Image, First: e.Stop.FinishedAt, Began: e.Stop.StartedAt}
	if i := slices.IndexFunc(h.Images, func(o evidence.ImageHistory) bool { return o.Image == h.Image }); i >= 0 {
		now = h.Images[i]
	}
	begin := func(o *evidence.ImageHistory) time.Time {
		if o.Began.IsZero() {
			return o.First
		}
		return o.Began
	}
	var before *evidence.ImageHistory
	for i := range h.Images {
		if o := &h.Images[i]; o.Image != now.Image && begin(o).Before(begin(&now)) && (before == nil || begin(before).Before(begin(o))) {
			before = o
		}
	}
	if before == nil || now.First.IsZero() {
		return record.Evidence{}, false
	}
	atLeast := ""
	if h.ImagesCut {
		atLeast = "at least "
	}
	failures := "none of them a failure"
	if n := before.Failures; n > 0 {
		failures = fmt.Sprintf("%s%d of them %s", atLeast, n, either(n == 1, "a failure", "failures"))
	} else if h.ImagesCut {
		failures = "none of those that are known a failure"
	}
	value := fmt.Sprintf("first recorded stop with %s at %s; with %s before it %s%s, %s", oneLine(now.Image), now.First.UTC().Format(time.RFC3339),
		oneLine(before.Image), atLeast, count(before.Stops, "stop", "stops"), failures)
	if before.LongestSeconds > 0 {
		value += ", the longest run " + span(seconds(before.LongestSeconds))
	}
	q := historyEvidence(e, "images", value)
	q.Time = now.First
	return q, true
}

// memoryFillsAgain: out of memory each time after the same long time.
func memoryFillsAgain(e *evidence.Evidence, d *record.Diagnosis) *record.Advice {
	n := earlier(e, "oom_killed")
	h := e.History
	lived, known := ran(e)
	if d.Cause != "oom_killed" || d.Detail == "node" || d.Detail == "child_process" || !known || n < patternOf-1 || len(h.RanSeconds) < n {
		return nil
	}
	l := lifetimes{seconds: append(slices.Clone(h.RanSeconds[len(h.RanSeconds)-n:]), int64(lived/time.Second))}
	l.seconds = l.seconds[max(0, len(l.seconds)-patternUpTo):]
	if l.pattern = patternIn(l.seconds); l.pattern != constant && l.pattern != shrinking || l.usual() < memoryFills {
		return nil
	}
	how := "about " + span(l.usual()) + " after its start"
	if l.pattern == shrinking {
		how = "sooner and sooner after its start"
	}
	a := &record.Advice{
		Code: "memory_fills",
		Text: fmt.Sprintf("The container has run out of memory %d times in a row, %s: something in it fills its memory at that pace. A higher limit alone puts the end off; see what it holds when it is nearly full.", n+1, how),
	}
	if e.Container.MemoryLimit > 0 {
		a.Evidence = append(a.Evidence, limitEvidence(e))
	}
	a.Evidence = append(a.Evidence, historyEvidence(e, "ranSeconds", l.String()+": "+string(l.pattern)))
	return a
}
