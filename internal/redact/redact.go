// Package redact replaces secrets in log lines and messages before they are
// stored or shown: values of keys such as password, credentials in URLs and
// headers, private keys, and tokens that their prefix gives away.
//
// Only the value is replaced, by "[redacted]", so that a person still sees what it
// was. Redacting what was redacted changes nothing. What identifies things without
// opening them stays: hashes, UUIDs, image digests, container IDs, stack traces.
// Redaction is a net with holes, not a promise: a secret that stands alone and
// looks like any other word is not found.
//
// The package is pure and imports the standard library alone.
package redact

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// mark stands in place of a secret.
const mark = "[redacted]"

// Options adds to what is redacted.
type Options struct {
	// Patterns are regular expressions (RE2) of further secrets. Where a pattern has
	// groups, what they match is replaced, else the whole match.
	Patterns []string
}

// Redactor replaces secrets. It has no state that changes and may be used from
// several goroutines.
type Redactor struct {
	keywords matcher
	rules    []rule
	extra    []*regexp.Regexp
}

// rule finds one family of secrets in lines that contain one of its keywords.
type rule struct {
	keywords []string // in lower case, matched in any case
	// replace returns the line with the family's secrets replaced, and how many.
	replace func(line string) (string, int)
}

// New returns a Redactor, and an error that names every pattern which cannot be used.
func New(o Options) (*Redactor, error) {
	r := &Redactor{rules: builtin()}
	if len(r.rules) > maxRules {
		return nil, fmt.Errorf("redact: %d rules, at most %d fit", len(r.rules), maxRules)
	}
	for i, rule := range r.rules {
		for _, k := range rule.keywords {
			r.keywords.add(k, i)
		}
	}
	var errs []error
	for i, p := range o.Patterns {
		re, err := regexp.Compile(p)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("redaction pattern %d (%q): %w", i+1, p, err))
		case re.MatchString(""):
			errs = append(errs, fmt.Errorf("redaction pattern %d (%q): it matches nothing at all, and so everywhere", i+1, p))
		default:
			r.extra = append(r.extra, re)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return r, nil
}

// Line returns a line with its secrets replaced, and how many values that were.
func (r *Redactor) Line(s string) (string, int) {
	n := 0
	if found := r.keywords.scan(s); found != 0 {
		for i := range r.rules {
			if found&(1<<i) != 0 {
				var k int
				s, k = r.rules[i].replace(s)
				n += k
			}
		}
	}
	for _, re := range r.extra {
		var k int
		s, k = replaceMatches(re, s)
		n += k
	}
	return s, n
}

// Lines returns the lines of one text with their secrets replaced, one for each, and
// how many values that were. It also finds private keys that go over several lines,
// even where the text begins or ends inside of one. The lines given are not changed.
func (r *Redactor) Lines(lines []string) ([]string, int) {
	if len(lines) == 0 {
		return nil, 0
	}
	out := make([]string, len(lines))
	n := 0
	var key privateKey
	for i, line := range lines {
		if whole, k, ok := key.take(line, out[:i]); ok {
			out[i] = whole
			n += k
			continue
		}
		var k int
		out[i], k = r.Line(line)
		n += k
	}
	return out, n
}

// replaceMatches replaces the groups of each match of re, or the whole match where
// there are none. What is replaced already stays.
func replaceMatches(re *regexp.Regexp, s string) (string, int) {
	matches := re.FindAllStringSubmatchIndex(s, -1)
	if matches == nil {
		return s, 0
	}
	marks := markSpans(s)
	var b strings.Builder
	done, n := 0, 0
	for _, m := range matches {
		spans := m[2:]
		if len(spans) == 0 {
			spans = m
		}
		for i := 0; i+1 < len(spans); i += 2 {
			from, to, ok := aroundMarks(spans[i], spans[i+1], marks)
			if !ok || from < done {
				continue
			}
			b.WriteString(s[done:from])
			b.WriteString(mark)
			done = to
			n++
		}
	}
	if n == 0 {
		return s, 0
	}
	b.WriteString(s[done:])
	return b.String(), n
}

// markSpans returns where the marks stand in s.
func markSpans(s string) [][2]int {
	var spans [][2]int
	for at := 0; ; {
		i := strings.Index(s[at:], mark)
		if i < 0 {
			return spans
		}
		spans = append(spans, [2]int{at + i, at + i + len(mark)})
		at += i + len(mark)
	}
}

// aroundMarks widens a span so that it cuts no mark in two; a span that is empty or
// inside of a mark is none.
func aroundMarks(from, to int, marks [][2]int) (int, int, bool) {
	if from < 0 || from == to {
		return 0, 0, false
	}
	for _, m := range marks {
		if from >= m[0] && to <= m[1] {
			return 0, 0, false
		}
		if from > m[0] && from < m[1] {
			from = m[0]
		}
		if to > m[0] && to < m[1] {
			to = m[1]
		}
	}
	return from, to, true
}
