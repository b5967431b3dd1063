package signature

import (
	"strconv"
	"strings"
)

// trace is a stack trace, or another report of many lines.
type trace struct {
	from, to int // the entries that it is made of
	language string
	// links are the error and what caused it, the most telling first.
	links  []link
	frames []Frame
	// general is the class where no link has one of its own.
	general string
	// ends tells that such a trace ends its process.
	ends bool
	// plain tells that its type says why already, as that of a nil pointer does.
	plain bool
}

// link is one error of a chain.
type link struct {
	typ, message string
	at           int // the entry
	// context is more text of the same error.
	context string
}

// traceAt returns the trace that begins at entry i or, for frames without a begin, holds it.
func traceAt(entries []entry, i int) (trace, bool) {
	text := entries[i].text
	if text == "" {
		return trace{}, false
	}
	body := strings.TrimLeft(text, " \t|+")
	if len(body) < 3 {
		return trace{}, false
	}
	switch body[0] {
	case 'p', 'f', 'g', 'r', 'S', 'u', 'm':
		if t, ok := goTrace(entries, i); ok {
			return t, true
		}
	case 'T', 'F', 'E':
		if t, ok := pythonTrace(entries, i); ok {
			return t, true
		}
	case 'a':
		if strings.HasPrefix(body, "at ") {
			if t, ok := atTrace(entries, i); ok {
				return t, true
			}
		}
	case 't':
		if t, ok := nativeTrace(entries, i); ok {
			return t, true
		}
	case '=':
		if t, ok := sanitizerTrace(entries, i); ok {
			return t, true
		}
	}
	switch {
	case strings.HasPrefix(body, "thread '") || strings.HasPrefix(body, "fatal runtime error: "):
		return rustTrace(entries, i)
	case strings.Contains(text, "PHP ") || strings.HasPrefix(text, "Fatal error: ") || strings.HasPrefix(text, "Parse error: "):
		return phpTrace(entries, i)
	case strings.Contains(text, ":in `") || strings.Contains(text, ":in '"):
		return rubyTrace(entries, i)
	case strings.HasPrefix(body, "Unhandled exception") || strings.HasPrefix(body, "Unhandled Exception") || strings.HasPrefix(body, "Exception in thread "):
		return headedTrace(entries, i)
	case strings.HasPrefix(body, "FATAL ERROR: ") || strings.HasPrefix(body, "<--- Last few GCs --->"):
		return nodeHeapTrace(entries, i)
	case strings.HasPrefix(body, "# A fatal error has been detected by the Java Runtime"):
		return jvmCrash(entries, i)
	}
	if i+1 < len(entries) && body[0] != '\t' && isGoPlace(entries[i+1].text) {
		return bareGoTrace(entries, i)
	}
	return trace{}, false
}

// candidate returns what the trace says.
func (t *trace) candidate(entries []entry) candidate {
	won, class := 0, ""
	for i, l := range t.links {
		s := l.message
		if l.typ != "" {
			s = l.typ + ": " + s
		}
		c, _ := classify(s, strings.ToLower(s))
		if c == "" && l.context != "" {
			c, _ = classify(l.context, strings.ToLower(l.context))
		}
		if c != "" && rank(c) > rank(class) {
			won, class = i, c
		}
		if rank(class) > rank("timeout") {
			break
		}
	}
	l := t.links[won]
	e := &entries[l.at]
	c := candidate{sig: Signature{Class: class, Line: e.text, Index: e.index, Language: t.language, Type: l.typ, Frames: t.frames}, from: t.from, to: t.to, at: l.at}
	if class == "" {
		c.sig.Class = t.general
	}
	c.general = general(c.sig.Class) && !t.plain
	level := entries[t.from].level
	switch {
	case t.ends || level == levelFatal:
		c.strength = fatalTrace
	case level == levelWarn:
		c.strength = warnTrace
	case level == levelInfo:
		c.strength = infoLine
	default:
		c.strength = errorTrace
	}
	return c
}

// typed splits "com.example.FooException: text" into the type and the text. It takes
// only what looks like the name of an exception's type.
func typed(s string) (typ, message string, ok bool) {
	s = strings.TrimSpace(s)
	end := 0
	for end < len(s) && (word(s[end]) || s[end] == '.' || s[end] == '$' || s[end] == ':' && end+2 < len(s) && s[end+1] == ':' && word(s[end+2]) || s[end] == ':' && end > 0 && s[end-1] == ':' || s[end] == '\\') {
		end++
	}
	typ, rest := s[:end], s[end:]
	if typ == "" || len(typ) > 160 || digit(typ[0]) {
		return "", "", false
	}
	// A code between the two: "Error [ERR_X]: text", "SocketException (111): text".
	if strings.HasPrefix(rest, " [") || strings.HasPrefix(rest, " (") {
		if i := strings.IndexAny(rest, "])"); i > 0 && i < 64 {
			message = strings.TrimSpace(rest[1:i+1]) + " "
			rest = rest[i+1:]
		}
	}
	switch {
	case rest == "":
	case strings.HasPrefix(rest, ": "):
		message += rest[2:]
	case rest == ":":
	case strings.HasPrefix(rest, " {"): // of node, with properties
		message += rest[1:]
	default:
		return "", "", false
	}
	last := typ[strings.LastIndexAny(typ, ".:\\")+1:]
	if last == "" {
		return "", "", false
	}
	if last[0] >= 'A' && last[0] <= 'Z' && (errorName(last) || strings.Contains(typ, ".") || strings.Contains(typ, "::")) || strings.Contains(typ, ".") && errorName(last) {
		return typ, strings.TrimSpace(message), true
	}
	return "", "", false
}

// errorName tells names that end as those of errors do.
func errorName(s string) bool {
	for _, suffix := range [...]string{"Error", "Exception", "Exit", "Interrupt", "Throwable", "Failure", "Fault", "Warning", "Iteration", "Timeout", "Refused", "Configured", "DoesNotExist", "NotFound", "error", "Denied"} {
		if strings.HasSuffix(s, suffix) {
			return true
		}
	}
	return false
}

// vague tells types that say nothing beside that something failed.
func vague(typ string) bool {
	last := typ[strings.LastIndexAny(typ, ".:\\")+1:]
	switch last {
	case "", "Error", "Exception", "RuntimeException", "RuntimeError", "IllegalStateException", "SystemExit", "StandardError", "BeanCreationException", "BeanDefinitionStoreException",
		"ApplicationContextException", "UnsatisfiedDependencyException", "InvalidOperationException", "AggregateException", "CompletionException", "ExecutionException", "InvocationTargetException",
		"ExceptionInInitializerError", "AggregateError", "HostAbortedException", "TypeInitializationException", "TargetInvocationException", "Throwable":
		return true
	}
	return false
}

// place splits "file:12" or "file:12:5" into the file and the line.
func place(s string) (file string, line int) {
	for range 2 {
		i := strings.LastIndexByte(s, ':')
		if i <= 0 {
			break
		}
		n, err := strconv.Atoi(s[i+1:])
		if err != nil {
			break
		}
		s, line = s[:i], n
	}
	return s, line
}
