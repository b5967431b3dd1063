package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"k8s.io/client-go/util/jsonpath"

	"github.com/whyrestart/whyrestart/internal/printer"
)

// Formats that take a template after "=", as kubectl's.
const (
	jsonpathPrefix = "jsonpath="
	columnsPrefix  = "custom-columns="
)

// template prints a document, or its items, by a format that the user wrote.
type template interface {
	print(w io.Writer, document any, items []any) error
}

// parseTemplate returns nil for a format that is none.
func parseTemplate(format string) (template, error) {
	if text, ok := strings.CutPrefix(format, jsonpathPrefix); ok {
		return parsePath(text)
	}
	if spec, ok := strings.CutPrefix(format, columnsPrefix); ok {
		return parseColumns(spec)
	}
	return nil, nil
}

// path is a JSONPath template over the whole document.
type path struct{ *jsonpath.JSONPath }

func parsePath(text string) (path, error) {
	p := jsonpath.New("output").AllowMissingKeys(true)
	if err := p.Parse(text); err != nil {
		return path{}, fmt.Errorf("--output=%s%s: %w", jsonpathPrefix, text, err)
	}
	return path{p}, nil
}

func (p path) print(w io.Writer, document any, _ []any) error {
	v, err := generic(document)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := p.Execute(&b, v); err != nil {
		return fmt.Errorf("apply the JSONPath: %w", err)
	}
	_, err = io.WriteString(w, escapeLines(b.String()))
	return err
}

// columns are paths into each item, with their heads.
type columns struct {
	heads []string
	paths []*jsonpath.JSONPath
}

func parseColumns(spec string) (columns, error) {
	var c columns
	for part := range strings.SplitSeq(spec, ",") {
		head, text, ok := strings.Cut(part, ":")
		if !ok || head == "" || text == "" {
			return c, fmt.Errorf("--output=%s%s: want HEAD:.path,HEAD:.path", columnsPrefix, spec)
		}
		if !strings.HasPrefix(text, "{") {
			text = "{." + strings.TrimPrefix(text, ".") + "}"
		}
		p := jsonpath.New(head).AllowMissingKeys(true)
		if err := p.Parse(text); err != nil {
			return c, fmt.Errorf("--output=%s, column %s: %w", columnsPrefix, head, err)
		}
		c.heads, c.paths = append(c.heads, head), append(c.paths, p)
	}
	return c, nil
}

func (c columns) print(w io.Writer, _ any, items []any) error {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, strings.Join(c.heads, "\t"))
	for _, item := range items {
		v, err := generic(item)
		if err != nil {
			return err
		}
		cells := make([]string, len(c.paths))
		for j, p := range c.paths {
			var b bytes.Buffer
			if err := p.Execute(&b, v); err != nil {
				return fmt.Errorf("apply the path of column %s: %w", c.heads[j], err)
			}
			cells[j] = printer.Escape(b.String())
			if cells[j] == "" {
				cells[j] = "<none>"
			}
		}
		fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	return t.Flush()
}

// generic is v as its JSON reads, which is what paths are about.
func generic(v any) (any, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode JSON: %w", err)
	}
	var out any
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber() // 137, not 1.37e+02
	if err := d.Decode(&out); err != nil {
		return nil, fmt.Errorf("decode JSON: %w", err)
	}
	return out, nil
}

// escapeLines makes a text safe for a terminal, and leaves its line breaks and tabs.
func escapeLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		cells := strings.Split(l, "\t")
		for j := range cells {
			cells[j] = printer.Escape(cells[j])
		}
		lines[i] = strings.Join(cells, "\t")
	}
	return strings.Join(lines, "\n")
}
