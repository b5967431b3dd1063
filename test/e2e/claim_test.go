//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
)

// claim is what is true of a stop or a stall, and so what an honest explanation of it
// says. It follows from how the scenario provoked it, and from nothing that whyrestart
// printed.
type claim struct {
	// of names what it is about: POD/CONTAINER, POD for a finding about the pod as a whole,
	// or KIND:NAME for one about a controller that has no pod. Pods made by controllers are
	// named without their random end.
	of    string
	stall bool
	// truth says how it was provoked, for the table.
	truth    string
	category record.Category
	// cause is the code, with | between those that mean the same here.
	cause string
	// detail is the refinement, with | between those that are as true; "" is none and
	// "*" any.
	detail string
	// confidence holds those that are honest. Where the API does not carry the cause,
	// "confirmed" is not among them; where it does, "unknown" is not.
	confidence []record.Confidence
	// when chooses the stops of the container that it is about; nil is all of them.
	when func(record.Record) bool
	// optional tells that it may happen and need not: the scenario races with it.
	optional bool
	// quotes is a text that some evidence must have in its value.
	quotes string
}

// What is honest to say.
var (
	// proven is for what the API carries as a fact.
	proven = []record.Confidence{record.Confirmed}
	// fair is for what the API carries, and which takes reading more than one fact.
	fair = []record.Confidence{record.Confirmed, record.Likely}
	// likely is for what the API suggests, and could be otherwise.
	likely = []record.Confidence{record.Likely}
	// untold is for what the API does not carry.
	untold = []record.Confidence{record.Unknown, record.Likely}
)

// failure is a stop that is the workload's own fault.
func failure(of, truth, cause, detail string, c []record.Confidence) claim {
	return claim{of: of, truth: truth, category: record.Failure, cause: cause, detail: detail, confidence: c}
}

// disruption is a stop that the cluster caused.
func disruption(of, truth, cause, detail string, c []record.Confidence) claim {
	return claim{of: of, truth: truth, category: record.Disruption, cause: cause, detail: detail, confidence: c}
}

// lifecycle is a stop that somebody wanted.
func lifecycle(of, truth, cause, detail string, c []record.Confidence) claim {
	return claim{of: of, truth: truth, category: record.Lifecycle, cause: cause, detail: detail, confidence: c}
}

// stalled is a pod or container that cannot go on.
func stalled(of, truth, cause, detail string, c []record.Confidence) claim {
	return claim{of: of, truth: truth, category: record.Failure, cause: cause, detail: detail, confidence: c, stall: true}
}

// crashing is a program that ends by itself with a code, and says nothing that tells why.
func crashing(of, truth string) claim { return failure(of, truth, "app_exit", "", fair) }

// completed is a program that was to end and did.
func completedWell(of, truth string) claim { return lifecycle(of, truth, "completed", "", proven) }

// besideDeletion is a program that crashes again and again, and ends in the second in which
// its pod is deleted: by itself or not, the API does not tell.
func besideDeletion(of string) claim {
	return failure(of, "ends in the second of the deletion", "unknown|app_exit", "*", untold).maybe()
}

// maybe makes a claim optional.
func (c claim) maybe() claim {
	c.optional = true
	return c
}

// only restricts a claim to some of the stops.
func (c claim) only(when func(record.Record) bool) claim {
	c.when = when
	return c
}

// in changes the category.
func (c claim) in(category record.Category) claim {
	c.category = category
	return c
}

// quoting demands evidence.
func (c claim) quoting(text string) claim {
	c.quotes = text
	return c
}

func exited(code int32) func(record.Record) bool {
	return func(r record.Record) bool { return r.ExitCode != nil && *r.ExitCode == code }
}

// logLost tells stops whose last words were not to be had: the next instance began first.
func logLost(r record.Record) bool { return r.Log == nil || len(r.Log.Lines) == 0 }

func notExited(code int32) func(record.Record) bool {
	return func(r record.Record) bool { return r.ExitCode == nil || *r.ExitCode != code }
}

// about tells whether a record is one of those that a claim speaks of.
func (c *claim) about(r record.Record) bool {
	if (r.Kind == record.KindStall) != c.stall {
		return false
	}
	if kind, name, ok := strings.Cut(c.of, ":"); ok {
		return r.Container == "" && r.Workload != nil && r.Workload.Kind == kind && r.Workload.Name == name
	}
	pod, container, _ := strings.Cut(c.of, "/")
	if r.Pod != pod && !strings.HasPrefix(r.Pod, pod+"-") || r.Container != container {
		return false
	}
	return c.when == nil || c.when(r)
}

// differs says in what a record's explanation differs from the truth, "" where in nothing.
func (c *claim) differs(r record.Record) string {
	d := &r.Diagnosis
	var wrong []string
	if !slices.Contains(strings.Split(c.cause, "|"), d.Cause) {
		wrong = append(wrong, "cause")
	} else if list := strings.Split(c.detail, "|"); !slices.Contains(list, "*") && !slices.Contains(list, d.Detail) {
		wrong = append(wrong, "detail")
	}
	if r.Category != c.category {
		wrong = append(wrong, "category")
	}
	if !slices.Contains(c.confidence, d.Confidence) {
		wrong = append(wrong, "confidence")
	}
	if d.Confidence == record.Confirmed && len(d.Evidence) == 0 {
		wrong = append(wrong, "no evidence")
	}
	if c.quotes != "" && !slices.ContainsFunc(d.Evidence, func(e record.Evidence) bool { return strings.Contains(e.Value, c.quotes) }) {
		wrong = append(wrong, fmt.Sprintf("no evidence with %q", c.quotes))
	}
	return strings.Join(wrong, ", ")
}

// String is the truth in the form of an answer.
func (c *claim) String() string {
	return answerText(c.cause, c.detail, c.category, joinConfidence(c.confidence))
}

func joinConfidence(list []record.Confidence) string {
	var parts []string
	for _, c := range list {
		parts = append(parts, string(c))
	}
	return strings.Join(parts, "|")
}

func answerOf(r record.Record) string {
	return answerText(r.Diagnosis.Cause, r.Diagnosis.Detail, r.Category, string(r.Diagnosis.Confidence))
}

func answerText(cause, detail string, category record.Category, confidence string) string {
	if detail != "" {
		cause += "/" + detail
	}
	return fmt.Sprintf("%s, %s, %s", cause, category, confidence)
}

// outcome is how one claim came out.
type outcome struct {
	claim claim
	// found are the records that it is about, wrong those of them that say otherwise.
	found, wrong []record.Record
	why          string
}

// judgeClaims holds the records of a namespace against what is true. Every claim that is
// not optional has to be met, and every record has to be of some claim.
func judgeClaims(claims []claim, list []record.Record) (outcomes []outcome, strays []record.Record) {
	outcomes = make([]outcome, len(claims))
	for i := range claims {
		outcomes[i].claim = claims[i]
	}
	for _, r := range list {
		first, met := -1, false
		for i := range claims {
			if !claims[i].about(r) {
				continue
			}
			if first < 0 {
				first = i
			}
			if claims[i].differs(r) == "" {
				outcomes[i].found = append(outcomes[i].found, r)
				met = true
				break
			}
		}
		switch {
		case met:
		case first < 0:
			strays = append(strays, r)
		default:
			o := &outcomes[first]
			o.found, o.wrong = append(o.found, r), append(o.wrong, r)
			o.why = claims[first].differs(r)
		}
	}
	return outcomes, strays
}

// stallPatience is how long a stall may take to be told: what holds up every pod that
// starts becomes a stall only when it lasts.
const stallPatience = 160 * time.Second

// compare waits until what is recorded is what is true, and complains about what is not.
// The truths of a scenario that has failed already prove nothing.
func (s *space) compare(claims []claim) {
	s.t.Helper()
	// The kubelet writes its events one after the other: on a busy machine the one that
	// tells why comes a minute after the stop.
	patience := 90 * time.Second
	for _, c := range claims {
		if c.stall && !c.optional {
			patience = stallPatience
		}
	}
	deadline := time.Now().Add(patience)
	var outcomes []outcome
	var problems []problem
	for {
		rung := s.changed.rung()
		list := slices.Concat(s.records.of(record.KindStop, s.own), s.records.of(record.KindStall, s.own))
		var strays []record.Record
		outcomes, strays = judgeClaims(claims, list)
		problems = problems[:0]
		for _, o := range outcomes {
			switch {
			case len(o.wrong) > 0:
				r := o.wrong[len(o.wrong)-1]
				problems = append(problems, problem{
					fmt.Sprintf("%s: %s: true is %s; record %s (%d of %d) says %s: %s differs", o.claim.of, o.claim.truth, &o.claim, r.ID, len(o.wrong), len(o.found), answerOf(r), o.why),
					slices.ContainsFunc(o.wrong, o.claim.overclaimed),
				})
			case len(o.found) == 0 && !o.claim.optional:
				problems = append(problems, problem{fmt.Sprintf("%s: %s: true is %s; nothing is recorded", o.claim.of, o.claim.truth, &o.claim), !o.claim.stall})
			}
		}
		for _, r := range strays {
			problems = append(problems, problem{fmt.Sprintf("record %s of %s %s/%s says %s: nothing like it was provoked", r.ID, r.Kind, r.Pod, r.Container, answerOf(r)), r.Diagnosis.Confidence == record.Confirmed})
		}
		if len(problems) == 0 || time.Now().After(deadline) {
			for _, r := range list {
				s.compared[r.ID] = true
			}
			s.accuracy.add(s, outcomes, strays)
			break
		}
		select {
		case <-rung:
		case <-time.After(time.Second):
		}
		<-time.After(50 * time.Millisecond)
	}
	for _, p := range problems {
		s.explainedWrong(p)
	}
}

// problem is something that was explained otherwise than it was.
type problem struct {
	text string
	// grave tells that it must not happen once: a wrong answer that is said to be confirmed,
	// or a stop of which nothing is known.
	grave bool
}

// overclaimed tells that a record that differs from the truth is said to be confirmed. That
// it lacks a quotation is no wrong answer.
func (c *claim) overclaimed(r record.Record) bool {
	return r.Diagnosis.Confidence == record.Confirmed && !strings.HasPrefix(c.differs(r), "no evidence with")
}

// explainedWrong fails the scenario for a grave problem, and else has it played once more:
// on a busy machine the kubelet's events come late or never, and then an answer that is
// less than confirmed can be no better. What is wrong twice is not the machine's fault.
func (s *space) explainedWrong(p problem) {
	s.t.Helper()
	if p.grave || s.again {
		s.t.Error(p.text)
		return
	}
	s.t.Logf("it will be played once more: %s", p.text)
	s.doubtful = true
}

// compareCleaning looks at what was recorded of the end of the namespace: what still ran
// was stopped by its deletion, unless it ended as before.
func (s *space) compareCleaning(claims []claim) {
	s.t.Helper()
	end := []claim{}
	for _, r := range slices.Concat(s.records.of(record.KindStop, s.own), s.records.of(record.KindStall, s.own)) {
		if s.compared[r.ID] {
			continue
		}
		of := r.Pod + "/" + r.Container
		end = append(end[:0],
			lifecycle(of, "the namespace was deleted", "pod_deleted|grace_period_exceeded", "*", fair),
			lifecycle(of, "it had completed", "completed|sidecar_stopped", "*", fair),
			failure(of, "it ended by itself", "unknown", "*", untold), // where the end and the deletion cannot be told apart
		)
		for _, c := range claims {
			c.confidence, c.detail, c.quotes = append(slices.Clone(c.confidence), record.Likely), c.detail+"|", ""
			end = append(end, c)
			// The kubelet writes no more than 25 events about a pod that goes on and on, and
			// then one in five minutes: what they would have told is not known any more.
			c.cause, c.detail, c.confidence = "sigkill_unattributed|sigterm_unattributed|unknown|app_exit|app_completed", "*", untold
			end = append(end, c)
		}
		if outcomes, strays := judgeClaims(end, []record.Record{r}); len(strays) > 0 || slices.ContainsFunc(outcomes, func(o outcome) bool { return len(o.wrong) > 0 }) {
			s.t.Errorf("record %s of %s %s says %s; since then only the namespace was deleted", r.ID, r.Kind, of, answerOf(r))
		}
	}
}
