// Package causes is the reference of every cause, detail, reason and exit code: what it
// means, how it is proven, what to check and what usually fixes it. The documentation's
// pages and the command "codes" are made of it.
//
// A code never changes its meaning. In commands, NAMESPACE, POD, CONTAINER, NODE and the
// like stand for names.
package causes

import (
	"slices"
	"strings"
)

// Cause is one cause code.
type Cause struct {
	// Code is the stable code.
	Code string
	// Stall tells causes of stalls from those of stops.
	Stall bool
	// Category is that of most findings with this cause: failure, disruption or lifecycle;
	// empty where it depends on the rest of the evidence.
	Category string
	// Title is a few words, Meaning one or two sentences.
	Title, Meaning string
	// Details are its detail codes and their meanings; Open tells that others occur too.
	// Words in upper case in a detail's code stand for what varies.
	Details []Detail
	Open    bool
	// Proof says how it is proven, with the confidence that gives.
	Proof []string
	// Check says what to look at, Fix what usually helps.
	Check, Fix []string
}

// Detail is a refinement of a cause.
type Detail struct{ Code, Meaning string }

// Reason is a word or number that Kubernetes itself shows.
type Reason struct {
	Kind Kind
	// Name is as Kubernetes writes it; Also are other ways to write it.
	Name string
	Also []string
	// Meaning says what it means, Not what it does not mean although it is often read so.
	Meaning, Not string
	// Causes are the causes that it may stand for, the most frequent first.
	Causes []string
	// Check says what tells them apart.
	Check []string
}

// Kind says where a reason is found.
type Kind string

// The kinds of entries.
const (
	KindCause      Kind = "cause"
	KindDetail     Kind = "detail"
	KindAdvice     Kind = "advice"
	KindExitCode   Kind = "exit code"
	KindTerminated Kind = "terminated reason"
	KindWaiting    Kind = "waiting reason"
	KindPod        Kind = "pod reason"
	KindEvent      Kind = "event"
)

// Entry is what Lookup finds: one of the three is set.
type Entry struct {
	Kind   Kind
	Cause  *Cause
	Reason *Reason
	// Detail is set for a detail, with the codes of the causes that have it in Of, and for
	// advice.
	Detail *Detail
	Of     []string
}

// Name is the entry's name.
func (e *Entry) Name() string {
	switch {
	case e.Cause != nil:
		return e.Cause.Code
	case e.Reason != nil:
		return e.Reason.Name
	}
	return e.Detail.Code
}

// All returns all causes, those of stops first, in the order in which they are told.
func All() []Cause {
	return slices.Concat(programCauses(), runtimeCauses(), clusterCauses(), imageStalls(), startStalls(), placeStalls(), readyStalls())
}

// Reasons returns the words and numbers that Kubernetes shows.
func Reasons() []Reason {
	return slices.Concat(exitCodes(), terminatedReasons(), waitingReasons(), podReasons(), eventReasons())
}

// Lookup finds what a person may ask for: a cause, a detail, an exit code ("137", "exit
// 137", "SIGKILL"), a reason ("OOMKilled", "CrashLoopBackOff"), in upper or lower case,
// with or without underscores. Nothing is found for an unknown word.
func Lookup(s string) []Entry {
	want := fold(s)
	if want == "" {
		return nil
	}
	var out []Entry
	all := All()
	for i := range all {
		if fold(all[i].Code) == want {
			out = append(out, Entry{Kind: KindCause, Cause: &all[i]})
		}
	}
	reasons := Reasons()
	for i := range reasons {
		r := &reasons[i]
		if fold(r.Name) == want || slices.ContainsFunc(r.Also, func(a string) bool { return fold(a) == want }) {
			out = append(out, Entry{Kind: r.Kind, Reason: r})
		}
	}
	out = append(out, details(all, want)...)
	for _, a := range Advice() {
		if fold(a.Code) == want {
			out = append(out, Entry{Kind: KindAdvice, Detail: &a})
		}
	}
	if len(out) == 0 {
		if r, ok := anyExitCode(s); ok {
			out = append(out, Entry{Kind: KindExitCode, Reason: &r})
		}
	}
	return out
}

// details finds a detail: one entry for each meaning, with the causes that share it.
func details(all []Cause, want string) []Entry {
	var out []Entry
	for i := range all {
		for _, d := range all[i].Details {
			if !matches(d.Code, want) {
				continue
			}
			same := slices.IndexFunc(out, func(e Entry) bool { return *e.Detail == d })
			if same < 0 {
				out = append(out, Entry{Kind: KindDetail, Detail: &d})
				same = len(out) - 1
			}
			out[same].Of = append(out[same].Of, all[i].Code)
		}
	}
	return out
}

// matches tells whether a detail's code is what is wanted; a part of it in upper case
// stands for anything.
func matches(code, want string) bool {
	if i := strings.IndexFunc(code, func(r rune) bool { return r >= 'A' && r <= 'Z' }); i > 0 && code[i-1] == '_' {
		prefix := fold(code[:i])
		return len(want) > len(prefix) && strings.HasPrefix(want, prefix)
	}
	return fold(code) == want
}

// Known tells whether a cause may have a detail.
func Known(cause, detail string) bool {
	all := All()
	i := slices.IndexFunc(all, func(c Cause) bool { return c.Code == cause })
	if i < 0 {
		return false
	}
	return detail == "" || all[i].Open || slices.ContainsFunc(all[i].Details, func(d Detail) bool { return matches(d.Code, fold(detail)) })
}

// fold makes ways of writing a word equal.
func fold(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	for _, p := range []string{"exit code", "exit-code", "exitcode", "exit ", "code ", "init:", "reason:", "signal "} {
		s = strings.TrimLeft(strings.TrimPrefix(s, p), ": ")
	}
	minus := ""
	if len(s) > 1 && s[0] == '-' && s[1] >= '0' && s[1] <= '9' {
		minus = "-"
	}
	return minus + strings.NewReplacer("_", "", "-", "", " ", "", ":", "").Replace(s)
}

// Nearest returns at most five names that look like an unknown one, the nearest first.
func Nearest(s string) []string {
	want := fold(s)
	if want == "" {
		return nil
	}
	type near struct {
		name     string
		distance int
	}
	var found []near
	seen := make(map[string]bool)
	add := func(name string) {
		if seen[name] {
			return
		}
		seen[name] = true
		have := fold(name)
		d := distance(want, have)
		if len(want) > 3 && (strings.Contains(have, want) || strings.Contains(want, have) && len(have) > 3) {
			d = min(d, 2)
		}
		if d <= max(2, len(want)/3) {
			found = append(found, near{name, d})
		}
	}
	for _, c := range All() {
		add(c.Code)
		for _, d := range c.Details {
			if d.Code == strings.ToLower(d.Code) {
				add(d.Code)
			}
		}
	}
	for _, r := range Reasons() {
		add(r.Name)
		for _, a := range r.Also {
			add(a)
		}
	}
	slices.SortStableFunc(found, func(a, b near) int {
		if a.distance != b.distance {
			return a.distance - b.distance
		}
		return strings.Compare(a.name, b.name)
	})
	var out []string
	for _, f := range found[:min(len(found), 5)] {
		out = append(out, f.name)
	}
	return out
}

// distance is the number of letters to change, add or leave out (Levenshtein).
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
