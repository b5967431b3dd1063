package printer

import (
	"fmt"
	"strings"

	"github.com/whyrestart/whyrestart/internal/record"
)

// briefWidth is how much of a text a table's last column takes.
const briefWidth = 70

// Outcome is what a table says of a finding in a few words: the end as the API has it,
// the detail of the cause, and what of the evidence tells one from another.
func Outcome(r *record.Record) string {
	var parts []string
	add := func(s string) {
		if s != "" {
			parts = append(parts, s)
		}
	}
	s := r.Stop
	if s != nil {
		add(exit(s))
	}
	detail := r.Diagnosis.Detail
	if more := brief(r); more != "" {
		if detail != "" && !strings.Contains(more, detail) {
			detail += ": "
		} else {
			detail = ""
		}
		detail += more
	}
	add(detail)
	if s != nil && s.MissedBefore > 0 {
		add(fmt.Sprintf("%d more before it only counted", s.MissedBefore))
	}
	if s != nil && s.BeforeWatch {
		add("before the watch")
	}
	if r.Stall != nil && !r.End.IsZero() {
		add("over")
	}
	return strings.Join(parts, ", ")
}

// exit is the end of an instance as the API has it.
func exit(s *record.Stop) string {
	switch {
	case !s.ExitObserved:
		return "exit not observed"
	case s.ExitCode == nil:
		return "exit not seen, counted"
	}
	what := fmt.Sprintf("exit %d", *s.ExitCode)
	if s.Signal != "" {
		what += " (" + s.Signal + ")"
	}
	if s.Reason != "" {
		what += " " + s.Reason
	}
	return what
}

// brief is what of the evidence a person would want to see in the list already.
func brief(r *record.Record) string {
	switch d := &r.Diagnosis; d.Cause {
	case "oom_killed":
		if e := quotedField(r, "limits.memory"); e != nil {
			return "limit " + value(e)
		}
	case "liveness_probe", "startup_probe", "readiness_probe":
		if e := quotedField(r, "Probe"); e != nil && e.Source == "pod-spec" {
			return oneLine(e.Value)
		}
	case "app_exit", "app_signal":
		if e := quotedSource(r, "log"); e != nil {
			return oneLine(e.Value)
		}
	}
	return ""
}

// quotedField returns the first quoted fact whose field ends with a name.
func quotedField(r *record.Record, name string) *record.Evidence {
	for i := range r.Diagnosis.Evidence {
		if e := &r.Diagnosis.Evidence[i]; strings.HasSuffix(e.Field, name) {
			return e
		}
	}
	return nil
}

// quotedSource returns the first quoted fact of a source.
func quotedSource(r *record.Record, source string) *record.Evidence {
	for i := range r.Diagnosis.Evidence {
		if e := &r.Diagnosis.Evidence[i]; e.Source == source {
			return e
		}
	}
	return nil
}

func oneLine(s string) string {
	return Shorten(strings.Join(strings.Fields(s), " "), briefWidth)
}

// Verdict is the cause with its detail, confidence and category, escaped.
func Verdict(r *record.Record) string {
	d := &r.Diagnosis
	s := Escape(d.Cause)
	if d.Detail != "" {
		s += ", " + Escape(d.Detail)
	}
	s += " [" + string(d.Confidence) + "]"
	if r.Category != record.Failure {
		s += ", " + string(r.Category)
	}
	return s
}
