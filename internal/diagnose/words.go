package diagnose

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/signature"
)

// This file reads the program's last words: the termination message, which the API ties
// to the instance, and the tail of the log, which is the instance's for certain only where
// the read proved it. Words refine a cause; they confirm none, since a program may log
// what it survives.

// said is what a program's last words say.
type said struct {
	class, line, language string
	// key tells them from others of the class, target is what could not be reached.
	key, target string
	// proven tells that they are this instance's for certain.
	proven   bool
	evidence record.Evidence
}

// lastWords returns what the termination message, or else the log, says of the end; nil
// where they say nothing that is known.
func lastWords(e *evidence.Evidence) *said {
	if m := e.Stop.Message; m != "" {
		if s := signature.Find(strings.Split(m, "\n")); s != nil {
			return saidBy(s, true, statusEvidence(e)(e.Stop.Field+".message", s.Line))
		}
	}
	if e.Log == nil {
		return nil
	}
	if s := signature.Find(e.Log.Lines); s != nil {
		return saidBy(s, e.Log.Proven, logEvidence(e, s.Line))
	}
	return nil
}

func saidBy(s *signature.Signature, proven bool, q record.Evidence) *said {
	return &said{class: s.Class, line: s.Line, language: s.Language, key: s.Key, target: s.Target, proven: proven, evidence: q}
}

// quoteWords adds to a diagnosis that quotes the program's last words what they are grouped
// by: their signature, and what the program could not reach.
func quoteWords(e *evidence.Evidence, d *record.Diagnosis) {
	w := lastWords(e)
	if w != nil && slices.Contains(d.Evidence, w.evidence) {
		d.Signature, d.Target = w.key, w.target
	}
}

// endsIn tells that a language's runtime ends a program that failed as its words say
// with this exit code by itself.
func (w *said) endsIn(code int32) bool {
	switch w.class {
	case "panic", "exception":
	default:
		return false
	}
	switch w.language {
	case "go":
		return code == 2
	case "rust":
		return code == 101
	case "php":
		return code == 255
	case "java", "python", "node", "ruby":
		return code == 1
	}
	return false
}

// quoted is a line for a sentence, in quotes.
func quoted(line string) string { return strconv.Quote(oneLine(line)) }

// oneLine is a text for a sentence: without what does not print, and not too long.
func oneLine(text string) string {
	const most = 120
	text = strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text))
	if r := []rune(text); len(r) > most {
		text = string(r[:most]) + "…"
	}
	return text
}

// lines returns the program's last words as lines: the termination message, then the log.
func lines(e *evidence.Evidence) (message, log []string) {
	if e.Stop.Message != "" {
		message = strings.Split(e.Stop.Message, "\n")
	}
	if e.Log != nil {
		log = e.Log.Lines
	}
	return message, log
}

// findLine returns the last line of the last words that matches, with its evidence.
func findLine(e *evidence.Evidence, re *regexp.Regexp) (match []string, proven bool, q record.Evidence) {
	message, log := lines(e)
	for i := len(message) - 1; i >= 0; i-- {
		if m := re.FindStringSubmatch(message[i]); m != nil {
			return m, true, statusEvidence(e)(e.Stop.Field+".message", message[i])
		}
	}
	for i := len(log) - 1; i >= 0; i-- {
		if m := re.FindStringSubmatch(log[i]); m != nil {
			return m, e.Log.Proven, logEvidence(e, log[i])
		}
	}
	return nil, false, record.Evidence{}
}
