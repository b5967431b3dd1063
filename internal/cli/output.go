package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/whyrestart/whyrestart/internal/printer"
	"github.com/whyrestart/whyrestart/internal/record"
)

// outputFlags choose how records are printed.
type outputFlags struct {
	format   string
	absolute bool
	// clock shows the time of day of each finding in place of its age.
	clock bool
	// asOf is when a recorded state that is shown was made.
	asOf     time.Time
	formats  []string
	template template
}

func (f *outputFlags) add(flags *pflag.FlagSet, formats ...string) {
	f.formats = formats
	flags.StringVarP(&f.format, "output", "o", "", "output format: "+strings.Join(formats, ", ")+" (default: a table)")
	flags.BoolVar(&f.absolute, "absolute-time", false, "show times in full in place of ages")
}

func (f *outputFlags) check() error {
	if f.format == "" || slices.Contains(f.formats, f.format) {
		return nil
	}
	for _, prefix := range f.formats {
		if strings.HasSuffix(prefix, "=") && strings.HasPrefix(f.format, prefix) {
			t, err := parseTemplate(f.format)
			f.template = t
			return err
		}
	}
	return fmt.Errorf("--output=%s: want one of %s", f.format, strings.Join(f.formats, ", "))
}

// structured tells that an empty answer has a form of its own.
func (f *outputFlags) structured() bool {
	return f.format == "json" || f.format == "yaml" || f.template != nil
}

// document prints all findings at once.
func (f *outputFlags) document(e *environment, d record.Document, namespace bool) error {
	if done, err := forPrograms(f, e.Out, d, d.Findings, printer.Name); done {
		return err
	}
	color, err := e.colored()
	if err != nil {
		return err
	}
	return printer.NewTable(e.Out, printer.TableOptions{
		Wide: f.format == "wide", Namespace: namespace, Absolute: f.absolute, Clock: f.clock, AsOf: f.asOf, Color: color, Now: time.Now(),
	}).Rows(d.Findings)
}

// forPrograms prints a document in a format for programs, whole or an item a line, and returns
// false where the format is one for people.
func forPrograms[D, T any](f *outputFlags, w io.Writer, doc D, items []T, name func(io.Writer, T) error) (bool, error) {
	if f.template != nil {
		all := make([]any, len(items))
		for i := range items {
			all[i] = items[i]
		}
		return true, f.template.print(w, doc, all)
	}
	switch f.format {
	case "json":
		return true, printer.JSON(w, doc)
	case "yaml":
		return true, printer.YAML(w, doc)
	case "jsonl":
		return true, each(items, func(i T) error { return printer.JSONLine(w, i) })
	case "name":
		return true, each(items, func(i T) error { return name(w, i) })
	}
	return false, nil
}

// stream returns a function that prints records one by one.
func (f *outputFlags) stream(e *environment, namespace bool) (func(record.Record) error, error) {
	switch f.format {
	case "jsonl", "json":
		return func(r record.Record) error { return printer.JSONLine(e.Out, r) }, nil
	case "name":
		return func(r record.Record) error { return printer.Name(e.Out, r) }, nil
	}
	t, err := f.rows(e, namespace)
	if err != nil {
		return nil, err
	}
	return once(func(r record.Record) error { return t.Row(&r) }), nil
}

// rows returns a table that is written as its rows come.
func (f *outputFlags) rows(e *environment, namespace bool) (*printer.Table, error) {
	color, err := e.colored()
	if err != nil {
		return nil, err
	}
	return printer.NewTable(e.Out, printer.TableOptions{
		Wide: f.format == "wide", Namespace: namespace, Absolute: f.absolute, Clock: true, Color: color,
	}), nil
}

// once shows each record once, and a stall once more when it is over: late evidence for a row
// that was printed is left to the other formats.
func once(show func(record.Record) error) func(record.Record) error {
	shown := make(recent)
	return func(r record.Record) error {
		id := r.ID
		if r.Stall != nil && !r.End.IsZero() {
			id += " over"
		}
		if shown.has(id) {
			return nil
		}
		return show(r)
	}
}

// recent remembers IDs, and forgets them all before they become many.
type recent map[string]bool

func (m recent) has(id string) bool {
	if m[id] {
		return true
	}
	if len(m) >= 10_000 {
		clear(m)
	}
	m[id] = true
	return false
}

func each[T any](items []T, f func(T) error) error {
	for _, i := range items {
		if err := f(i); err != nil {
			return err
		}
	}
	return nil
}

// newestFirst sorts findings as lists show them.
func newestFirst(records []record.Record) {
	slices.SortStableFunc(records, func(a, b record.Record) int {
		return b.When().Compare(a.When())
	})
}

// sayMissing tells a person on stderr what could not be read.
func sayMissing(w io.Writer, missing []record.Missing) {
	for _, m := range missing {
		fmt.Fprintf(w, "whyrestart: not used: %s: %s\n", printer.Escape(m.What), printer.Escape(m.Why))
	}
}

// leastGap is what a person is told of beside a list. What ends and begins again at once, such as a
// watch, is a gap too, and coverage has it.
const leastGap = time.Minute

// sayGaps tells a person in a line when the watch saw nothing, since a time, and what is refused:
// what stopped then is counted at best.
func sayGaps(w io.Writer, gaps []record.Gap, since time.Time) {
	watch, denied := 0, 0
	var last *record.Gap
	for i := range gaps {
		g := &gaps[i]
		switch {
		case g.Kind == record.GapPermission && g.To.IsZero():
			denied++
		case g.Kind != record.GapWatch && g.Kind != "":
		case g.From.IsZero() || !g.To.IsZero() && (g.To.Before(since) || g.To.Sub(g.From) < leastGap):
		default:
			if watch++; last == nil || g.To.IsZero() || !last.To.IsZero() && g.To.After(last.To) {
				last = g
			}
		}
	}
	var parts []string
	if watch > 0 {
		text := "not watched " + printer.When(*last) + ": " + last.Why
		if watch > 1 {
			text += "; and " + times(watch-1) + " more"
		}
		parts = append(parts, text)
	}
	if denied == 1 {
		parts = append(parts, "1 permission is missing")
	} else if denied > 1 {
		parts = append(parts, fmt.Sprintf("%d permissions are missing", denied))
	}
	if len(parts) > 0 {
		fmt.Fprintf(w, "whyrestart: %s (see whyrestart coverage)\n", printer.Escape(strings.Join(parts, "; ")))
	}
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// sayLife tells a person in a line that what is explained was not watched all the time.
func sayLife(w io.Writer, gaps []record.Gap) {
	if len(gaps) == 0 {
		return
	}
	g := &gaps[len(gaps)-1]
	more := ""
	if n := len(gaps) - 1; n > 0 {
		more = ", and " + times(n) + " before"
	}
	text := fmt.Sprintf("this was not watched %s%s: %s. It may have stopped then, which is only counted", printer.When(*g), more, g.Why)
	fmt.Fprintf(w, "whyrestart: %s (see whyrestart coverage)\n", printer.Escape(text))
}

// groups prints a document as findings does, but its table has a line for what several
// pods have in common.
func (f *outputFlags) groups(e *environment, d record.Document, namespace bool) error {
	if len(d.Findings) == 0 || f.format != "" && f.format != "wide" {
		return f.findings(e, d, namespace)
	}
	color, err := e.colored()
	if err != nil {
		return err
	}
	sayMissing(e.Err, d.Coverage.Missing)
	return printer.GroupTable{
		TableOptions: printer.TableOptions{Wide: f.format == "wide", Namespace: namespace, Absolute: f.absolute, Color: color, Now: time.Now()},
		Width:        terminalWidth(e.Out),
	}.Write(e.Out, printer.GroupBy(d.Findings))
}

// findings prints a document, or says that there is nothing in it.
func (f *outputFlags) findings(e *environment, d record.Document, namespace bool) error {
	if d.Findings == nil {
		d.Findings = []record.Record{} // "[]" in JSON, not "null"
	}
	structured := f.structured()
	if !structured {
		sayMissing(e.Err, d.Coverage.Missing)
	}
	if len(d.Findings) > 0 || structured {
		if err := f.document(e, d, namespace); err != nil {
			return err
		}
	}
	if len(d.Findings) == 0 {
		if !structured {
			fmt.Fprintln(e.Err, "No stops and no stalls found.")
		}
		return errNothing
	}
	return nil
}

// since keeps the records that are not older than t.
func since(records []record.Record, t time.Time) []record.Record {
	return slices.DeleteFunc(records, func(r record.Record) bool { return r.When().Before(t) })
}
