package kube

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// maxLine is the length of a line, in bytes, beyond which it is cut.
const maxLine = 4 << 10

// replacement stands for bytes that are no UTF-8.
const replacement = "\uFFFD"

// line is a line of a log with the time that the container runtime gave it; zero
// for what goes on with the line before.
type line struct {
	at   time.Time
	text string
}

// parseLog takes the answer of a log request with timestamps=true apart. An answer
// without a single time is no log but the kubelet's explanation why there is none,
// which comes with status 200 where it had begun to send (pkg/kubelet/kubelet_pods.go,
// GetKubeletContainerLogs); that is the error then.
func parseLog(data []byte) ([]line, error) {
	var lines []line
	timed := false
	for len(data) > 0 {
		var b []byte
		b, data, _ = bytes.Cut(data, []byte{'\n'})
		l := parseLine(b)
		if l.at.IsZero() && isExplanation(l.text) {
			if !timed {
				return nil, errors.New(cutLine(l.text, maxLine))
			}
			continue
		}
		timed = timed || !l.at.IsZero()
		lines = append(lines, l)
	}
	if timed || len(lines) == 0 {
		return lines, nil
	}
	texts := make([]string, 0, len(lines))
	for _, l := range lines {
		texts = append(texts, l.text)
	}
	return nil, errors.New(cutLine(strings.TrimSpace(strings.Join(texts, " ")), maxLine))
}

func parseLine(b []byte) line {
	// The longest form is 2006-01-02T15:04:05.999999999+07:00.
	if i := bytes.IndexByte(b[:min(len(b), len(time.RFC3339Nano)+1)], ' '); i > 0 {
		if at, err := time.Parse(time.RFC3339Nano, string(b[:i])); err == nil {
			return line{at, text(b[i+1:])}
		}
	}
	if at, err := time.Parse(time.RFC3339Nano, string(b)); err == nil && len(b) <= len(time.RFC3339Nano) {
		return line{at: at} // an empty line whose space was cut
	}
	return line{text: text(b)}
}

func text(b []byte) string {
	return strings.ToValidUTF8(strings.TrimSuffix(string(b), "\r"), replacement)
}

// isExplanation knows the kubelet's texts that take the place of a log
// (pkg/kubelet/kuberuntime/kuberuntime_container.go and logs/logs.go).
func isExplanation(s string) bool {
	for _, p := range []string{
		"unable to retrieve container logs for ",
		"failed to try resolving symlinks in path ",
		"failed to open log file ",
	} {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

// clip returns the texts of the last lines: n at most, and not more than limit bytes
// with their line ends. truncated tells that earlier ones were left out.
func clip(lines []line, n, limit int) (texts []string, truncated bool) {
	longest := min(maxLine, limit-1)
	for i := len(lines) - 1; i >= 0; i-- {
		t := cutLine(lines[i].text, longest)
		if len(texts) == n || limit < len(t)+1 {
			truncated = true
			break
		}
		limit -= len(t) + 1
		texts = append(texts, t)
	}
	slices.Reverse(texts)
	return texts, truncated
}

// cutLine returns s in at most n bytes, with an ellipsis where some are left out.
func cutLine(s string, n int) string {
	const ellipsis = "…"
	if len(s) <= n {
		return s
	}
	n -= len(ellipsis)
	if n <= 0 {
		return ""
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + ellipsis
}
