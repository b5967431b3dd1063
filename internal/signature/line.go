package signature

import (
	"strings"
	"unicode/utf8"
)

// level is how bad the program itself thought a line was.
type level int

const (
	levelNone level = iota
	levelInfo
	levelWarn
	levelError
	levelFatal
)

// entry is a line, or a part of a structured one, without what a logger puts before it.
type entry struct {
	text  string
	index int
	level level
	// own tells that the level is the line's own, not that of the line it continues.
	own bool
	// part tells that it continues a structured line.
	part  bool
	taken bool
	low   string
}

func (e *entry) lower() string {
	if e.low == "" {
		e.low = strings.ToLower(e.text)
	}
	return e.low
}

// read returns the end of a log as entries.
func read(lines []string) []entry {
	first, bytes := len(lines), 0
	for first > 0 && len(lines)-first < maxLines && bytes < maxBytes {
		first--
		bytes += min(len(lines[first]), maxJSON)
	}
	entries := make([]entry, 0, len(lines)-first+8)
	help, banner := false, 0
	last := levelNone
	for i := first; i < len(lines); i++ {
		line := clean(lines[i])
		if f, ok := structured(line); ok {
			help, banner = false, 0
			entries = f.entries(entries, i)
			last = f.level
			continue
		}
		line = shorten(line, maxLine)
		text, l := head(line)
		e := entry{text: text, index: i, level: l, own: l != levelNone}
		switch {
		case e.own:
			last, help, banner = l, false, 0
		case strings.TrimSpace(text) == "":
			entries = append(entries, e)
			continue
		case text[0] == ' ' || text[0] == '\t' || strings.HasPrefix(text, "Caused by:"):
			e.level = last // it continues the line before
		case banner > 0:
			e.level = levelFatal
			banner--
		case strings.HasPrefix(text, "APPLICATION FAILED TO START"): // Spring Boot
			banner = 12
		default:
			last = levelNone
		}
		// A help text is not what the program said of its end.
		if help = help && !strings.Contains(e.lower(), "error:") || isUsage(text); help && !isUsage(text) {
			continue
		}
		entries = append(entries, e)
	}
	return entries
}

func isUsage(text string) bool {
	return strings.HasPrefix(text, "Usage:") || strings.HasPrefix(text, "usage:") || strings.HasPrefix(text, "Usage of ") || strings.HasPrefix(text, "USAGE:")
}

// clean takes colours and control characters out of a line.
func clean(s string) string {
	s = shorten(s, maxJSON)
	bad := false
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x20 && c != '\t' || c == 0x7f {
			bad = true
			break
		}
	}
	if !bad {
		return strings.TrimRight(s, " \t")
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == 0x1b && i+1 < len(s) && s[i+1] == '[':
			// CSI: parameters, then one letter.
			for i += 2; i < len(s) && (s[i] < 0x40 || s[i] > 0x7e); i++ {
				continue
			}
		case c < 0x20 && c != '\t' || c == 0x7f:
		default:
			b.WriteByte(c)
		}
	}
	return strings.TrimRight(b.String(), " \t")
}

// shorten cuts a string at a character's border.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// head takes the time, level, process and place that loggers write before a message
// off a line, and returns the level. The blanks at the begin of a line that has none of
// these are kept: they tell parts of a trace.
func head(line string) (string, level) {
	if text, l, ok := klogHead(line); ok {
		return text, l
	}
	if strings.HasPrefix(line, "FATAL ERROR: ") {
		return line, levelFatal // of node, whose word it is
	}
	rest, found := line, levelNone
	dropped := false
	bracket := false
	for range 10 {
		s := strings.TrimLeft(rest, " ")
		if s == "" {
			break
		}
		end := strings.IndexAny(s, " \t")
		if end == 0 {
			break // a tab: the indent of a trace
		}
		if end < 0 {
			end = len(s)
		}
		token := s[:end]
		next := s[min(end+1, len(s)):]
		if l, ok := rubyLevel(token, next); ok && !dropped {
			found, rest, dropped = l, next, true
			continue
		}
		if strings.Contains(token, "][") {
			// [06:34:17.123][1][critical][main]
			if found == levelNone {
				found = levelIn(strings.ReplaceAll(strings.Trim(token, "[]"), "][", " "))
			}
			if dropped || found != levelNone || isTime(token[:strings.IndexByte(token, ']')]) {
				rest, dropped = next, true
				continue
			}
			break
		}
		if isTime(token) || dropped && isMonth(token) {
			rest, dropped = next, true
			continue
		}
		if found != levelNone && dropped {
			if _, whole := levelOf(token); whole { // said twice
				rest = next
				continue
			}
		}
		if found == levelNone {
			if l, whole := levelOf(token); l != levelNone && (whole || end < len(s)) {
				found = l
				if whole {
					rest, dropped = next, true
					continue
				}
				// "ERROR:root:text" of Python; "Error starting x" stays as it is.
				if i := strings.IndexByte(token, ':'); i > 0 && i < len(token)-1 {
					rest = s[i+1:]
					dropped = true
				}
				break
			}
		}
		if !dropped {
			break
		}
		switch {
		case token[0] == '[' && !strings.Contains(token, "]"):
			// [http-nio-8080-exec-1 main]
			i := strings.IndexByte(s, ']')
			if i < 0 || i > 80 {
				return rest, found
			}
			if l := levelIn(s[1:i]); found == levelNone {
				found = l
			}
			rest = strings.TrimPrefix(s[i+1:], " ")
			continue
		case token[0] == '[' && strings.HasSuffix(strings.TrimSuffix(token, ":"), "]"),
			token[len(token)-1] == ']' && !bracket,
			token == "-", token == "--", token == "---", token == "|", token == "#", token == "*", token == ":", isProcess(token):
			bracket = bracket || token[len(token)-1] == ']'
			rest = next
			continue
		case isPlace(token):
			rest = next
			continue
		case isLogger(token):
			// com.example.Main - text, o.s.boot.SpringApplication  : text, root - ERROR - text
			after := strings.TrimLeft(next, " ")
			if strings.HasPrefix(after, "- ") || strings.HasPrefix(after, ": ") && strings.Contains(token, ".") {
				rest = after[2:]
				continue
			}
		}
		break
	}
	if dropped {
		return rest, found
	}
	return line, found
}

// klogHead reads "E0708 12:00:00.000000       1 main.go:42] text".
func klogHead(s string) (string, level, bool) {
	if len(s) < 24 || s[5] != ' ' || s[8] != ':' || !digit(s[1]) || !digit(s[2]) || !digit(s[3]) || !digit(s[4]) {
		return "", 0, false
	}
	var l level
	switch s[0] {
	case 'I':
		l = levelInfo
	case 'W':
		l = levelWarn
	case 'E':
		l = levelError
	case 'F':
		l = levelFatal
	default:
		return "", 0, false
	}
	i := strings.Index(s, "] ")
	if i < 0 || i > 160 {
		return "", 0, false
	}
	return s[i+2:], l, true
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// isTime tells a date, a time or both, in brackets or not; also a bare number of
// milliseconds or seconds.
func isTime(s string) bool {
	s = strings.Trim(s, "[](),|")
	if len(s) < 5 || !digit(s[0]) {
		return false
	}
	if len(s) >= 9 {
		for _, month := range [...]string{"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"} {
			if before, after, ok := strings.Cut(s, month); ok { // 21/Nov/2026:06:34:17
				s = before + after
				break
			}
		}
	} else if t := strings.TrimSuffix(strings.TrimSuffix(s, "AM"), "PM"); t != s {
		return strings.Count(t, ":") == 1 // 6:34AM
	}
	separators := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case digit(c):
		case c == ':' || c == '-' || c == '/':
			separators++
		case c == '.' || c == ',' || c == 'T' || c == 'Z' || c == '+':
		default:
			return false
		}
	}
	return separators >= 2 || separators == 0 && len(s) >= 10
}

// rubyLevel reads the letter that Ruby's logger begins with: "F, [2026-11-21T06:34:17 #1] FATAL -- : text".
func rubyLevel(token, next string) (level, bool) {
	if len(token) != 2 || token[1] != ',' || !strings.HasPrefix(next, "[") {
		return levelNone, false
	}
	switch token[0] {
	case 'D', 'I':
		return levelInfo, true
	case 'W':
		return levelWarn, true
	case 'E':
		return levelError, true
	case 'F':
		return levelFatal, true
	}
	return levelNone, false
}

// isPlace tells "app/main.go:41" and "main.go:41:".
func isPlace(s string) bool {
	s = strings.TrimSuffix(s, ":")
	i := strings.LastIndexByte(s, ':')
	return i > 3 && i+1 < len(s) && digit(s[i+1]) && (strings.HasSuffix(s[:i], ".go") || strings.HasSuffix(s[:i], ".cc") || strings.HasSuffix(s[:i], ".py") || strings.HasSuffix(s[:i], ".rs"))
}

func isMonth(s string) bool {
	switch s {
	case "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "UTC", "GMT", "CET", "EST", "PST", "AM", "PM":
		return true
	}
	return false
}

// isProcess tells "1", "(7)", "1#1:", "*5" and "pid=7".
func isProcess(s string) bool {
	s = strings.Trim(s, "[](){}*:,|")
	if s == "" || len(s) > 12 {
		return false
	}
	for i := 0; i < len(s); i++ {
		if !digit(s[i]) && s[i] != '#' {
			return false
		}
	}
	return true
}

func isLogger(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || digit(c) || c == '.' || c == '_' || c == '$' || c == '-' || c == ':') {
			return false
		}
	}
	return true
}

// levelIn finds a level among the words in brackets: "[12:00:00 ERR]".
func levelIn(s string) level {
	for f := range strings.FieldsSeq(s) {
		if l, whole := levelOf(f); whole {
			return l
		}
	}
	return levelNone
}

// levelOf returns the level that a token names. Whole tells that the token is nothing
// but the mark of a level; otherwise it is a word of the message that begins with it.
func levelOf(token string) (l level, whole bool) {
	word := strings.Trim(token, "[](){}<>|*,\"'")
	if i := strings.IndexByte(word, '/'); i > 2 && word[:i] == strings.ToUpper(word[:i]) {
		word = word[:i] // ERROR/MainProcess
	}
	colon := false
	if i := strings.IndexByte(word, ':'); i > 0 {
		colon = true
		if i < len(word)-1 { // ERROR:root:text
			if word[:i] != strings.ToUpper(word[:i]) || strings.Contains(word[i:], "/") {
				return levelNone, false
			}
			return levelWord(strings.ToLower(word[:i])), false
		}
		word = word[:i]
	}
	if len(word) < 3 || len(word) > 9 {
		return levelNone, false
	}
	l = levelWord(strings.ToLower(word))
	if l == levelNone {
		return levelNone, false
	}
	bracketed := token[0] == '[' || token[0] == '<' || token[0] == '('
	upper := word == strings.ToUpper(word)
	if colon && !upper && !bracketed {
		switch word {
		case "panic":
			return levelNone, false // Go's own word for it, not a logger's
		case "Error", "error", "Fatal", "fatal":
			return l, false // it may be the name of a type: Error: Cannot find module
		}
	}
	if colon || bracketed || upper {
		return l, true
	}
	// "Error starting the server": the first word of a message. Other words than these
	// are too common to mean a level.
	if l >= levelError && (word == "Error" || word == "error" || word == "Fatal" || word == "fatal") {
		return l, false
	}
	return levelNone, false
}

func levelWord(word string) level {
	switch word {
	case "fatal", "ftl", "panic", "pnc", "dpanic", "emerg", "emergency", "alert", "critical", "crit":
		return levelFatal
	case "error", "err", "eror", "severe", "fail":
		return levelError
	case "warn", "warning", "wrn":
		return levelWarn
	case "info", "inf", "notice", "debug", "dbg", "dbug", "trace", "trc", "trce", "log", "verbose", "fine", "finer", "finest", "hint", "detail", "statement":
		return levelInfo
	}
	return levelNone
}

// isNoise tells lines that say nothing new: what wrappers add to the end of another
// program, and what an orderly shutdown says.
func isNoise(e *entry) bool {
	text := strings.TrimSpace(e.text)
	if text == "" || e.part {
		return true
	}
	for _, p := range [...]string{
		"Node.js v", "npm ERR!", "npm error", "npm warn", "npm notice", "error Command failed", "ELIFECYCLE", "info Visit https://yarnpkg.com", "exit status ", "note: ", "make: ***",
		"***", "---", "===", "Action:", "Description:", "^", "}", "For more information",
		"Aborted", "Killed", "LOG:  database system is shut down", "goroutine ", "\tfrom ", "Hint:", "HINT:", "Thread ", "Traceback",
	} {
		if strings.HasPrefix(text, p) {
			return true
		}
	}
	if e.level >= levelError {
		return false
	}
	low := e.lower()
	for _, w := range [...]string{"shutting down", "shutdown", "shut down", "stopping", "stopped", "exiting", "exited", "terminating", "closing", "closed", "goodbye", "cleanup", "cleaning up", "gracefully", "draining", "exit code"} {
		if strings.Contains(low, w) {
			return true
		}
	}
	return false
}
