package signature

import (
	"strconv"
	"strings"
)

// pythonTrace reads a traceback with the exceptions that it chains, a syntax error
// without one, or the end of one whose begin is cut off.
func pythonTrace(entries []entry, i int) (trace, bool) {
	t := trace{from: i, to: i + 1, language: "python", general: "exception"}
	var chain [][]Frame
	var frames []Frame
	j := i
	in, missed := false, 0
	for ; j < len(entries) && j < i+250 && missed < 4; j++ {
		text := unbar(entries[j].text)
		s := strings.TrimLeft(text, " \t")
		switch {
		case strings.HasPrefix(s, "Traceback (most recent call last)"), strings.HasPrefix(s, "Exception Group Traceback"):
			in, frames, missed = true, nil, 0
			t.to = j + 1
		case pythonFrame(s):
			in, missed = true, 0
			if f, ok := readPythonFrame(s); ok {
				frames = append(frames, f)
				if len(frames) > 4*maxFrames {
					frames = frames[2*maxFrames:]
				}
			}
			t.to = j + 1
		case in && text != "" && text[0] != ' ' && text[0] != '\t' && entries[j].index >= entries[i].index && s != "":
			typ, message, ok := pythonError(text)
			if !ok {
				in = false
				missed = 4
				continue
			}
			t.links = append(t.links, link{typ: typ, message: message, at: j})
			chain = append(chain, frames)
			in, missed = false, 0
			t.to = j + 1
		case in:
			if strings.TrimSpace(s) == "" {
				missed++
			}
		case strings.HasPrefix(s, "During handling of the above exception"), strings.HasPrefix(s, "The above exception was the direct cause"):
			missed = 0
		default:
			// The rest of a message, or an empty line between two of a chain.
			missed++
			if len(t.links) == 0 {
				return trace{}, false
			}
		}
	}
	if in && len(t.links) == 0 {
		if len(frames) == 0 {
			return trace{}, false
		}
		// The end is cut off.
		t.links = append(t.links, link{at: t.to - 1})
		chain = append(chain, frames)
	}
	if len(t.links) == 0 {
		return trace{}, false
	}
	// The exception that ended the program is the last; what it was raised for is before
	// it. The last says why unless its class is general.
	last := len(t.links) - 1
	t.frames = pythonFrames(chain[last])
	for k := range t.links {
		if l := &t.links[k]; l.typ == "KeyError" && fromEnviron(chain[k]) {
			l.message = "environment variable " + l.message + " is not set"
		}
	}
	t.links = reversed(t.links)
	t.plain = !vague(t.links[0].typ)
	if t.links[0].typ == "KeyboardInterrupt" {
		t.links, t.general = t.links[:1], "" // somebody asked it to end
	}
	rest := 0
	for _, e := range entries[t.to:] {
		if !isNoise(&e) {
			rest++
		}
	}
	t.ends = rest == 0 && entries[i].level != levelWarn && entries[i].level != levelInfo
	return t, true
}

// unbar takes off the bars that Python draws beside the exceptions of a group.
func unbar(text string) string {
	if s := strings.TrimLeft(text, " "); s != "" && (s[0] == '|' || s[0] == '+') {
		return strings.TrimPrefix(s[1:], " ")
	}
	return text
}

func reversed(links []link) []link {
	out := make([]link, 0, len(links))
	for i := len(links) - 1; i >= 0; i-- {
		out = append(out, links[i])
	}
	return out
}

// fromEnviron tells that the key was looked for in os.environ.
func fromEnviron(frames []Frame) bool {
	if len(frames) == 0 {
		return false
	}
	f := frames[len(frames)-1]
	return f.Func == "__getitem__" && (strings.HasSuffix(f.File, "/os.py") || f.File == "<frozen os>")
}

// pythonFrames puts the innermost frame first; Python prints it last.
func pythonFrames(frames []Frame) []Frame {
	n := min(len(frames), maxFrames)
	out := make([]Frame, 0, n)
	for i := range n {
		out = append(out, frames[len(frames)-1-i])
	}
	return out
}

func pythonFrame(s string) bool {
	return strings.HasPrefix(s, `File "`) && strings.Contains(s, `", line `)
}

// readPythonFrame reads `File "x.py", line 3, in main`.
func readPythonFrame(s string) (Frame, bool) {
	file, rest, ok := strings.Cut(s[len(`File "`):], `", line `)
	if !ok {
		return Frame{}, false
	}
	number, name, _ := strings.Cut(rest, ", in ")
	f := Frame{File: file, Func: strings.TrimSpace(name)}
	f.Line, _ = strconv.Atoi(strings.TrimSpace(number))
	f.App = !has(file, "site-packages/", "dist-packages/", "/lib/python", "/lib64/python", "<frozen ", "/usr/bin/", "/usr/local/bin/")
	if f.Func == "<module>" {
		f.Func = "<module> " + file[strings.LastIndexByte(file, '/')+1:]
	}
	return f, true
}

// pythonError reads the line that ends a traceback: "Type: text", "package.Type" or "Type".
func pythonError(text string) (typ, message string, ok bool) {
	end := 0
	for end < len(text) && (word(text[end]) || text[end] == '.') {
		end++
	}
	if end == 0 || digit(text[0]) {
		return "", "", false
	}
	typ = text[:end]
	switch rest := text[end:]; {
	case rest == "" || rest == ":":
		return typ, "", true
	case strings.HasPrefix(rest, ": "):
		return typ, rest[2:], true
	}
	return "", "", false
}
