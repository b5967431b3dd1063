package postgres

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode/utf8"
)

// A text of PostgreSQL has no NUL and is valid UTF-8, and one in an index has less than a third
// of a page. What comes from a cluster can be anything, so texts are spelled: NUL and what is no UTF-8
// as escape and two digits, the escape itself twice; and what is longer than longest ends with its hash.
// What begins with a text is spelled with that text's spelling before it, as long as neither is cut.
const (
	escape  = '\x01'
	longest = 512
)

func spell(s string) string {
	if len(s) > longest {
		sum := sha256.Sum256([]byte(s))
		// No text that is not cut is spelled so: after an escape comes a digit, or the escape.
		return spell(strings.ToValidUTF8(s[:longest/2], "")) + string(escape) + "#" + hex.EncodeToString(sum[:16])
	}
	if utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 && strings.IndexByte(s, escape) < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == escape:
			b.WriteString("\x01\x01")
		case r == 0, r == utf8.RuneError && n == 1:
			b.WriteByte(escape)
			b.WriteString(hex.EncodeToString([]byte{s[i]}))
		default:
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return b.String()
}

// unspell returns the text of a spelling; of one that was cut, its beginning and the hash.
func unspell(s string) string {
	if strings.IndexByte(s, escape) < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] != escape || i+1 == len(s):
			b.WriteByte(s[i])
		case s[i+1] == escape:
			b.WriteByte(escape)
			i++
		case s[i+1] == '#':
			b.WriteByte('#')
			i++
		default:
			if raw, err := hex.DecodeString(s[i+1 : min(i+3, len(s))]); err == nil {
				b.Write(raw)
				i += 2
			}
		}
	}
	return b.String()
}

// spelled spells the texts among arguments.
func spelled(args []any) []any {
	out := make([]any, len(args))
	for i, a := range args {
		if s, ok := a.(string); ok {
			a = spell(s)
		}
		out[i] = a
	}
	return out
}

func spellAll(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = spell(s)
	}
	return out
}
