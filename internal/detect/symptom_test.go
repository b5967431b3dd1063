package detect

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/whyrestart/whyrestart/internal/record"
)

// Times of the pods in these tests, in Unix seconds.
const (
	created   = 1_000_000
	scheduled = created + 2
	inited    = created + 60
	notReady  = created + 3
)

// pod is a pod that runs and is ready; change makes it ill.
func pod(change func(*Pod)) *Pod {
	p := &Pod{
		UID: "u1", Namespace: "shop", Name: "web-1", ResourceVersion: 1, Assigned: true, Restarts: true, CreatedAt: created,
		Scheduled:   Condition{Status: True, Since: scheduled},
		Initialized: Condition{Status: True, Since: inited},
		Ready:       Condition{Status: True, Since: inited + 5},
		Containers:  []Container{app("web")},
	}
	change(p)
	return p
}

func app(name string) Container {
	return Container{Name: name, Type: record.App, Running: true, Ready: true, Started: true, StartedAt: inited + 1, ContainerID: "c://" + name}
}

func waits(t record.ContainerType, name, reason string) Container {
	return Container{Name: name, Type: t, Waiting: reason, WaitingSum: 7, BackOff: reason == reasonBackOff}
}

func ranInit(name string, code int32, finished Seconds) Container {
	return Container{Name: name, Type: record.Init, ContainerID: "c://" + name, State: &Terminated{ContainerID: "c://" + name, ExitCode: code, Reason: "Completed", FinishedAt: at(finished)}}
}

func died(finished Seconds) *Terminated {
	return &Terminated{ContainerID: "c://old", ExitCode: 1, Reason: "Error", FinishedAt: at(finished)}
}

func unready(p *Pod) { p.Ready = Condition{Status: False, Since: notReady, Sum: 5} }

func initializing(p *Pod) {
	unready(p)
	p.Initialized = Condition{Status: False, Since: notReady, Sum: 4}
}

// told is a symptom in one line: what, since when after the creation, from sight, graces.
func told(s Symptom) string {
	since := "?"
	if !s.Since.IsZero() {
		since = fmt.Sprint(s.Since.Unix() - created)
	}
	out := fmt.Sprintf("%s %s%s since %s", s.Class, s.Type, strings.TrimSuffix("/"+s.Name, "/"), since)
	out = strings.ReplaceAll(out, "  ", " ")
	grace := fmt.Sprintf(" grace %v", s.Grace)
	if s.FromSight {
		grace += " from sight"
	}
	out += fmt.Sprintf("%s, snapshot %v", grace, s.Snapshot)
	if s.Spell != 0 {
		out += fmt.Sprintf(", spell %d", s.Spell-created)
	}
	return out
}

func TestSymptoms(t *testing.T) {
	for _, tc := range []struct {
		name string
		pod  *Pod
		want []string
	}{
		{"runs and is ready", pod(func(*Pod) {}), nil},
		{"succeeded", pod(func(p *Pod) {
			p.Finished = true
			unready(p)
			p.Containers[0] = ranInit("web", 0, inited)
			p.Containers[0].Type = record.App
		}), nil},
		{"rejected", pod(func(p *Pod) { p.Finished, p.Rejected, p.Containers = true, true, nil }), []string{"rejected since 0 grace 0s, snapshot 0s"}},
		{"failed and being deleted", pod(func(p *Pod) { p.Finished, p.Deleting, p.DeletionTimestamp = true, true, created+90 }), []string{"terminating since 90 grace 1m0s, snapshot 30s"}},
		{"being deleted while it pulls", pod(func(p *Pod) {
			p.Deleting, p.DeletionTimestamp = true, created+90
			unready(p)
			p.Containers[0] = waits(record.App, "web", "ImagePullBackOff")
		}), []string{"terminating since 90 grace 1m0s, snapshot 30s"}},

		{"unschedulable", pod(func(p *Pod) {
			p.Assigned, p.Containers = false, nil
			p.Scheduled = Condition{Status: False, Since: scheduled, Sum: 9}
			p.Initialized, p.Ready = Condition{}, Condition{}
		}), []string{"scheduling since 0 grace 15s, snapshot 0s"}},
		{"gated", pod(func(p *Pod) {
			p.Assigned, p.Gated, p.Containers = false, true, nil
			p.Scheduled, p.Ready = Condition{Status: False, Sum: 9}, Condition{}
		}), []string{"scheduling since 0 grace 1m0s, snapshot 0s"}},
		{"no scheduler", pod(func(p *Pod) {
			p.Assigned, p.Containers = false, nil
			p.Scheduled, p.Initialized, p.Ready = Condition{}, Condition{}, Condition{}
		}), []string{"scheduling since 0 grace 30s, snapshot 10s"}},
		{"no scheduler, being deleted", pod(func(p *Pod) {
			p.Assigned, p.Containers, p.Deleting = false, nil, true
		}), []string{"terminating since ? grace 1m0s from sight, snapshot 30s"}},

		{"the kubelet never took it", pod(func(p *Pod) {
			p.Containers, p.Initialized, p.Ready = nil, Condition{}, Condition{}
		}), []string{"preparing since 2 grace 30s from sight, snapshot 10s"}},
		{"volumes or sandbox", pod(func(p *Pod) {
			unready(p)
			p.Containers = []Container{waits(record.App, "web", "ContainerCreating"), waits(record.App, "log", "ContainerCreating")}
		}), []string{"preparing since 2 grace 30s from sight, snapshot 10s"}},
		{"volumes or sandbox of a pod with init containers", pod(func(p *Pod) {
			initializing(p)
			p.Containers = []Container{waits(record.Init, "migrate", "PodInitializing"), waits(record.App, "web", "PodInitializing")}
		}), []string{"preparing since 2 grace 30s from sight, snapshot 10s"}},
		{"the sandbox does not come back", pod(func(p *Pod) {
			unready(p)
			p.Containers = []Container{waits(record.App, "web", "ContainerCreating")}
			p.Containers[0].Last = died(inited + 500)
		}), []string{"preparing since 560 grace 30s from sight, snapshot 10s, spell 560"}},
		{"an ephemeral container is no proof", pod(func(p *Pod) {
			unready(p)
			p.Containers = []Container{waits(record.App, "web", "ContainerCreating"), {Name: "debug", Type: record.Ephemeral, Running: true}}
		}), []string{"preparing since 2 grace 30s from sight, snapshot 10s"}},
		{"one of two is not tried", pod(func(p *Pod) {
			unready(p)
			p.Containers = []Container{app("web"), waits(record.App, "log", "ContainerCreating"), waits(record.App, "third", "ContainerCreating")}
		}), []string{"preparing app/log since 60 grace 1m0s from sight, snapshot 10s"}},

		{"image", pod(func(p *Pod) {
			unready(p)
			p.Containers[0] = waits(record.App, "web", "ErrImagePull")
		}), []string{"image app/web since 60 grace 10s from sight, snapshot 0s"}},
		{"image of a restarted container", pod(func(p *Pod) {
			unready(p)
			p.Containers[0] = waits(record.App, "web", "ImagePullBackOff")
			p.Containers[0].Last = died(inited + 40)
		}), []string{"image app/web since 100 grace 10s from sight, snapshot 0s, spell 100"}},
		{"no such image name", pod(func(p *Pod) {
			unready(p)
			p.Containers[0] = waits(record.App, "web", "InvalidImageName")
		}), []string{"image app/web since 60 grace 0s from sight, snapshot 0s"}},
		{"image of an ephemeral container of a healthy pod", pod(func(p *Pod) {
			p.Containers = append(p.Containers, waits(record.Ephemeral, "debug", "ErrImagePull"))
		}), []string{"image ephemeral/debug since ? grace 10s from sight, snapshot 0s"}},
		{"config of one, image of the other", pod(func(p *Pod) {
			unready(p)
			p.Containers = []Container{waits(record.App, "web", "CreateContainerConfigError"), waits(record.App, "log", "ErrImageNeverPull")}
		}), []string{"config app/web since 60 grace 10s from sight, snapshot 0s", "image app/log since 60 grace 0s from sight, snapshot 0s"}},
		{"create", pod(func(p *Pod) {
			unready(p)
			p.Containers[0] = waits(record.App, "web", "CreateContainerError")
		}), []string{"create app/web since 60 grace 15s from sight, snapshot 0s"}},
		{"a start that failed is a stop", pod(func(p *Pod) {
			unready(p)
			p.Containers[0] = waits(record.App, "web", "RunContainerError")
			p.Containers[0].Last = died(inited + 40)
			p.Containers[0].Last.Reason = "StartError"
		}), nil},
		{"a hook that failed is a stop", pod(func(p *Pod) {
			unready(p)
			p.Containers[0] = waits(record.App, "web", "PostStartHookError")
		}), nil},
		{"a crash loop is stops", pod(func(p *Pod) {
			unready(p)
			p.Containers[0] = waits(record.App, "web", reasonBackOff)
			p.Containers[0].Last = died(inited + 40)
		}), nil},
		{"a crash loop before the kubelet says so", pod(func(p *Pod) {
			unready(p)
			p.Containers[0] = Container{Name: "web", Type: record.App, ContainerID: "c://old", State: died(inited + 40)}
		}), nil},
		{"created and not started", pod(func(p *Pod) {
			unready(p)
			p.Containers[0] = Container{Name: "web", Type: record.App, ContainerID: "c://1"}
		}), []string{"create app/web since 60 grace 1m0s from sight, snapshot 1m0s"}},
		{"an error of a later kubelet", pod(func(p *Pod) {
			unready(p)
			p.Containers[0] = waits(record.App, "web", "DeviceError")
		}), []string{"create app/web since 60 grace 1m0s from sight, snapshot 0s"}},

		{"an init container runs", pod(func(p *Pod) {
			initializing(p)
			p.Containers = []Container{
				ranInit("first", 0, created+20),
				{Name: "migrate", Type: record.Init, Running: true, Started: true, StartedAt: created + 21, ContainerID: "c://m"},
				waits(record.App, "web", "PodInitializing"),
			}
		}), []string{"initializing init/migrate since 20 grace 2m0s, snapshot 10s, spell 3"}},
		{"an init container fails", pod(func(p *Pod) {
			initializing(p)
			m := waits(record.Init, "migrate", reasonBackOff)
			m.Last, m.ContainerID = died(created+50), "c://old"
			p.Containers = []Container{m, waits(record.App, "web", "PodInitializing")}
		}), []string{"initializing init/migrate since 2 grace 1m0s, snapshot 10s, spell 3"}},
		{"an init container's child was killed", pod(func(p *Pod) {
			initializing(p)
			m := ranInit("migrate", 0, created+20)
			m.State.Reason = "OOMKilled"
			p.Containers = []Container{m, waits(record.App, "web", "PodInitializing")}
		}), []string{"initializing init/migrate since 2 grace 1m0s, snapshot 10s, spell 3"}},
		{"the image of an init container", pod(func(p *Pod) {
			initializing(p)
			p.Containers = []Container{ranInit("first", 0, created+20), waits(record.Init, "migrate", "ImagePullBackOff"), waits(record.App, "web", "PodInitializing")}
		}), []string{"image init/migrate since 20 grace 10s from sight, snapshot 0s"}},
		{"the next init container is not tried", pod(func(p *Pod) {
			initializing(p)
			p.Containers = []Container{ranInit("first", 0, created+20), waits(record.Init, "migrate", "PodInitializing"), waits(record.App, "web", "PodInitializing")}
		}), []string{"preparing init/migrate since 20 grace 1m0s from sight, snapshot 10s, spell 3"}},
		{"the startup probe of a sidecar", pod(func(p *Pod) {
			initializing(p)
			p.Containers = []Container{
				{Name: "proxy", Type: record.Sidecar, Running: true, StartedAt: created + 10, ContainerID: "c://p"},
				waits(record.App, "web", "PodInitializing"),
			}
		}), []string{"initializing sidecar/proxy since 2 grace 2m0s, snapshot 10s, spell 3"}},
		{"a sidecar restarts while an init container runs", pod(func(p *Pod) {
			initializing(p)
			s := waits(record.Sidecar, "proxy", reasonBackOff)
			s.Last = died(created + 30)
			p.Containers = []Container{s, {Name: "migrate", Type: record.Init, Running: true, StartedAt: created + 21, ContainerID: "c://m"}, waits(record.App, "web", "PodInitializing")}
		}), []string{"initializing init/migrate since 2 grace 2m0s, snapshot 10s, spell 3"}},

		{"not ready", pod(func(p *Pod) {
			unready(p)
			p.Containers[0].Ready = false
		}), []string{"unready app/web since 61 grace 30s, snapshot 10s, spell 3"}},
		{"not ready any more", pod(func(p *Pod) {
			p.Ready = Condition{Status: False, Since: inited + 600, Sum: 5}
			p.Containers[0].Ready = false
		}), []string{"unready app/web since 660 grace 30s, snapshot 10s, spell 660"}},
		{"not ready, the startup probe has not passed", pod(func(p *Pod) {
			unready(p)
			p.Containers[0].Ready, p.Containers[0].Started = false, false
		}), []string{"unready app/web since 61 grace 2m0s, snapshot 1m0s, spell 3"}},
		{"not ready after a restart", pod(func(p *Pod) {
			unready(p)
			p.Containers[0].Ready, p.Containers[0].Last = false, died(inited)
		}), []string{"unready app/web since 61 grace 2m0s, snapshot 1m0s, spell 3"}},
		{"the pod is ready, they say", pod(func(p *Pod) { p.Containers[0].Ready = false }), nil},
		{"a sidecar is not ready", pod(func(p *Pod) {
			unready(p)
			s := app("proxy")
			s.Type, s.Ready = record.Sidecar, false
			p.Containers = []Container{s, app("web")}
		}), []string{"unready sidecar/proxy since 61 grace 30s, snapshot 10s, spell 3"}},
		{"a readiness gate, or a lost node", pod(func(p *Pod) {
			p.Ready = Condition{Status: False, Since: inited + 600, Sum: 5}
		}), []string{"unready since 660 grace 30s, snapshot 10s, spell 660"}},
		{"one finished, the other runs", pod(func(p *Pod) {
			unready(p)
			p.Restarts = false
			done := ranInit("job", 0, inited+30)
			done.Type = record.App
			p.Containers = []Container{done, app("web")}
		}), nil},
		{"a status with nothing in it", pod(func(p *Pod) { unready(p); p.Containers[0] = Container{Name: "web", Type: record.App} }), nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got []string
			for _, s := range Symptoms(tc.pod) {
				if s.Sum == 0 {
					t.Errorf("%s has no sum", told(s))
				}
				got = append(got, told(s))
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("symptoms (-want +got):\n%s", d)
			}
		})
	}
}

// TestSymptomsAreBounded gives a pod more containers than anybody has.
func TestSymptomsAreBounded(t *testing.T) {
	p := pod(func(p *Pod) {
		unready(p)
		p.Containers = nil
		for i := range 5000 {
			p.Containers = append(p.Containers, waits(record.App, fmt.Sprint("c", i), "ErrImagePull"))
		}
	})
	if n := len(Symptoms(p)); n != maxSymptoms {
		t.Errorf("%d symptoms", n)
	}
}

// TestWaitingSum holds that the two words for a failed pull say the same.
func TestWaitingSum(t *testing.T) {
	failed := `failed to pull and unpack image "shop:2": not found`
	if WaitingSum("ErrImagePull", failed) != WaitingSum(reasonPullBackOff, `Back-off pulling image "shop:2": ErrImagePull: `+failed) {
		t.Error("ErrImagePull and ImagePullBackOff of 1.32 differ")
	}
	if n := WaitingSum(reasonPullBackOff, `Back-off pulling image "shop:2"`); n != 0 {
		t.Errorf("ImagePullBackOff of 1.31 says %x", n)
	}
	if WaitingSum("ErrImagePull", "a") == WaitingSum("ErrImagePull", "b") || WaitingSum(reasonBackOff, "") != 0 {
		t.Error("sums do not tell messages apart")
	}
}

func BenchmarkSymptomsOfAHealthyPod(b *testing.B) {
	p := pod(func(p *Pod) { p.Containers = append(p.Containers, app("log")) })
	b.ReportAllocs()
	for b.Loop() {
		if Symptoms(p) != nil {
			b.Fatal("symptoms")
		}
	}
}
