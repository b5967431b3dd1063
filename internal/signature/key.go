package signature

import (
	"strings"
)

// key tells failures of one class apart: by the exception's type and by where in the
// program it was, or by what the line says where that is not known.
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
	b.Grow(len(s.Class) + len(s.Type) + len(where) + 2)
	b.WriteString(s.Class)
	b.WriteByte('|')
	b.WriteString(normalize(s.Type, 96))
	b.WriteByte('|')
	b.WriteString(where)
	return b.String()
}

// normalize puts signs in place of what changes from one time to the next: quoted
// values <s>, numbers, addresses and times <n>, ids and hexadecimal numbers <h>.
func normalize(s string, limit int) string {
	var b strings.Builder
	b.Grow(min(len(s), limit) + 8)
	blank := false
	for i := 0; i < len(s) && b.Len() < limit; {
		c := s[i]
		switch {
		case (c == '"' || c == '`' || c == '\'') && (i == 0 || !word(s[i-1])):
			if n := closing(s, i); n > 0 {
				b.WriteString("<s>")
				i, blank = n, false
				continue
			}
			b.WriteByte(c)
			i++
		case word(c):
			end, digits := i, 0
			for end < len(s) && word(s[end]) {
				if digit(s[end]) {
					digits++
				}
				end++
			}
			part := s[i:end]
			i = end
			switch {
			case digits == 0:
				b.WriteString(part)
			case digits == len(part) || len(part) < 6 && digit(part[0]):
				number(&b)
				// The rest of an address, a date, a version or a duration is the same number.
				for i+1 < len(s) && strings.IndexByte(".:-/,+", s[i]) >= 0 && digit(s[i+1]) {
					for i++; i < len(s) && word(s[i]); i++ {
						continue
					}
				}
			case len(part) >= 6:
				b.WriteString("<h>")
				// The parts of a uuid are one id.
				for i+1 < len(s) && s[i] == '-' && hexWord(s[i+1:]) {
					for i++; i < len(s) && word(s[i]); i++ {
						continue
					}
				}
			default:
				// func1, http2: the letters, and that a number follows.
				b.WriteString(strings.TrimRight(part, "0123456789"))
				number(&b)
			}
		case c == ' ' || c == '\t':
			if !blank {
				b.WriteByte(' ')
			}
			blank = true
			i++
			continue
		default:
			b.WriteByte(c)
			i++
		}
		blank = false
	}
	return strings.ToValidUTF8(strings.TrimSpace(shorten(b.String(), limit)), "")
}

func number(b *strings.Builder) { b.WriteString("<n>") }

func word(c byte) bool {
	return digit(c) || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
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
