package signature

import (
	"strings"
)

// atTrace reads a trace of Java, Node or .NET whose first frame is entry i: all of them
// write "at" before a frame, below the error.
func atTrace(entries []entry, i int) (trace, bool) {
	language := atLanguage(entries[i].text)
	if language == "" {
		return trace{}, false
	}
	// The error is the nearest line above that begins with the name of a type.
	head := i
	for j := i - 1; j >= 0 && j >= i-12 && !entries[j].taken; j-- {
		if _, _, ok := headType(entries[j].text); ok {
			head = j
			break
		}
		if entries[j].part != entries[i].part && j < i-1 {
			break
		}
	}
	t := trace{from: head, to: i + 1, language: language, general: "exception"}
	if head == i {
		t.links = append(t.links, link{at: max(i-1, 0)})
		if i > 0 && !entries[i-1].taken && strings.TrimSpace(entries[i-1].text) != "" {
			t.from, t.links[0].message = i-1, entries[i-1].text
		} else {
			t.links[0].at = i // the begin of the trace is cut off
		}
	}
	t.readAt(entries, head)
	return t, true
}

// headedTrace reads a trace that begins with words that say what it is, and that may
// have no frames at all.
func headedTrace(entries []entry, i int) (trace, bool) {
	text := strings.TrimSpace(entries[i].text)
	t := trace{from: i, to: i + 1, general: "exception", language: "dotnet", ends: true}
	if strings.HasPrefix(text, "Exception in thread ") {
		t.language = "java"
		t.ends = strings.Contains(text, `"main"`)
	}
	if _, _, ok := headType(text); !ok {
		t.links = []link{{at: i, message: text}}
	}
	t.readAt(entries, i)
	return t, true
}

// headType returns the error that a line names.
func headType(text string) (typ, message string, ok bool) {
	s := strings.TrimSpace(text)
	for _, p := range [...]string{"Caused by: ", "Unhandled exception. ", "Unhandled Exception: ", "---> ", "Uncaught ", "[cause]: ", "Suppressed: ", "Error: Uncaught "} {
		s = strings.TrimPrefix(s, p)
	}
	if strings.HasPrefix(s, "Exception in thread ") {
		if i := strings.Index(s, `" `); i > 0 {
			s = s[i+2:]
		}
	}
	if strings.HasPrefix(s, "(node:") {
		if i := strings.Index(s, "Warning: "); i > 0 {
			s = s[i+len("Warning: "):]
		}
	}
	// Messages come before the type in some formats: "Application run failed java.lang.X: y".
	if typ, message, ok = typed(s); ok {
		return typ, message, true
	}
	if i := strings.LastIndex(s, " ---> "); i >= 0 {
		return typed(s[i+6:])
	}
	return "", "", false
}

// readAt reads from the error's line to the end of the trace.
func (t *trace) readAt(entries []entry, head int) {
	suppressed := false
	depth := 0 // of the causes, of which the deepest has the frames that count
	var byLink [][]Frame
	add := func(at int, s string) {
		typ, message, ok := headType(s)
		if !ok {
			message = strings.TrimSpace(s)
		}
		t.links = append(t.links, link{typ: typ, message: message, at: at})
		byLink = append(byLink, nil)
		depth = len(t.links) - 1
	}
	if len(t.links) == 0 {
		add(head, entries[head].text)
	} else {
		byLink = append(byLink, nil)
	}
	missed := 0
	for j := head; j < len(entries) && j < head+200; j++ {
		text := entries[j].text
		s := strings.TrimSpace(text)
		switch {
		case j == head && !strings.HasPrefix(s, "at "):
			continue
		case s == "" && t.language == "node" && !entries[j].part:
			missed++
		case strings.HasPrefix(s, "at "):
			if !suppressed && len(byLink[depth]) < maxFrames {
				f, ok := atFrame(s[3:], t.language)
				if ok {
					byLink[depth] = append(byLink[depth], f)
				}
			}
			missed = 0
		case strings.HasPrefix(s, "Suppressed: "):
			suppressed = true
		case strings.HasPrefix(s, "Caused by: "):
			suppressed = false
			add(j, s)
		case strings.HasPrefix(s, "---> "):
			add(j, s)
		case strings.HasPrefix(s, "[cause]: "):
			add(j, s)
		case strings.HasPrefix(s, "--- End of inner exception"):
			// What follows are the frames of the exception around it.
			if depth > 0 {
				depth--
			}
		case strings.HasPrefix(s, "--- End of stack trace from"), strings.HasPrefix(s, "... ") && strings.HasSuffix(s, " more"), strings.HasPrefix(s, "... ") && strings.Contains(s, "common frames"):
		case t.language == "node" && property(s):
			t.links[depth].context += s + " "
		case t.language == "node" && (strings.HasPrefix(s, "Node.js v") || strings.HasPrefix(s, "Emitted '")):
			t.ends = t.ends || strings.HasPrefix(s, "Node.js v")
			suppressed = true // of who emitted it
			t.to = j + 1
			continue
		case text != "" && (text[0] == ' ' || text[0] == '\t') && !entries[j].own && missed < 3, entries[j].part && missed < 3, len(byLink[depth]) == 0 && !entries[j].own && missed < 12:
			// The rest of a message of several lines.
			if missed < 3 {
				t.links[depth].context += s + " "
			}
			missed++
			continue
		default:
			missed = 200
		}
		if missed >= 200 || missed >= 3 && t.language == "node" && s == "" {
			break
		}
		if s != "" {
			t.to = j + 1
		}
	}
	// The deepest cause comes first: it is the reason. Its frames are those that count.
	for a, b := 0, len(t.links)-1; a < b; a, b = a+1, b-1 {
		t.links[a], t.links[b] = t.links[b], t.links[a]
		byLink[a], byLink[b] = byLink[b], byLink[a]
	}
	for _, frames := range byLink {
		if len(frames) > 0 && len(t.frames) == 0 {
			t.frames = frames
		}
	}
	t.plain = !vague(t.links[0].typ)
	if t.language == "node" && !t.ends {
		t.ends = nodeUncaught(entries, head)
	}
}

// property tells lines of an error object that node prints after its stack.
func property(s string) bool {
	if s == "}" || s == "]" || s == "{" {
		return true
	}
	for _, p := range [...]string{"code: ", "errno: ", "syscall: ", "address: ", "port: ", "path: ", "hostname: ", "requireStack: ", "url: ", "cause: ", "original: ", "parent: ", "[errors]: "} {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return strings.HasPrefix(s, "'/") || strings.HasPrefix(s, "- /")
}

// nodeUncaught tells the marks that node prints above an error that nobody caught.
func nodeUncaught(entries []entry, head int) bool {
	for j := head - 1; j >= 0 && j >= head-8; j-- {
		s := strings.TrimSpace(entries[j].text)
		if strings.Trim(s, "^") == "" && s != "" || strings.HasPrefix(s, "node:internal/") || strings.HasPrefix(s, "throw ") || strings.Contains(s, "triggerUncaughtException") {
			return true
		}
	}
	return strings.Contains(entries[head].text, "Uncaught ")
}

// atLanguage tells whose frame a line is.
func atLanguage(text string) string {
	s := strings.TrimSpace(text)
	if !strings.HasPrefix(s, "at ") || len(s) < 6 {
		return ""
	}
	s = s[3:]
	switch {
	case strings.HasPrefix(s, "async "), strings.HasPrefix(s, "node:"), strings.HasPrefix(s, "file://"), strings.HasSuffix(s, "(<anonymous>)"), strings.HasSuffix(s, "(native)"), strings.Contains(s, "(node:"), strings.Contains(s, "(internal/"):
		return "node"
	case strings.Contains(s, ".java:"), strings.Contains(s, ".kt:"), strings.Contains(s, ".scala:"), strings.Contains(s, ".groovy:"), strings.Contains(s, ".clj:"), strings.Contains(s, "(Native Method)"),
		strings.Contains(s, "(Unknown Source)"), strings.Contains(s, "(SourceFile"), strings.Contains(s, "(<generated>)"), strings.Contains(s, "java.base/"):
		return "java"
	case strings.Contains(s, ".cs:line "), strings.Contains(s, ".fs:line "), strings.Contains(s, ".vb:line "):
		return "dotnet"
	}
	// at fn (/app/x.js:10:5), at /app/x.js:10:5
	if _, line := place(strings.TrimSuffix(s, ")")); line > 0 && strings.Count(s, ":") >= 2 {
		return "node"
	}
	if strings.HasSuffix(s, ")") && strings.Contains(s, "(") && strings.Contains(s, ".") && !strings.Contains(s, ":") {
		return "dotnet"
	}
	return ""
}

// atFrame reads a frame, without its "at".
func atFrame(s, language string) (Frame, bool) {
	s = strings.TrimSpace(strings.TrimSuffix(s, "{"))
	open := strings.LastIndex(s, "(")
	switch language {
	case "java":
		if open <= 0 {
			return Frame{}, false
		}
		f := Frame{Func: strings.TrimSpace(s[:open])}
		if i := strings.LastIndexByte(f.Func, '/'); i >= 0 {
			f.Func = f.Func[i+1:] // java.base/java.lang.Thread.run, app//com.example.Main
		}
		inside, _, _ := strings.Cut(s[open+1:], ")")
		f.File, f.Line = place(inside)
		if f.File == "Native Method" || f.File == "Unknown Source" {
			f.File = ""
		}
		f.App = javaApp(f.Func)
		return f, true
	case "node":
		s = strings.TrimPrefix(s, "async ")
		f := Frame{}
		at := s
		if open > 0 && strings.HasSuffix(s, ")") {
			f.Func, at = strings.TrimSpace(s[:open]), s[open+1:len(s)-1]
		}
		// A line and a column: the line is the first of the two.
		f.File, f.Line = place(at)
		f.App = f.File != "" && f.File != "<anonymous>" && f.File != "native" && !strings.HasPrefix(f.File, "node:") && !strings.HasPrefix(f.File, "internal/") && !strings.Contains(f.File, "node_modules/") &&
			strings.Contains(f.File, "/")
		if f.Func == "" {
			f.Func = f.File
		}
		return f, true
	}
	f := Frame{Func: s}
	if i := strings.Index(s, " in "); i > 0 {
		at := s[i+4:]
		f.Func = s[:i]
		if j := strings.LastIndex(at, ":line "); j > 0 {
			_, f.Line = place("x:" + at[j+6:])
			at = at[:j]
		}
		f.File = at
	}
	if i := strings.IndexByte(f.Func, '('); i > 0 {
		f.Func = f.Func[:i]
	}
	f.App = !under(f.Func, "System.", "Microsoft.", "Npgsql.", "StackExchange.", "Newtonsoft.", "Grpc.", "MySql.", "Serilog.", "Polly.", "Dapper.", "Autofac.", "MassTransit.", "RabbitMQ.", "Confluent.", "Amazon.", "Azure.")
	return f, true
}

func under(s string, prefixes ...string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

// javaApp tells the program's own methods from those of the platform and of what most
// programs are built of.
func javaApp(name string) bool {
	return !under(name, "java.", "javax.", "jdk.", "sun.", "com.sun.", "jakarta.", "kotlin.", "kotlinx.", "scala.", "groovy.", "clojure.", "org.springframework.", "org.apache.", "org.hibernate.", "org.eclipse.", "io.netty.",
		"reactor.", "com.zaxxer.", "org.postgresql.", "com.mysql.", "org.mariadb.", "oracle.", "com.fasterxml.", "com.google.", "io.grpc.", "io.quarkus.", "io.micronaut.", "io.vertx.", "okhttp3.", "okio.", "ch.qos.", "org.slf4j.",
		"org.jboss.", "org.flywaydb.", "liquibase.", "redis.", "io.lettuce.", "com.mongodb.", "akka.", "org.aspectj.", "net.bytebuddy.", "org.codehaus.", "org.junit.", "feign.", "rx.", "io.reactivex.", "io.micrometer.", "com.amazonaws.", "software.amazon.", "org.elasticsearch.")
}

// nodeHeapTrace reads the end of a Node process that ran out of heap.
func nodeHeapTrace(entries []entry, i int) (trace, bool) {
	at := i
	for j := i; j < len(entries) && j < i+12; j++ {
		if strings.HasPrefix(strings.TrimSpace(entries[j].text), "FATAL ERROR: ") {
			at = j
			break
		}
	}
	t := trace{from: i, to: at + 1, language: "node", general: "native_crash", ends: true, plain: true}
	t.links = []link{{at: at, message: strings.TrimSpace(entries[at].text)}}
	for t.to < len(entries) {
		s := strings.TrimSpace(entries[t.to].text)
		if s == "" || strings.Contains(s, ": 0x") || strings.HasPrefix(s, "-----") {
			t.to++
			continue
		}
		break
	}
	return t, true
}

// jvmCrash reads the report that a JVM writes when native code crashed it.
func jvmCrash(entries []entry, i int) (trace, bool) {
	t := trace{from: i, to: i + 1, language: "java", general: "native_crash", ends: true, plain: true}
	t.links = []link{{at: i, message: entries[i].text}}
	for t.to < len(entries) && strings.HasPrefix(entries[t.to].text, "#") {
		s := strings.TrimSpace(strings.TrimLeft(entries[t.to].text, "# "))
		if t.links[0].typ == "" && strings.HasPrefix(s, "SIG") {
			typ, _, _ := strings.Cut(s, " ")
			t.links[0] = link{at: t.to, typ: typ, message: s}
		}
		t.to++
	}
	return t, true
}
