package signature

import (
	"io"
	"strings"

	"github.com/maruel/panicparse/v2/stack"
)

// goTrace reads a panic, a fatal error of the runtime, or the bare dump of goroutines
// that klog adds to a fatal line.
func goTrace(entries []entry, i int) (trace, bool) {
	text := entries[i].text
	t := trace{from: i, to: i + 1, language: "go", general: "panic", ends: true}
	first := link{at: i}
	switch {
	case strings.HasPrefix(text, "panic: "):
		first.message = text[len("panic: "):]
	case strings.HasPrefix(text, "fatal error: "):
		first.message = text[len("fatal error: "):]
		first.typ, t.plain = "fatal error", true
	case strings.HasPrefix(text, "runtime: out of memory"), strings.HasPrefix(text, "runtime: goroutine stack exceeds"), strings.HasPrefix(text, "runtime: failed to create new OS thread"),
		strings.HasPrefix(text, "SIGSEGV: segmentation violation"), strings.HasPrefix(text, "unexpected fault address"):
		first.message = text
		t.plain = true
	case strings.HasPrefix(text, "goroutine ") && isGoroutine(text):
		// A dump without a word of why: it belongs to a fatal line before it.
		if i == 0 || entries[i-1].level != levelFatal || entries[i-1].part {
			return trace{}, false
		}
		first.at, first.message = i-1, entries[i-1].text
		t.from, t.general = i-1, "fatal_error"
	default:
		return trace{}, false
	}
	t.links = []link{first}
	start := -1
	for j := i; j < len(entries) && j < i+24; j++ {
		s := strings.TrimLeft(entries[j].text, " \t")
		switch {
		case isGoroutine(s):
			start = j
		case j == i:
		case strings.HasPrefix(s, "panic: "):
			// A panic while panicking, or the same that was recovered and raised again.
			t.links = append([]link{{at: j, message: s[len("panic: "):]}}, t.links...)
		case strings.HasPrefix(s, "fatal error: "):
			t.links = append([]link{{at: j, typ: "fatal error", message: s[len("fatal error: "):]}}, t.links...)
		case strings.HasPrefix(s, "[signal "):
			t.links[len(t.links)-1].typ = "runtime error"
		default:
			if j < i+8 && s != "" && entries[j].own && !entries[j].part {
				j = len(entries) // the log goes on: no dump follows
			}
		}
		if start >= 0 {
			break
		}
	}
	if start < 0 && t.links[0].typ == "fatal error" && i+1 < len(entries) && !goFatal(t.links[0].message) {
		return trace{}, false // a compiler's or linker's word
	}
	for k := range t.links {
		l := &t.links[k]
		switch {
		case strings.HasPrefix(l.message, "runtime error: "):
			l.typ, t.plain = "runtime error", true
		case strings.HasPrefix(l.message, "assignment to entry in nil map"), strings.HasPrefix(l.message, "interface conversion: "), strings.HasPrefix(l.message, "close of ") && strings.HasSuffix(l.message, " channel"),
			strings.HasPrefix(l.message, "send on closed channel"):
			l.typ, t.plain = "runtime error", true
		case l.typ == "" && strings.HasPrefix(l.message, "("):
			if end := strings.IndexByte(l.message, ')'); end > 1 {
				l.typ = strings.TrimPrefix(l.message[1:end], "*")
			}
		case l.typ == "" && strings.HasPrefix(l.message, "&"):
			if end := strings.IndexByte(l.message, '{'); end > 1 {
				l.typ = l.message[1:end]
			}
		}
	}
	if start >= 0 {
		t.frames, t.to = goFrames(entries, start)
	}
	t.to = max(t.to, i+1)
	return t, true
}

// goFatal tells the fatal errors of Go's runtime.
func goFatal(message string) bool {
	return has(message, "goroutines are asleep", "concurrent map", "out of memory", "stack overflow", "unexpected signal", "runtime: ", "sync: ", "newosproc", "cannot allocate")
}

func isGoroutine(s string) bool {
	return strings.HasPrefix(s, "goroutine ") && strings.HasSuffix(s, "]:") && len(s) > 12 && digit(s[10])
}

// goFrames returns the stack of the goroutine at start, which is the one that failed,
// and where the dump ends.
func goFrames(entries []entry, start int) ([]Frame, int) {
	var b strings.Builder
	end := start
	for end < len(entries) && end-start < 2*maxFrames+4 {
		s := entries[end].text
		if end > start && (strings.TrimSpace(s) == "" || isGoroutine(strings.TrimSpace(s))) {
			break
		}
		if end == start {
			s = strings.TrimLeft(s, " \t")
		}
		if end > start && !isGoPlace(s) && !strings.HasSuffix(s, ")") && !strings.HasPrefix(s, "created by ") && !strings.HasPrefix(s, "...") && !strings.Contains(s, "stack unavailable") {
			break
		}
		b.WriteString(s)
		b.WriteByte('\n')
		end++
	}
	frames := parseGo(b.String())
	// The other goroutines are no other failure.
	for end < len(entries) {
		s := entries[end].text
		t := strings.TrimSpace(s)
		if t == "" && end+1 < len(entries) && isGoroutine(entries[end+1].text) || isGoroutine(t) || isGoPlace(s) || strings.HasPrefix(s, "created by ") || strings.HasSuffix(t, ")") && end+1 < len(entries) && isGoPlace(entries[end+1].text) || strings.HasPrefix(t, "exit status ") {
			end++
			continue
		}
		break
	}
	return frames, end
}

// parseGo reads one goroutine. What a log holds must not end this program: where the
// parser fails on it, there are no frames.
func parseGo(dump string) (frames []Frame) {
	defer func() {
		if recover() != nil {
			frames = nil
		}
	}()
	// Without NameArguments and GuessPaths it looks at nothing but the text.
	snapshot, _, _ := stack.ScanSnapshot(strings.NewReader(dump), io.Discard, &stack.Opts{})
	if snapshot == nil || len(snapshot.Goroutines) == 0 {
		return nil
	}
	for _, c := range snapshot.Goroutines[0].Stack.Calls {
		if len(frames) == maxFrames {
			break
		}
		name := c.Func.Complete
		frames = append(frames, Frame{Func: name, File: c.RemoteSrcPath, Line: c.Line, App: goApp(name, c.RemoteSrcPath)})
	}
	return frames
}

// bareGoTrace reads a stack as zap writes it: a function a line, its place below it.
func bareGoTrace(entries []entry, i int) (trace, bool) {
	t := trace{from: i, to: i, language: "go", general: "fatal_error"}
	for t.to+1 < len(entries) && len(t.frames) < maxFrames && isGoPlace(entries[t.to+1].text) {
		name := strings.TrimSuffix(strings.TrimSpace(entries[t.to].text), "(...)")
		at := strings.TrimSpace(entries[t.to+1].text)
		at, _, _ = strings.Cut(at, " +0x")
		file, line := place(at)
		t.frames = append(t.frames, Frame{Func: name, File: file, Line: line, App: goApp(name, file)})
		t.to += 2
	}
	// It belongs to the message before it.
	at := i - 1
	for at >= 0 && strings.TrimSpace(entries[at].text) == "" {
		at--
	}
	if at < 0 || entries[at].taken || len(t.frames) == 0 {
		return trace{}, false
	}
	t.from, t.ends = at, entries[at].level == levelFatal
	t.links = []link{{at: at, message: entries[at].text}}
	if class, _ := classify(entries[at].text, entries[at].lower()); class == "" && !t.ends {
		t.general = "exception" // an error with a stack, which zap adds to every error
	}
	return t, true
}

// isGoPlace tells "\t/app/main.go:12 +0x1d".
func isGoPlace(s string) bool {
	if s == "" || s[0] != '\t' && s[0] != ' ' {
		return false
	}
	i := strings.Index(s, ".go:")
	if i < 0 {
		i = strings.Index(s, ".s:")
		return i > 0 && i+3 < len(s) && digit(s[i+3]) && !strings.Contains(s, "(")
	}
	return i+4 < len(s) && digit(s[i+4]) && !strings.ContainsAny(s[:i], "( ") || i+4 < len(s) && digit(s[i+4]) && !strings.Contains(strings.TrimLeft(s[:i], " \t"), " ")
}

// goApp tells the program's own functions: not the standard library's, and not a
// module's from the module cache or a vendor folder.
func goApp(name, file string) bool {
	if strings.HasPrefix(name, "main.") {
		return true
	}
	if strings.Contains(file, "/pkg/mod/") || strings.Contains(file, "/vendor/") || strings.Contains(file, "@v") || name == "panic" {
		return false
	}
	// The standard library's import paths have no dot in the first element.
	first, _, more := strings.Cut(name, "/")
	if !more {
		first, _, _ = strings.Cut(first, ".")
	}
	if strings.Contains(first, ".") {
		return true
	}
	switch {
	case strings.Contains(file, "/go/src/"), strings.Contains(file, "/libexec/src/"), strings.Contains(file, "/golang/src/"), strings.Contains(file, "go/src/runtime/"):
		return false
	case file != "" && file[0] != '/' && !strings.Contains(file, ":"):
		// Built with -trimpath: the standard library's files begin with the import path,
		// as do those of a module without a dot in its name; the latter is rare.
		return !isStandardGo(first)
	}
	return !isStandardGo(first) || !strings.Contains(file, "/src/"+first)
}

func isStandardGo(first string) bool {
	switch first {
	case "runtime", "sync", "internal", "net", "os", "io", "fmt", "log", "strings", "strconv", "bytes", "bufio", "context", "errors", "encoding", "reflect", "sort", "slices", "maps", "math", "time", "testing", "text", "html",
		"syscall", "regexp", "flag", "crypto", "database", "compress", "archive", "container", "hash", "image", "unicode", "path", "mime", "iter", "debug", "embed", "expvar", "go", "index", "plugin", "vendor", "unsafe":
		return true
	}
	return false
}
