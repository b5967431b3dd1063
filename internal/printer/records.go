// Package printer writes records for people and for programs: a table that fits a
// terminal, and the JSON of package record as a document or a line each. Nothing that
// comes from the cluster reaches a terminal unescaped, in any format.
package printer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	yamlv3 "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"

	"github.com/whyrestart/whyrestart/internal/record"
)

// JSON writes a document indented, as kubectl does.
func JSON(w io.Writer, d any) error {
	b, err := encode(d, "    ")
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}

// YAML writes a document as YAML, with the field names of its JSON.
func YAML(w io.Writer, d any) error {
	b, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("encode JSON: %w", err)
	}
	y, err := yaml.JSONToYAML(readableByYAML(b))
	if err != nil {
		return fmt.Errorf("encode YAML: %w", err)
	}
	text := string(y)
	if !safe(strings.ReplaceAll(text, "\n", "")) {
		if text, err = escapeYAML(y); err != nil {
			return fmt.Errorf("encode YAML: %w", err)
		}
	}
	_, err = io.WriteString(w, text)
	return err
}

// readableByYAML spells what a YAML reader does not take as it is, although JSON allows
// it: controls and non-characters. Of a pair of surrogates, as EscapeJSON writes it, it
// would make nothing.
func readableByYAML(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r >= 0x7f && r <= 0xffff {
			out = fmt.Appendf(out, `\u%04x`, r)
		} else {
			out = append(out, b[i:i+n]...)
		}
		i += n
	}
	return out
}

// escapeYAML does what EscapeJSON does. The encoder escapes control characters; what
// reorders or hides text it leaves as it is, and often unquoted, where nothing can be
// escaped: so those texts are quoted first.
func escapeYAML(y []byte) (string, error) {
	var doc yamlv3.Node
	if err := yamlv3.Unmarshal(y, &doc); err != nil {
		return "", err
	}
	quoteHidden(&doc)
	var b bytes.Buffer
	e := yamlv3.NewEncoder(&b)
	e.SetIndent(2)
	e.CompactSeqIndent()
	if err := e.Encode(&doc); err != nil {
		return "", err
	}
	lines := strings.Split(b.String(), "\n")
	for i := range lines {
		lines[i] = Escape(lines[i])
	}
	return strings.Join(lines, "\n"), nil
}

func quoteHidden(n *yamlv3.Node) {
	if n.Kind == yamlv3.ScalarNode && !safe(n.Value) {
		n.Style = yamlv3.DoubleQuotedStyle
	}
	for _, c := range n.Content {
		quoteHidden(c)
	}
}

// JSONLine writes a record, or an issue, in one line.
func JSONLine(w io.Writer, r any) error {
	b, err := encode(r, "")
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}

func encode(v any, indent string) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode JSON: %w", err)
	}
	if indent != "" {
		// The line breaks are the encoder's own: those of a value are escaped.
		lines := bytes.SplitAfter(b.Bytes(), []byte("\n"))
		for i := range lines {
			text, end := bytes.CutSuffix(lines[i], []byte("\n"))
			lines[i] = EscapeJSON(text)
			if end {
				lines[i] = append(lines[i][:len(lines[i]):len(lines[i])], '\n')
			}
		}
		return bytes.Join(lines, nil), nil
	}
	text, _ := bytes.CutSuffix(b.Bytes(), []byte("\n"))
	return append(EscapeJSON(text), '\n'), nil
}

// Name writes what "kubectl get -o name" would: a line that a command can take.
func Name(w io.Writer, r record.Record) error {
	_, err := fmt.Fprintf(w, "%s/%s\n", r.Kind, Escape(r.ID))
	return err
}

// Workload is the short form of a workload, as kubectl spells kinds: deploy/checkout.
// A pod without one stands for itself.
func Workload(r *record.Record) string {
	if r.Workload == nil {
		return "pod/" + r.Pod
	}
	return r.Workload.Short()
}

// Duration is a short form as kubectl's ages have: 41s, 3m12s, 6h4m, 12d.
func Duration(d time.Duration) string {
	s := int64(d / time.Second)
	switch {
	case s < 0:
		return "0s"
	case s < 120:
		return fmt.Sprintf("%ds", s)
	case s < 600:
		return two(s/60, "m", s%60, "s")
	case s < 3*3600:
		return fmt.Sprintf("%dm", s/60)
	case s < 8*3600:
		return two(s/3600, "h", s%3600/60, "m")
	case s < 48*3600:
		return fmt.Sprintf("%dh", s/3600)
	case s < 8*24*3600:
		return two(s/86400, "d", s%86400/3600, "h")
	default:
		return fmt.Sprintf("%dd", s/86400)
	}
}

func two(a int64, unitA string, b int64, unitB string) string {
	if b == 0 {
		return fmt.Sprintf("%d%s", a, unitA)
	}
	return fmt.Sprintf("%d%s%d%s", a, unitA, b, unitB)
}
