package signature

import (
	"net/netip"
	"strings"
)

// key tells failures of one class apart: by the exception's type and by where in the
// program it was, or by what the line says where that is not known; and by what could
// not be reached. Two pods of a workload that fail alike have the same key, whatever their
// names, addresses and times.
func key(s *Signature) string {
	where := ""
	for _, f := range s.Frames {
		if f.App && f.Func != "" {
			where = normalize(f.Func, 96)
			break
		}
	}
	if where == "" {
		where = normalize(s.Line, 160)
	}
	var b strings.Builder
	b.Grow(len(s.Class) + len(s.Type) + len(where) + len(s.Target) + 3)
	b.WriteString(s.Class)
	b.WriteByte('|')
	b.WriteString(normalize(s.Type, 96))
	b.WriteByte('|')
	b.WriteString(where)
	if server := server(s.Target); server != "" {
		b.WriteByte('|')
		b.WriteString(server)
	}
	return b.String()
}

// ephemeral is the first of the ports that Linux gives to clients (ip_local_port_range).
const ephemeral = "32768"

// server is a target without what differs between pods: the addresses, and the ports that
// a system chooses.
func server(target string) string {
	host, port := target, ""
	if i := strings.LastIndexByte(target, ':'); i > strings.LastIndexByte(target, ']') {
		host, port = target[:i], target[i:]
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		host = mark
	}
	if n := len(port) - 1; n > len(ephemeral) || n == len(ephemeral) && port[1:] >= ephemeral {
		port = ""
	}
	if host == mark && port == "" {
		return ""
	}
	return normalize(host, 96) + port
}

// mark stands for what changes from one time to the next.
const mark = "<n>"

// normalize puts signs in place of what changes from one time, and from one pod, to the next:
// <s> for quoted values, <n> for numbers, times, durations, addresses, ids and generated
// names. What may be a number one time and a hexadecimal id the next has one sign, and
// several in a row are one.
func normalize(s string, limit int) string {
	n := normalizer{s: s}
	for n.i < len(s) && n.b.Len() < limit {
		n.step()
	}
	return strings.ToValidUTF8(strings.TrimSpace(shorten(n.b.String(), limit)), "")
}

type normalizer struct {
	s string
	i int
	b strings.Builder
	// marked tells that nothing but blanks and separators was written since a mark, of which
	// gap are those.
	marked bool
	gap    string
}

// put writes what stays.
func (n *normalizer) put(text string) {
	n.b.WriteString(n.gap)
	n.b.WriteString(text)
	n.marked, n.gap = false, ""
}

// hide writes the mark, unless one was just written.
func (n *normalizer) hide() {
	if !n.marked {
		n.put(mark)
	}
	n.marked, n.gap = true, ""
}

// between writes a blank or a separator, which is left out where it stands between two marks.
func (n *normalizer) between(c string) {
	if n.marked {
		if c != " " || !strings.HasSuffix(n.gap, " ") {
			n.gap += c
		}
		return
	}
	n.b.WriteString(c)
}

// step takes the next piece of the text.
func (n *normalizer) step() {
	s, i := n.s, n.i
	c := s[i]
	begin := i == 0 || !word(s[i-1])
	switch {
	case (c == '"' || c == '`' || c == '\'') && begin && closing(s, i) > 0:
		n.i = closing(s, i)
		n.put(either(setting(s[i+1:n.i-1]), s[i:n.i], "<s>"))
	case begin && v6(s[i:]) > 0:
		n.hide()
		n.i += v6(s[i:])
	case c == '[' && v6(s[i+1:]) > 0 && strings.HasPrefix(s[i+1+v6(s[i+1:]):], "]"):
		n.hide()
		n.i += v6(s[i+1:]) + 2
	case alphanumeric(c):
		n.word()
	case c == ' ' || c == '\t':
		n.i++
		if n.marked || n.b.Len() > 0 && !strings.HasSuffix(n.b.String(), " ") {
			n.between(" ")
		}
	case strings.IndexByte(".:-/,+@#_", c) >= 0:
		n.i++
		n.between(s[i : i+1])
	default:
		n.i++
		n.put(s[i:n.i])
	}
}

// word takes a word of letters and digits.
func (n *normalizer) word() {
	s, i := n.s, n.i
	for n.i < len(s) && alphanumeric(s[n.i]) {
		n.i++
	}
	w, rest := s[i:n.i], s[n.i:]
	before := byte(0)
	if i > 0 {
		before = s[i-1]
	}
	switch {
	case len(w) == 8 && uuid(s[i:]):
		n.i = i + uuidLength
		n.hide()
	case strings.HasSuffix(s[:i], "/tmp/") || strings.HasSuffix(s[:i], "/tmp/."):
		// A temporary file or directory.
		for n.i < len(s) && (word(s[n.i]) || s[n.i] == '.' || s[n.i] == '-') {
			n.i++
		}
		n.hide()
	case strings.HasPrefix(w, "tmp") && tempfile(s[i:]):
		n.i = i + tempfileLength
		n.hide()
	case before == '@' && len(w) <= 16 && hexWord(w), // java.lang.Object@beef
		before == '-' && len(w) == 5 && strings.Trim(w, generated) == "",                                             // the end of a pod's name
		before == '-' && n.gap == "-" && hexWord(w),                                                                  // the rest of an id
		before == '-' && n.gap == "-" && len(w) == 4 && w == strings.ToLower(w) && !strings.ContainsAny(w, "aeiouy"), // of a node's name
		date(w) && (n.marked || dated(rest)),
		n.gap == " " && (w == "AM" || w == "PM"):
		n.hide()
	default:
		n.numbered(w)
	}
	// The sign of micro is no letter of ASCII.
	if n.marked && n.gap == "" && (strings.HasPrefix(rest, "µs") || strings.HasPrefix(rest, "μs")) && n.i+len("µs") <= len(s) {
		n.i += len("µs")
	}
}

// numbered writes a word, with a mark in place of the number in it: func12, log4j. A word
// that is a number or an amount, or looks like an id, is a mark as a whole: 42, 1h23m45s,
// 3f9b4c1d, x2k4j.
func (n *normalizer) numbered(w string) {
	from := strings.IndexAny(w, "0123456789")
	if from < 0 {
		n.put(w)
		return
	}
	to := from
	for to < len(w) && digit(w[to]) {
		to++
	}
	letters := w[:from] + w[to:]
	switch {
	case from == 0,
		strings.ContainsAny(w[to:], "0123456789"),
		to < len(w) && (len(letters) < 4 || to-from > 3) && !numberedNode(w[:from], to-from),
		len(w) >= 6 && strings.Trim(letters, "abcdefABCDEF") == "":
		n.hide()
	case to < len(w) && to-from <= 3:
		n.put(w[:from] + mark + w[to:])
	default:
		n.put(w[:from] + mark)
		n.marked = true
	}
}

// numberedNode tells the name of a node whose number is of base 36: vmss00000a.
func numberedNode(letters string, digits int) bool {
	return len(letters) >= 4 && digits > 3 && strings.Trim(letters, "abcdefABCDEF") != ""
}

// tempfileLength is that of the names that Python gives to temporary files.
const tempfileLength = len("tmp") + 8

func tempfile(s string) bool {
	n := 0
	for n < len(s) && (s[n] == '_' || digit(s[n]) || s[n] >= 'a' && s[n] <= 'z') {
		n++
	}
	return n == tempfileLength && (n == len(s) || !word(s[n]))
}

// generated are the characters of the names that Kubernetes generates
// (apimachinery/pkg/util/rand), such as the last five of a pod's name.
const generated = "bcdfghjklmnpqrstvwxz2456789"

// setting tells the name of a setting, which is no value that changes.
func setting(s string) bool {
	underscore, digits := false, 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '_':
			underscore = true
		case digit(c):
			digits++
		case c < 'A' || c > 'Z':
			return false
		}
	}
	return underscore && digits <= 2 && len(s) > 3
}

// date tells the short name of a month or of a day of the week.
func date(w string) bool {
	switch w {
	case "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun",
		"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday":
		return true
	}
	return false
}

// dated tells that a date goes on: "Sat, 21 Nov", "Nov 21", "Sat Nov 21".
func dated(rest string) bool {
	rest = strings.TrimLeft(rest, ", -/")
	if rest != "" && digit(rest[0]) {
		return true
	}
	return len(rest) > 3 && date(rest[:3]) && !word(rest[3])
}

const uuidLength = 36

// uuid tells that s begins with one.
func uuid(s string) bool {
	if len(s) < uuidLength || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' || len(s) > uuidLength && word(s[uuidLength]) {
		return false
	}
	return hexWord(s[:8]) && hexWord(s[9:13]) && hexWord(s[14:18]) && hexWord(s[19:23]) && hexWord(s[24:uuidLength])
}

// v6 returns the length of the IPv6 address that s begins with, or 0.
func v6(s string) int {
	n, colons := 0, 0
	for n < len(s) && n < 46 {
		c := s[n]
		if c == ':' {
			colons++
		} else if !digit(c) && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') && c != '.' {
			break
		}
		n++
	}
	if colons < 2 || n < len(s) && word(s[n]) {
		return 0
	}
	for ; n > 2; n-- {
		if a, err := netip.ParseAddr(s[:n]); err == nil && a.Is6() {
			return n
		}
		if s[n-1] != ':' && s[n-1] != '.' {
			break
		}
	}
	return 0
}

func word(c byte) bool { return alphanumeric(c) || c == '_' }

func alphanumeric(c byte) bool {
	return digit(c) || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// hexWord tells that a word of hexadecimal digits of four or more begins s.
func hexWord(s string) bool {
	n := 0
	for n < len(s) && word(s[n]) {
		if c := s[n]; !digit(c) && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
		n++
	}
	return n >= 4
}

// closing returns the place after the quote that closes the one at i, or 0.
func closing(s string, i int) int {
	for j := i + 1; j < len(s) && j < i+512; j++ {
		if s[j] == s[i] && (j+1 == len(s) || !word(s[j+1])) {
			return j + 1
		}
	}
	return 0
}

func either[T any](yes bool, a, b T) T {
	if yes {
		return a
	}
	return b
}
