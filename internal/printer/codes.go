package printer

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/whyrestart/whyrestart/internal/causes"
)

// CodesSchema names the form of the reference as JSON.
const CodesSchema = "whyrestart-codes/v1"

// codeDocument is the reference, or a part of it, as JSON.
type codeDocument struct {
	Schema  string `json:"schema"`
	Entries []code `json:"entries"`
}

// code is one entry of the reference as JSON.
type code struct {
	Kind     string       `json:"kind"`
	Name     string       `json:"name"`
	Also     []string     `json:"also,omitempty"`
	Of       []string     `json:"of,omitempty"` // "stop" or "stall" of a cause; the causes that have a detail
	Category string       `json:"category,omitempty"`
	Title    string       `json:"title,omitempty"`
	Meaning  string       `json:"meaning"`
	Not      string       `json:"doesNotMean,omitempty"`
	Details  []codeDetail `json:"details,omitempty"`
	Open     bool         `json:"otherDetails,omitempty"`
	Causes   []string     `json:"causes,omitempty"`
	Proof    []string     `json:"proof,omitempty"`
	Check    []string     `json:"check,omitempty"`
	Fix      []string     `json:"fix,omitempty"`
}

type codeDetail struct {
	Code    string `json:"code"`
	Meaning string `json:"meaning"`
}

// CodesJSON writes entries of the reference as one JSON document, CodesYAML as YAML.
func CodesJSON(w io.Writer, entries []causes.Entry) error {
	b, err := json.MarshalIndent(codesOf(entries), "", "    ")
	if err != nil {
		return fmt.Errorf("encode JSON: %w", err)
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// CodesYAML writes entries of the reference as YAML.
func CodesYAML(w io.Writer, entries []causes.Entry) error {
	b, err := yaml.Marshal(codesOf(entries))
	if err != nil {
		return fmt.Errorf("encode YAML: %w", err)
	}
	_, err = w.Write(b)
	return err
}

func codesOf(entries []causes.Entry) codeDocument {
	d := codeDocument{Schema: CodesSchema, Entries: make([]code, 0, len(entries))}
	for i := range entries {
		e := &entries[i]
		c := code{Kind: string(e.Kind), Name: e.Name(), Of: e.Of}
		switch {
		case e.Cause != nil:
			c.Of, c.Category, c.Title, c.Meaning, c.Open = []string{stopOrStall(e.Cause)}, e.Cause.Category, e.Cause.Title, e.Cause.Meaning, e.Cause.Open
			c.Proof, c.Check, c.Fix = e.Cause.Proof, e.Cause.Check, e.Cause.Fix
			for _, d := range e.Cause.Details {
				c.Details = append(c.Details, codeDetail(d))
			}
		case e.Reason != nil:
			c.Also, c.Meaning, c.Not, c.Causes, c.Check = e.Reason.Also, e.Reason.Meaning, e.Reason.Not, e.Reason.Causes, e.Reason.Check
		default:
			c.Meaning = e.Detail.Meaning
		}
		d.Entries = append(d.Entries, c)
	}
	return d
}

func stopOrStall(c *causes.Cause) string {
	if c.Stall {
		return "stall"
	}
	return "stop"
}

// CodesOptions is how the reference is shown.
type CodesOptions struct {
	Width int
	Color bool
}

// CodesList writes a line for each entry, under a heading for each kind.
func CodesList(w io.Writer, entries []causes.Entry, o CodesOptions) error {
	p := newPage(nil, ExplainOptions{Width: o.Width, Color: o.Color})
	heading := ""
	for i := range entries {
		e := &entries[i]
		h, short := strings.ToUpper(string(e.Kind))+"S", ""
		switch {
		case e.Kind == causes.KindAdvice:
			h, short = "ADVICE", e.Detail.Meaning
		case e.Cause != nil:
			h, short = "CAUSES OF "+strings.ToUpper(stopOrStall(e.Cause))+"S", e.Cause.Title
		case e.Reason != nil:
			short = e.Reason.Meaning
		default:
			short = e.Detail.Meaning
		}
		if h != heading {
			if heading != "" {
				p.b.WriteByte('\n')
			}
			heading = h
			p.b.WriteString(strings.TrimRight(p.label(h), " ") + "\n")
		}
		p.named(e.Name(), short, "  ")
	}
	_, err := io.WriteString(w, p.b.String())
	return err
}

// nameWidth is what names take in lists, with the blanks after them.
const nameWidth = 30

// named writes a name and what it means, both in columns.
func (p *page) named(name, meaning, indent string) {
	pad := max(1, nameWidth-len(indent)-len(name))
	lines := wrap(Escape(meaning), max(minWidth/2, p.o.Width-nameWidth))
	for i, line := range lines {
		head := strings.Repeat(" ", nameWidth)
		if i == 0 {
			head = indent + name + strings.Repeat(" ", pad)
		}
		p.b.WriteString(head + line + "\n")
	}
}

// Codes writes entries of the reference in full.
func Codes(w io.Writer, entries []causes.Entry, o CodesOptions) error {
	p := newPage(nil, ExplainOptions{Width: o.Width, Color: o.Color})
	for i := range entries {
		if i > 0 {
			p.b.WriteByte('\n')
		}
		p.entry(&entries[i])
	}
	_, err := io.WriteString(w, p.b.String())
	return err
}

func (p *page) entry(e *causes.Entry) {
	what := string(e.Kind)
	switch {
	case e.Cause != nil:
		what = fmt.Sprintf("cause of a %s, %s", stopOrStall(e.Cause), e.Cause.Category)
	case e.Kind == causes.KindDetail:
		what += " of " + strings.Join(e.Of, ", ")
	}
	name := e.Name()
	if p.o.Color {
		name = "\x1b[1m" + name + "\x1b[0m"
	}
	p.b.WriteString(name + "  (" + what + ")\n")
	switch {
	case e.Cause != nil:
		c := e.Cause
		p.section("MEANS", p.paragraph(c.Title+". "+c.Meaning))
		p.details(c)
		p.section("PROOF", p.items(c.Proof))
		p.section("CHECK", p.items(c.Check))
		p.section("FIX", p.items(c.Fix))
	case e.Reason != nil:
		r := e.Reason
		p.section("MEANS", p.paragraph(r.Meaning))
		if len(r.Also) > 0 {
			p.section("ALSO", p.paragraph(strings.Join(r.Also, ", ")))
		}
		if r.Not != "" {
			p.section("BUT", p.paragraph(r.Not))
		}
		p.section("CAUSES", p.leads(r.Causes))
		p.section("CHECK", p.items(r.Check))
	default:
		p.section("MEANS", p.paragraph(upperFirst(e.Detail.Meaning)+"."))
	}
}

// details writes the details of a cause.
func (p *page) details(c *causes.Cause) {
	var lines []string
	for _, d := range c.Details {
		lines = append(lines, p.hanging(d.Code+": "+d.Meaning)...)
	}
	if c.Open && len(lines) > 0 {
		lines = append(lines, "and others")
	}
	p.section("DETAILS", lines)
}

// leads names causes with their titles.
func (p *page) leads(codes []string) []string {
	var lines []string
	for _, code := range codes {
		for _, c := range causes.All() {
			if c.Code == code {
				lines = append(lines, p.hanging(code+": "+c.Title)...)
			}
		}
	}
	return lines
}

// items are sentences, each with its own begin; commands stay whole, to be copied.
func (p *page) items(all []string) []string {
	var lines []string
	for _, s := range all {
		if strings.HasPrefix(s, "kubectl ") || strings.HasPrefix(s, "docker ") {
			lines = append(lines, s)
			continue
		}
		lines = append(lines, p.hanging(s)...)
	}
	return lines
}

func upperFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
