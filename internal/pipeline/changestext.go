package pipeline

import (
	"fmt"
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/extract"
	"github.com/whyrestart/whyrestart/internal/record"
)

// before tells how long before the failure something was changed, to end a sentence with.
func (p *passage) before(at time.Time) string {
	if at.IsZero() || p.began.IsZero() {
		return "."
	}
	which := "the first " + p.noun
	if p.since.first.IsZero() {
		which = "this " + p.noun
	}
	return fmt.Sprintf(", %s before %s.", howLong(p.began.Sub(at)), which)
}

// howLong writes a duration in words.
func howLong(d time.Duration) string {
	count := func(n int64, unit string) string {
		if n == 1 {
			return "1 " + unit
		}
		return fmt.Sprintf("%d %ss", n, unit)
	}
	switch {
	case d < time.Second:
		return "less than a second"
	case d < 90*time.Second:
		return count(int64(d/time.Second), "second")
	case d < 90*time.Minute:
		return count(int64(d.Round(time.Minute)/time.Minute), "minute")
	case d < 36*time.Hour:
		return count(int64(d.Round(time.Hour)/time.Hour), "hour")
	}
	return count(int64(d.Round(24*time.Hour)/(24*time.Hour)), "day")
}

// fieldsTold bounds the fields that a sentence names.
const fieldsTold = 3

// fieldsText tells what became of fields, as "changed limits.memory from 512Mi to 256Mi". All is
// how many there are; those of the container are named without it.
func fieldsText(fields []record.FieldChange, all int, container string) string {
	if len(fields) == 0 {
		return "was rolled out without a change that is known"
	}
	const byHand = "metadata.annotations[" + extract.AnnotationRestarted + "]"
	var parts []string
	restarted := false
	for _, f := range fields {
		if f.Field == byHand {
			restarted = true
			all--
		} else if len(parts) < fieldsTold {
			parts = append(parts, fieldText(f, container))
		}
	}
	if more := all - len(parts); more == 1 {
		parts = append(parts, "1 more field")
	} else if more > 1 {
		parts = append(parts, fmt.Sprintf("%d more fields", more))
	}
	const restart = "restarted the pods by hand (kubectl rollout restart)"
	switch {
	case len(parts) == 0:
		return restart
	case restarted:
		return restart + " and changed " + enumerated(parts)
	}
	return "changed " + enumerated(parts)
}

func enumerated(parts []string) string {
	if n := len(parts); n > 1 {
		return strings.Join(parts[:n-1], ", ") + " and " + parts[n-1]
	}
	return parts[0]
}

func fieldText(f record.FieldChange, container string) string {
	name := f.Field
	if of, field, ok := extract.ContainerField(f.Field); ok {
		field = strings.TrimPrefix(field, "resources.")
		switch {
		case field == "" && f.Old == "":
			return fmt.Sprintf("container %s (added)", of)
		case field == "":
			return fmt.Sprintf("container %s (removed)", of)
		case of == container:
			name = field
		default:
			name = field + " of container " + of
		}
	}
	const most = 60
	short := func(s string) string {
		if r := []rune(s); len(r) > most {
			return string(r[:most]) + "…"
		}
		return s
	}
	switch {
	case f.Hidden:
		return name
	case f.Old == "" && strings.Contains(f.Field, ".env["):
		return name + " (added)"
	case f.Old == "":
		return name + " to " + short(f.New)
	case f.New == "":
		return name + " (removed)"
	}
	return name + " from " + short(f.Old) + " to " + short(f.New)
}
