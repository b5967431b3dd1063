package signature

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// fields are what matters of a structured line.
type fields struct {
	level level
	// msg is the message, err the error beside it, typ its type and code, stack its trace.
	msg, err, typ, code, stack string
}

// structured reads a line of JSON or of key=value pairs.
func structured(line string) (fields, bool) {
	var f fields
	if i := strings.IndexByte(line, '{'); i >= 0 && i <= 48 && strings.HasPrefix(strings.TrimLeft(line[i+1:], " "), `"`) && strings.HasSuffix(line, "}") || i == 0 && len(line) == maxJSON {
		prefix := line[:i]
		if text, _ := head(prefix); strings.TrimSpace(text) == "" {
			p := jsonParser{s: line, i: i, f: &f}
			p.object(0, "")
			return f, f.msg != "" || f.err != "" || f.stack != ""
		}
	}
	if strings.Contains(line, "level=") || strings.Contains(line, "lvl=") || strings.Contains(line, "severity=") {
		logfmt(line, &f)
		return f, f.msg != "" || f.err != ""
	}
	return f, false
}

// entries adds what the line says to the entries of a log.
func (f *fields) entries(to []entry, index int) []entry {
	text, more := firstLine(f.msg)
	err, errMore := firstLine(f.err)
	switch {
	case text == "":
		text = err
	case err != "" && !strings.Contains(text, err):
		text += ": " + err
	}
	if f.code != "" && !strings.Contains(text, f.code) {
		text += " (" + f.code + ")"
	}
	to = append(to, entry{text: shorten(text, maxLine), index: index, level: f.level, own: f.level != levelNone})
	stack := f.stack
	if stack == "" && errMore != "" {
		stack = f.err
	}
	if stack == "" && more != "" {
		stack = more
	}
	n := 0
	for line := range strings.SplitSeq(stack, "\n") {
		if n++; line == "" || n > 80 {
			continue
		}
		to = append(to, entry{text: strings.TrimRight(shorten(clean(line), maxLine), "\r "), index: index, level: f.level, own: true, part: true})
	}
	return to
}

func firstLine(s string) (first, rest string) {
	first, rest, _ = strings.Cut(strings.TrimLeft(s, "\r\n"), "\n")
	return clean(first), rest
}

// set keeps a field; where is the name of the object that it is in.
func (f *fields) set(where, name, value string) {
	if value == "" {
		return
	}
	inError := false
	switch where {
	case "err", "error", "exception", "thrown", "exc", "cause", "attr", "errors":
		inError = true
	}
	keep := func(to *string) {
		if *to == "" {
			*to = value
		}
	}
	if len(name) > 24 {
		return
	}
	switch strings.ToLower(name) {
	case "level", "lvl", "severity", "levelname", "loglevel", "log.level", "@l", "level_name", "s", "severity_text":
		if f.level == levelNone && !inError {
			f.level = namedLevel(value)
		}
	case "msg", "message", "log", "errmsg", "@m", "@mt", "event", "short_message", "error.message", "exception_message", "errormessage", "localizedmessage":
		if inError || len(name) > 8 && name != "short_message" {
			keep(&f.err)
		} else {
			keep(&f.msg)
		}
	case "err", "error", "exc", "cause":
		keep(&f.err)
	case "exception", "stack", "stacktrace", "stack_trace", "error.stack_trace", "exc_info", "traceback", "@x", "errorverbose", "extendedstacktrace", "error.stack":
		if strings.Contains(value, "\n") {
			keep(&f.stack)
		} else {
			keep(&f.err)
		}
	case "type", "name", "exception_class", "error.type", "exc_type":
		if inError || len(name) > 4 {
			keep(&f.typ)
		}
	case "code", "errno":
		if inError && !digit(value[0]) && value[0] != '-' {
			keep(&f.code)
		}
	}
}

// namedLevel reads a level's name, or its number as bunyan and pino write it.
func namedLevel(s string) level {
	if n, err := strconv.Atoi(s); err == nil {
		switch {
		case n < 8: // of syslog
			return [...]level{levelFatal, levelFatal, levelFatal, levelError, levelWarn, levelInfo, levelInfo, levelInfo}[max(n, 0)]
		case n >= 60:
			return levelFatal
		case n >= 50:
			return levelError
		case n >= 40:
			return levelWarn
		}
		return levelInfo
	}
	switch s {
	case "F":
		return levelFatal
	case "E":
		return levelError
	case "W":
		return levelWarn
	case "I", "D":
		return levelInfo
	}
	return levelWord(strings.ToLower(s))
}

// logfmt reads key=value pairs, quoted or not.
func logfmt(s string, f *fields) {
	for len(s) > 0 {
		i := strings.IndexByte(s, '=')
		if i < 0 {
			return
		}
		name := s[strings.LastIndexByte(s[:i], ' ')+1 : i]
		s = s[i+1:]
		value := ""
		if strings.HasPrefix(s, `"`) {
			value, i = jsonString(s, 0)
			s = s[i:]
		} else {
			value, s, _ = strings.Cut(s, " ")
		}
		f.set("", name, value)
	}
}

// jsonParser walks over an object without building it, and forgives an end that is cut off.
type jsonParser struct {
	s string
	i int
	f *fields
}

func (p *jsonParser) blank() {
	for p.i < len(p.s) && (p.s[p.i] == ' ' || p.s[p.i] == '\t') {
		p.i++
	}
}

// object reads an object whose name is where.
func (p *jsonParser) object(depth int, where string) {
	p.i++ // {
	for p.i < len(p.s) {
		p.blank()
		if p.i >= len(p.s) || p.s[p.i] == '}' {
			p.i++
			return
		}
		if p.s[p.i] != '"' {
			p.i++ // a comma, or no JSON
			continue
		}
		name, end := jsonString(p.s, p.i)
		p.i = end
		p.blank()
		if p.i >= len(p.s) || p.s[p.i] != ':' {
			continue
		}
		p.i++
		p.value(depth, where, name)
	}
}

func (p *jsonParser) value(depth int, where, name string) {
	p.blank()
	if p.i >= len(p.s) {
		return
	}
	switch p.s[p.i] {
	case '"':
		value, end := jsonString(p.s, p.i)
		p.i = end
		p.f.set(where, name, value)
	case '{', '[':
		if depth >= 3 {
			p.skip()
		} else if p.s[p.i] == '{' {
			p.object(depth+1, strings.ToLower(name))
		} else {
			p.skip()
		}
	default:
		start := p.i
		for p.i < len(p.s) && p.s[p.i] != ',' && p.s[p.i] != '}' && p.s[p.i] != ' ' {
			p.i++
		}
		p.f.set(where, name, p.s[start:p.i])
	}
}

// skip goes over a value in brackets.
func (p *jsonParser) skip() {
	for depth := 0; p.i < len(p.s); {
		switch p.s[p.i] {
		case '"':
			_, p.i = jsonString(p.s, p.i)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		p.i++
		if depth == 0 {
			return
		}
	}
}

// jsonString reads the string that begins with the quote at i, and returns where it ends.
func jsonString(s string, i int) (string, int) {
	i++
	start := i
	for i < len(s) && s[i] != '"' && s[i] != '\\' {
		i++
	}
	if i >= len(s) || s[i] == '"' {
		return s[start:i], min(i+1, len(s))
	}
	var b strings.Builder
	b.WriteString(s[start:i])
	for i < len(s) && s[i] != '"' {
		if s[i] != '\\' || i+1 >= len(s) {
			b.WriteByte(s[i])
			i++
			continue
		}
		i++
		switch c := s[i]; c {
		case 'n':
			b.WriteByte('\n')
		case 't':
			b.WriteByte('\t')
		case 'r', 'b', 'f':
		case 'u':
			r, n := unicodeEscape(s[i:])
			b.WriteRune(r)
			i += n
		default:
			b.WriteByte(c)
		}
		i++
	}
	return b.String(), min(i+1, len(s))
}

// unicodeEscape reads "u00e9", or a pair of surrogates, and returns how much follows the u.
func unicodeEscape(s string) (rune, int) {
	if len(s) < 5 {
		return utf8.RuneError, 0
	}
	n, err := strconv.ParseUint(s[1:5], 16, 16)
	if err != nil {
		return utf8.RuneError, 0
	}
	r := rune(n)
	if utf16.IsSurrogate(r) && len(s) >= 11 && s[5] == '\\' && s[6] == 'u' {
		if low, err := strconv.ParseUint(s[7:11], 16, 16); err == nil {
			return utf16.DecodeRune(r, rune(low)), 10
		}
	}
	return r, 4
}
