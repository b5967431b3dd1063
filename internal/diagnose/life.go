package diagnose

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// Life tells the pod's life as far as the evidence shows it, in order of time. Steps of
// the same second, which is all that most of the API's times tell, stand in the order in which
// Kubernetes takes them. What has no time stands last.
func Life(e *evidence.Evidence) []record.LifeStep {
	l := life{e: e}
	l.pod()
	for _, c := range l.containers() {
		l.container(c)
	}
	for i := range e.Events {
		l.event(&e.Events[i])
	}
	l.end()
	slices.SortStableFunc(l.steps, func(a, b lifeStep) int {
		switch za, zb := a.Time.IsZero(), b.Time.IsZero(); {
		case za && !zb:
			return 1
		case zb && !za:
			return -1
		}
		x, y := a.Time.Truncate(time.Second), b.Time.Truncate(time.Second)
		return cmp.Or(x.Compare(y), cmp.Compare(a.rank, b.rank), a.Time.Compare(b.Time))
	})
	var out []record.LifeStep
	for i := range l.steps {
		if s := &l.steps[i]; !l.repeats(i) {
			out = append(out, s.LifeStep)
		}
	}
	return out
}

// life collects the steps.
type life struct {
	e     *evidence.Evidence
	steps []lifeStep
}

// lifeStep is a step and its place among those of the same second.
type lifeStep struct {
	record.LifeStep
	rank int
}

// Places of steps among those of the same second.
const (
	rankCreated = iota
	rankScheduled
	rankAccepted
	rankTrouble
	rankSandbox
	rankPulling
	rankPulled
	rankContainerCreated
	rankStarted
	rankProbe
	rankReady
	rankDeleted
	rankKilling
	rankStopped
	rankEnd
)

func (l *life) add(rank int, s record.LifeStep) { l.steps = append(l.steps, lifeStep{s, rank}) }

// repeats tells that an earlier step says the same: an event, and the status that came of it.
func (l *life) repeats(i int) bool {
	s := &l.steps[i]
	return slices.ContainsFunc(l.steps[:i], func(o lifeStep) bool {
		return o.Step == s.Step && o.Container == s.Container && !s.Time.IsZero() && o.Time.Truncate(time.Second).Equal(s.Time.Truncate(time.Second)) &&
			(o.Text == s.Text || s.Text == "" || o.Text == "")
	})
}

// took is the time between two steps in seconds, nil where one is not known or the clocks disagree.
func took(from, to time.Time) *float64 {
	if from.IsZero() || to.IsZero() || to.Before(from) {
		return nil
	}
	d := to.Sub(from).Seconds()
	return &d
}

// pod tells what the pod's metadata and conditions tell.
func (l *life) pod() {
	e, p := l.e, &l.e.Pod
	if !p.CreatedAt.IsZero() {
		s := record.LifeStep{Step: "created", Time: p.CreatedAt, Source: "pod-metadata"}
		if p.Owner != nil {
			s.Text = "by " + p.Owner.Kind + " " + p.Owner.Name
		}
		l.add(rankCreated, s)
	}
	scheduled := l.scheduled()
	if !p.StartedAt.IsZero() {
		l.add(rankAccepted, record.LifeStep{Step: "accepted", Time: p.StartedAt, Seconds: took(scheduled, p.StartedAt), Text: "by the kubelet", Source: "pod-status"})
	}
	for i := range p.Conditions {
		c := &p.Conditions[i]
		if c.Time.IsZero() {
			continue
		}
		l.condition(c)
	}
	if d := p.Disruption; d != nil && condition(p.Conditions, "DisruptionTarget") == nil {
		l.add(rankDeleted, record.LifeStep{Step: "disrupted", Time: d.Time, Text: brief(d.Reason + ": " + d.Message), Source: "pod-status"})
	}
	if p.DeletionTimestamp.IsZero() {
		return
	}
	if p.DeletionGraceSeconds > 0 {
		asked := p.DeletionTimestamp.Add(-seconds(p.DeletionGraceSeconds))
		l.add(rankDeleted, record.LifeStep{Step: "deletion_asked", Time: asked, Text: fmt.Sprintf("with a grace period of %d s", p.DeletionGraceSeconds), Source: "pod-metadata"})
		if now := asOf(e); !now.IsZero() && now.After(p.DeletionTimestamp) {
			l.add(rankKilling, record.LifeStep{Step: "grace_period_over", Time: p.DeletionTimestamp, Source: "pod-metadata"})
		}
		return
	}
	text := "without a grace period: asked for by force, or the kubelet was done with it"
	if len(p.Finalizers) > 0 {
		text += "; kept by " + strings.Join(p.Finalizers, ", ")
	}
	l.add(rankDeleted, record.LifeStep{Step: "deleted", Time: p.DeletionTimestamp, Text: text, Source: "pod-metadata"})
}

// scheduled adds when the pod got its node, and returns it.
func (l *life) scheduled() time.Time {
	e, p := l.e, &l.e.Pod
	ev := newest(e.Events, func(ev *evidence.Event) bool { return ev.Reason == "Scheduled" && about(e, ev) == "" })
	c := condition(p.Conditions, "PodScheduled")
	s := record.LifeStep{Step: "scheduled", Source: "pod-status"}
	if p.Node != "" {
		s.Text = "to " + p.Node
	}
	switch {
	case ev != nil && !ev.Last.IsZero():
		s.Time, s.Source = ev.Last, "event"
	case c != nil && c.Status == "True":
		s.Time = c.Time
	default:
		return time.Time{}
	}
	if p.CreatedAt.Truncate(time.Second).Equal(s.Time.Truncate(time.Second)) {
		zero := 0.0
		s.Seconds = &zero
	} else {
		s.Seconds = took(p.CreatedAt, s.Time)
	}
	l.add(rankScheduled, s)
	return s.Time
}

// condition adds the last change of a condition.
func (l *life) condition(c *evidence.Condition) {
	p := &l.e.Pod
	s := record.LifeStep{Time: c.Time, Source: "pod-status"}
	rank := rankReady
	yes := c.Status == "True"
	switch {
	case c.Type == "PodReadyToStartContainers" && yes:
		// Volumes are mounted before the sandbox is made.
		s.Step, s.Text, s.Seconds, rank = "sandbox_ready", "volumes, network and sandbox", took(p.StartedAt, c.Time), rankSandbox
	case c.Type == "Initialized" && yes:
		if !slices.ContainsFunc(l.containers(), func(c *evidence.Container) bool { return c.Type == record.Init || c.Type == record.Sidecar }) {
			return
		}
		s.Step, rank = "initialized", rankStarted
	case c.Type == "ContainersReady" && yes:
		s.Step, s.Text = "containers_ready", "all readiness probes passed"
		if len(p.ReadinessGates) == 0 {
			return // the same as ready
		}
	case c.Type == "Ready" && yes:
		s.Step, s.Seconds = "ready", took(l.lastStart(c.Time), c.Time)
	case c.Type == "Ready" && c.Status != "" && c.Time.After(p.StartedAt.Add(time.Second)) && c.Reason != "PodCompleted" && c.Reason != "PodFailed" && !p.StartedAt.IsZero():
		s.Step, s.Text = "not_ready", brief(strings.TrimSpace(c.Reason+" "+c.Message))
	case c.Type == "DisruptionTarget" && yes:
		s.Step, s.Text, rank = "disrupted", brief(c.Reason+": "+c.Message), rankDeleted
	case slices.Contains(p.ReadinessGates, c.Type):
		rank = rankProbe
		s.Step, s.Text = either(yes, "gate_open", "gate_closed"), brief(strings.TrimSpace(c.Type+" "+c.Reason))
	default:
		return
	}
	l.add(rank, s)
}

// lastStart is when the last of the containers was started that was before a time.
func (l *life) lastStart(before time.Time) time.Time {
	var t time.Time
	for _, c := range l.containers() {
		if c.Type != record.Init && c.Type != record.Ephemeral && c.RunningSince.After(t) && !c.RunningSince.After(before) {
			t = c.RunningSince
		}
	}
	return t
}

// containers are all containers of the pod that are known.
func (l *life) containers() []*evidence.Container {
	var out []*evidence.Container
	if l.e.Container.Name != "" {
		out = append(out, &l.e.Container)
	}
	for i := range l.e.Others {
		out = append(out, &l.e.Others[i])
	}
	return out
}

// container tells what a container's states tell: of all its instances the last two.
func (l *life) container(c *evidence.Container) {
	for _, ended := range []*evidence.Ended{c.LastEnded, c.Ended} {
		if ended != nil {
			l.ended(c, ended)
		}
	}
	if c.Name == l.e.Container.Name && l.e.Stop != nil && l.e.Stop.HasExitCode {
		s := l.e.Stop
		stop := &evidence.Ended{ExitCode: s.ExitCode, Reason: s.Reason, StartedAt: s.StartedAt, FinishedAt: s.FinishedAt, ContainerID: s.ContainerID}
		if !slices.ContainsFunc([]*evidence.Ended{c.LastEnded, c.Ended}, func(o *evidence.Ended) bool {
			return o != nil && o.FinishedAt.Equal(stop.FinishedAt) && o.ExitCode == stop.ExitCode
		}) {
			l.ended(c, stop)
		}
	}
	if !c.RunningSince.IsZero() && c.State != "terminated" {
		text := typeText(c)
		if c.RestartCount > 0 {
			text = strings.TrimPrefix(text+", after "+count(c.RestartCount, "restart", "restarts"), ", ")
		}
		l.add(rankStarted, record.LifeStep{Step: "started", Container: c.Name, Time: c.RunningSince, Text: text, Source: "pod-status"})
	}
}

// ended adds the start and the end of an instance.
func (l *life) ended(c *evidence.Container, t *evidence.Ended) {
	if !t.StartedAt.IsZero() {
		l.add(rankStarted, record.LifeStep{Step: "started", Container: c.Name, Time: t.StartedAt, Text: typeText(c), Source: "pod-status"})
	}
	s := record.LifeStep{Step: "stopped", Container: c.Name, Time: t.FinishedAt, Seconds: took(t.StartedAt, t.FinishedAt), Source: "pod-status"}
	s.Text = fmt.Sprintf("exit code %d", t.ExitCode)
	if t.ExitCode == 0 && (c.Type == record.Init || t.Reason == "Completed") {
		s.Step, s.Text = "finished", "exit code 0"
	}
	if t.Reason != "" && t.Reason != "Completed" && t.Reason != "Error" {
		s.Text += " " + t.Reason
	}
	if t.ExitCode != 0 && t.ContainerID != "" {
		if sig := record.Signal(t.ExitCode); sig != "" {
			s.Text += " (" + sig + ")"
		}
	}
	l.add(rankStopped, s)
}

func typeText(c *evidence.Container) string {
	switch c.Type {
	case record.Init:
		return "init container"
	case record.Sidecar:
		return "sidecar"
	case record.Ephemeral:
		return "debug container"
	case record.App:
	}
	return ""
}

// pulledIn matches the duration of a pull (pkg/kubelet/images/image_manager.go), of which
// the one in parentheses includes the time that the pull waited for others.
var pulledIn = regexp.MustCompile(`^Successfully pulled image "([^"]*)" in (\S+?)(?: \((\S+) including waiting\))?(?:\. Image size: (\d+) bytes)?\.?$`)

// event adds what an event tells that the status does not.
func (l *life) event(ev *evidence.Event) {
	if ev.Last.IsZero() || ev.Object != "" {
		return
	}
	s := record.LifeStep{Time: ev.Last, Container: about(l.e, ev), Source: "event", Text: times(brief(ev.Message), ev)}
	rank := rankTrouble
	switch ev.Reason {
	case "Scheduled", "Created":
		return // the pod's own step tells; that a container was created, its start does
	case "Pulling":
		s.Step, rank = "image_pulling", rankPulling
		s.Text = times(strings.Trim(strings.TrimPrefix(ev.Message, "Pulling image "), `"`), ev)
	case "Pulled":
		s.Step, rank = "image_pulled", rankPulled
		m := pulledIn.FindStringSubmatch(ev.Message)
		if m == nil {
			s.Step = "image_present"
			if q := quotedPart.FindString(ev.Message); q != "" {
				s.Text = times(strings.Trim(q, `"`), ev)
			}
			break
		}
		s.Text = m[1]
		if m[4] != "" {
			s.Text += ", " + m[4] + " bytes"
		}
		if d, err := time.ParseDuration(m[2]); err == nil && d >= 0 {
			f := d.Seconds()
			s.Seconds = &f
		}
		if m[3] != "" && m[3] != m[2] {
			s.Text += ", " + m[3] + " with waiting for other pulls"
		}
	case "Started":
		s.Step, s.Text, rank = "started", strings.TrimSpace(times("", ev)), rankStarted
	case "Killing":
		s.Step, rank = "killing", rankKilling
	case "Unhealthy":
		s.Step, rank = "probe_failed", rankProbe
	case "FailedPostStartHook", "FailedPreStopHook":
		s.Step, rank = "hook_failed", rankKilling
	case "BackOff":
		s.Step = "back_off"
	case "SandboxChanged":
		s.Step, rank = "sandbox_changed", rankKilling
	case "Evicted", "Preempting", "Preempted", "TaintManagerEviction":
		s.Step, rank = "evicted", rankDeleted
	case "FailedScheduling":
		s.Step, rank = "not_scheduled", rankScheduled
	case "SuccessfulAttachVolume":
		s.Step, rank = "volume_attached", rankAccepted
	default:
		if ev.Type != "Warning" {
			return
		}
		s.Step = "warning"
		s.Text = times(ev.Reason+": "+brief(ev.Message), ev)
	}
	l.add(rank, s)
}

// times tells how often an event happened, and since when.
func times(text string, ev *evidence.Event) string {
	if ev.Count < 2 {
		return text
	}
	text += fmt.Sprintf(" (%d times", ev.Count)
	if d := ev.Last.Sub(ev.First); !ev.First.IsZero() && d > 0 {
		text += " in " + span(d)
	}
	return text + ")"
}

// end says what a phase means in which the pod's life is over, or not known. Phase Unknown
// and reason NodeLost are words of old: nothing sets them in Kubernetes 1.28 to 1.37.
func (l *life) end() {
	p := &l.e.Pod
	s := record.LifeStep{Source: "pod-status"}
	for _, c := range l.containers() {
		if t := c.Ended; t != nil && t.FinishedAt.After(s.Time) {
			s.Time = t.FinishedAt
		}
	}
	switch {
	case p.Phase == "Succeeded":
		s.Step, s.Text = "succeeded", "every regular container exited with 0 and none is started again"
	case p.Phase == "Failed":
		s.Step, s.Text = "failed", "every regular container ended, at least one of them with a failure, or the node ended the pod"
		if p.Reason != "" {
			s.Text = brief(strings.TrimSuffix(p.Reason+": "+p.Message, ": "))
		}
	case p.Phase == "Unknown" || p.Reason == "NodeLost":
		s.Step, s.Text, s.Time = "node_lost", "the node did not report (a word of old releases)", time.Time{}
	default:
		return
	}
	l.add(rankEnd, s)
}
