package redact

import "strings"

// keyValues replaces the values of secret keys: key=value, key: value, "key":"value",
// 'key' => 'value', <key>value</key>, --key value, "--key","value".
func keyValues() rule {
	// Parts of the keys that judge knows: one of them is in each.
	keyWords := []string{"pass", "pwd", "secret", "token", "key", "cred", "auth", "cookie", "conn", "sig"}
	var m matcher
	for _, k := range keyWords {
		m.add(k, 0)
	}
	return rule{keywords: keyWords, replace: func(line string) (string, int) {
		var e edit
		for at := 0; ; {
			i, n, ok := m.next(line, at)
			if !ok {
				return e.result(line)
			}
			from, to := i, i+n
			for from > at && isKeyByte(line[from-1]) {
				from--
			}
			for to < len(line) && isKeyByte(line[to]) {
				to++
			}
			at = pair(&e, line, from, to)
		}
	}}
}

// edit collects what is replaced in a line, from left to right.
type edit struct {
	b    strings.Builder
	done int
	n    int
}

// replace puts the mark in place of line[from:to], unless it is there already.
func (e *edit) replace(line string, from, to int) {
	if from >= to || from < e.done || line[from:to] == mark {
		return
	}
	e.b.WriteString(line[e.done:from])
	e.b.WriteString(mark)
	e.done = to
	e.n++
}

func (e *edit) result(line string) (string, int) {
	if e.n == 0 {
		return line, 0
	}
	e.b.WriteString(line[e.done:])
	return e.b.String(), e.n
}

// pair takes the key at line[from:to] with its value, and returns where to go on.
func pair(e *edit, line string, from, to int) int {
	dashes := 0
	for from < to && line[from] == '-' {
		from++
		dashes++
	}
	f := judge(line[from:to])
	if f == harmless {
		return to
	}
	v, ok := valueOf(line, from, to, dashes)
	if !ok {
		return to
	}
	switch f {
	case header:
		return e.authorization(line, v)
	case cookies, setCookie:
		return e.cookies(line, v, f == setCookie)
	}
	if v.from >= v.to || !isSecret(f, line, from, v) {
		return max(to, v.from)
	}
	e.replace(line, v.from, v.to)
	return v.to
}

// value is where a value stands and how it is given.
type value struct {
	from, to int
	sep      byte // '=', ':', '>' or ' '
	// quoted tells that the value is in quotes, quotedKey that the key is.
	quoted, quotedKey bool
}

// valueOf finds the value of the key at line[from:to].
func valueOf(line string, from, to, dashes int) (value, bool) {
	var v value
	i, quotes := skipQuote(line, to)
	v.quotedKey = quotes
	if !quotes && i < len(line) && line[i] == ']' {
		// params[password]=x, and the quoted "user[password]"=>"x".
		i, v.quotedKey = skipQuote(line, i+1)
	}
	if !quotes && from > 0 && line[from-1] == '<' && i < len(line) && line[i] == '>' {
		end := strings.IndexByte(line[i:], '<')
		if end < 0 {
			end = len(line) - i
		}
		v.from, v.to, v.sep, v.quoted = i+1, i+end, '>', true
		return v, true
	}
	next := skipSpaces(line, i)
	if next < len(line) && (line[next] == '=' || line[next] == ':') {
		v.sep = line[next]
		next++
		if next < len(line) && (line[next] == '>' || line[next] == '=' && v.sep == ':') {
			next++ // "=>" and ":="
		} else if next < len(line) && (line[next] == '=' || line[next] == ':') {
			return v, false // a comparison, or a name in C++ or Perl
		}
		v.place(line, skipSpaces(line, next))
		// After 'volume "creds" : ' comes a sentence; JSON that is spaced like that has its values in quotes.
		sentence := v.quotedKey && !v.quoted && v.sep == ':' && line[i] == ' '
		return v, !sentence
	}
	if dashes == 0 {
		return v, false
	}
	// A flag: --password value, or an element of a printed command line before its value.
	v.sep = ' '
	if v.quotedKey && next < len(line) && line[next] == ',' {
		next++
	} else if v.quotedKey || next == i {
		return v, false
	}
	next = skipSpaces(line, next)
	if next >= len(line) || line[next] == '-' {
		return v, false
	}
	v.place(line, next)
	return v, true
}

func skipSpaces(line string, i int) int {
	for i < len(line) && (line[i] == ' ' || line[i] == '\t') {
		i++
	}
	return i
}

// skipQuote passes over one quote, which may be escaped once or more.
func skipQuote(line string, i int) (int, bool) {
	at := i
	for at < len(line) && line[at] == '\\' {
		at++
	}
	if at < len(line) && isQuote(line[at]) {
		return at + 1, true
	}
	return i, false
}

func isQuote(c byte) bool { return c == '"' || c == '\'' || c == '`' }

// place finds where the value that begins at line[i:] begins and ends.
func (v *value) place(line string, i int) {
	open, quoted := skipQuote(line, i)
	if !quoted {
		v.from, v.to = i, bareEnd(line, i)
		return
	}
	v.quoted = true
	v.from, v.to = open, quoteEnd(line, open, line[open-1], open-1-i)
}

// quoteEnd returns where the text in quotes ends that begins at i, after a quote that
// had that many backslashes before it. A quote inside of the text has more of them.
func quoteEnd(line string, i int, quote byte, escapes int) int {
	slashes := 0
	for at := i; at < len(line); at++ {
		switch line[at] {
		case '\\':
			slashes++
			continue
		case quote:
			if escapes == 0 && slashes%2 == 0 {
				return at
			}
			if escapes > 0 && slashes <= escapes {
				return at - slashes
			}
		}
		slashes = 0
	}
	return len(line)
}

// bareEnd returns where a value without quotes ends that begins at i. Passwords are
// full of punctuation: it ends a value only where it does not go on after it.
func bareEnd(line string, i int) int {
	if strings.HasPrefix(line[i:], mark) {
		i += len(mark)
	}
	for ; i < len(line); i++ {
		c := line[i]
		switch {
		case isSpace(c) || isQuote(c) || c == '<' || c < ' ':
			return i
		case c == '\\':
			if end, ok := skipQuote(line, i); ok && end > i {
				return i
			}
		case c == ',' || c == ';' || c == '&' || c == '|':
			if endsHere(line, i+1) || beginsPair(line, i+1) {
				return i
			}
		case c == ')' || c == '}' || c == ']':
			if endsHere(line, i+1) {
				return i
			}
		}
	}
	return i
}

// endsHere tells that nothing but closing punctuation comes before the next space.
func endsHere(line string, i int) bool {
	for ; i < len(line); i++ {
		c := line[i]
		if isSpace(c) || isQuote(c) {
			return true
		}
		if strings.IndexByte(`)}],;.:\`, c) < 0 {
			return false
		}
	}
	return true
}

// beginsPair tells that the text goes on with another key and its value.
func beginsPair(line string, i int) bool {
	i, _ = skipQuote(line, i)
	at := i
	for at < len(line) && isKeyByte(line[at]) {
		at++
	}
	if at == i {
		return false
	}
	at, _ = skipQuote(line, at)
	return at < len(line) && (line[at] == '=' || line[at] == ':')
}
