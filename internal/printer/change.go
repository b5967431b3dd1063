package printer

import (
	"fmt"
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
)

// changedFields is how many fields of a change are shown.
const changedFields = 8

// fieldIndent tells the fields of a change from the lines of its sentence.
const fieldIndent = "    "

// changes says what was changed before it began, the newest first, with the fields that
// differ.
func (p *page) changes(all []record.Change, ref time.Time) []string {
	var out []string
	for i := range all {
		c := &all[i]
		text := c.Text
		if text == "" {
			text = changeText(c)
		}
		if c.By != "" && !strings.Contains(text, c.By) {
			text += " (by " + c.By + ")"
		}
		stamp := ""
		if !c.Time.IsZero() {
			stamp = p.clock(c.Time, ref)
		}
		out = append(out, p.stamped(Shorten(text, longest), stamp)...)
		for n, f := range c.Fields {
			if n == changedFields {
				out = append(out, fieldIndent+fmt.Sprintf("and %s more", count(len(c.Fields)-n, "field")))
				break
			}
			line := fieldText(f)
			if len(c.Fields) == 1 && !f.Hidden && (strings.Contains(text, f.Old+" -> "+f.New) || strings.Contains(text, " from "+f.Old+" to "+f.New)) {
				continue // the sentence has it
			}
			out = append(out, wrap(fieldIndent+Escape(line), p.body())...)
		}
	}
	return out
}

func changeText(c *record.Change) string {
	switch {
	case c.From != "" && c.To != "":
		return fmt.Sprintf("%s, revision %s -> %s", c.Object, c.From, c.To)
	case c.To != "":
		return fmt.Sprintf("%s, revision %s", c.Object, c.To)
	}
	return c.Object + " was changed"
}

// fieldText is a field that differs, with what it was and what it is.
func fieldText(f record.FieldChange) string {
	of := func(s string) string {
		if s == "" {
			return "not set"
		}
		return Shorten(s, briefWidth)
	}
	if f.Hidden || f.Old == f.New {
		return f.Field + " changed"
	}
	return f.Field + ": " + of(f.Old) + " -> " + of(f.New)
}

// issueRef names the issue of a record, and how large that is.
func (p *page) issueRef() []string {
	i := p.r.Issue
	if i == nil || i.ID == "" {
		return nil
	}
	text := i.ID
	if size := refSize(p.r); size != "" {
		text += " (" + size + ")"
	}
	if i.Incident != "" {
		text += ", a part of " + i.Incident
	}
	return p.hanging(text)
}

// refPods is how many pods an issue has.
func refPods(i *record.IssueRef) string {
	if i.MorePods {
		return fmt.Sprintf("%d+ pods", i.Pods)
	}
	return count(i.Pods, "pod")
}

// refSize is how large the issue of a record is, and where it stands.
func refSize(r *record.Record) string {
	var parts []string
	noun := "stop"
	if r.Kind == record.KindStall {
		noun = "stall"
	}
	if r.Issue.Count > 0 {
		parts = append(parts, count(int(r.Issue.Count), noun))
	}
	if r.Issue.Pods > 0 {
		parts = append(parts, refPods(r.Issue))
	}
	if r.Issue.State != "" {
		parts = append(parts, r.Issue.State)
	}
	return strings.Join(parts, ", ")
}
