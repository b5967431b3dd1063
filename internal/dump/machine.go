package dump

// machine follows the structure of one JSON value, byte by byte, without
// building it. It finds the value's end, the point where the text stops being
// JSON, and the array under "items" of the outermost object, so that a list of
// any length can be read item by item. Numbers and literals are only delimited
// here: decoding checks them.
type machine struct {
	stack []byte // the open brackets
	state state
	// keyAt is where the last key of the outermost object begins, relative to the value.
	keyAt int
	// items is set between the key "items" of the outermost object and its value.
	items bool
	// whole leaves the array under "items" in the value.
	whole bool
}

type state byte

const (
	wantValue state = iota
	wantValueOrEnd
	wantKeyOrEnd
	wantKey
	wantColon
	wantCommaOrEnd
	inKey
	inKeyEscape
	inString
	inStringEscape
	inScalar
)

// outcome is why machine.run returned.
type outcome byte

const (
	needMore outcome = iota
	valueDone
	itemsBegin
	notJSON
)

// maxDepth bounds how deep brackets may nest; API objects stay far below.
const maxDepth = 256

func (m *machine) reset() {
	m.stack = m.stack[:0]
	*m = machine{stack: m.stack}
}

// run follows value, of which value[:from] is already done, and returns how far it
// came and why it stopped there. The value must be an object or an array.
func (m *machine) run(value []byte, from int) (int, outcome) {
	for i := from; i < len(value); i++ {
		c := value[i]
		switch m.state {
		case inString, inKey:
			// Most bytes of an API object are in strings.
			for c != '"' && c != '\\' && c >= ' ' {
				if i++; i == len(value) {
					return i, needMore
				}
				c = value[i]
			}
			switch {
			case c == '\\':
				m.state++ // to the escape of the same kind
			case c != '"':
				return i, notJSON // a raw control character
			case m.state == inKey:
				m.items = len(m.stack) == 1 && !m.whole && string(value[m.keyAt+1:i]) == "items"
				m.state = wantColon
			default:
				m.state = wantCommaOrEnd
			}
			continue
		case inStringEscape, inKeyEscape:
			m.state-- // decoding checks which letter it is
			continue
		case inScalar:
			if isScalar(c) {
				continue
			}
			m.state = wantCommaOrEnd
		}
		if c == ' ' || c == '\n' || c == '\r' || c == '\t' {
			continue
		}
		if !m.structure(c, i) {
			return i, notJSON
		}
		if len(m.stack) == 0 {
			return i + 1, valueDone
		}
		if c == '[' && m.items && len(m.stack) == 2 {
			m.items, m.whole = false, true
			return i + 1, itemsBegin
		}
	}
	return len(value), needMore
}

// structure takes one byte outside strings and scalars, and tells whether JSON allows it there.
func (m *machine) structure(c byte, at int) bool {
	switch m.state {
	case wantKeyOrEnd, wantKey:
		if c == '"' {
			m.state = inKey
			if len(m.stack) == 1 {
				m.keyAt = at
			}
			return true
		}
		return c == '}' && m.state == wantKeyOrEnd && m.pop('{')
	case wantColon:
		m.state = wantValue
		return c == ':'
	case wantCommaOrEnd:
		switch c {
		case ',':
			m.state = wantKey
			if m.stack[len(m.stack)-1] == '[' {
				m.state = wantValue
			}
			return true
		case '}':
			return m.pop('{')
		case ']':
			return m.pop('[')
		}
		return false
	}
	switch { // wantValue, wantValueOrEnd
	case c == '{':
		m.state = wantKeyOrEnd
		return m.push(c)
	case c == '[':
		m.state = wantValueOrEnd
		return m.push(c)
	case c == ']':
		return m.state == wantValueOrEnd && m.pop('[')
	case c == '"':
		m.state = inString
		return true
	case isScalar(c):
		m.state = inScalar
		return true
	}
	return false
}

func (m *machine) push(c byte) bool {
	m.stack = append(m.stack, c)
	return len(m.stack) <= maxDepth
}

func (m *machine) pop(open byte) bool {
	if len(m.stack) == 0 || m.stack[len(m.stack)-1] != open {
		return false
	}
	m.stack = m.stack[:len(m.stack)-1]
	m.state = wantCommaOrEnd
	return true
}

func isScalar(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '+' || c == '.'
}
