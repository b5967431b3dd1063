package redact

import (
	"regexp"
	"strings"
)

var (
	pemWhole = regexp.MustCompile(`(?s)-----BEGIN (?:[A-Z0-9]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----(.*?)(?:-----END (?:[A-Z0-9]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----|$)`)
	pemBegin = regexp.MustCompile(`-----BEGIN (?:[A-Z0-9]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----`)
	pemEnd   = regexp.MustCompile(`-----END (?:[A-Z0-9]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----`)
	// pemBody is the last word of a line inside of a key; a logger may write before it.
	pemBody = regexp.MustCompile(`(?:^|[\s|>"'])([A-Za-z0-9+/=]+)(?:\\n)?["',]*\s*$`)
	// pemAttribute stands at the beginning of an encrypted key.
	pemAttribute = regexp.MustCompile(`(?:Proc-Type|DEK-Info|Version|Comment): `)
)

// pemLine replaces private keys that stand in one line, and the part in this line of one that does not.
func pemLine() rule {
	return rule{keywords: []string{"private key"}, replace: func(line string) (string, int) {
		var e edit
		for _, m := range pemWhole.FindAllStringSubmatchIndex(line, -1) {
			if strings.Trim(line[m[2]:m[3]], " \t\r\n\\nr\"',") != "" {
				e.replace(line, m[2], m[3])
			}
		}
		return e.result(line)
	}}
}

// privateKey follows a private key over several lines.
type privateKey struct {
	open bool
	// body tells that a line of it was seen, before which attributes may stand.
	body bool
}

// take returns the line to store for one that is the inside of a private key, and how
// many values that replaced: the first line of a key counts. It is false for every
// other line. Where a text begins inside of a key, its end gives it away: the lines
// before, which are out, are replaced then.
func (k *privateKey) take(line string, out []string) (string, int, bool) {
	if !strings.Contains(line, "PRIVATE KEY") {
		if !k.open {
			return "", 0, false
		}
		return k.inside(line)
	}
	begin, end := pemBegin.FindAllStringIndex(line, -1), pemEnd.FindAllStringIndex(line, -1)
	switch {
	case len(begin) > 0 && (len(end) == 0 || begin[len(begin)-1][0] > end[len(end)-1][0]):
		k.open, k.body = true, false
	case len(end) > 0 && len(begin) == 0:
		n := 0
		if !k.open {
			n = replaceBefore(out)
		}
		k.open = false
		return line, n, n > 0
	default:
		k.open = false
	}
	return "", 0, false
}

// inside takes a line after the beginning of a key.
func (k *privateKey) inside(line string) (string, int, bool) {
	trimmed := strings.TrimSpace(line)
	if trimmed == "" || trimmed == mark || strings.HasSuffix(trimmed, mark) {
		k.body = k.body || trimmed != ""
		return line, 0, true
	}
	if pemAttribute.MatchString(line) && !k.body {
		return line, 0, true
	}
	m := pemBody.FindStringSubmatchIndex(line)
	if m == nil || !isKeyText(line[m[2]:m[3]]) {
		k.open = false // the key was cut off
		return "", 0, false
	}
	n := 1
	if k.body {
		n = 0
	}
	k.body = true
	return line[:m[2]] + mark + line[m[3]:], n, true
}

// isKeyText tells that a word is a line of a key and not of what comes after one that was cut off.
func isKeyText(word string) bool {
	if len(word) >= minBody || strings.HasSuffix(word, "=") {
		return true
	}
	var upper, lower, digit bool
	for i := range len(word) {
		upper = upper || isUpper(word[i])
		lower = lower || isLower(word[i])
		digit = digit || isDigit(word[i])
	}
	return upper && (digit || lower && len(word) >= 16)
}

// minBody is the length from which on a word may be a line of a key whose beginning is
// not there: keys are written in lines of 64 or more, the last one shorter.
const minBody = 40

// replaceBefore replaces the lines at the end of out that are the inside of a key.
func replaceBefore(out []string) int {
	n := 0
	for i := len(out) - 1; i >= 0; i-- {
		m := pemBody.FindStringSubmatchIndex(out[i])
		if m == nil || i < len(out)-1 && m[3]-m[2] < minBody {
			break
		}
		out[i] = out[i][:m[2]] + mark + out[i][m[3]:]
		n = 1
	}
	return n
}
