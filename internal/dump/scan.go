package dump

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// tokenKind tells what a scanner found.
type tokenKind byte

const (
	// tokDocument is one whole JSON object.
	tokDocument tokenKind = iota
	// tokItem is one element of a list; scanner.header holds the list up to there.
	tokItem
	// tokListEnd is a list that was handed out item by item, without its items; empty for a bare array.
	tokListEnd
	// tokLog is the first line of a log among the documents, as "kubectl cluster-info dump" prints it.
	tokLog
	// tokDamage is a stretch that is not used.
	tokDamage
)

// token is one thing that a scanner found. Its text is valid until the next call.
type token struct {
	kind tokenKind
	text []byte
	line int
	// why and lost describe a damage; lost is the number of bytes.
	why  string
	lost int64
}

// scanner splits a stream of JSON documents, one a line or indented over many,
// into the documents, and lists into their items, whatever stands between them.
// It holds one document or item in memory. After a damage it goes on at the next
// line that begins with an opening brace.
type scanner struct {
	r   io.Reader
	max int
	err error // of r, sticky

	data []byte
	// start is where the current document or item begins, pos how far it was looked at.
	start, pos int
	// line is the number of the line in which data[counted] stands.
	line, counted int

	m      machine // of the current document or item
	outer  machine // of the list around the item
	list   listState
	header []byte
	// again counts the bytes that were looked at a second time after a damage.
	again int64
}

// listState tells whether the scanner is inside a list, and what comes next there.
type listState byte

const (
	noList listState = iota
	firstItem
	nextItem
	afterItem
	// listTail is the rest of an object after its items.
	listTail
)

// maxAgain bounds the work on a file that is damaged on purpose.
const maxAgain = 32 * mib

func newScanner(r io.Reader, maxDocument int) *scanner {
	return &scanner{r: r, max: maxDocument, line: 1}
}

// next returns the next token, and false after the last one: at the end of the stream,
// or where reading it failed. What was begun there and not ended comes as a damage.
func (s *scanner) next() (token, bool) {
	for {
		switch s.list {
		case listTail:
			return s.value(tokListEnd)
		case noList:
			c, ok := s.skip(" \t\r\n\ufeff")
			if !ok {
				return token{}, false
			}
			s.m.reset()
			s.header = s.header[:0]
			switch c {
			case '{':
				return s.value(tokDocument)
			case '[':
				s.consume(1)
				s.list = firstItem
			default:
				return s.text()
			}
		default:
			c, ok := s.skip(" \t\r\n")
			if !ok {
				s.list = noList
				return s.damage(s.pos, "the list ends before its end"), true
			}
			switch {
			case c == ']' && s.list != nextItem:
				if len(s.header) == 0 {
					s.list = noList
					s.consume(1)
					return token{kind: tokListEnd, line: s.lineAt(s.start)}, true
				}
				s.list = listTail
				s.m, s.outer = s.outer, s.m
			case c == ',' && s.list == afterItem:
				s.consume(1)
				s.list = nextItem
			case c == '{' && s.list != afterItem:
				s.m.reset()
				s.m.whole = true
				return s.value(tokItem)
			default:
				return s.broken("the list is not JSON here"), true
			}
		}
	}
}

// value scans the object that begins at s.start, or for tokListEnd its rest.
func (s *scanner) value(kind tokenKind) (token, bool) {
	for {
		n, out := s.m.run(s.data[s.start:], s.pos-s.start)
		s.pos = s.start + n
		if n > s.max {
			return s.broken(fmt.Sprintf("a document of more than %s", size(int64(s.max)))), true
		}
		switch out {
		case needMore:
			if !s.fill() {
				return s.broken("ends in the middle of a document"), true
			}
		case notJSON:
			return s.broken("is not JSON here"), true
		case itemsBegin:
			s.header = append(s.header, s.data[s.start:s.pos]...)
			s.start = s.pos
			s.outer, s.m = s.m, s.outer
			s.list = firstItem
			return s.next()
		case valueDone:
			t := token{kind: kind, text: s.data[s.start:s.pos:s.pos], line: s.lineAt(s.start)}
			switch kind {
			case tokItem:
				s.list = afterItem
			case tokListEnd:
				s.list = noList
				s.header = append(s.header, t.text...)
				t.text = s.header
			}
			s.start = s.pos
			return t, true
		}
	}
}

// logMark opens a log in what "kubectl cluster-info dump" prints.
const logMark = "==== START logs for container "

// text takes what is not JSON between documents: a log, or a damage that goes on to
// the next line that may begin a document.
func (s *scanner) text() (token, bool) {
	line := s.lineAt(s.start)
	first, more := s.peekLine()
	if bytes.HasPrefix(first, []byte(logMark)) {
		text := bytes.Clone(first)
		s.consume(len(first))
		return token{kind: tokLog, text: text, line: line}, true
	}
	why := fmt.Sprintf("is not JSON here, but %q", shorten(first, 60))
	lost := int64(0)
	for {
		lost += int64(len(first))
		s.consume(len(first))
		if !more || lost > giveUpAfter {
			break
		}
		if first, more = s.peekLine(); beginsDocument(first) {
			break
		}
	}
	return token{kind: tokDamage, line: line, why: why, lost: lost}, true
}

// giveUpAfter is how much of a stream may be unusable, from its beginning on, before
// the rest is not looked at.
const giveUpAfter = 16 * mib

func beginsDocument(line []byte) bool {
	return len(line) > 0 && (line[0] == '{' || line[0] == '[') || bytes.HasPrefix(line, []byte(logMark))
}

// broken gives up the current document, or the list it is in, and goes on at the next
// line that begins with a brace: the first one inside of what was looked at, because a
// document that was cut off swallows the beginning of the next.
func (s *scanner) broken(why string) token {
	s.list = noList
	if s.pos == s.start && s.pos < len(s.data) {
		s.pos++
	}
	seen := s.data[s.start:min(s.pos+1, len(s.data))]
	i := bytes.Index(seen, []byte("\n{"))
	if i >= 0 && s.again > maxAgain {
		i = bytes.LastIndex(seen, []byte("\n{"))
	}
	if i >= 0 {
		s.again += int64(len(seen) - i)
		return s.damage(s.start+i+1, why)
	}
	t := s.damage(s.pos, why)
	for {
		rest, more := s.peekLine()
		if s.start > 0 && s.data[s.start-1] == '\n' && beginsDocument(rest) {
			return t
		}
		t.lost += int64(len(rest))
		s.consume(len(rest))
		if !more || len(rest) == 0 {
			return t
		}
	}
}

// damage makes a token of what lies between s.start and end, and goes on there.
func (s *scanner) damage(end int, why string) token {
	t := token{kind: tokDamage, line: s.lineAt(s.start), why: why, lost: int64(end - s.start)}
	t.text = bytes.Clone(s.data[s.start:min(end, s.start+kib)])
	s.start, s.pos = end, end
	return t
}

// skip passes over the bytes in set and returns the next one, false at the end.
func (s *scanner) skip(set string) (byte, bool) {
	for {
		rest := bytes.TrimLeft(s.data[s.start:], set)
		s.start = len(s.data) - len(rest)
		s.pos = s.start
		if len(rest) > 0 {
			return rest[0], true
		}
		if !s.fill() {
			return 0, false
		}
	}
}

// peekLine returns the text up to the end of the line, at most 64 KiB of it, without
// consuming it, and whether there may be more after it.
func (s *scanner) peekLine() ([]byte, bool) {
	for {
		rest := s.data[s.start:]
		if i := bytes.IndexByte(rest, '\n'); i >= 0 && i < 64*kib {
			return rest[:i+1], true
		}
		if len(rest) >= 64*kib {
			return rest[:64*kib], true
		}
		if !s.fill() {
			return s.data[s.start:], false
		}
	}
}

// consume moves on by n bytes.
func (s *scanner) consume(n int) {
	s.start += n
	s.pos = s.start
}

// fill reads more, and forgets what lies before s.start. It is false at the end.
func (s *scanner) fill() bool {
	if s.err != nil {
		return false
	}
	// One byte before start is kept: whether a line begins there is asked later.
	if drop := s.start - 1; drop > len(s.data)/2 {
		s.lineAt(drop)
		s.counted -= drop
		s.data = s.data[:copy(s.data, s.data[drop:])]
		s.start -= drop
		s.pos -= drop
	}
	if cap(s.data)-len(s.data) < 32*kib {
		grown := make([]byte, len(s.data), 2*cap(s.data)+64*kib)
		copy(grown, s.data)
		s.data = grown
	}
	for range 100 {
		n, err := s.r.Read(s.data[len(s.data):cap(s.data)])
		s.data = s.data[:len(s.data)+n]
		s.err = err
		if n > 0 || err != nil {
			return n > 0
		}
	}
	s.err = io.ErrNoProgress
	return false
}

// lineAt returns the number of the line in which data[i] stands. It is asked in
// rising order; going back a little gives the line of before.
func (s *scanner) lineAt(i int) int {
	if i > s.counted {
		s.line += bytes.Count(s.data[s.counted:i], []byte{'\n'})
		s.counted = i
	}
	return s.line
}

// failed returns the error that ended the stream early, nil at its proper end.
func (s *scanner) failed() error {
	if errors.Is(s.err, io.EOF) {
		return nil
	}
	return s.err
}

// shorten returns the first line of text, at most n bytes of it.
func shorten(text []byte, n int) string {
	text, _, _ = bytes.Cut(bytes.TrimSpace(text), []byte{'\n'})
	if len(text) > n {
		return string(bytes.ToValidUTF8(text[:n], nil)) + "..."
	}
	return string(text)
}

// size words a number of bytes.
func size(n int64) string {
	switch {
	case n >= gib && n%gib == 0:
		return fmt.Sprintf("%d GiB", n/gib)
	case n >= mib && n%mib == 0:
		return fmt.Sprintf("%d MiB", n/mib)
	case n >= kib && n%kib == 0:
		return fmt.Sprintf("%d KiB", n/kib)
	}
	return fmt.Sprintf("%d bytes", n)
}
