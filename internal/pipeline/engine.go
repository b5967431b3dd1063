package pipeline

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/whyrestart/whyrestart/internal/detect"
	"github.com/whyrestart/whyrestart/internal/diagnose"
	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/extract"
	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
)

// Redactor replaces secrets in what programs wrote before it is kept.
type Redactor interface {
	Lines(lines []string) ([]string, int)
}

// Engine makes diagnosed records of what a source shows. It is the part of the
// pipeline that a live watch, a replay and a dump share; it does no I/O and is not
// safe for concurrent use.
type Engine struct {
	cluster  string
	redactor Redactor
	detector *detect.Detector
	// merge are the rules that merge issues; nil for none.
	merge *issue.Rules
}

// NewEngine returns an Engine for a cluster, which may be unnamed.
func NewEngine(cluster string, r Redactor) *Engine {
	return &Engine{cluster: cluster, redactor: r, detector: detect.New()}
}

// Finding is a record together with what it was made of.
type Finding struct {
	Record record.Record
	// Evidence is what the diagnosis rests on so far.
	Evidence evidence.Evidence
	// Pod is the object that showed it; nil where there is none any more.
	Pod *corev1.Pod
	// Previous tells that the instance was already followed by another one.
	Previous bool
	// Refined tells that the record was returned before.
	Refined bool
	// unread tells that what changed before it is still to be read.
	unread bool
}

// Observe takes a pod that exists.
func (e *Engine) Observe(o *Object, history bool, now time.Time) []Finding {
	r := e.detector.Observe(&o.View, history)
	return e.findings(r, o, now)
}

// Delete takes the last state of a pod that is gone.
func (e *Engine) Delete(o *Object, history bool, now time.Time) []Finding {
	r := e.detector.Delete(&o.View, history)
	return e.findings(r, o, now)
}

// Gone takes the disappearance of a pod of which no last state can be had.
func (e *Engine) Gone(uid string, now time.Time) []Finding {
	var out []Finding
	for _, s := range e.detector.Gone(uid) {
		out = append(out, e.stop(&s, nil, nil, now))
	}
	return out
}

func (e *Engine) findings(r detect.Result, o *Object, now time.Time) []Finding {
	if len(r.Stops) == 0 {
		return nil
	}
	pod, err := full(o)
	var out []Finding
	for i := range r.Stops {
		s := &r.Stops[i]
		of := pod
		if s.PodUID != o.View.UID {
			of = nil // a pod that this one replaced
		}
		out = append(out, e.stop(s, of, err, now))
	}
	return out
}

// full decodes the whole pod of an Object, if it was kept.
func full(o *Object) (*corev1.Pod, error) {
	if o.Full == nil {
		return nil, nil
	}
	pod, err := o.Full()
	if err != nil {
		return nil, fmt.Errorf("decode pod %s/%s: %w", o.View.Namespace, o.View.Name, err)
	}
	return pod, nil
}

func (e *Engine) stop(s *detect.Stop, pod *corev1.Pod, decode error, now time.Time) Finding {
	r := extract.Stop(e.cluster, s, pod, now)
	ev := extract.Evidence(s, pod)
	if decode != nil {
		ev.Missing = append(ev.Missing, record.Missing{What: "pod", Why: decode.Error()})
	}
	f := Finding{Record: r, Evidence: ev, Pod: pod, Previous: s.InLast, Refined: s.Refined}
	e.belongs(&f)
	e.explain(&f)
	f.Record.Message = e.redact(f.Record.Message)
	return f
}

// belongs says whose a finding is before anything but its pod is read: so that it is counted where it
// belongs from the beginning, also where there is no time to read more.
func (e *Engine) belongs(f *Finding) {
	if f.Pod == nil {
		return
	}
	f.Record.Workload = extract.LikelyOwner(f.Pod)
	e.group(f, f.Pod.Annotations)
}

// group says in a record which group it is in: the one that its pod's annotations name, or that of a
// merge rule.
func (e *Engine) group(f *Finding, annotations map[string]string) {
	f.Record.Group = extract.Group(annotations)
	f.Record.Group = e.merge.Group(&f.Record)
}

// DiagnoseStall explains a stall, or tells that the evidence shows none.
func DiagnoseStall(e *evidence.Evidence) (diagnose.Finding, bool) {
	if e.Stall == nil {
		return diagnose.Finding{}, false
	}
	return diagnose.Stalled(e)
}

// tail reads the log tail of a stop, and redacts it. It may be called from any goroutine.
func (e *Engine) tail(ctx context.Context, logs LogReader, f *Finding) *record.Log {
	r := &f.Record
	log := logs.Tail(ctx, LogRequest{
		Namespace:   r.Namespace,
		Pod:         r.Pod,
		PodUID:      r.PodUID,
		Container:   r.Container,
		ContainerID: r.ContainerID,
		StartedAt:   r.StartedAt,
		FinishedAt:  r.FinishedAt,
		Previous:    f.Previous,
	})
	if e.redactor != nil {
		log.Lines, log.Redactions = e.redactor.Lines(log.Lines)
	}
	return &log
}

// diagnosed completes a record by its diagnosis.
func (e *Engine) diagnosed(r *record.Record, f diagnose.Finding) {
	r.Category, r.Diagnosis, r.WillRestart = f.Category, f.Diagnosis, f.WillRestart
}

func (e *Engine) redact(s string) string {
	if e.redactor == nil || s == "" {
		return s
	}
	lines, _ := e.redactor.Lines(strings.Split(s, "\n"))
	return strings.Join(lines, "\n")
}
