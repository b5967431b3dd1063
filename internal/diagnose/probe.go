package diagnose

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// This family: the kubelet killed the container because a probe failed. Its Killing
// event names the probe (pkg/kubelet/kuberuntime/kuberuntime_manager.go
// computePodActions), whatever exit code then comes of it: programs answer SIGTERM with
// 0, 2 or 143, and those that do not are killed after the grace period (137). The
// event Unhealthy says what the probe got. A readiness probe never ends anything.

// probeKind tells the two probes that the kubelet kills for.
type probeKind struct {
	cause, name, killed, failed string
	spec                        func(*evidence.Container) *evidence.Probe
}

func probeKinds() [2]probeKind {
	return [2]probeKind{
		{"liveness_probe", "liveness", "failed liveness probe", "Liveness probe ", func(c *evidence.Container) *evidence.Probe { return c.Liveness }},
		{"startup_probe", "startup", "failed startup probe", "Startup probe ", func(c *evidence.Container) *evidence.Probe { return c.Startup }},
	}
}

// probeKill: the container failed its liveness or startup probe.
func probeKill(e *evidence.Evidence) *answer {
	k := killing(e)
	if k == nil {
		return nil
	}
	for _, p := range probeKinds() {
		if strings.Contains(k.event.Message, p.killed) {
			return killedBy(e, &p, k)
		}
	}
	return nil
}

// probeEndsPod: the last container of a pod fails a probe and is not to be started again.
// The kubelet then ends the pod as a whole, by an event that names no reason
// (pkg/kubelet/kuberuntime computePodActions, where no container is kept or started).
func probeEndsPod(e *evidence.Evidence) *answer {
	k := killing(e)
	if k == nil || !strings.HasPrefix(k.event.Message, "Stopping container") || policy(e) != "Never" || !e.Pod.DeletionTimestamp.IsZero() {
		return nil
	}
	for _, p := range probeKinds() {
		spec, u := p.spec(&e.Container), unhealthy(e, &p, k.at.Add(skew))
		if spec == nil || u == nil || u.at.IsZero() || u.at.Before(k.at.Add(-seconds(spec.PeriodSeconds)-skew)) || u.at.After(k.at.Add(skew)) {
			continue
		}
		a := killedBy(e, &p, k)
		a.confidence = record.Likely
		a.ruledOut = nil
		a.alternatives = append(a.alternatives, record.Alternative{Cause: "unknown", Why: "the kubelet ended the whole pod, as it does where none of its containers is to run any more, and its event names no probe"})
		return a
	}
	return nil
}

func killedBy(e *evidence.Evidence, p *probeKind, k *occurrence) *answer {
	a := &answer{
		category:   record.Failure,
		cause:      p.cause,
		confidence: record.Confirmed,
		evidence:   []record.Evidence{eventEvidence(e, k)},
		ruledOut:   []record.Alternative{{Cause: "app_exit", Why: "the kubelet decided to kill the container before it ended"}},
	}
	spec := p.spec(&e.Container)
	u := unhealthy(e, p, k.at)
	what := ""
	if u != nil {
		a.detail = probeDetail(u.event.Message, spec)
		what = probeWords(a.detail, spec)
		a.evidence = append(a.evidence, eventEvidence(e, u))
		if u.at.IsZero() {
			a.missing = []record.Missing{{What: "time of the probe's failures", Why: "the event was repeated since, and the API keeps only its first and last times"}}
		}
	} else if !e.EventsRead || len(e.Events) > 0 {
		a.missing = []record.Missing{{What: "what the probe got", Why: "no Unhealthy event of this instance is there"}}
	}
	failed := "failed its " + p.name + " probe"
	if spec != nil {
		if spec.Target != "" {
			failed += " " + target(spec)
			a.evidence = append(a.evidence, containerEvidence(e, p.name+"Probe", probeText(spec)))
		}
		if n := spec.FailureThreshold; n > 1 {
			failed += fmt.Sprintf(" %d times in a row", n)
		}
	}
	if what != "" {
		failed += " (" + what + ")"
	}
	after := ""
	if s := e.Stop.StartedAt; !s.IsZero() && !k.at.Before(s) {
		after = " " + span(k.at.Sub(s)) + " after its start"
	}
	a.summary = fmt.Sprintf("The kubelet killed the container%s because it %s%s.", after, failed, obedience(e, a, k, spec))
	a.evidence = append(a.evidence, exitEvidence(e)...)
	if u != nil && (strings.Contains(u.event.Message, "OOM-killed") || spec != nil && spec.Kind == "exec" && strings.Contains(u.event.Message, "exit code 137")) {
		a.alternatives = append(a.alternatives, record.Alternative{Cause: "oom_killed", Why: "the probe's own command seems to have been killed for lack of memory, so the container's memory may be the root of this"})
	} else if e.Stop.Reason == "OOMKilled" {
		a.alternatives = append(a.alternatives, record.Alternative{Cause: "oom_killed", Why: "the kernel also killed a process of the container for lack of memory, perhaps the probe's own"})
	}
	return a
}

// unhealthy returns the newest failure of the probe within the instance's life, up to the
// time of its kill where that is known; nil where there is none, or where it may be another
// container's. The kubelet probes no more once it has decided to kill (prober/worker.go
// onHold): a later failure is one of the next instance, which may run in the same second.
func unhealthy(e *evidence.Evidence, p *probeKind, killed time.Time) *occurrence {
	match := func(ev *evidence.Event) bool {
		if ev.Reason != "Unhealthy" || !ev.Container || !strings.HasPrefix(ev.Message, p.failed+"failed: ") {
			return false
		}
		if ev.Combined {
			for i := range e.Others {
				if p.spec(&e.Others[i]) != nil {
					return false
				}
			}
		}
		return true // a probe that "errored" could not be made, and does not count (pkg/kubelet/prober/worker.go)
	}
	if u := lastEventBy(e, killed, match); u != nil {
		return u
	}
	if ev := between(e, match); ev != nil && !ev.Combined {
		return &occurrence{event: ev} // the same text before and after, at times that are not known
	}
	return nil
}

// obedience tells, for the end of a sentence, what the container made of the signal.
func obedience(e *evidence.Evidence, a *answer, k *occurrence, spec *evidence.Probe) string {
	s := e.Stop
	if !s.HasExitCode || s.FinishedAt.IsZero() || synthetic(s) {
		return ""
	}
	took := s.FinishedAt.Sub(k.at)
	grace := seconds(e.Pod.TerminationGraceSeconds)
	if spec != nil && spec.GraceSeconds > 0 {
		grace = seconds(spec.GraceSeconds)
	}
	switch {
	case s.ExitCode != 137:
		return fmt.Sprintf("; it answered the kubelet's signal within %s, with exit code %d", span(max(took, time.Second)), s.ExitCode)
	case grace > 0 && took >= grace-2*time.Second:
		if e.Container.PreStop != nil {
			return fmt.Sprintf("; its preStop hook and the program together took longer than the grace period of %s, and it was killed", span(grace))
		}
		return fmt.Sprintf("; it did not end on SIGTERM and was killed after its grace period of %s", span(grace))
	}
	return fmt.Sprintf("; it ended with exit code 137, %s after the kubelet's signal", span(max(took, 0)))
}

var (
	httpStatus = regexp.MustCompile(`^HTTP probe failed with statuscode: (\d{3})\b`)
	// prober matches how the kubelet's own texts begin (pkg/probe/http, tcp, grpc).
	prober      = regexp.MustCompile(`^(?:HTTP probe failed|Get "https?:|dial tcp|timeout: |error: |service unhealthy \()`)
	execTimeout = regexp.MustCompile(`^(?:command timed out: |command ".*" timed out)`)
	grpcFailed  = regexp.MustCompile(`(?i)failed to connect service|service unhealthy \(responded with|does not implement the grpc health protocol|health rpc`)
)

// probeDetail classes the text of a failed probe (pkg/probe) by the kind of the probe
// in the spec; where that is not known, the text tells.
func probeDetail(message string, spec *evidence.Probe) string {
	kind := ""
	if spec != nil {
		kind = spec.Kind
	}
	_, message, _ = strings.Cut(message, " probe failed: ")
	switch {
	case kind == "exec", kind == "" && !prober.MatchString(message):
		// What follows is what the command printed, which may be anything.
		if execTimeout.MatchString(message) {
			return "timeout"
		}
		return "exec"
	}
	if m := httpStatus.FindStringSubmatch(message); m != nil {
		return "http_" + m[1]
	}
	switch {
	case strings.Contains(message, "connection refused"):
		return "refused"
	case grpcFailed.MatchString(message):
		if strings.Contains(message, "health rpc did not complete") || strings.Contains(message, "timeout: failed to connect") {
			return "timeout"
		}
		return "grpc"
	}
	for _, text := range []string{"command timed out", "Client.Timeout exceeded", "context deadline exceeded", "i/o timeout"} {
		if strings.Contains(message, text) {
			return "timeout"
		}
	}
	switch {
	case kind == "grpc":
		return "grpc"
	case kind != "", strings.Contains(message, `Get "http`), strings.Contains(message, "dial tcp"):
		return ""
	}
	return "exec"
}

// probeWords says a detail in words.
func probeWords(detail string, spec *evidence.Probe) string {
	status, isHTTP := strings.CutPrefix(detail, "http_")
	switch {
	case isHTTP:
		return "it answered with status " + status
	case detail == "refused":
		return "connection refused: nothing listens there"
	case detail == "timeout":
		if spec != nil && spec.TimeoutSeconds > 0 {
			return fmt.Sprintf("no answer within %s", span(seconds(spec.TimeoutSeconds)))
		}
		return "no answer in time"
	case detail == "exec":
		return "its command failed"
	case detail == "grpc":
		return "the health service did not answer that it is serving"
	}
	return ""
}

// target names what a probe asks, as far as a sentence can hold it.
func target(p *evidence.Probe) string { return oneLine(p.Target) }

// probeText writes a probe as kubectl describe does.
func probeText(p *evidence.Probe) string {
	return fmt.Sprintf("%s %s delay=%ds timeout=%ds period=%ds #failure=%d", p.Kind, p.Target, p.InitialDelaySeconds, p.TimeoutSeconds, p.PeriodSeconds, p.FailureThreshold)
}

// killAfter is how long after its start the kubelet kills, at the earliest, a container
// whose probe never succeeds (pkg/kubelet/prober/worker.go).
func killAfter(p *evidence.Probe) time.Duration {
	return seconds(p.InitialDelaySeconds) + seconds(p.PeriodSeconds)*time.Duration(max(p.FailureThreshold-1, 0))
}

// couldFail tells that a container with this probe, which may be nil, ran long enough to be
// killed for it. Both times are the runtime's own, in whole seconds.
func couldFail(e *evidence.Evidence, p *evidence.Probe) bool {
	d, known := ran(e)
	return p != nil && (!known || d+time.Second >= killAfter(p))
}

// probeUnseen: no event of a kill is known of this instance, and one may have been: the
// kubelet killed the container for a probe before and after it, or the events of this
// instance were dropped, and other instances, as far as they are known, were killed for a probe.
func probeUnseen(e *evidence.Evidence) *answer {
	s := e.Stop
	d, known := ran(e)
	if !s.HasExitCode || !known || killing(e) != nil {
		return nil
	}
	for _, p := range probeKinds() {
		spec := p.spec(&e.Container)
		if spec == nil || d+skew < killAfter(spec) {
			continue
		}
		a := &answer{
			category:   record.Failure,
			cause:      p.cause,
			confidence: record.Likely,
			missing:    []record.Missing{eventsMissing(e)},
			alternatives: []record.Alternative{
				{Cause: ownCause(e), Why: "no event of this instance was kept, and it may have ended by itself"},
			},
		}
		repeated := between(e, func(ev *evidence.Event) bool {
			return isKilling(e, ev) && !ev.Combined && strings.Contains(ev.Message, p.killed)
		})
		switch {
		case repeated != nil:
			q := eventEvidence(e, &occurrence{event: repeated})
			q.Value = fmt.Sprintf("%s (%d times between %s and %s)", q.Value, repeated.Count, repeated.First.UTC().Format(time.RFC3339), repeated.Last.UTC().Format(time.RFC3339))
			a.evidence = []record.Evidence{q, containerEvidence(e, p.name+"Probe", probeText(spec))}
			a.missing[0].Why = "the API keeps only the first and the last time of an event that repeats"
		case covered(e) && !lossy(e):
			continue
		case alike(e, &p, d, a):
		case e.EventsRead && lossy(e) && !contradicted(e, &p) && otherKill(e, &p, a):
		default:
			continue
		}
		if u := unhealthy(e, &p, time.Time{}); u != nil {
			a.detail = probeDetail(u.event.Message, spec)
			a.evidence = append(a.evidence, eventEvidence(e, u))
		}
		a.summary = fmt.Sprintf("The container probably failed its %s probe, as other instances of it did: it ended after %s with exit code %d, and the event that would say so was not kept.", p.name, span(d), s.ExitCode)
		a.evidence = append(a.evidence, exitEvidence(e)...)
		return a
	}
	return nil
}

// otherKill tells that the kubelet killed other instances of the container for the probe,
// with the evidence for that.
func otherKill(e *evidence.Evidence, p *probeKind, a *answer) bool {
	for i := len(e.Events) - 1; i >= 0; i-- {
		if ev := &e.Events[i]; isKilling(e, ev) && !ev.Combined && strings.Contains(ev.Message, p.killed) {
			a.evidence = []record.Evidence{eventEvidence(e, &occurrence{ev, ev.Last}), containerEvidence(e, p.name+"Probe", probeText(p.spec(&e.Container)))}
			return true
		}
	}
	return false
}

// contradicted tells that the last stop of the container had another cause.
func contradicted(e *evidence.Evidence, p *probeKind) bool {
	h := e.History
	return h != nil && len(h.Causes) > 0 && h.Causes[len(h.Causes)-1] != p.cause
}

// alike tells that the newest earlier instances were killed for the probe and ended as
// this one, with the evidence for that.
func alike(e *evidence.Evidence, p *probeKind, d time.Duration, a *answer) bool {
	h := e.History
	if h == nil || len(h.Causes) == 0 || len(h.ExitCodes) != len(h.Causes) || len(h.RanSeconds) != len(h.Causes) {
		return false
	}
	n := 0
	for i := len(h.Causes) - 1; i >= 0 && n < 3; i-- {
		if h.Causes[i] != p.cause || h.ExitCodes[i] != e.Stop.ExitCode {
			return false
		}
		if other := seconds(h.RanSeconds[i]); d > other+other/2+5*time.Second || other > d+d/2+5*time.Second {
			return false
		}
		n++
	}
	a.evidence = []record.Evidence{
		historyEvidence(e, "causes of the last "+strconv.Itoa(n)+" stops of the container", p.cause),
		containerEvidence(e, p.name+"Probe", probeText(p.spec(&e.Container))),
	}
	return true
}

// ownCause is what the program's own end with its exit code is called.
func ownCause(e *evidence.Evidence) string {
	switch {
	case e.Stop.ExitCode != 0:
		return "app_exit"
	case e.Container.Type == record.Init, e.Container.Type == record.App && (policy(e) == "Never" || policy(e) == "OnFailure"):
		return "completed"
	}
	return "app_completed"
}
