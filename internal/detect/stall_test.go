package detect

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"pgregory.net/rapid"

	"github.com/whyrestart/whyrestart/internal/detect/kubelettest"
	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// start is when the watcher of these tests begins to look.
var start = at(created + 10)

func after(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }

func causes(episodes []Episode) string {
	var out []string
	for _, e := range episodes {
		out = append(out, strings.TrimSuffix(e.Cause+"/"+e.Name, "/"))
	}
	return strings.Join(out, " ")
}

func wantDue(t *testing.T, s *Stalls, second int, want string) []Episode {
	t.Helper()
	due := s.Due(after(second))
	if got := causes(due); got != want {
		t.Fatalf("due at %d s: %q, want %q", second, got, want)
	}
	return due
}

func pulls(reason string, sum uint32) func(*Pod) {
	return func(p *Pod) {
		unready(p)
		p.Containers[0] = waits(record.App, "web", reason)
		p.Containers[0].WaitingSum = sum
	}
}

func TestEpisode(t *testing.T) {
	s := NewStalls("prod")
	s.Observe(pod(pulls("ErrImagePull", 1)), start)
	wantDue(t, s, 9, "")
	if !s.Wanted("u1") || s.Wanted("u2") {
		t.Error("the pod is wanted, and no other")
	}
	e := wantDue(t, s, 10, "image/web")[0]
	want := Episode{
		StallKey:  record.StallKey{Cluster: "prod", ContainerKey: record.ContainerKey{PodUID: "u1", Type: record.App, Name: "web"}, Cause: "image"},
		Namespace: "shop", Pod: "web-1", Class: evidence.Image, Begin: at(inited),
	}
	if d := cmp.Diff(want, e); d != "" {
		t.Errorf("episode (-want +got):\n%s", d)
	}
	wantDue(t, s, 11, "")          // handed out
	wantDue(t, s, 40, "image/web") // nobody judged it
	if !s.Judge(e.StallKey, false, after(41)) {
		t.Error("it is unknown")
	}
	wantDue(t, s, 55, "")
	wantDue(t, s, 56, "image/web") // 15 s later
	s.Judge(e.StallKey, false, after(56))
	wantDue(t, s, 85, "")
	wantDue(t, s, 86, "image/web") // 30 s later
	s.Judge(e.StallKey, true, after(86))
	wantDue(t, s, 100, "")
	s.Observe(pod(pulls("ImagePullBackOff", 0)), after(101)) // says nothing new
	wantDue(t, s, 102, "")
	s.Observe(pod(pulls("ErrImagePull", 2)), after(103))
	wantDue(t, s, 103, "image/web")
	s.Observe(pod(pulls("ErrImagePull", 3)), after(104)) // while it is diagnosed
	wantDue(t, s, 104, "")
	s.Judge(e.StallKey, true, after(105))
	wantDue(t, s, 114, "")
	wantDue(t, s, 115, "image/web") // 10 s after the judgement
	s.Judge(e.StallKey, true, after(115))
	// The kubelet restarts and forgets the error: the stall goes on.
	if ended := s.Observe(pod(pulls("ContainerCreating", 0)), after(116)); ended != nil {
		t.Errorf("ended %v", ended)
	}
	wantDue(t, s, 160, "")
	p := pod(func(p *Pod) { p.Containers[0].StartedAt = created + 10 + 130 })
	ended := s.Observe(p, after(161))
	want.Opened, want.End = true, after(130)
	if d := cmp.Diff([]Episode{want}, ended); d != "" {
		t.Errorf("ended (-want +got):\n%s", d)
	}
	if s.Judge(e.StallKey, true, after(141)) || s.Wanted("u1") || s.Len() != 0 {
		t.Error("something of it remains")
	}
	if ended := s.Gone("u1", after(142)); ended != nil {
		t.Errorf("ended twice: %v", ended)
	}
}

// TestStartIsNoFinding takes a pod through an ordinary start.
func TestStartIsNoFinding(t *testing.T) {
	s := NewStalls("")
	steps := []struct {
		second int
		change func(*Pod)
	}{
		{-8, func(p *Pod) {
			p.Assigned, p.Containers, p.Scheduled, p.Initialized, p.Ready = false, nil, Condition{}, Condition{}, Condition{}
		}},
		{-7, func(p *Pod) { p.Containers, p.Initialized, p.Ready = nil, Condition{}, Condition{} }},
		{-6, func(p *Pod) {
			initializing(p)
			p.Containers = []Container{waits(record.Init, "migrate", "PodInitializing"), waits(record.App, "web", "PodInitializing")}
		}},
		{5, func(p *Pod) {
			initializing(p)
			p.Containers = []Container{{Name: "migrate", Type: record.Init, Running: true, StartedAt: created + 15, ContainerID: "c://m"}, waits(record.App, "web", "PodInitializing")}
		}},
		{50, func(p *Pod) {
			unready(p)
			p.Containers = []Container{ranInit("migrate", 0, created+59), waits(record.App, "web", "PodInitializing")}
		}},
		{51, func(p *Pod) {
			unready(p)
			p.Containers = []Container{ranInit("migrate", 0, created+59), app("web")}
			p.Containers[1].Ready = false
		}},
		{75, func(p *Pod) { p.Containers = []Container{ranInit("migrate", 0, created+59), app("web")} }},
	}
	for _, step := range steps {
		if due := s.Due(after(step.second)); due != nil {
			t.Errorf("due at %d s: %s", step.second, causes(due))
		}
		s.Observe(pod(step.change), after(step.second))
	}
	if s.Len() != 0 {
		t.Error("something remains")
	}
}

// TestNotReadyOverRestarts holds that a container that is not ready over several
// instances is one stall, and that the next time is another.
func TestNotReadyOverRestarts(t *testing.T) {
	s := NewStalls("")
	bad := func(p *Pod) { unready(p); p.Containers[0].Ready = false }
	between := func(p *Pod) {
		unready(p)
		p.Containers[0] = waits(record.App, "web", reasonBackOff)
		p.Containers[0].Last = died(inited + 200)
	}
	s.Observe(pod(bad), start)
	e := wantDue(t, s, 81, "unready@1000003/web")[0]
	s.Judge(e.StallKey, true, after(81))
	for i, change := range []func(*Pod){between, bad, between, bad} {
		if ended := s.Observe(pod(change), after(200+i)); ended != nil {
			t.Fatalf("ended by restart %d: %v", i, ended)
		}
	}
	again := pod(bad)
	again.Ready.Since = inited + 900
	ended := s.Observe(again, after(1000))
	if causes(ended) != "unready@1000003/web" || !ended[0].End.Equal(after(1000)) {
		t.Errorf("ended %+v", ended)
	}
	wantDue(t, s, 1000, "unready@1000960/web")
	// It was never opened: nothing ends.
	if ended := s.Gone("u1", after(1001)); ended != nil {
		t.Errorf("ended %v", ended)
	}
}

func TestSeed(t *testing.T) {
	sick := pod(func(p *Pod) { unready(p); p.Containers[0].Ready = false })
	run := NewStalls("prod")
	run.Observe(sick, after(100))
	e := run.Due(after(100))[0]
	run.Judge(e.StallKey, true, after(100))

	s := NewStalls("prod")
	s.Seed(e)
	other := e
	other.PodUID, other.Namespace = "u2", "bank"
	s.Seed(other)
	if got := s.Seeded(""); len(got) != 2 || !got[0].Opened {
		t.Errorf("seeded %+v", got)
	}
	if ended := s.Observe(sick, after(200)); ended != nil {
		t.Errorf("ended %v", ended)
	}
	if due := s.Due(after(200)); len(due) != 1 || due[0].StallKey != e.StallKey || !due[0].Opened {
		t.Errorf("due %+v", due)
	}
	if got := s.Seeded("shop"); got != nil {
		t.Errorf("still seeded: %+v", got)
	}
	if got := s.Seeded("bank"); len(got) != 1 {
		t.Errorf("seeded in bank: %+v", got)
	}
	if ended := s.Gone("u2", after(300)); len(ended) != 1 || !ended[0].End.Equal(after(300)) {
		t.Errorf("ended %+v", ended)
	}
	// The pod became ready while nobody watched.
	s = NewStalls("prod")
	s.Seed(e)
	ended := s.Observe(pod(func(p *Pod) { p.Ready.Since = created + 150 }), after(1000))
	if len(ended) != 1 || !ended[0].End.Equal(at(created+150)) || s.Len() != 0 {
		t.Errorf("ended %+v", ended)
	}
}

func TestTouch(t *testing.T) {
	s := NewStalls("")
	s.Observe(pod(func(p *Pod) { p.Containers, p.Initialized, p.Ready = nil, Condition{}, Condition{} }), start)
	s.Touch("u1", after(1)) // hastens nothing
	e := wantDue(t, s, 30, "preparing")[0]
	s.Judge(e.StallKey, true, after(30))
	s.Touch("u1", after(31))
	s.Touch("u0", after(31))
	wantDue(t, s, 39, "")
	wantDue(t, s, 40, "preparing")
	s.Touch("u1", after(41))
	s.Judge(e.StallKey, true, after(42))
	wantDue(t, s, 52, "preparing")
	s.Judge(e.StallKey, true, after(52))
	wantDue(t, s, 100, "")
	wantDue(t, s, 52+120*8, "preparing") // now and then
}

// TestSnapshot holds what of a dump is due at once.
func TestSnapshot(t *testing.T) {
	for _, tc := range []struct {
		name   string
		second int // of the snapshot, after the creation
		change func(*Pod)
		want   string
	}{
		{"image", 61, pulls("ImagePullBackOff", 1), "image/web"},
		{"unschedulable", 1, func(p *Pod) { p.Assigned, p.Containers, p.Scheduled = false, nil, Condition{Status: False} }, "scheduling"},
		{"just made", 1, func(p *Pod) { p.Assigned, p.Containers, p.Scheduled = false, nil, Condition{} }, ""},
		{"not prepared for 9 s", 11, func(p *Pod) { p.Containers, p.Ready = nil, Condition{} }, ""},
		{"not prepared for 10 s", 12, func(p *Pod) { p.Containers, p.Ready = nil, Condition{} }, "preparing"},
		{"not ready for 9 s", 70, func(p *Pod) { unready(p); p.Containers[0].Ready = false }, ""},
		{"not ready for 10 s", 71, func(p *Pod) { unready(p); p.Containers[0].Ready = false }, "unready@1000003/web"},
		{"terminating in time", 100, func(p *Pod) { p.Deleting, p.DeletionTimestamp = true, created+90 }, ""},
		{"terminating late", 120, func(p *Pod) { p.Deleting, p.DeletionTimestamp = true, created+90 }, "terminating"},
		{"no times at all", 0, func(p *Pod) {
			*p = Pod{UID: "u1", Assigned: true, Containers: []Container{{Name: "web", Type: record.App, Running: true}}}
		}, "unready/web"},
		{"healthy", 1000, func(*Pod) {}, ""},
	} {
		s := NewSnapshotStalls("")
		now := at(created + Seconds(tc.second))
		s.Observe(pod(tc.change), now)
		if got := causes(s.Due(now)); got != tc.want {
			t.Errorf("%s: due %q, want %q", tc.name, got, tc.want)
		}
		s = NewStalls("") // at the end of a recording
		s.Observe(pod(tc.change), now)
		s.Freeze()
		if got := causes(s.Due(now)); got != tc.want {
			t.Errorf("%s: due at the end %q, want %q", tc.name, got, tc.want)
		}
	}
}

// TestClocks gives times that are not to be had.
func TestClocks(t *testing.T) {
	s := NewStalls("")
	future := pod(func(p *Pod) { p.Containers, p.Ready, p.Scheduled.Since = nil, Condition{}, 1<<32-1 })
	s.Observe(future, start)
	wantDue(t, s, 29, "")
	wantDue(t, s, 30, "preparing")
	ended := pod(func(p *Pod) { p.Ready.Since = 1<<32 - 1 })
	e := Episode{StallKey: record.StallKey{ContainerKey: record.ContainerKey{PodUID: "u1"}, Cause: "unready@5"}, Class: evidence.Unready, Begin: after(50)}
	s = NewStalls("")
	s.Seed(e)
	if got := s.Observe(ended, after(40)); len(got) != 1 || !got[0].End.Equal(e.Begin) {
		t.Errorf("ended %+v", got)
	}
}

func TestRejectedKeepsItsID(t *testing.T) {
	s := NewStalls("prod")
	s.Observe(pod(func(p *Pod) { p.Finished, p.Rejected, p.Containers = true, true, nil }), start)
	e := wantDue(t, s, 0, "admission_rejected")[0]
	want := record.StallKey{Cluster: "prod", ContainerKey: record.ContainerKey{PodUID: "u1"}, Cause: "admission_rejected"}
	if e.ID() != want.ID() || !e.Begin.Equal(at(created)) {
		t.Errorf("%+v", e)
	}
	if !s.Wanted("u1") {
		t.Error("it is to be diagnosed, and not wanted")
	}
	s.Judge(e.StallKey, true, after(1))
	s.Touch("u1", after(2))
	wantDue(t, s, 1e6, "") // there are piles of such pods, which stay as they are
	if s.Wanted("u1") {
		t.Error("it is wanted for nothing")
	}
	if ended := s.Gone("u1", after(3)); len(ended) != 1 {
		t.Errorf("ended %+v", ended)
	}
}

// states are the pods that random histories are made of.
func states() []func(*Pod) {
	return []func(*Pod){
		func(*Pod) {},
		func(p *Pod) { p.Assigned, p.Containers, p.Scheduled = false, nil, Condition{Status: False, Sum: 3} },
		func(p *Pod) { p.Containers, p.Ready = nil, Condition{} },
		pulls("ErrImagePull", 1), pulls("ErrImagePull", 2), pulls("ImagePullBackOff", 0), pulls("CreateContainerConfigError", 1), pulls("ContainerCreating", 0),
		func(p *Pod) { unready(p); p.Containers[0].Ready = false },
		func(p *Pod) { unready(p); p.Containers[0].Ready = false; p.Ready.Since += 40 },
		func(p *Pod) {
			unready(p)
			p.Containers[0] = waits(record.App, "web", reasonBackOff)
			p.Containers[0].Last = died(inited)
		},
		func(p *Pod) {
			unready(p)
			p.Containers = append(p.Containers, waits(record.App, "log", "InvalidImageName"), waits(record.App, "log", "InvalidImageName"))
		},
		func(p *Pod) { p.Ready = Condition{Status: False, Since: inited + 600, Sum: 5} },
		func(p *Pod) { p.Deleting, p.DeletionTimestamp = true, created+90 },
		func(p *Pod) { p.Finished, p.Rejected, p.Containers = true, true, nil },
		func(p *Pod) {
			initializing(p)
			p.Containers = []Container{{Name: "migrate", Type: record.Init, Running: true, StartedAt: created + 15, ContainerID: "c://m"}, waits(record.App, "web", "PodInitializing")}
		},
	}
}

// TestEpisodesEndOnce plays random histories: every episode that is opened ends exactly
// once, none is due twice at a time, and at the end nothing is remembered.
func TestEpisodesEndOnce(t *testing.T) {
	all := states()
	rapid.Check(t, func(t *rapid.T) {
		s := NewStalls("prod")
		now, version := start, uint64(1)
		open := map[record.StallKey]bool{}
		end := func(ended []Episode) {
			for _, e := range ended {
				if !open[e.StallKey] || !e.Opened {
					t.Fatalf("ended, and was not open: %+v", e)
				}
				if e.End.Before(e.Begin) || e.End.IsZero() {
					t.Fatalf("ended before it began: %+v", e)
				}
				delete(open, e.StallKey)
			}
		}
		var waiting []Episode
		uid := func() string { return fmt.Sprint("u", rapid.IntRange(1, 3).Draw(t, "pod")) }
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"observe", "observe", "observe", "wait", "due", "due", "judge", "gone", "touch"}).Draw(t, "op") {
			case "observe":
				p := pod(rapid.SampledFrom(all).Draw(t, "state"))
				version++
				p.UID, p.ResourceVersion = uid(), version
				end(s.Observe(p, now))
				if again := s.Observe(p, now); again != nil {
					t.Fatalf("seeing it again ended %v", again)
				}
			case "wait":
				now = now.Add(time.Duration(rapid.IntRange(1, 300).Draw(t, "seconds")) * time.Second)
			case "due":
				due := s.Due(now)
				seen := map[record.StallKey]bool{}
				for _, e := range due {
					if seen[e.StallKey] || e.Opened != open[e.StallKey] {
						t.Fatalf("due twice, or wrongly opened: %+v", e)
					}
					seen[e.StallKey] = true
				}
				if again := s.Due(now); again != nil {
					t.Fatalf("due again at once: %v", again)
				}
				if next := s.Next(); !next.IsZero() && !next.After(now) {
					t.Fatalf("next %v is not after %v", next, now)
				}
				waiting = append(waiting, due...)
			case "judge":
				for _, e := range waiting {
					if found := rapid.Bool().Draw(t, "found"); s.Judge(e.StallKey, found, now) && found {
						open[e.StallKey] = true
					}
				}
				waiting = nil
			case "gone":
				end(s.Gone(uid(), now))
			case "touch":
				s.Touch(uid(), now)
			}
		}
		for i := range 3 {
			end(s.Gone(fmt.Sprint("u", i+1), now))
		}
		if len(open) > 0 || s.Len() != 0 || s.Due(now.Add(time.Hour)) != nil {
			t.Fatalf("open at the end: %v, %d pods", open, s.Len())
		}
	})
}

// TestNoEpisodeIsLost plays a random history and then leaves the pod as it is: within ten
// minutes, everything that it shows is found, and after a restart of the watcher it is
// found under the same keys.
func TestNoEpisodeIsLost(t *testing.T) {
	all := states()
	rapid.Check(t, func(t *rapid.T) {
		s := NewStalls("prod")
		now := start
		poll := func(found bool) {
			for _, e := range s.Due(now) {
				s.Judge(e.StallKey, found, now)
			}
		}
		var p *Pod
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			p = pod(rapid.SampledFrom(all).Draw(t, "state"))
			s.Observe(p, now)
			poll(rapid.Bool().Draw(t, "found"))
			now = now.Add(time.Duration(rapid.IntRange(0, 60).Draw(t, "seconds")) * time.Second)
		}
		for range 120 {
			now = now.Add(5 * time.Second)
			poll(true)
		}
		found := s.Gone(p.UID, now)
		got := map[string]bool{}
		for _, e := range found {
			got[fmt.Sprint(e.Class, e.Type, e.Name)] = true
		}
		for _, y := range Symptoms(p) {
			if y.Class == evidence.Preparing {
				continue // it is not said twice where an error that was forgotten goes on
			}
			if !got[fmt.Sprint(y.Class, y.Type, y.Name)] {
				t.Fatalf("%s was not found; found %s", told(y), causes(found))
			}
		}

		s = NewStalls("prod")
		for _, e := range found {
			e.End = time.Time{}
			s.Seed(e)
		}
		ended := s.Observe(p, now)
		for range 120 {
			now = now.Add(5 * time.Second)
			poll(true)
		}
		again := append(ended, s.Gone(p.UID, now)...)
		keys := func(es []Episode) (out []string) {
			for _, e := range es {
				out = append(out, e.ID())
			}
			slices.Sort(out)
			return slices.Compact(out)
		}
		if d := cmp.Diff(keys(found), keys(again)); d != "" {
			t.Fatalf("keys before and after a restart (-before +after):\n%s\n%s\n%s", d, causes(found), causes(again))
		}
	})
}

// FuzzSymptoms gives any pod that the API's own decoder takes.
func FuzzSymptoms(f *testing.F) {
	f.Add([]byte{})
	k := kubelettest.New("u1", true, "init", "a")
	k.Step(k.Containers[0], "run")
	b, err := k.Sync().Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, data []byte) {
		var full corev1.Pod
		if full.Unmarshal(data) != nil {
			return
		}
		p := FromPod(&full)
		symptoms := Symptoms(&p)
		if len(symptoms) > maxSymptoms {
			t.Fatalf("%d symptoms", len(symptoms))
		}
		s := NewStalls("")
		s.Observe(&p, start)
		for _, e := range s.Due(start.Add(1 << 62)) {
			s.Judge(e.StallKey, true, start)
		}
		s.Gone(p.UID, start)
		if s.Len() != 0 {
			t.Fatal("something remains")
		}
	})
}

// TestLateAndWorse shows an older state after a newer one, and an error that needs no grace.
func TestLateAndWorse(t *testing.T) {
	s := NewStalls("")
	p := pod(pulls("ErrImagePull", 1))
	p.ResourceVersion = 7
	s.Observe(p, start)
	old := pod(func(*Pod) {})
	old.ResourceVersion = 6
	s.Observe(old, after(1))
	if !s.Wanted("u1") {
		t.Error("an older state was believed")
	}
	wantDue(t, s, 2, "")
	p = pod(pulls("InvalidImageName", 2))
	p.ResourceVersion = 8
	s.Observe(p, after(3))
	wantDue(t, s, 3, "image/web")
}
