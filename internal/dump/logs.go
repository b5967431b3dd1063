package dump

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"

	"github.com/whyrestart/whyrestart/internal/record"
)

// logKey names one log of a dump. Container is empty for a file that does not say
// whose log it is.
type logKey struct {
	namespace, pod, container string
	previous                  bool
}

// logLayout is how a file holds logs.
type logLayout byte

const (
	noLog logLayout = iota
	// logPlain is one log as it was written.
	logPlain
	// logStamped is one log with a time before each line.
	logStamped
	// logSections is the logs of a pod's containers between marks.
	logSections
)

// logPath tells from a file's path which log it holds. The layouts are those of
// "kubectl cluster-info dump" (NAMESPACE/POD/logs.txt, sections by container), of
// Troubleshoot bundles (NAMESPACE/POD/CONTAINER.log and CONTAINER-previous.log) and of
// must-gather (pods/POD/CONTAINER/CONTAINER/logs/current.log and previous.log).
func logPath(name string) (key logKey, layout logLayout) {
	part := strings.Split(path.Clean(name), "/")
	n := len(part)
	if n >= 8 && part[n-2] == "logs" && part[n-3] == part[n-4] && part[n-6] == "pods" {
		key = logKey{namespace: part[n-7], pod: part[n-5], container: part[n-3]}
		layout = logStamped
		switch part[n-1] {
		case "current.log", "current.insecure.log":
			return key, layout
		case "previous.log", "previous.insecure.log":
			key.previous = true
			return key, layout
		}
		return logKey{}, noLog
	}
	if n < 3 {
		return logKey{}, noLog
	}
	key = logKey{namespace: part[n-3], pod: part[n-2]}
	if part[n-1] == "logs.txt" {
		return key, logSections
	}
	container, ok := strings.CutSuffix(part[n-1], ".log")
	if !ok || container == "" {
		return logKey{}, noLog
	}
	key.container, key.previous = strings.CutSuffix(container, "-previous")
	return key, logPlain
}

var logHeader = regexp.MustCompile(`^==== START logs for container (\S+) of pod (\S+)/(\S+) ====\r?\n?$`)

// lineReader gives a text by lines, each with its newline, in pieces where a line is long.
type lineReader interface {
	line() ([]byte, error)
}

type bufLines struct{ r *bufio.Reader }

func (b bufLines) line() ([]byte, error) {
	line, err := b.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		err = nil
	}
	return line, err
}

// scanLines reads a log that stands among documents.
type scanLines struct{ s *scanner }

func (l scanLines) line() ([]byte, error) {
	line, more := l.s.peekLine()
	l.s.consume(len(line))
	if !more {
		return line, io.EOF // why it ends is in the account of the scanner's decoder
	}
	return line, nil
}

// stamp is what "kubectl logs --timestamps" puts before each line.
var stamp = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d) `)

// readSections reads the logs of one logs.txt. A section counts only for the pod
// whose folder it is in: a container may print what looks like another section.
func readSections(key logKey, lines lineReader, l Limits, put func(logKey, record.Log)) error {
	var plain *tail
	for {
		line, err := lines.line()
		m := logHeader.FindSubmatch(line)
		switch {
		case m != nil && string(m[2]) == key.namespace && string(m[3]) == key.pod:
			if serr := readSection(string(line), lines, l, put); serr != nil {
				return serr
			}
		case len(bytes.TrimSpace(line)) > 0 || plain != nil:
			if plain == nil {
				plain = newTail(l)
			}
			plain.add(line)
		}
		if err != nil {
			if plain != nil {
				put(key, plain.log())
			}
			return ignoreEOF(err)
		}
	}
}

// readSection reads a log whose first line was header, up to its end mark. The mark
// follows the log's last byte, on the same line where that is not a newline.
func readSection(header string, lines lineReader, l Limits, put func(logKey, record.Log)) error {
	m := logHeader.FindStringSubmatch(header)
	if m == nil {
		return nil
	}
	key := logKey{container: m[1], namespace: m[2], pod: m[3]}
	end := []byte(fmt.Sprintf("==== END logs for container %s of pod %s/%s ====", m[1], m[2], m[3]))
	t := newTail(l)
	for {
		line, err := lines.line()
		before, ended := bytes.CutSuffix(bytes.TrimRight(line, "\r\n"), end)
		if ended {
			if len(before) > 0 {
				t.add(before)
			}
			put(key, t.log())
			return nil
		}
		t.add(line)
		if err != nil {
			put(key, t.log())
			return ignoreEOF(err)
		}
	}
}

// readLog reads a file that is one log.
func readLog(key logKey, layout logLayout, lines lineReader, l Limits, put func(logKey, record.Log)) error {
	t := newTail(l)
	for {
		line, err := lines.line()
		if layout == logStamped {
			line = line[len(stamp.Find(line)):]
		}
		t.add(line)
		if err != nil {
			put(key, t.log())
			return ignoreEOF(err)
		}
	}
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// tail keeps the end of a log within bounds of lines and bytes.
type tail struct {
	maxLines, maxBytes int
	lines              []string
	bytes              int
	open               []byte // the line that has not ended
	cut                bool   // the open line is longer than is kept
	dropped            bool
}

func newTail(l Limits) *tail {
	return &tail{maxLines: l.LogLines, maxBytes: l.LogBytes}
}

// add takes the next piece of text, at most one newline in it and that at its end.
func (t *tail) add(piece []byte) {
	text, ended := bytes.CutSuffix(piece, []byte{'\n'})
	if room := t.maxBytes - len(t.open); len(text) > room {
		text, t.cut = text[:max(room, 0)], true
	}
	t.open = append(t.open, text...)
	if ended {
		t.end()
	}
}

func (t *tail) end() {
	line := strings.ToValidUTF8(string(bytes.TrimSuffix(t.open, []byte{'\r'})), "\ufffd")
	t.lines = append(t.lines, line)
	t.bytes += len(line) + 1
	t.dropped = t.dropped || t.cut
	t.open, t.cut = t.open[:0], false
	drop := 0
	for drop < len(t.lines)-1 && (len(t.lines)-drop > t.maxLines || t.bytes > t.maxBytes) {
		t.bytes -= len(t.lines[drop]) + 1
		drop++
	}
	if drop > 0 {
		clear(t.lines[:drop])
		t.lines, t.dropped = t.lines[drop:], true
	}
}

// log returns what was kept.
func (t *tail) log() record.Log {
	if len(t.open) > 0 || t.cut {
		t.end()
	}
	if len(t.lines) == 0 {
		return record.Log{Missing: emptyLog}
	}
	if why, ok := strings.CutPrefix(t.lines[0], noLogPrefix); ok && len(t.lines) == 1 {
		return record.Log{Missing: why}
	}
	if len(t.lines) == 1 && isRefusal(t.lines[0]) {
		return record.Log{Missing: t.lines[0]}
	}
	return record.Log{Lines: append([]string(nil), t.lines...), Truncated: t.dropped}
}

// noLogPrefix is what a bundle has in place of a log that could not be read, before the reason.
const noLogPrefix = "whyrestart has no log here: "

// emptyLog is why a log without a line has none.
const emptyLog = "the recorded log is empty"

// isRefusal tells that a log of one line is what kubectl or the kubelet answered in
// place of a log.
func isRefusal(line string) bool {
	for _, prefix := range []string{
		"unable to retrieve container logs for ",
		"Error from server (",
		"Error from server: ",
		"Request log error: ",
		"Create log request error: ",
		"Create log error: ",
		"failed to try resolving symlinks in path ",
		"previous terminated container ",
	} {
		if strings.HasPrefix(line, prefix) {
			return true
		}
	}
	return false
}
