package printer

import (
	"strings"
	"unicode"
)

// DefaultWidth is how many columns a terminal has where nobody says.
const DefaultWidth = 80

// Columns is how many columns of a terminal a text takes that was escaped: characters of
// East Asian scripts and emoji take two, marks that combine with others none.
func Columns(s string) int {
	n := 0
	for _, r := range s {
		n += columnsOf(r)
	}
	return n
}

func columnsOf(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	case wide(r):
		return 2
	}
	return 1
}

// wide tells characters whose East_Asian_Width is W or F (UAX #11), by the blocks that
// have them.
func wide(r rune) bool {
	switch {
	case r < 0x1100:
		return false
	case r <= 0x115f, // Hangul Jamo that begin a syllable
		r >= 0x2e80 && r <= 0x303e, r >= 0x3041 && r <= 0xa4cf, // CJK, kana, Yi
		r >= 0xa960 && r <= 0xa97c, r >= 0xac00 && r <= 0xd7a3, // Hangul
		r >= 0xf900 && r <= 0xfaff, r >= 0xfe30 && r <= 0xfe6f,
		r >= 0xff00 && r <= 0xff60, r >= 0xffe0 && r <= 0xffe6,
		r >= 0x17000 && r <= 0x18cff, r >= 0x1b000 && r <= 0x1b2ff,
		r >= 0x1f300 && r <= 0x1f64f, r >= 0x1f680 && r <= 0x1f6ff, r >= 0x1f7e0 && r <= 0x1f7f0,
		r >= 0x1f90c && r <= 0x1faff, r >= 0x20000 && r <= 0x3fffd:
		return true
	}
	return false
}

// wrap breaks a text into lines of at most width columns, at blanks where it can. Blanks
// at the begin of the text stay, and indent what follows. It returns at least one line.
func wrap(s string, width int) []string {
	body := strings.TrimLeft(s, " ")
	indent := s[:min(len(s)-len(body), width/2)]
	var lines []string
	line, used := indent, len(indent)
	empty := true // nothing but the indent
	flush := func() {
		lines = append(lines, line)
		line, used, empty = indent, len(indent), true
	}
	for _, word := range strings.Fields(body) {
		n := Columns(word)
		if !empty && used+1+n > width {
			flush()
		}
		if !empty {
			line, used = line+" ", used+1
		}
		for n > width-used { // longer than a line
			head, rest := cut(word, max(1, width-used))
			line += head
			flush()
			word, n = rest, Columns(rest)
		}
		if word != "" {
			line, used, empty = line+word, used+n, false
		}
	}
	if !empty || len(lines) == 0 {
		flush()
	}
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return lines
}

// cut splits a text after at most width columns, but after one character at least.
func cut(s string, width int) (head, rest string) {
	used := 0
	for i, r := range s {
		if used += columnsOf(r); used > width && i > 0 {
			return s[:i], s[i:]
		}
	}
	return s, ""
}

// Shorten cuts a text that was escaped to at most width columns, and shows that it did.
func Shorten(s string, width int) string {
	if Columns(s) <= width {
		return s
	}
	head, _ := cut(s, max(1, width-1))
	return strings.TrimRight(head, " ") + "…"
}
