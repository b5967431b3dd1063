package printer

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
)

// TableOptions say how a table looks.
type TableOptions struct {
	// Wide adds columns: container type, node, image, ID.
	Wide bool
	// Namespace adds the namespace, for tables over several.
	Namespace bool
	// Clock shows the time of day in place of the age, for a stream; Absolute shows
	// times in full.
	Clock, Absolute bool
	// AsOf is when the records were made, if that was not Now: what had not ended then may
	// have ended since.
	AsOf time.Time
	// Color marks the cause by its category; the words say the same without it.
	Color bool
	// Now is what ages count from.
	Now time.Time
}

// Table writes rows as they come, or all at once.
type Table struct {
	w      io.Writer
	o      TableOptions
	widths []int
	cause  int // the column that is coloured
	headed bool
}

// NewTable returns a table that writes to w. Its first row, or End, writes the header.
func NewTable(w io.Writer, o TableOptions) *Table {
	t := &Table{w: w, o: o}
	for i, c := range t.columns() {
		t.widths = append(t.widths, max(len(c.head), c.width))
		if c.head == headCause {
			t.cause = i
		}
	}
	return t
}

const headCause = "CAUSE"

// column is one column; width is what a stream reserves for it before it knows better.
type column struct {
	head  string
	width int
	cell  func(*record.Record) string
}

func (t *Table) columns() []column {
	cols := []column{{head: "AGE", cell: t.age}}
	switch {
	case t.o.Absolute:
		cols[0].head, cols[0].width = "TIME", len("2006-01-02T15:04:05Z")
	case t.o.Clock:
		cols[0].head, cols[0].width = "TIME", len(time.TimeOnly)
	}
	if t.o.Namespace {
		cols = append(cols, column{"NAMESPACE", 10, func(r *record.Record) string { return r.Namespace }})
	}
	cols = append(cols,
		column{"WORKLOAD:CONTAINER", 22, func(r *record.Record) string {
			if r.Container == "" {
				return Workload(r)
			}
			return Workload(r) + ":" + r.Container
		}},
		column{"POD", 24, func(r *record.Record) string { return r.Pod }},
		column{"#", 2, func(r *record.Record) string {
			if r.Stop == nil {
				return ""
			}
			return fmt.Sprint(r.Ordinal + 1)
		}},
		column{headCause, 20, func(r *record.Record) string { return r.Diagnosis.Cause }},
		column{"CONF", 9, func(r *record.Record) string { return string(r.Diagnosis.Confidence) }},
		column{"CATEGORY", 10, func(r *record.Record) string { return string(r.Category) }},
		column{"RAN", 6, func(r *record.Record) string { return t.lasted(r) }},
		column{"DETAIL", 0, t.outcome},
	)
	if t.o.Wide {
		cols = append(cols,
			column{"TYPE", 9, func(r *record.Record) string { return string(r.ContainerType) }},
			column{"NODE", 10, func(r *record.Record) string { return r.Node }},
			column{"IMAGE", 10, func(r *record.Record) string {
				if r.Stop == nil {
					return ""
				}
				return r.Image
			}},
			column{"ISSUE", 9, func(r *record.Record) string {
				if r.Issue == nil {
					return ""
				}
				return r.Issue.ID
			}},
			column{"ID", 24, func(r *record.Record) string { return r.ID }},
		)
	}
	return cols
}

func (t *Table) age(r *record.Record) string {
	when := r.When()
	if t.o.Clock && r.Stall != nil && !r.End.IsZero() {
		when = r.End // in a stream, what happens now is that it ends
	}
	switch {
	case when.IsZero():
		return "<unknown>"
	case t.o.Absolute:
		return when.UTC().Format(time.RFC3339)
	case t.o.Clock:
		return when.Local().Format(time.TimeOnly)
	default:
		return Duration(t.o.Now.Sub(when))
	}
}

// lasted is how long an instance ran, or how long a stall lasted; a plus marks one that
// goes on.
func (t *Table) lasted(r *record.Record) string {
	until := t.o.Now
	if t.o.Clock {
		until = r.ObservedAt
	} else if !t.o.AsOf.IsZero() {
		until = t.o.AsOf
	}
	switch {
	case r.Stop != nil && r.RanSeconds != nil:
		return Duration(time.Duration(*r.RanSeconds) * time.Second)
	case r.Stall == nil || r.Begin.IsZero():
	case !r.End.IsZero():
		return Duration(r.End.Sub(r.Begin))
	case until.After(r.Begin):
		return Duration(until.Sub(r.Begin)) + "+"
	}
	return "-"
}

// Rows writes all records at once, with columns as wide as they need to be.
func (t *Table) Rows(records []record.Record) error {
	cols := t.columns()
	for i := range cols {
		t.widths[i] = len(cols[i].head)
		for j := range records {
			t.widths[i] = max(t.widths[i], Columns(Escape(cols[i].cell(&records[j]))))
		}
	}
	for i := range records {
		if err := t.Row(&records[i]); err != nil {
			return err
		}
	}
	return nil
}

// Row writes one record, and the header before the first one.
func (t *Table) Row(r *record.Record) error {
	cols := t.columns()
	if !t.headed {
		t.headed = true
		heads := make([]string, len(cols))
		for i := range cols {
			heads[i] = cols[i].head
		}
		if err := t.line(heads, nil); err != nil {
			return err
		}
	}
	cells := make([]string, len(cols))
	for i := range cols {
		cells[i] = Escape(cols[i].cell(r))
	}
	return t.line(cells, r)
}

// Note writes a line of a stream that is about no single record.
func (t *Table) Note(at time.Time, text string) error {
	stamp := at.Local().Format(time.TimeOnly)
	if t.o.Absolute {
		stamp = at.UTC().Format(time.RFC3339)
	}
	_, err := io.WriteString(t.w, stamp+"  !  "+Escape(text)+"\n")
	return err
}

// line pads the cells; a cell that is too wide pushes the rest of its line, and the
// column stays that wide from then on.
func (t *Table) line(cells []string, r *record.Record) error {
	var b strings.Builder
	for i, c := range cells {
		n := Columns(c)
		if r != nil && t.widths[i] < n {
			t.widths[i] = n
		}
		colored := c
		if r != nil && t.o.Color && i == t.cause {
			colored = paint(r.Category, c)
		}
		b.WriteString(colored)
		if i < len(cells)-1 {
			b.WriteString(strings.Repeat(" ", max(1, t.widths[i]-n+2)))
		}
	}
	_, err := io.WriteString(t.w, strings.TrimRight(b.String(), " ")+"\n")
	return err
}

// paint colours by category with the sixteen colours that every terminal and theme has.
func paint(c record.Category, s string) string {
	code := "31" // red
	switch c {
	case record.Disruption:
		code = "33" // yellow
	case record.Lifecycle:
		code = "2" // faint
	case record.Failure:
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}
