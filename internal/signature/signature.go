// Package signature finds in the last words of a program why it ended: the class of
// the failure, the line that says so, and the stack frames.
//
// It promises to be cheap and safe on whatever a log may hold: only the end of the log
// is looked at, lines are cut, nothing of it is trusted, and the same lines always give
// the same answer. Where the lines do not say why, it says nothing: an error that was
// survived, a mention in passing and a value in a setting are no reason.
package signature

import (
	"slices"
	"strings"
)

// Signature is what the last words of a program say.
type Signature struct {
	// Class is a stable code, such as "panic", "port_in_use" or "connection_refused".
	Class string
	// Line is the line that matters, without what a logger puts before it; Index is its
	// place in the log. Of a structured line it is the message and the error.
	Line  string
	Index int
	// Language is that of a trace: go, java, python, node, dotnet, ruby, rust, php, c; empty where unknown.
	Language string
	// Type is the exception's or error's own name, such as "java.lang.NullPointerException".
	Type string
	// Frames are the stack frames, the innermost first, at most 32.
	Frames []Frame
	// Key is what tells this failure from others of its class, for grouping: stable under
	// changing addresses, numbers, times, ids and line numbers.
	Key string
	// Target is what the program could not reach, as "db.shop:5432": a name rather than an
	// address where there are both. Empty where the lines name nothing.
	Target string
}

// Frame is one stack frame.
type Frame struct {
	Func string
	File string
	Line int
	// App tells that the frame is of the program itself, not of a runtime or library.
	App bool
}

// What is looked at, at most.
const (
	maxLines  = 500      // of the end of the log
	maxLine   = 2 << 10  // of a line of text
	maxJSON   = 16 << 10 // of a line of JSON, which may hold a stack
	maxBytes  = 256 << 10
	maxFrames = 32
	maxShown  = 512 // of the line that is shown
)

// Find returns what the lines of a log's tail say, the oldest line first; nil where they say nothing.
func Find(lines []string) *Signature {
	entries := read(lines)
	if len(entries) == 0 {
		return nil
	}
	c := choose(candidates(entries))
	if c == nil {
		return nil
	}
	s := c.sig
	s.Line = shorten(strings.TrimSpace(s.Line), maxShown)
	s.Type = shorten(s.Type, 128)
	if len(s.Frames) > maxFrames {
		s.Frames = s.Frames[:maxFrames]
	}
	s.Target = c.target(entries, lines)
	s.Key = key(&s)
	return &s
}

// candidate is something that may be the reason.
type candidate struct {
	sig Signature
	// strength is how much it looks like what ended the program, before its place counts.
	strength int
	// after counts what the program said after it.
	after int
	// general marks classes that say that, not why: a specific one close before explains them.
	general bool
	// from and to are the entries that it is made of, and at the one of its line.
	from, to, at int
}

// target returns what could not be reached, as the entries of the candidate name it.
func (c *candidate) target(entries []entry, lines []string) string {
	if !remote(c.sig.Class) {
		return ""
	}
	var around []string
	to := c.to
	for to < len(entries) && to < c.at+4 && !entries[to].own && strings.HasPrefix(entries[to].text, "\t") {
		to++ // the rest of a message of several lines, as libpq writes it
	}
	for i := c.at + 1; i < to && len(around) < 4*maxAround; i++ {
		around = append(around, entries[i].text)
	}
	from := c.from
	for from > 0 && c.from-from < 4 && inner(entries[from].text) {
		from-- // what the exception around it says
	}
	for i := from; i < c.at && len(around) < 4*maxAround; i++ {
		around = append(around, entries[i].text)
	}
	return target(c.sig.Class, entries[c.at].text, around, lines[c.sig.Index])
}

// inner tells the line of an exception that is the reason of the one before it.
func inner(text string) bool {
	s := strings.TrimLeft(text, " \t")
	return strings.HasPrefix(s, "---> ") || strings.HasPrefix(s, "Caused by: ") || strings.HasPrefix(s, "[cause]: ")
}

// The strengths of candidates. What was said later weighs perLater each; what is not
// above tooWeak in the end says nothing.
const (
	fatalTrace = 110
	fatalLine  = 100
	errorTrace = 85
	errorLine  = 75
	plainLine  = 60
	warnTrace  = 35
	warnLine   = 30
	infoLine   = 15

	perLater = 5
	tooWeak  = 10
	// traceFloor is what a trace that ends a process keeps, whatever others said later.
	traceFloor = 40
	// near is how many statements before a general failure its reason may be.
	near = 3
)

func (c *candidate) score() int {
	s := c.strength - perLater*c.after
	if c.strength >= fatalTrace {
		s = max(s, traceFloor)
	}
	return s
}

// choose returns the candidate that says best why the program ended.
func choose(all []candidate) *candidate {
	best := -1
	for i := range all {
		if s := all[i].score(); s > tooWeak && (best < 0 || s >= all[best].score()) {
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	won := all[best]
	if !won.general {
		return &won
	}
	// "Cannot start" says that it ended; "connection refused" right before it says why,
	// and so does what a supervisor adds right after it.
	for i := best + 1; i < len(all) && won.after-all[i].after <= near; i++ {
		if why := &all[i]; !why.general && why.strength >= errorLine {
			won.explain(why)
			return &won
		}
	}
	for i := best - 1; i >= 0 && all[i].after-won.after <= near; i-- {
		if why := &all[i]; !why.general && why.strength >= plainLine {
			won.explain(why)
			break
		}
	}
	return &won
}

// explain takes the class and the line from what says why; the trace stays.
func (c *candidate) explain(why *candidate) {
	c.sig.Class, c.sig.Line, c.sig.Index = why.sig.Class, why.sig.Line, why.sig.Index
	c.from, c.to, c.at = why.from, why.to, why.at
	if c.sig.Language == "" {
		c.sig.Language, c.sig.Type, c.sig.Frames = why.sig.Language, why.sig.Type, why.sig.Frames
	}
}

// candidates returns what may be the reason, in the order of the log.
func candidates(entries []entry) []candidate {
	var traces []candidate
	var ends []int // of the traces
	for i := 0; i < len(entries); i++ {
		t, ok := traceAt(entries, i)
		if !ok {
			continue
		}
		for j := t.from; j < t.to; j++ {
			entries[j].taken = true
		}
		if c := t.candidate(entries); c.sig.Class != "" {
			traces, ends = append(traces, c), append(ends, t.to-1)
		}
		i = max(i, t.to-1)
	}
	// From the end: what was said before enough else no longer counts, and is not looked at.
	var all []candidate
	later, next := 0, len(traces)-1
	for i := len(entries) - 1; i >= 0; i-- {
		e := &entries[i]
		if next >= 0 && ends[next] == i {
			c := traces[next]
			c.after = later
			all = append(all, c)
			next--
		}
		if e.taken || later >= (fatalLine-tooWeak)/perLater {
			continue
		}
		if c, ok := lineCandidate(entries, i); ok {
			c.after = later
			all = append(all, c)
		}
		if !isNoise(e) {
			later++
		}
	}
	slices.Reverse(all)
	return all
}

// lineCandidate returns what a single line says.
func lineCandidate(entries []entry, i int) (candidate, bool) {
	e := &entries[i]
	if e.level == levelInfo && i < len(entries)-3 {
		return candidate{}, false // far from the end, it was survived
	}
	class, doubt := classify(e.text, e.lower())
	c := candidate{sig: Signature{Class: class, Line: e.text, Index: e.index}, general: general(class), from: i, to: i + 1, at: i}
	switch e.level {
	case levelFatal:
		c.strength = fatalLine
		if class == "" {
			c.sig.Class, c.general, c.strength = "fatal_error", true, fatalLine-5
		}
	case levelError:
		c.strength = errorLine
	case levelWarn:
		c.strength = warnLine
	case levelInfo:
		c.strength = infoLine
	case levelNone:
		c.strength = plainLine
	}
	if isUsage(e.text) {
		c.strength -= 2 * perLater // the line before it says what was wrong
	}
	if doubt && e.level == levelInfo {
		return candidate{}, false
	}
	if doubt && e.level != levelFatal {
		c.strength = min(c.strength, warnLine)
	}
	return c, c.sig.Class != ""
}

// general tells classes that say that a program failed, not why.
func general(class string) bool {
	switch class {
	case "panic", "exception", "fatal_error", "timeout", "usage", "config_error", "connection_failed":
		return true
	}
	return false
}
