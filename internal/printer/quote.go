package printer

import (
	"strconv"
	"strings"

	"github.com/whyrestart/whyrestart/internal/record"
)

// evidence quotes what the diagnosis rests on, with the time of each fact at the right.
// Fields of one object, part and time share a line.
func (p *page) evidence() []string {
	all := p.r.Diagnosis.Evidence
	var out []string
	for i := 0; i < len(all); {
		parts := []string{p.quote(&all[i])}
		n := 1
		for i+n < len(all) && together(&all[i], &all[i+n]) {
			_, last := part(all[i+n].Field)
			parts = append(parts, last+" = "+value(&all[i+n]))
			n++
		}
		stamp := ""
		if t := all[i].Time; !t.IsZero() {
			stamp = p.clock(t, p.r.When())
		}
		out = append(out, p.stamped(strings.Join(parts, ", "), stamp)...)
		i += n
	}
	return out
}

// stamped is hanging with a time at the right of the first line.
func (p *page) stamped(text, stamp string) []string {
	if stamp == "" {
		return p.hanging(text)
	}
	room := p.body() - len(stamp) - 2
	lines := hang(Escape(text), room, p.body())
	lines[0] += strings.Repeat(" ", max(2, p.body()-len(stamp)-Columns(lines[0]))) + stamp
	return lines
}

// together tells facts that one line can hold: short ones of the same part.
func together(a, b *record.Evidence) bool {
	partA, _ := part(a.Field)
	partB, _ := part(b.Field)
	const long = 40
	return partA != "" && partA == partB && a.Source == b.Source && a.Object == b.Object && a.Time.Equal(b.Time) &&
		a.Source != "event" && a.Source != "log" && len(a.Value) <= long && len(b.Value) <= long
}

// part splits a field into what it belongs to and its name.
func part(field string) (parent, name string) {
	i := strings.LastIndexByte(field, '.')
	if i < 0 {
		return "", field
	}
	return field[:i], field[i+1:]
}

// quote is a fact in the fewest words that say where it stands.
func (p *page) quote(e *record.Evidence) string {
	where := ""
	if kind, name, ok := strings.Cut(e.Object, " "); ok && !(kind == "Pod" && name == p.r.Namespace+"/"+p.r.Pod) {
		where = strings.ToLower(kind) + " " + strings.TrimPrefix(name, p.r.Namespace+"/") + " "
	}
	switch e.Source {
	case "event":
		return where + "event " + e.Field + ": " + quoted(e.Value)
	case "log":
		return "log: " + quoted(e.Value)
	case "history":
		if e.Field == "" {
			return "history: " + e.Value
		}
		return "history: " + e.Field + " = " + value(e)
	}
	if e.Field == "" {
		return where + e.Value
	}
	return where + p.field(e.Field) + " = " + value(e)
}

// field leaves out of a path what the header says.
func (p *page) field(path string) string {
	for _, list := range []string{
		"status.containerStatuses", "status.initContainerStatuses", "status.ephemeralContainerStatuses",
		"spec.containers", "spec.initContainers", "spec.ephemeralContainers",
	} {
		rest, ok := strings.CutPrefix(path, list+"[")
		if !ok {
			continue
		}
		name, field, ok := strings.Cut(rest, "].")
		if !ok {
			return path
		}
		if name == p.r.Container {
			return field
		}
		return "container " + name + ": " + field
	}
	return path
}

// value makes bytes readable, and quotes what is more than a word.
func value(e *record.Evidence) string {
	if _, name := part(e.Field); name == "memory" || name == "ephemeral-storage" {
		if n, err := strconv.ParseInt(e.Value, 10, 64); err == nil {
			return Bytes(n)
		}
	}
	if strings.ContainsAny(e.Value, " \t\n") {
		return quoted(e.Value)
	}
	return e.Value
}

// quoted leaves the quotes inside of a text as they are: it is read by people, who find
// nothing escaped easier.
func quoted(s string) string { return `"` + Shorten(strings.TrimSpace(s), longest) + `"` }

// longest is how much of a text is quoted: the API allows messages of many kilobytes.
const longest = 600

// Bytes spells a size as a quantity of Kubernetes: 256Mi.
func Bytes(n int64) string {
	units := [...]string{"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"}
	i := 0
	for n >= 1024 && n%1024 == 0 && i < len(units)-1 {
		n, i = n/1024, i+1
	}
	return strconv.FormatInt(n, 10) + units[i]
}
