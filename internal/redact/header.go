package redact

import "strings"

// authorization replaces the credentials of an Authorization header. The scheme stays.
func (e *edit) authorization(line string, v value) int {
	from, end := v.from, v.to
	if !v.quoted {
		if from < len(line) && line[from] == '[' && !strings.HasPrefix(line[from:], mark) {
			from++ // as Go prints headers: map[Authorization:[Bearer x]]
		}
		end = lineEnd(line, from)
	}
	word := from
	for word < end && isKeyByte(line[word]) {
		word++
	}
	scheme := strings.ToLower(line[from:word])
	rest := skipSpaces(line[:end], word)
	switch scheme {
	case "bearer", "basic", "token", "negotiate", "apikey", "key", "splunk", "genie-key", "ntlm":
		if rest > word {
			to := bareEnd(line[:end], rest)
			e.replace(line, rest, to)
			return to
		}
	case "digest", "aws4-hmac-sha256", "signature", "hawk", "oauth":
		if rest > word {
			e.replace(line, rest, end)
			return end
		}
	case "":
		if from >= end || line[from] != '[' {
			return max(v.from, from)
		}
	}
	if isCommonWord(scheme) || !v.quoted && (v.sep == ':' && rest < end && rest > word && isWord(line[from:word])) || line[from:end] == mark {
		return max(v.from, word)
	}
	if !v.quoted {
		end = bareEnd(line, from)
	}
	e.replace(line, from, end)
	return max(end, v.from)
}

// lineEnd returns where an unquoted header ends: at the line's end or at a quote or
// bracket around all of it.
func lineEnd(line string, i int) int {
	if strings.HasPrefix(line[i:], mark) {
		i += len(mark)
	}
	for i < len(line) {
		c := line[i]
		if c == '\n' || c == '\r' || c == '"' || c == '\'' || c == '`' {
			break
		}
		if c == '\\' {
			if end, ok := skipQuote(line, i); ok && end > i {
				break
			}
		}
		if strings.HasPrefix(line[i:], mark) {
			i += len(mark)
			continue
		}
		if c == ']' || c == '}' {
			break
		}
		i++
	}
	return i
}

// cookies replaces the values of a Cookie header, and of a Set-Cookie header that of
// the cookie, not its attributes.
func (e *edit) cookies(line string, v value, onlyFirst bool) int {
	end := v.to
	from := v.from
	if !v.quoted {
		if from < len(line) && line[from] == '[' && !strings.HasPrefix(line[from:], mark) {
			from++
		}
		end = lineEnd(line, from)
	}
	at := from
	for at < end {
		name := at
		for at < end && line[at] != '=' && line[at] != ';' && !isSpace(line[at]) {
			at++
		}
		if at >= end || line[at] != '=' || at == name {
			break
		}
		value := at + 1
		at = value
		for at < end && line[at] != ';' && !isSpace(line[at]) {
			at++
		}
		e.replace(line, value, at)
		if onlyFirst || at >= end || line[at] != ';' {
			break
		}
		at = skipSpaces(line[:end], at+1)
	}
	return max(v.from, at)
}
