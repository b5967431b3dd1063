package printer

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/whyrestart/whyrestart/internal/record"
)

// briefWidth is how much of a text a table's last column takes.
const briefWidth = 70

// Outcome is the end as the API has it, and the detail of its cause.
func Outcome(r *record.Record) string {
	var parts []string
	if r.Stop != nil {
		parts = append(parts, exit(r.Stop))
	}
	if d := detail(r); d != "" {
		parts = append(parts, d)
	}
	return strings.Join(parts, ", ")
}

// outcome is Outcome as a table shows it. A stream tells what happened before it.
func (t *Table) outcome(r *record.Record) string {
	text := Outcome(r)
	if r.Stop != nil && r.MissedBefore > 0 {
		text += fmt.Sprintf(", %d more before it only counted", r.MissedBefore)
	}
	if r.Stop != nil && r.BeforeWatch && t.o.Clock {
		text += ", before the watch"
	}
	if r.Stall != nil && !r.End.IsZero() {
		text += ", over"
	}
	if t.o.Clock {
		text += issueNote(r)
	}
	return strings.TrimPrefix(text, ", ")
}

// issueNote names the issue of a record in a stream, and its size: one that nobody knows yet
// is what to look at.
func issueNote(r *record.Record) string {
	i := r.Issue
	switch {
	case i == nil || i.ID == "":
		return ""
	case i.Count <= 1:
		return ", NEW " + i.ID
	}
	size := fmt.Sprintf("%dx", i.Count)
	if i.Pods > 1 {
		size += ", " + refPods(i)
	}
	switch i.State {
	case "escalating", "regressed":
		size += ", " + i.State
	}
	return fmt.Sprintf(", %s (%s)", i.ID, size)
}

// detail is the detail of the cause, with what of the evidence tells one from another.
func detail(r *record.Record) string {
	d, more := r.Diagnosis.Detail, brief(r)
	switch {
	case more == "":
		return d
	case d == "":
		return more
	}
	return d + ": " + more
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
	if r.Stall != nil {
		return briefStall(r)
	}
	switch r.Diagnosis.Cause {
	case "oom_killed":
		if e := quotedField(r, "limits.memory"); e != nil {
			return "limit " + value(e)
		}
	case "liveness_probe", "startup_probe":
		return probed(r)
	case "app_exit", "app_signal":
		if e := quotedSource(r, "log"); e != nil {
			return oneLine(e.Value)
		}
	}
	return ""
}

// briefStall is brief for a stall: its own words, without those that all of its kind share.
func briefStall(r *record.Record) string {
	d := &r.Diagnosis
	switch d.Cause {
	case "admission_rejected":
		return ""
	case "readiness_probe":
		if p := probed(r); p != "" {
			return p
		}
	case "missing_configmap", "missing_secret", "missing_key":
		if what := missingObject.FindString(d.Summary); what != "" {
			return oneLine(what)
		}
	case "image_not_found", "image_pull_auth", "image_registry_unreachable", "image_rate_limited", "image_platform_mismatch", "image_never_pull", "image_pull_failed":
		if e := quotedField(r, "].image"); e != nil {
			return oneLine(e.Value)
		}
	case "unschedulable":
		if _, why, ok := strings.Cut(d.Summary, ": "); ok {
			return oneLine(strings.TrimSuffix(why, "."))
		}
	}
	return oneLine(strings.TrimSuffix(d.Summary, "."))
}

// missingObject is how the summaries of such stalls name what is missing.
var missingObject = regexp.MustCompile(`(key \S+ of the )?(ConfigMap|Secret) [^\s,]+`)

// probed is what a probe asked for, out of its quoted definition, which is as kubectl
// describes it: "httpGet GET :8080/healthz delay=0s timeout=1s".
func probed(r *record.Record) string {
	e := quotedField(r, "Probe")
	if e == nil || e.Source != "pod-spec" {
		return ""
	}
	text, _, _ := strings.Cut(e.Value, " delay=")
	if _, target, ok := strings.Cut(text, " "); ok {
		text = target
	}
	return oneLine(text)
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
	s += " [" + Escape(string(d.Confidence)) + "]"
	if r.Category != record.Failure {
		s += ", " + Escape(string(r.Category))
	}
	return s
}
