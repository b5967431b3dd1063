package diagnose

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// Stalled explains a stall. It returns false where the evidence does not show that
// anything is wrong, or not yet: a pod that is being started is no finding.
func Stalled(e *evidence.Evidence) (Finding, bool) {
	if e.Stall == nil {
		return Finding{}, false
	}
	if e.Stall.Class == evidence.Rejected {
		return Rejected(e), true
	}
	a := explain(e)
	if a == nil {
		return Finding{}, false
	}
	if a.category == "" {
		a.category = record.Failure
	}
	a.evidence = distinct(a.evidence)
	if a.confidence == record.Confirmed && len(a.evidence) == 0 {
		// The class of the stall came from the pod, and nothing of it is left to quote.
		a.confidence = record.Likely
		a.missing = append(a.missing, record.Missing{What: "pod", Why: "what its status said is not in the evidence"})
	}
	addChanges(e, a)
	d := a.diagnosis(e)
	d.Next = sentences(a.next)
	return Finding{Category: a.category, Diagnosis: d}, true
}

// explain asks the family of the stall's class. Nil means that nothing is wrong, or not yet.
func explain(e *evidence.Evidence) *answer {
	switch e.Stall.Class {
	case evidence.Unscheduled:
		return unscheduled(e)
	case evidence.Preparing:
		return preparing(e)
	case evidence.Image:
		return imageStall(e)
	case evidence.Config:
		return configStall(e)
	case evidence.Create:
		return createStall(e)
	case evidence.Initializing:
		return initializing(e)
	case evidence.Unready:
		return unready(e)
	case evidence.Terminating:
		return terminating(e)
	case evidence.NotCreated:
		return notCreated(e)
	case evidence.Rejected:
	}
	return nil
}

// Times that rules about stalls go by.
const (
	// startRace is how long the kubelet's caches may take to fill after it started; what
	// it says of them until then is no finding.
	startRace = 2 * time.Minute
	// recently is how new an event must be to tell of now. The kubelet repeats what fails
	// every two minutes, and its event filter lets one event of a pod pass in five
	// (client-go tools/record, defaultSpamQPS).
	recently = 15 * time.Minute
)

// asOf stands for now: when the evidence was read, or else its newest event.
func asOf(e *evidence.Evidence) time.Time {
	t := e.AsOf
	if t.IsZero() {
		for i := range e.Events {
			if e.Events[i].Last.After(t) {
				t = e.Events[i].Last
			}
		}
	}
	return t
}

// lasted is how long something lasts that began at a time; false where a time is not known.
func lasted(e *evidence.Evidence, since time.Time) (time.Duration, bool) {
	now := asOf(e)
	if since.IsZero() || now.IsZero() {
		return 0, false
	}
	return max(0, now.Sub(since)), true
}

// stallBegin is when the stall began, or else when the pod was made.
func stallBegin(e *evidence.Evidence) time.Time {
	if !e.Stall.Begin.IsZero() {
		return e.Stall.Begin
	}
	return e.Pod.CreatedAt
}

// young tells that the stall is not older than d; an age that is not known is none.
func young(e *evidence.Evidence, d time.Duration) bool {
	age, known := lasted(e, stallBegin(e))
	return known && age < d
}

// newest returns the newest of the events that match, nil where there is none.
func newest(events []evidence.Event, match func(*evidence.Event) bool) *evidence.Event {
	var found *evidence.Event
	for i := range events {
		if ev := &events[i]; match(ev) && (found == nil || !ev.Last.Before(found.Last)) {
			found = ev
		}
	}
	return found
}

// hasReason matches events by their reason.
func hasReason(reasons ...string) func(*evidence.Event) bool {
	return func(ev *evidence.Event) bool { return slices.Contains(reasons, ev.Reason) }
}

// forgotten tells that the kubelet has not tried the container again since it was
// restarted: why it waits is kept in its memory alone (pkg/kubelet/reason_cache.go).
func forgotten(e *evidence.Evidence) bool {
	return e.Container.WaitingReason == "ContainerCreating" || e.Container.WaitingReason == "PodInitializing"
}

// lastFailure is the event of the newest failure to create or start the container, and
// what it says; nil where there is none, or none that says anything.
func lastFailure(e *evidence.Evidence) (*evidence.Event, string) {
	ev := newest(e.Events, func(ev *evidence.Event) bool {
		return ev.Reason == "Failed" && ev.Container && strings.HasPrefix(ev.Message, "Error: ") && !starting(ev.Message) &&
			!strings.HasPrefix(ev.Message, "Error: ErrImage") && !strings.HasPrefix(ev.Message, "Error: ImagePullBackOff")
	})
	if ev == nil {
		return nil, ""
	}
	return ev, strings.TrimPrefix(ev.Message, "Error: ")
}

// about tells which container of the pod an event is about, empty for the pod itself.
func about(e *evidence.Evidence, ev *evidence.Event) string {
	if ev.Container {
		return e.Container.Name
	}
	return ev.Other
}

// quoteEvent quotes an event about the pod, or about what the event names.
func quoteEvent(e *evidence.Evidence, ev *evidence.Event) record.Evidence {
	q := eventEvidence(e, &occurrence{ev, ev.Last})
	q.Value = cmp.Or(q.Value, ev.Reason)
	return q
}

// quoteCondition quotes a condition of the pod: its status, and the reason and message it has.
func quoteCondition(e *evidence.Evidence, c *evidence.Condition) []record.Evidence {
	return conditionParts(statusEvidence(e), c)
}

func conditionParts(ev func(field, value string) record.Evidence, c *evidence.Condition) []record.Evidence {
	path := "status.conditions[" + c.Type + "]."
	out := []record.Evidence{ev(path+"status", c.Status)}
	if c.Reason != "" {
		out = append(out, ev(path+"reason", c.Reason))
	}
	if c.Message != "" {
		out = append(out, ev(path+"message", c.Message))
	}
	for i := range out {
		out[i].Time = c.Time
	}
	return out
}

// quoteWaiting quotes why the container waits.
func quoteWaiting(e *evidence.Evidence) []record.Evidence {
	ev, path := statusEvidence(e), containerPath(&e.Container)
	out := []record.Evidence{ev(path+".state.waiting.reason", e.Container.WaitingReason)}
	if e.Container.WaitingMessage != "" {
		out = append(out, ev(path+".state.waiting.message", e.Container.WaitingMessage))
	}
	return out
}

// quoteNode quotes the pod's node.
func quoteNode(e *evidence.Evidence) func(field, value string) record.Evidence {
	return func(field, value string) record.Evidence {
		return nodeEvidence(e, field, value, time.Time{})
	}
}

// distinct leaves out evidence that quotes nothing, or the same twice.
func distinct(list []record.Evidence) []record.Evidence {
	var out []record.Evidence
	for _, q := range list {
		if q.Value != "" && !slices.Contains(out, q) {
			out = append(out, q)
		}
	}
	return out
}

// lostEvents says that the events would tell, and why there are none.
func lostEvents(e *evidence.Evidence, would string) record.Missing {
	m := record.Missing{What: "events of the pod", Why: would + " would tell; events were not read"}
	if e.EventsRead {
		m.Why = would + " would tell; there is none, and the API forgets events after a time"
	}
	return m
}

// plain matches words that no shell changes.
var plain = regexp.MustCompile(`^[A-Za-z0-9_./:=@%+,-]+$`)

// kubectl writes a command line whose words a shell takes as they are. It is empty where
// a word is not one that the API accepts as a name, or that would be taken for an option.
func kubectl(words ...string) string {
	var b strings.Builder
	b.WriteString("kubectl")
	for _, w := range words {
		switch {
		case w == "", strings.ContainsFunc(w, unicode.IsControl), w[0] == '-' && !isOption(w):
			return ""
		case plain.MatchString(w):
			b.WriteString(" " + w)
		default:
			b.WriteString(" '" + strings.ReplaceAll(w, "'", `'\''`) + "'")
		}
	}
	return b.String()
}

// isOption tells the options that next steps use.
func isOption(w string) bool {
	switch w {
	case "-n", "-A", "-c", "-l", "-o", "--for", "--field-selector", "--show-labels", "--grace-period=0", "--force":
		return true
	}
	return false
}

// sentences ends each step as a sentence, and leaves out what says the same.
func sentences(list []record.NextStep) []record.NextStep {
	var out []record.NextStep
	for _, n := range list {
		n.Text = strings.TrimSuffix(n.Text, ".") + "."
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// step is a next step with a command in the pod's namespace.
func step(e *evidence.Evidence, text string, words ...string) record.NextStep {
	return record.NextStep{Text: text, Command: kubectl(append(words, "-n", e.Pod.Namespace)...)}
}

// edit is a next step that changes the template of the pod. That of a bare pod cannot be changed.
func edit(e *evidence.Evidence, text string) record.NextStep {
	w := workload(e)
	if e.Pod.Static {
		return record.NextStep{Text: text + ", in the file on the node that the kubelet runs this static pod from"}
	}
	if w == "pod/"+e.Pod.Name {
		return step(e, text+"; nobody makes the pod anew, so save it, delete it and create it changed", "get", "pod", e.Pod.Name, "-o", "yaml")
	}
	return step(e, text, "edit", w)
}

// workload names what is to be edited to change the pod: its topmost known controller,
// or the pod itself, as kubectl takes it.
func workload(e *evidence.Evidence) string {
	for _, o := range owners(e) {
		if o.Kind != "" && o.Name != "" && o.Kind != "Node" {
			return strings.ToLower(o.Kind) + "/" + o.Name
		}
	}
	return "pod/" + e.Pod.Name
}

// forHow writes " for 3m12s" where it is known how long something lasts.
func forHow(e *evidence.Evidence, since time.Time) string {
	if d, ok := lasted(e, since); ok {
		return " for " + span(d)
	}
	return ""
}

// maxQuote bounds what a summary quotes; the evidence has it all.
const maxQuote = 200

// brief makes one line of a message, for a summary.
func brief(s string) string {
	s = strings.TrimRight(strings.Join(strings.Fields(s), " "), ". ")
	if len(s) <= maxQuote {
		return s
	}
	cut := maxQuote
	for cut > 0 && s[cut]&0xC0 == 0x80 {
		cut--
	}
	return s[:cut] + "…"
}

// contains tells that the text has one of the parts.
func contains(text string, parts ...string) bool {
	return slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(text, p) })
}

// count writes a number and what it counts.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// either chooses between two values.
func either[T any](cond bool, yes, no T) T {
	if cond {
		return yes
	}
	return no
}
