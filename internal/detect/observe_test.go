package detect

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/whyrestart/whyrestart/internal/record"
)

// The histories below are written with these: a container is "main", a regular one, in
// pod "p" with UID "u1", unless a method says otherwise. An instance's ID is a letter and
// a number; the number is the minute after 10 o'clock in which the instance ended.

func running(n int32, id string) Container {
	return Container{Name: "main", Type: record.App, RestartCount: n, ContainerID: cid(id), Running: true, StartedAt: ToSeconds(minute(id).Add(-30 * time.Second))}
}

// ended shows the end of the newest instance in state.
func ended(n int32, id string, exit int32) Container {
	return Container{Name: "main", Type: record.App, RestartCount: n, ContainerID: cid(id), State: end(id, exit)}
}

// backOff shows it in lastState, while the instance waits for its restart.
func backOff(n int32, id string, exit int32) Container {
	return Container{Name: "main", Type: record.App, RestartCount: n, ContainerID: cid(id), BackOff: true, Last: end(id, exit)}
}

// waiting has an ID where an instance was created that does not run yet.
func waiting(n int32, id string) Container {
	return Container{Name: "main", Type: record.App, RestartCount: n, ContainerID: cid(id)}
}

// standIn is what the kubelet writes for an instance it cannot find.
func standIn(n int32, id string) Container {
	return Container{Name: "main", Type: record.App, RestartCount: n, ContainerID: cid(id), State: madeUp(reasonStatusUnknown)}
}

func (c Container) of(kind record.ContainerType, name string) Container {
	c.Type, c.Name = kind, name
	return c
}

// last adds the end of another instance as lastState.
func (c Container) last(id string, exit int32) Container {
	c.Last = end(id, exit)
	return c
}

// lost adds a stand-in as lastState.
func (c Container) lost(reason string) Container {
	c.Last = madeUp(reason)
	return c
}

// because changes the reason of the newest end that is shown.
func (c Container) because(reason string) Container {
	if c.State != nil {
		t := *c.State
		c.State, t.Reason = &t, reason
	} else {
		t := *c.Last
		c.Last, t.Reason = &t, reason
	}
	return c
}

func end(id string, exit int32) *Terminated {
	t := &Terminated{ContainerID: cid(id), ExitCode: exit, Reason: "Error", StartedAt: minute(id).Add(-30 * time.Second), FinishedAt: minute(id)}
	switch exit {
	case 0:
		t.Reason = "Completed"
	case 128:
		t.Reason, t.StartedAt = "StartError", time.Time{}
	}
	return t
}

func madeUp(reason string) *Terminated { return &Terminated{ExitCode: 137, Reason: reason} }

func cid(id string) string {
	if id == "" {
		return ""
	}
	return "containerd://" + id
}

func minute(id string) time.Time {
	var n int
	fmt.Sscanf(id[1:], "%d", &n)
	return time.Date(2026, 1, 1, 10, n, 0, 0, time.UTC)
}

// step is one thing that the detector is shown, and all that it makes of it: a line for
// each stop, then what else the result tells.
type step struct {
	do      func(*Detector, *Pod) Result // observe, unless set
	restart bool
	show    []Container
	pod     func(*Pod)
	want    []string
}

func show(c ...Container) step { return step{show: c} }

// forget is a pod that a relist no longer has.
var forget = step{do: func(d *Detector, p *Pod) Result { return Result{Stops: d.Gone(p.UID)} }}

// restart replaces the watcher by one that is given what the first one stored.
var restart = step{restart: true, do: func(*Detector, *Pod) Result { return Result{} }}

func deleted(c ...Container) step {
	return step{show: c, do: func(d *Detector, p *Pod) Result { return d.Delete(p, false) }}
}

// first is the first sight of a pod that may have a history.
func first(c ...Container) step {
	return step{show: c, do: func(d *Detector, p *Pod) Result { return d.Observe(p, true) }}
}

func (s step) gives(lines ...string) step {
	s.want = lines
	return s
}

func (s step) with(change func(*Pod)) step {
	old := s.pod
	s.pod = func(p *Pod) {
		if old != nil {
			old(p)
		}
		change(p)
	}
	return s
}

func (s step) version(v uint64) step { return s.with(func(p *Pod) { p.ResourceVersion = v }) }
func (s step) uid(uid string) step   { return s.with(func(p *Pod) { p.UID = uid }) }

func deleting(p *Pod) { p.Deleting = true }
func failed(p *Pod)   { p.Finished = true }
func rejected(p *Pod) { p.Finished, p.Rejected = true, true }

func words(r Result) []string {
	var lines []string
	for _, s := range r.Stops {
		var b strings.Builder
		if s.PodUID != "u1" {
			b.WriteString(s.PodUID + " ")
		}
		if s.Type != record.App {
			b.WriteString(string(s.Type) + " ")
		}
		fmt.Fprintf(&b, "%s %d.%d", s.Name, s.Epoch, s.Ordinal)
		switch t := s.Terminated; {
		case t != nil:
			fmt.Fprintf(&b, " %s %d", t.Reason, t.ExitCode)
		case s.ExitObserved:
			b.WriteString(" counted")
		default:
			b.WriteString(" not observed")
		}
		if id, ok := strings.CutPrefix(s.ContainerID, "containerd://"); ok {
			b.WriteString(" of " + id)
		}
		if s.InLast {
			b.WriteString(" in last")
		}
		if s.MissedBefore != 0 {
			fmt.Fprintf(&b, ", missed %d", s.MissedBefore)
			if !s.PreviousFinished.IsZero() {
				b.WriteString(" since " + s.PreviousFinished.Format("15:04"))
			}
		}
		if s.BeforeWatch {
			b.WriteString(", before watch")
		}
		if s.Refined {
			b.WriteString(", refined")
		}
		lines = append(lines, b.String())
	}
	if r.Resets > 0 {
		lines = append(lines, fmt.Sprintf("resets %d", r.Resets))
	}
	if r.Rejected {
		lines = append(lines, "rejected")
	}
	if r.Stale {
		lines = append(lines, "stale")
	}
	for _, uid := range r.Gone {
		lines = append(lines, "gone "+uid)
	}
	return lines
}

// TestObserve tells histories. Each is played twice: once as written, and once by a
// watcher that is restarted from its marks before every step, which must come to the
// same stops, but where the history says that it cannot.
func TestObserve(t *testing.T) {
	const restarting = "RestartingAllContainers"
	for _, tc := range []struct {
		name  string
		steps []step
		// memory tells what a watcher without a mark of the container cannot know.
		memory string
	}{
		{name: "a running container has not stopped", steps: []step{
			show(waiting(0, "")),
			show(waiting(0, "a1")),
			show(running(0, "a1")),
		}},
		{name: "each type of container", steps: []step{
			show(
				ended(0, "a1", 1).of(record.Init, "setup"),
				ended(0, "b2", 2).of(record.Sidecar, "proxy"),
				ended(0, "c3", 3),
				ended(0, "d4", 4).of(record.Ephemeral, "debug"),
			).gives(
				"init setup 0.0 Error 1 of a1",
				"sidecar proxy 0.0 Error 2 of b2",
				"main 0.0 Error 3 of c3",
				"ephemeral debug 0.0 Error 4 of d4",
			),
		}},
		{name: "a sidecar and another pod's init container of the same name share nothing", steps: []step{
			show(ended(0, "a1", 1).of(record.Sidecar, "proxy")).gives("sidecar proxy 0.0 Error 1 of a1"),
			{show: []Container{ended(0, "a1", 1).of(record.Init, "proxy")}, pod: func(p *Pod) { p.UID, p.Name = "u2", "q" }, want: []string{"u2 init proxy 0.0 Error 1 of a1"}},
			show(running(1, "a2").of(record.Sidecar, "proxy").last("a1", 1)),
		}},
		{name: "a regular and an init container of the same name share nothing", steps: []step{
			show(ended(0, "a1", 1).of(record.Init, "main"), running(0, "b9")).gives("init main 0.0 Error 1 of a1"),
			show(ended(0, "a1", 1).of(record.Init, "main"), ended(0, "b9", 2)).gives("main 0.0 Error 2 of b9"),
		}},

		// One death, many sightings.
		{name: "seen in state at once, then in lastState", steps: []step{
			show(running(0, "a1")),
			show(ended(0, "a1", 1)).gives("main 0.0 Error 1 of a1"),
			show(backOff(0, "a1", 1)),
			show(running(1, "a2").last("a1", 1)),
			show(ended(1, "a2", 137).last("a1", 1)).gives("main 0.1 Error 137 of a2"),
		}},
		{name: "seen in lastState alone", steps: []step{
			show(running(0, "a1")),
			show(running(1, "a2").last("a1", 1)).gives("main 0.0 Error 1 of a1 in last"),
			show(running(2, "a3").last("a2", 0)).gives("main 0.1 Completed 0 of a2 in last"),
		}},
		{name: "in CrashLoopBackOff lastState is the newest instance, not the one before it", steps: []step{
			show(running(4, "a4").last("a3", 1)).gives("main 0.3 Error 1 of a3 in last, missed 3"),
			show(backOff(4, "a4", 2)).gives("main 0.4 Error 2 of a4 in last"),
			show(running(5, "a5").last("a4", 2)),
		}},
		{name: "it waits for an image that cannot be pulled", steps: []step{
			show(running(0, "a1")),
			show(waiting(0, "a1").last("a1", 1)).gives("main 0.0 Error 1 of a1 in last"),
			show(ended(0, "a1", 1)),
		}},
		{name: "two ends in one status", steps: []step{
			show(running(0, "a1")),
			show(ended(1, "a2", 2).last("a1", 1)).gives("main 0.0 Error 1 of a1 in last", "main 0.1 Error 2 of a2"),
		}},
		{name: "a start that failed raised the count", steps: []step{
			show(ended(0, "a1", 128)).gives("main 0.0 StartError 128 of a1"),
			show(backOff(1, "a2", 128)).gives("main 0.1 StartError 128 of a2 in last"),
		}},

		// Counts that move by more than one.
		{name: "the count jumps: the newest in full, the others missed", steps: []step{
			show(ended(0, "a1", 1)).gives("main 0.0 Error 1 of a1"),
			show(running(4, "a5").last("a4", 4)).gives("main 0.3 Error 4 of a4 in last, missed 2 since 10:01"),
		}},
		{name: "the count jumps and two ends are visible", steps: []step{
			show(ended(0, "a1", 1)).gives("main 0.0 Error 1 of a1"),
			show(ended(4, "a5", 5).last("a4", 4)).gives("main 0.3 Error 4 of a4 in last, missed 2 since 10:01", "main 0.4 Error 5 of a5"),
		}},
		{name: "the count jumps and nothing shows an end", steps: []step{
			show(ended(0, "a1", 1)).gives("main 0.0 Error 1 of a1"),
			show(running(3, "a4")).gives("main 0.2 counted, missed 1 since 10:01"),
			show(running(3, "a4").last("a3", 3)).gives("main 0.2 Error 3 of a3 in last, missed 1, refined"),
		}},
		{name: "the count jumps while the newest waits", steps: []step{
			show(running(0, "a1")),
			show(backOff(3, "a4", 4)).gives("main 0.3 Error 4 of a4 in last, missed 3"),
		}},

		// Counts that fall or repeat.
		{name: "the count falls to 0", steps: []step{
			show(running(7, "a7").last("a6", 1)).gives("main 0.6 Error 1 of a6 in last, missed 6"),
			show(running(0, "b8")).gives("main 0.7 counted", "resets 1"),
			show(ended(0, "b8", 1)).gives("main 1.0 Error 1 of b8"),
			show(running(1, "b9").last("b8", 1)),
		}, memory: "that the instance a7 ran"},
		{name: "the count falls to 0 after the end was seen", steps: []step{
			show(ended(7, "a7", 1)).gives("main 0.7 Error 1 of a7, missed 7"),
			show(running(0, "b8")).gives("resets 1"),
			show(running(1, "b9").last("b8", 2)).gives("main 1.0 Error 2 of b8 in last"),
		}},
		{name: "the count falls, not to 0", steps: []step{
			show(ended(7, "a7", 1)).gives("main 0.7 Error 1 of a7, missed 7"),
			show(running(3, "b8")).gives("resets 1"),
			show(ended(3, "b8", 2)).gives("main 1.3 Error 2 of b8"),
		}},
		{name: "the count falls and the end is already there", steps: []step{
			show(ended(7, "a7", 1)).gives("main 0.7 Error 1 of a7, missed 7"),
			show(ended(0, "b8", 2)).gives("main 1.0 Error 2 of b8", "resets 1"),
		}},
		{name: "a relabelled stop keeps its number after the count fell", steps: []step{
			show(ended(2, "a2", 1)).gives("main 0.2 Error 1 of a2, missed 2"),
			show(running(0, "b3")).gives("resets 1"),
			show(running(0, "b3").last("a2", 137).because("OOMKilled")).gives("main 0.2 OOMKilled 137 of a2 in last, missed 2, refined"),
		}},
		{name: "the count falls, not to 0, after one that was only counted", steps: []step{
			show(ended(0, "a0", 1)).gives("main 0.0 Error 1 of a0"),
			show(waiting(5, "a6")).gives("main 0.4 counted, missed 3 since 10:00"),
			show(running(2, "b3")).gives("resets 1"),
			show(running(2, "b3").last("b2", 1)),
			show(ended(2, "b3", 2).last("b2", 1)).gives("main 1.2 Error 2 of b3"),
		}, memory: "that the instance b3 ran"},
		{name: "the count repeats with another instance", steps: []step{
			show(ended(2, "a2", 1)).gives("main 0.2 Error 1 of a2, missed 2"),
			show(running(2, "b3")).gives("resets 1"),
			show(ended(2, "b3", 1)).gives("main 1.2 Error 1 of b3"),
		}},
		{name: "the count repeats while one was running", steps: []step{
			show(ended(1, "a1", 1)).gives("main 0.1 Error 1 of a1, missed 1"),
			show(running(2, "a2").last("a1", 1)),
			show(running(2, "b3")).gives("main 0.2 counted", "resets 1"),
		}, memory: "that the instance a2 ran"},

		// What is said of an end may change.
		{name: "relabelled OOMKilled: refined once", steps: []step{
			show(running(0, "a1")),
			show(ended(0, "a1", 137)).gives("main 0.0 Error 137 of a1"),
			show(ended(0, "a1", 137).because("OOMKilled")).gives("main 0.0 OOMKilled 137 of a1, refined"),
			show(backOff(0, "a1", 137).because("OOMKilled")),
			show(running(1, "a2").last("a1", 137).because("OOMKilled")),
		}},
		{name: "relabelled in lastState, after missed ones", steps: []step{
			show(ended(3, "a3", 137)).gives("main 0.3 Error 137 of a3, missed 3"),
			show(running(4, "a4").last("a3", 137).because("OOMKilled")).gives("main 0.3 OOMKilled 137 of a3 in last, missed 3, refined"),
		}},
		{name: "a stand-in never replaces what the runtime said", steps: []step{
			show(ended(0, "a1", 3)).gives("main 0.0 Error 3 of a1"),
			show(standIn(0, "a1")),
			show(waiting(1, "").lost(reasonStatusUnknown)),
		}},
		{name: "what the runtime says replaces a stand-in", steps: []step{
			show(running(0, "a1")),
			show(standIn(1, "a1")).gives("main 0.0 ContainerStatusUnknown 137 of a1"),
			show(running(1, "a2").last("a1", 3)).gives("main 0.0 Error 3 of a1 in last, refined"),
		}, memory: "that the instance a1 ran"},

		// The end of a pod.
		{name: "TerminatePod writes over CrashLoopBackOff", steps: []step{
			show(backOff(2, "a2", 1)).gives("main 0.2 Error 1 of a2 in last, missed 2"),
			show(standIn(2, "a2").last("a2", 1)).with(failed),
		}},
		{name: "TerminatePod writes over CrashLoopBackOff that was not seen", steps: []step{
			show(running(2, "a2").last("a1", 1)).gives("main 0.1 Error 1 of a1 in last, missed 1"),
			show(standIn(2, "a2").last("a2", 3)).with(failed).gives("main 0.2 Error 3 of a2 in last"),
		}},
		{name: "TerminatePod writes over what was running", steps: []step{
			show(running(0, "a1")),
			show(standIn(0, "a1")).with(failed).gives("main 0.0 ContainerStatusUnknown 137 of a1"),
			deleted(standIn(0, "a1")).with(failed),
		}},
		{name: "created, never started, terminated with the pod", steps: []step{
			show(waiting(0, "a1")),
			show(standIn(0, "a1")).with(failed),
			deleted(standIn(0, "a1")).with(failed),
		}, memory: "that the instance a1 never ran"},
		{name: "created again, never started, terminated with the pod", steps: []step{
			show(ended(0, "a1", 1)).gives("main 0.0 Error 1 of a1"),
			show(waiting(1, "a2").last("a1", 1)),
			show(standIn(1, "a2").last("a1", 1)).with(failed),
		}, memory: "that the instance a2 never ran"},
		{name: "a rejected pod never ran", steps: []step{
			show().with(rejected).gives("rejected"),
			show(standIn(0, ""), standIn(0, "").of(record.App, "second")).with(rejected),
			deleted(standIn(0, "")).with(rejected),
		}, memory: "that the pod was rejected before"},
		{name: "a rejected pod that ran before a restart of its kubelet", steps: []step{
			show(running(2, "a2").last("a1", 1)).gives("main 0.1 Error 1 of a1 in last, missed 1"),
			show(ended(2, "a2", 143).last("a1", 1)).with(rejected).gives("main 0.2 Error 143 of a2", "rejected"),
		}},
		{name: "a rejected pod that ran before, and whose end was not found", steps: []step{
			show(running(2, "a2").last("a1", 1)).gives("main 0.1 Error 1 of a1 in last, missed 1"),
			show(standIn(2, "a2").last("a1", 1)).with(rejected).gives("main 0.2 ContainerStatusUnknown 137 of a2", "rejected"),
		}, memory: "that the instance a2 ran"},

		// Instances that the runtime lost.
		{name: "used to be Running: the count is raised", steps: []step{
			show(running(0, "a1")),
			show(waiting(1, "").lost(reasonStatusUnknown)).gives("main 0.0 ContainerStatusUnknown 137 in last"),
			show(running(1, "a2").lost(reasonStatusUnknown)),
			show(ended(1, "a2", 1)).gives("main 0.1 Error 1 of a2"),
		}},
		{name: "used to be Running, in a deletion: the count stays", steps: []step{
			show(running(0, "a1")),
			show(waiting(0, "").lost(reasonStatusUnknown)).with(deleting).gives("main 0.0 ContainerStatusUnknown 137 in last"),
			deleted(waiting(0, "").lost(reasonStatusUnknown)).with(deleting),
		}, memory: "that an instance ran"},
		{name: "lost a second time: lastState keeps the older end and the count stays", steps: []step{
			show(running(1, "a2").last("a1", 1)).gives("main 0.0 Error 1 of a1 in last"),
			show(waiting(1, "").last("a1", 1)).gives("main 0.1 counted"),
			show(running(0, "b3")).gives("resets 1"),
		}, memory: "that the instance a2 ran"},
		{name: "lost, still listed by the runtime: 1.35 raises the count once", steps: []step{
			show(running(0, "a1")),
			show(standIn(1, "a1")).gives("main 0.0 ContainerStatusUnknown 137 of a1"),
			show(running(1, "a2")),
			show(ended(1, "a2", 1)).gives("main 0.1 Error 1 of a2"),
		}, memory: "that the instance a1 ran"},
		{name: "lost, still listed by the runtime: 1.36 raises the count twice", steps: []step{
			show(running(0, "a1")),
			show(standIn(1, "a1")).gives("main 0.0 ContainerStatusUnknown 137 of a1"),
			show(running(2, "a2").lost(reasonStatusUnknown)),
			show(ended(2, "a2", 1).lost(reasonStatusUnknown)).gives("main 0.2 Error 1 of a2"),
		}, memory: "that the instance a1 ran"},
		{name: "lost, then the runtime tells of its end after all: 1.35 lowers the count again", steps: []step{
			show(running(0, "a1")),
			show(standIn(1, "a1")).gives("main 0.0 ContainerStatusUnknown 137 of a1"),
			show(ended(0, "a1", 255).because("Unknown")).gives("main 0.0 Unknown 255 of a1, refined"),
			show(running(1, "a2").last("a1", 255).because("Unknown")),
			show(ended(1, "a2", 1).last("a1", 255)).gives("main 0.0 Error 255 of a1 in last, refined", "main 0.1 Error 1 of a2"),
		}, memory: "that the instance a1 ran"},
		{name: "lost, then the runtime tells of its end after all: 1.36 keeps the count and raises it again", steps: []step{
			show(running(0, "a1")),
			show(standIn(1, "a1")).gives("main 0.0 ContainerStatusUnknown 137 of a1"),
			show(ended(1, "a1", 255).because("Unknown")).gives("main 0.0 Unknown 255 of a1, refined"),
			show(running(2, "a2").last("a1", 255).because("Unknown")),
			show(ended(2, "a2", 1).last("a1", 255)).gives("main 0.0 Error 255 of a1 in last, refined", "main 0.2 Error 1 of a2"),
		}, memory: "that the instance a1 ran"},
		{name: "lost, and its end is told beside the next one: 1.36", steps: []step{
			show(running(0, "a1")),
			show(standIn(1, "a1")).gives("main 0.0 ContainerStatusUnknown 137 of a1"),
			show(running(2, "a2").last("a1", 255).because("Unknown")).gives("main 0.0 Unknown 255 of a1 in last, refined"),
		}, memory: "that the instance a1 ran"},
		{name: "lost, and only its end is seen, under the raised count", steps: []step{
			show(running(0, "a1")),
			show(ended(1, "a1", 255).because("Unknown")).gives("main 0.0 Unknown 255 of a1"),
			show(backOff(1, "a1", 255).because("Unknown")),
		}, memory: "that the instance a1 ran"},

		// A pod restarted as a whole.
		{name: "RestartAllContainers: the source and its victims", steps: []step{
			show(running(0, "a1"), running(0, "b1").of(record.App, "victim")),
			show(ended(0, "a1", 88), running(0, "b1").of(record.App, "victim")).gives("main 0.0 Error 88 of a1"),
			show(waiting(1, "a1").lost(restarting), waiting(1, "").of(record.App, "victim").lost(restarting)).
				gives("victim 0.0 RestartingAllContainers 137 in last"),
			show(running(1, "a2").lost(restarting), running(1, "b2").of(record.App, "victim").lost(restarting)),
			show(ended(1, "a2", 88).lost(restarting), running(1, "b2").of(record.App, "victim").lost(restarting)).gives("main 0.1 Error 88 of a2"),
		}},
		{name: "RestartAllContainers: the end of a victim is seen before it is removed", steps: []step{
			show(running(0, "b3")),
			show(ended(0, "b3", 137)).gives("main 0.0 Error 137 of b3"),
			show(waiting(1, "b3").lost(restarting)),
			show(running(1, "b4").lost(restarting)),
		}},
		{name: "RestartAllContainers: the end of the source was not seen", steps: []step{
			show(running(0, "a1")),
			show(waiting(1, "a1").lost(restarting)).gives("main 0.0 RestartingAllContainers 137 in last"),
			show(running(1, "a2").lost(restarting)),
		}},
		{name: "RestartAllContainers: nothing is seen until all run again", steps: []step{
			show(running(0, "a1")),
			show(running(1, "a2").lost(restarting)).gives("main 0.0 RestartingAllContainers 137 in last"),
		}},
		{name: "the sandbox changed: init containers run again, 1.35 repeats the count", steps: []step{
			show(ended(0, "a1", 0).of(record.Init, "setup"), running(0, "b2")).gives("init setup 0.0 Completed 0 of a1"),
			show(ended(0, "a1", 0).of(record.Init, "setup"), ended(0, "b2", 255)).gives("main 0.0 Error 255 of b2"),
			show(running(0, "a3").of(record.Init, "setup"), ended(0, "b2", 255)).gives("resets 1"),
			show(ended(0, "a3", 0).of(record.Init, "setup"), ended(0, "b2", 255)).gives("init setup 1.0 Completed 0 of a3"),
			show(ended(0, "a3", 0).of(record.Init, "setup"), running(1, "b4").last("b2", 255)),
		}},
		{name: "the sandbox changed: init containers run again, 1.36 raises the count", steps: []step{
			show(ended(0, "a1", 0).of(record.Init, "setup")).gives("init setup 0.0 Completed 0 of a1"),
			show(running(1, "a3").of(record.Init, "setup").last("a1", 0)),
			show(ended(1, "a3", 0).of(record.Init, "setup").last("a1", 0)).gives("init setup 0.1 Completed 0 of a3"),
		}},
		{name: "the runtime forgot a finished init container", steps: []step{
			show(ended(0, "a1", 0).of(record.Init, "setup")).gives("init setup 0.0 Completed 0 of a1"),
			show(standIn(0, "").of(record.Init, "setup").because("Completed")),
		}},
		{name: "the runtime forgot a finished init container before it was seen", steps: []step{
			show(standIn(0, "").of(record.Init, "setup").because("Completed")).gives("init setup 0.0 Completed 137"),
		}},

		// Deletions.
		{name: "deleted while running", steps: []step{
			show(running(1, "a2").last("a1", 1)).gives("main 0.0 Error 1 of a1 in last"),
			deleted(running(1, "a2").last("a1", 1)).with(deleting).gives("main 0.1 not observed"),
		}},
		{name: "deleted while waiting to be restarted", steps: []step{
			show(backOff(0, "a1", 1)).gives("main 0.0 Error 1 of a1 in last"),
			deleted(backOff(0, "a1", 1)).with(deleting),
		}},
		{name: "the deletion shows the end", steps: []step{
			show(running(0, "a1")),
			deleted(ended(0, "a1", 143)).with(deleting).gives("main 0.0 Error 143 of a1"),
		}},
		{name: "the deletion shows an end that was missed, and a running one", steps: []step{
			show(running(0, "a1")),
			deleted(running(1, "a2").last("a1", 1)).gives("main 0.0 Error 1 of a1 in last", "main 0.1 not observed"),
		}},
		{name: "gone from a relist", steps: []step{
			show(running(1, "a2").last("a1", 1)).gives("main 0.0 Error 1 of a1 in last"),
			forget.gives("main 0.1 not observed"),
			forget,
		}, memory: "that the instance a2 ran"},
		{name: "the name is used again and the deletion was missed", steps: []step{
			show(running(0, "a1")),
			show(running(0, "b2")).uid("u2").gives("main 0.0 not observed", "gone u1"),
			show(ended(0, "b2", 1)).uid("u2").gives("u2 main 0.0 Error 1 of b2"),
		}, memory: "that the pod existed"},
		{name: "the late deletion of a pod does not touch its successor", steps: []step{
			show(ended(0, "a1", 1)).gives("main 0.0 Error 1 of a1"),
			show(running(0, "b2")).uid("u2").gives("gone u1"),
			forget,
			deleted(running(0, "b2")).uid("u2").gives("u2 main 0.0 not observed"),
		}, memory: "that the pod existed"},

		// First sight.
		{name: "a history: the newest end is before the watch, the older ones are counted", steps: []step{
			first(running(5, "a6").last("a5", 1)).gives("main 0.4 Error 1 of a5 in last, missed 4, before watch"),
			first(ended(5, "a6", 1).last("a5", 1)).gives("main 0.5 Error 1 of a6"),
		}},
		{name: "a history of which nothing is visible", steps: []step{
			first(running(5, "a6")).gives("main 0.4 counted, missed 4, before watch"),
		}},
		{name: "a history that is relabelled stays before the watch", steps: []step{
			first(ended(1, "a2", 137)).gives("main 0.1 Error 137 of a2, missed 1, before watch"),
			show(ended(1, "a2", 137).because("OOMKilled")).gives("main 0.1 OOMKilled 137 of a2, missed 1, before watch, refined"),
		}},
		{name: "a pod that was born under the watch has no history", steps: []step{
			show(running(2, "a3").last("a2", 1)).gives("main 0.1 Error 1 of a2 in last, missed 1"),
		}},
		{name: "a container that appears later in a known pod is not history", steps: []step{
			first(running(0, "a1")),
			first(running(0, "a1"), ended(0, "d2", 1).of(record.Ephemeral, "debug")).gives("ephemeral debug 0.0 Error 1 of d2"),
		}, memory: "that the pod was seen"},
		{name: "what happened while the watcher was down is not history", steps: []step{
			show(ended(0, "a1", 1)).gives("main 0.0 Error 1 of a1"),
			restart,
			first(running(3, "a4").last("a3", 1)).gives("main 0.2 Error 1 of a3 in last, missed 1 since 10:01"),
		}},

		// Order.
		{name: "an older version is not used", steps: []step{
			show(running(1, "a2").last("a1", 1)).version(20).gives("main 0.0 Error 1 of a1 in last"),
			show(running(0, "a1")).version(19).gives("stale"),
			show(ended(1, "a2", 1)).version(21).gives("main 0.1 Error 1 of a2"),
		}},
		{name: "an older version is not used after a restart either", steps: []step{
			show(ended(1, "a2", 1)).version(20).gives("main 0.1 Error 1 of a2, missed 1"),
			restart,
			show(running(0, "a1")).version(19).gives("stale"),
		}},
		{name: "versions that are no numbers are used as they come", steps: []step{
			show(ended(0, "a1", 1)).version(20).gives("main 0.0 Error 1 of a1"),
			show(ended(1, "a2", 1)).version(0).gives("main 0.1 Error 1 of a2"),
		}},

		// Counts that no kubelet writes.
		{name: "a negative count", steps: []step{
			show(running(-5, "a1")),
			show(ended(math.MinInt32, "a1", 1)).gives("main 0.0 Error 1 of a1"),
			show(running(-5, "a2").last("a1", 1)).gives("resets 1"),
		}},
		{name: "the greatest count", steps: []step{
			show(running(math.MaxInt32, "a1")).gives(fmt.Sprintf("main 0.%d counted, missed %[1]d", math.MaxInt32-3)),
			show(ended(math.MaxInt32, "a1", 1)).gives(fmt.Sprintf("main 0.%d Error 1 of a1", math.MaxInt32-2)),
			show(running(0, "b2")).gives("resets 1"),
		}},
	} {
		t.Run(tc.name, func(t *testing.T) { play(t, tc.steps, false) })
		if tc.memory == "" {
			t.Run(tc.name+"/restarted before every step", func(t *testing.T) { play(t, tc.steps, true) })
		}
	}
}

func play(t *testing.T, steps []step, restarted bool) {
	t.Helper()
	d := New()
	stored := map[string][]record.Mark{}
	for i, s := range steps {
		p := &Pod{UID: "u1", Namespace: "ns", Name: "p", Containers: s.show}
		if s.pod != nil {
			s.pod(p)
		}
		if s.restart || restarted {
			d = New()
			for _, marks := range stored {
				for _, m := range marks {
					d.Seed(m)
				}
			}
		}
		observe := s.do
		if observe == nil {
			observe = func(d *Detector, p *Pod) Result { return d.Observe(p, false) }
		}
		r := observe(d, p)
		got := words(r)
		if restarted {
			// A reset without a stop is not stored, and so it is seen again.
			got, s.want = stopsOnly(got), stopsOnly(s.want)
		}
		if diff := cmp.Diff(s.want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("step %d (-want +got):\n%s", i+1, diff)
		}
		if len(r.Stops) > 0 { // marks are stored with the stops that they go with
			stored[p.UID] = d.Marks(p.UID)
		}
		for _, uid := range r.Gone {
			delete(stored, uid)
		}
		if d.pods[p.UID] == nil || r.Stale {
			continue
		}
		if again := words(d.Observe(p, false)); again != nil {
			t.Fatalf("step %d, shown again, gives %q", i+1, again)
		}
	}
}

func stopsOnly(lines []string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return strings.HasPrefix(l, "resets ") })
}

// TestMarks holds that a mark is what a detector knows, and that what no mark is
// given for, or what is gone, is told apart.
func TestMarks(t *testing.T) {
	pod := func(namespace, uid string, c ...Container) *Pod {
		return &Pod{UID: uid, Namespace: namespace, Name: "pod-" + uid, ResourceVersion: 7, Containers: c}
	}
	d := New()
	d.Observe(pod("a", "u1", ended(2, "a3", 137).because("OOMKilled"), running(0, "b1").of(record.Sidecar, "proxy")), true)
	d.Observe(pod("a", "u2", running(0, "c1")), true)
	d.Observe(pod("b", "u3", standIn(1, "").because("RestartingAllContainers")), true)

	marks := d.Marks("u1")
	if len(marks) != 1 {
		t.Fatalf("marks %+v, want one: the sidecar never stopped", marks)
	}
	m := marks[0]
	m.LastSum = 0 // has no other meaning than to be the same again
	want := record.Mark{
		ContainerKey: record.ContainerKey{PodUID: "u1", Type: record.App, Name: "main"},
		Namespace:    "a", Pod: "pod-u1", Accounted: 3, RestartCount: 2, LastOrdinal: 2,
		LastID: Sum64("containerd://a3"), RealID: Sum64("containerd://a3"),
		LastFinished: minute("a3"), LastMissed: 2, LastBeforeWatch: true, ResourceVersion: 7,
	}
	if diff := cmp.Diff(want, m); diff != "" {
		t.Errorf("mark (-want +got):\n%s", diff)
	}
	if got := d.Marks("u2"); got != nil {
		t.Errorf("marks of a pod without a stop: %+v", got)
	}
	if got := d.Marks("none"); got != nil {
		t.Errorf("marks of no pod: %+v", got)
	}

	seeded := New()
	for _, uid := range []string{"u1", "u2", "u3"} {
		for _, m := range d.Marks(uid) {
			seeded.Seed(m)
		}
	}
	if seeded.Len() != 0 {
		t.Errorf("%d pods before any was observed", seeded.Len())
	}
	for _, tc := range []struct {
		namespace string
		want      []string
	}{{"", []string{"u1", "u3"}}, {"a", []string{"u1"}}, {"b", []string{"u3"}}, {"c", []string{}}} {
		if diff := cmp.Diff(tc.want, seeded.Seeded(tc.namespace)); diff != "" {
			t.Errorf("Seeded(%q) (-want +got):\n%s", tc.namespace, diff)
		}
	}
	if r := seeded.Observe(pod("a", "u1", ended(2, "a3", 137).because("OOMKilled")), true); words(r) != nil {
		t.Errorf("what the marks know gave %q", words(r))
	}
	if diff := cmp.Diff(d.Marks("u1"), seeded.Marks("u1")); diff != "" {
		t.Errorf("marks after a restart (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"u3"}, seeded.Seeded("")); diff != "" {
		t.Errorf("pods that are gone (-want +got):\n%s", diff)
	}
	if stops := seeded.Gone("u3"); stops != nil {
		t.Errorf("a pod that was gone before the watch began gave %+v", stops)
	}
	if got := seeded.Seeded(""); len(got) != 0 {
		t.Errorf("still seeded: %q", got)
	}
}

// TestPods holds that the detector remembers exactly the pods that exist.
func TestPods(t *testing.T) {
	d := New()
	for _, uid := range []string{"u1", "u2", "u3"} {
		d.Observe(&Pod{UID: uid, Namespace: "ns", Name: "pod-" + uid}, false)
	}
	d.Delete(&Pod{UID: "u1", Namespace: "ns", Name: "pod-u1"}, false)
	d.Gone("u2")
	d.Gone("never seen")
	var got []string
	d.Pods(func(uid, namespace, name string) bool {
		got = append(got, uid+" "+namespace+"/"+name)
		return true
	})
	slices.Sort(got)
	if diff := cmp.Diff([]string{"u3 ns/pod-u3"}, got); diff != "" {
		t.Errorf("pods (-want +got):\n%s", diff)
	}
	if d.Len() != 1 || len(d.names) != 1 || len(d.marks) != 0 {
		t.Errorf("%d pods, %d names and %d marks are kept", d.Len(), len(d.names), len(d.marks))
	}
	d.Observe(&Pod{UID: "u4", Namespace: "ns", Name: "pod-u4"}, false)
	calls := 0
	d.Pods(func(string, string, string) bool { calls++; return false })
	if calls != 1 {
		t.Errorf("yield was called %d times, and said to stop at the first", calls)
	}
}

// FuzzObserve shows one pod in statuses that no kubelet need have written.
func FuzzObserve(f *testing.F) {
	f.Add([]byte{})
	for seed := range byte(8) {
		b := make([]byte, 60)
		for i := range b {
			b[i] = byte(i)*(2*seed+1) + seed
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, l := New(), newLedger()
		take := func(p *Pod) {
			history := d.Len() == 0
			l.add(t, d.Observe(p, history).Stops)
			again := d.Observe(p, history)
			if again.Rejected || again.Gone != nil {
				t.Fatalf("the same update again gave %+v", again)
			}
			// What a kubelet shows gives nothing when it is shown again, as TestObserve and the
			// random kubelets hold. What none would show must at least come to rest.
			for n := 0; len(again.Stops) > 0; n++ {
				l.add(t, again.Stops)
				if n == 4 {
					t.Fatalf("the same update gives stops without end: %+v", again.Stops)
				}
				again = d.Observe(p, history)
			}
		}
		for len(b) > 0 {
			p := &Pod{UID: "u1", Namespace: "ns", Name: "p"}
			var op byte
			op, b = b[0], b[1:]
			p.Deleting, p.Finished, p.Rejected = op&1 != 0, op&2 != 0, op&6 == 6
			for _, name := range []string{"a", "b"} {
				var c Container
				c, b = anyContainer(b)
				c.Name, c.Type = name, record.App
				p.Containers = append(p.Containers, c)
			}
			take(p)
			if op&0x70 == 0x70 {
				marks := d.Marks("u1")
				d = New()
				for _, m := range marks {
					d.Seed(m)
				}
				take(p)
			}
		}
		l.add(t, d.Gone("u1"))
		if d.Len() != 0 || d.Gone("u1") != nil {
			t.Fatal("the pod was not forgotten")
		}
	})
}

// anyContainer takes the status of a container from bytes, with few IDs, reasons and
// counts, so that they meet again. What every kubelet keeps to is kept: a terminated
// state is that of the container ID beside it, or has none and is made up.
func anyContainer(b []byte) (Container, []byte) {
	next := func() (v byte) {
		if len(b) > 0 {
			v, b = b[0], b[1:]
		}
		return v
	}
	terminated := func(id string, v byte) *Terminated {
		switch {
		case v&0x80 == 0:
			return nil
		case id == "" || v&0x40 != 0:
			return madeUp([]string{reasonStatusUnknown, "RestartingAllContainers"}[v&1])
		}
		t := end("m1", int32(v&1))
		t.ContainerID, t.FinishedAt = id, minute(fmt.Sprint("m", v&0x3f))
		return t
	}
	id := func(v byte) string { return []string{"", "id1", "id2", "id3", "id4", "id5"}[v%6] }
	counts := [...]int32{0, 1, 2, 3, 4, 9, -1, math.MinInt32, math.MaxInt32, math.MaxInt32 - 1}
	head := next()
	c := Container{ContainerID: id(head), RestartCount: counts[int(next())%len(counts)]}
	c.State = terminated(c.ContainerID, next())
	c.Last = terminated(id(next()), next())
	c.Running = c.State == nil && c.ContainerID != "" && head&0x40 != 0
	c.BackOff = c.State == nil && !c.Running && head&0x80 != 0
	return c, b
}
