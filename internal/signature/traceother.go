package signature

import (
	"strconv"
	"strings"
)

// rustTrace reads a panic of both forms, with a backtrace or without, and a fatal error
// of the runtime.
func rustTrace(entries []entry, i int) (trace, bool) {
	text := strings.TrimSpace(entries[i].text)
	t := trace{from: i, to: i + 1, language: "rust", general: "panic", ends: true}
	if message, ok := strings.CutPrefix(text, "fatal runtime error: "); ok {
		t.links = []link{{at: i, typ: "fatal runtime error", message: message}}
		t.plain = true
		return t, true
	}
	who, rest, ok := strings.Cut(text, "panicked at ")
	if !ok {
		if strings.Contains(text, "has overflowed its stack") {
			t.links = []link{{at: i, message: text}}
			return t, true
		}
		return trace{}, false
	}
	t.ends = strings.Contains(who, "'main'")
	l := link{at: i}
	site := rest
	if strings.HasPrefix(rest, "'") { // until 1.72: 'message', src/main.rs:4:5
		if end := strings.LastIndex(rest, "', "); end > 0 {
			l.message, site = rest[1:end], rest[end+3:]
		}
	} else { // since 1.73: src/main.rs:4:5:, and the message below
		site = strings.TrimSuffix(rest, ":")
		if i+1 < len(entries) {
			l.message, l.at, t.to = strings.TrimSpace(entries[i+1].text), i+1, i+2
		}
	}
	if _, debug, found := strings.Cut(l.message, "value: "); found {
		if end := strings.IndexAny(debug, "({ "); end > 0 {
			l.typ = debug[:end]
		}
	}
	t.links = []link{l}
	file, line := place(site)
	t.readRust(entries)
	if len(t.frames) == 0 && file != "" {
		t.frames = []Frame{{File: file, Line: line, App: rustApp("", file)}}
		if t.frames[0].App {
			t.frames[0].Func = file
		}
	}
	return t, true
}

// readRust reads the frames of a backtrace, of which each has a line or two.
func (t *trace) readRust(entries []entry) {
	in := false
	for j := t.to; j < len(entries) && j < t.to+8+4*maxFrames; j++ {
		s := strings.TrimSpace(entries[j].text)
		number, name, ok := strings.Cut(s, ": ")
		_, err := strconv.Atoi(number)
		switch {
		case strings.HasPrefix(s, "stack backtrace:"):
			in = true
		case strings.HasPrefix(s, "note: "):
		case in && ok && err == nil:
			if strings.HasPrefix(name, "0x") {
				_, name, _ = strings.Cut(name, " - ")
			}
			if i := strings.LastIndex(name, "::h"); i > 0 && len(name)-i == 19 {
				name = name[:i]
			}
			if len(t.frames) < maxFrames {
				t.frames = append(t.frames, Frame{Func: name, App: rustApp(name, "")})
			}
		case in && strings.HasPrefix(s, "at ") && len(t.frames) > 0:
			f := &t.frames[len(t.frames)-1]
			f.File, f.Line = place(s[3:])
			f.App = rustApp(f.Func, f.File)
		default:
			return
		}
		t.to = j + 1
	}
}

func rustApp(name, file string) bool {
	return !has(file, "/rustc/", ".cargo/registry", "/library/std/", "/library/core/") &&
		!under(name, "std::", "core::", "alloc::", "<core::", "<alloc::", "<std::", "tokio::", "<tokio::", "hyper::", "rust_begin_unwind", "_start", "__libc_start", "main", "rust_panic", "__rust", "<unknown>", "clone", "start_thread", "futures_")
}

// phpTrace reads a fatal error, with the exceptions that nobody caught.
func phpTrace(entries []entry, i int) (trace, bool) {
	text := entries[i].text
	var rest string
	for _, p := range [...]string{"Fatal error: ", "Parse error: "} {
		if _, after, ok := strings.Cut(text, p); ok {
			rest = strings.TrimSpace(after)
			break
		}
	}
	if rest == "" {
		return trace{}, false
	}
	t := trace{from: i, to: i + 1, language: "php", general: "exception", ends: true, plain: true}
	l := link{at: i, message: strings.TrimPrefix(rest, "Uncaught ")}
	if typ, message, ok := typed(l.message); ok {
		l.typ, l.message = typ, message
	}
	if strings.Contains(text, "Parse error: ") {
		l.typ = "ParseError"
	}
	// "... in /app/x.php:3", or "... in /app/x.php on line 3".
	where := l.message
	if at := strings.LastIndex(where, " in "); at >= 0 {
		l.message, where = where[:at], where[at+4:]
		if file, line, ok := strings.Cut(where, " on line "); ok {
			where = file + ":" + line
		}
		if file, line := place(where); line > 0 {
			t.frames = append(t.frames, Frame{File: file, Line: line, App: phpApp(file), Func: file})
		}
	}
	t.links = []link{l}
	for j := i + 1; j < len(entries) && j < i+120; j++ {
		s := strings.TrimSpace(entries[j].text)
		s = strings.TrimPrefix(s, "PHP ")
		switch {
		case strings.HasPrefix(s, "#") && len(s) > 2 && digit(s[1]):
			if len(t.frames) < maxFrames && len(t.links) == 1 {
				if f, ok := phpFrame(s); ok {
					t.frames = append(t.frames, f)
				}
			}
		case strings.HasPrefix(s, "Stack trace:"), strings.HasPrefix(s, "thrown in "):
		case s == "":
			continue
		case strings.HasPrefix(s, "Next "):
			if typ, message, ok := typed(s[5:]); ok {
				t.links = append(t.links, link{typ: typ, message: message, at: j})
			}
		default:
			return t, true
		}
		t.to = j + 1
	}
	return t, true
}

// phpFrame reads "#0 /app/x.php(10): App\Db->connect()".
func phpFrame(s string) (Frame, bool) {
	_, s, _ = strings.Cut(s, " ")
	at, name, ok := strings.Cut(s, "): ")
	open := strings.LastIndexByte(at, '(')
	if !ok || open < 0 {
		return Frame{}, false
	}
	f := Frame{Func: name, File: at[:open]}
	f.Line, _ = strconv.Atoi(at[open+1:])
	if i := strings.IndexByte(f.Func, '('); i > 0 {
		f.Func = f.Func[:i]
	}
	f.App = phpApp(f.File)
	return f, true
}

func phpApp(file string) bool { return !strings.Contains(file, "/vendor/") }

// rubyTrace reads an exception that ended a program: the error first, then "from" lines.
func rubyTrace(entries []entry, i int) (trace, bool) {
	f, rest, ok := rubyFrame(strings.TrimSpace(entries[i].text))
	if !ok || rest == "" {
		return trace{}, false
	}
	t := trace{from: i, to: i + 1, language: "ruby", general: "exception", ends: true, frames: []Frame{f}}
	l := link{at: i, message: rest}
	// "text (Type)"; of a text of several lines the type ends the first.
	if open := strings.LastIndex(rest, " ("); open >= 0 && strings.HasSuffix(rest, ")") {
		if name := rest[open+2 : len(rest)-1]; name != "" && name[0] >= 'A' && name[0] <= 'Z' && !strings.Contains(name, " ") {
			l.typ, l.message = name, rest[:open]
		}
	}
	from := false
	for j := i + 1; j < len(entries) && j < i+150; j++ {
		s := strings.TrimSpace(entries[j].text)
		if !strings.HasPrefix(s, "from ") {
			if _, more, ok := rubyFrame(s); ok && more != "" { // the cause of the error, printed below it
				break
			}
			if !from && j < i+12 && s != "" && !entries[j].own {
				l.context += s + " "
				continue
			}
			break
		}
		from = true
		if f, _, ok := rubyFrame(s[len("from "):]); ok && len(t.frames) < maxFrames {
			t.frames = append(t.frames, f)
		}
		t.to = j + 1
	}
	if l.typ == "" && !from {
		return trace{}, false
	}
	if l.typ == "KeyError" && strings.HasPrefix(l.message, "key not found: \"") && !f.App {
		l.message = "environment variable " + strings.TrimPrefix(l.message, "key not found: ") + " is not set"
	} else if l.typ == "KeyError" && has(rest, "in `fetch'", "ENV") || l.typ == "KeyError" && upperQuoted(l.message) {
		l.message += ": environment variable is not set"
	}
	t.links = []link{l}
	t.plain = !vague(l.typ)
	return t, true
}

// upperQuoted tells that the quoted text looks like the name of a variable of the environment.
func upperQuoted(s string) bool {
	_, s, ok := strings.Cut(s, `"`)
	name, _, closed := strings.Cut(s, `"`)
	return ok && closed && name != "" && name == strings.ToUpper(name) && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789") == ""
}

// rubyFrame reads "/app/x.rb:3:in `main': rest".
func rubyFrame(s string) (f Frame, rest string, ok bool) {
	at := strings.Index(s, ":in `")
	if at < 0 {
		at = strings.Index(s, ":in '")
	}
	if at <= 0 {
		return Frame{}, "", false
	}
	f.File, f.Line = place(s[:at])
	if f.Line == 0 {
		return Frame{}, "", false
	}
	name := s[at+5:]
	f.Func, rest, ok = strings.Cut(name, "'")
	if !ok {
		return Frame{}, "", false
	}
	f.App = !has(f.File, "/gems/", "/lib/ruby/", "<internal:", "/rubygems/")
	if f.Func == "<main>" {
		f.Func = "<main> " + f.File[strings.LastIndexByte(f.File, '/')+1:]
	}
	return f, strings.TrimPrefix(rest, ": "), true
}

// nativeTrace reads what C++ says of an exception that nobody caught.
func nativeTrace(entries []entry, i int) (trace, bool) {
	text := strings.TrimSpace(entries[i].text)
	if !strings.HasPrefix(text, "terminate called ") && !strings.HasPrefix(text, "terminating with uncaught exception") && !strings.HasPrefix(text, "terminating due to uncaught exception") {
		return trace{}, false
	}
	t := trace{from: i, to: i + 1, language: "c", general: "exception", ends: true}
	l := link{at: i, message: text}
	if _, name, ok := strings.Cut(text, "instance of '"); ok {
		l.typ, _, _ = strings.Cut(name, "'")
	} else if _, name, ok := strings.Cut(text, "of type "); ok {
		l.typ, l.message, _ = strings.Cut(name, ": ")
	}
	if i+1 < len(entries) {
		if _, what, ok := strings.Cut(entries[i+1].text, "what():  "); ok {
			l.message, l.at, t.to = what, i+1, i+2
		}
	}
	t.links = []link{l}
	t.plain = l.typ != "" && l.typ != "std::runtime_error" && l.typ != "std::logic_error"
	return t, true
}

// sanitizerTrace reads a report such as "==1==ERROR: AddressSanitizer: heap-use-after-free on ...".
func sanitizerTrace(entries []entry, i int) (trace, bool) {
	text := entries[i].text
	_, report, ok := strings.Cut(text, "ERROR: ")
	name, message, more := strings.Cut(report, ": ")
	if !ok || !more || !strings.HasPrefix(text, "==") || !strings.HasSuffix(name, "Sanitizer") {
		return trace{}, false
	}
	t := trace{from: i, to: i + 1, language: "c", general: "native_crash", ends: true, plain: true}
	kind, _, _ := strings.Cut(message, " ")
	t.links = []link{{at: i, typ: name + ": " + kind}}
	for j := i + 1; j < len(entries) && j < i+120; j++ {
		s := strings.TrimSpace(entries[j].text)
		if strings.HasPrefix(s, "#") && len(t.frames) < maxFrames {
			if len(s) > 2 && strings.HasPrefix(s, "#0 ") && len(t.frames) > 0 {
				continue // where the memory was freed or allocated
			}
			_, call, ok := strings.Cut(s, " in ")
			if !ok || t.frames != nil && t.frames[len(t.frames)-1].Func == "main" {
				continue
			}
			name, at, _ := strings.Cut(call, " ")
			f := Frame{Func: name}
			f.File, f.Line = place(at)
			f.App = f.Line > 0 && !under(name, "__", "std::")
			t.frames = append(t.frames, f)
		}
		t.to = j + 1
	}
	return t, true
}
