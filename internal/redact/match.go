package redact

// matcher finds which of a set of keywords a text contains, in one pass and in any
// case. It looks words up by their first two letters, because most pairs of letters
// begin none.
type matcher struct {
	// heads maps a folded pair of bytes to 1 + an index of lists.
	heads [1 << 10]uint8
	lists [][]keyword
}

type keyword struct {
	text string
	bit  uint
}

// maxRules is how many rules fit the set of bits that scan returns.
const maxRules = 64

// head folds two bytes to the index of heads: letters of both cases fall together.
func head(a, b byte) int {
	return int(a&31)<<5 | int(b&31)
}

func (m *matcher) add(text string, bit int) {
	h := head(text[0], text[1])
	if m.heads[h] == 0 {
		m.lists = append(m.lists, nil)
		m.heads[h] = uint8(len(m.lists)) //nolint:gosec // far fewer than 255 pairs
	}
	i := m.heads[h] - 1
	m.lists[i] = append(m.lists[i], keyword{text, uint(bit)}) //nolint:gosec // below maxRules
}

// scan returns the set of rules of which s contains a keyword.
func (m *matcher) scan(s string) uint64 {
	var found uint64
	for i := 0; i+1 < len(s); i++ {
		h := m.heads[head(s[i], s[i+1])]
		if h == 0 {
			continue
		}
		for _, k := range m.lists[h-1] {
			if found&(1<<k.bit) == 0 && hasPrefixFold(s[i:], k.text) {
				found |= 1 << k.bit
			}
		}
	}
	return found
}

// next returns where the first keyword at or after from begins, and its length.
func (m *matcher) next(s string, from int) (at, length int, ok bool) {
	for i := from; i+1 < len(s); i++ {
		h := m.heads[head(s[i], s[i+1])]
		if h == 0 {
			continue
		}
		for _, k := range m.lists[h-1] {
			if hasPrefixFold(s[i:], k.text) {
				return i, len(k.text), true
			}
		}
	}
	return 0, 0, false
}

// hasPrefixFold tells whether s begins with prefix, which is in lower case. Only ASCII letters are folded.
func hasPrefixFold(s, prefix string) bool {
	if len(s) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		c := s[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != prefix[i] {
			return false
		}
	}
	return true
}
