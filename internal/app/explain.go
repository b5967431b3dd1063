package app

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/whyrestart/whyrestart/internal/diagnose"
	"github.com/whyrestart/whyrestart/internal/pipeline"
	"github.com/whyrestart/whyrestart/internal/printer"
	"github.com/whyrestart/whyrestart/internal/record"
)

// RulesVersion is that of the rules in this program.
const RulesVersion = diagnose.RulesVersion

// Subject is what somebody asks about: a pod, or all pods of a workload.
type Subject struct {
	// Kind is the singular of a kind in lower case, "pod" for a single pod.
	Kind, Name string
	// Container narrows it down; empty means all.
	Container string
}

// ParseSubject reads POD or KIND/NAME as kubectl spells it: with short names, in the
// plural, or with an API group.
func ParseSubject(arg string) (Subject, error) {
	kind, name, ok := strings.Cut(arg, "/")
	if !ok {
		kind, name = "pod", arg
	}
	if kind == "" || name == "" || strings.Contains(name, "/") {
		return Subject{}, fmt.Errorf("%q: want POD or KIND/NAME", arg)
	}
	kind, _, _ = strings.Cut(strings.ToLower(kind), ".") // deployments.apps
	return Subject{Kind: canonical(kind), Name: name}, nil
}

func canonical(kind string) string {
	switch kind {
	case "po", "pods":
		return "pod"
	case "deploy":
		return "deployment"
	case "sts":
		return "statefulset"
	case "ds":
		return "daemonset"
	case "rs":
		return "replicaset"
	case "rc":
		return "replicationcontroller"
	case "cj":
		return "cronjob"
	}
	if one, ok := strings.CutSuffix(kind, "s"); ok && !strings.HasSuffix(one, "s") {
		return one
	}
	return kind
}

// IsPod tells that the subject is a single pod.
func (s Subject) IsPod() bool { return s.Kind == "pod" }

func (s Subject) String() string { return s.Kind + "/" + s.Name }

// Has tells whether a finding is about the subject.
func (s Subject) Has(f *pipeline.Finding) bool {
	r := &f.Record
	if s.Container != "" && r.Container != s.Container {
		return false
	}
	if s.IsPod() {
		return r.Pod == s.Name
	}
	if r.Workload != nil && canonical(strings.ToLower(r.Workload.Kind)) == s.Kind && r.Workload.Name == s.Name {
		return true
	}
	owner := f.Evidence.Pod.Owner // between the pod and its workload: a ReplicaSet, a Job of a CronJob
	if owner != nil && canonical(strings.ToLower(owner.Kind)) == s.Kind && owner.Name == s.Name {
		return true
	}
	if owner != nil && s.names(owner, f.Evidence.Pod.Labels) {
		return true
	}
	if e := f.Evidence.Owner; e != nil {
		for _, c := range e.Chain {
			if canonical(strings.ToLower(c.Kind)) == s.Kind && c.Name == s.Name {
				return true
			}
		}
	}
	return false
}

// names tells, where the objects between were not read, what their names tell: a
// Deployment's ReplicaSet has its name and the hash of the template, a CronJob's Job its name
// and the minute.
func (s Subject) names(owner *record.Workload, labels map[string]string) bool {
	rest, ok := strings.CutPrefix(owner.Name, s.Name+"-")
	switch {
	case !ok || rest == "":
		return false
	case s.Kind == "deployment":
		return owner.Kind == "ReplicaSet" && rest == labels["pod-template-hash"]
	case s.Kind == "cronjob":
		return owner.Kind == "Job" && strings.Trim(rest, "0123456789") == ""
	}
	return false
}

// Wants narrows down the pods that have to be looked at. It may let too many through,
// of which Has tells more.
func (s Subject) Wants(pod *corev1.Pod) bool {
	if s.IsPod() {
		return pod.Name == s.Name
	}
	switch s.Kind {
	case "deployment", "statefulset", "daemonset", "replicaset", "replicationcontroller", "job", "cronjob":
	default:
		return true // who knows how its pods and what is between are named
	}
	if strings.HasPrefix(pod.Name, s.Name) {
		return true
	}
	for _, o := range pod.OwnerReferences {
		if o.Name == s.Name || strings.HasPrefix(o.Name, s.Name+"-") {
			return true
		}
	}
	return false
}

// Of returns the findings about the subject, and apart from them what tells that a pod of
// it is there of which there is nothing to find.
func (s Subject) Of(found []pipeline.Finding) (about, well []pipeline.Finding) {
	pods := s
	pods.Container = ""
	for i := range found {
		switch f := &found[i]; {
		case f.Record.Kind != "" && s.Has(f):
			about = append(about, *f)
		case pods.Has(f):
			well = append(well, *f)
		}
	}
	return about, well
}

// containerOf names the container, or the pod itself, that a finding is about.
type containerOf struct {
	pod  string
	kind record.ContainerType
	name string
}

func of(r *record.Record) containerOf {
	return containerOf{cmp.Or(r.PodUID, r.Pod), r.ContainerType, r.Container}
}

// Newest returns the last stop of each container, and the stalls that go on (where there
// are none, the last that ended): failures first. An init container that completed is
// left out: that is what it is for.
func Newest(found []pipeline.Finding) []pipeline.Finding {
	type key struct {
		containerOf
		kind record.Kind
	}
	newest := make(map[key]pipeline.Finding)
	var out []pipeline.Finding
	for _, f := range latest(found) {
		r := &f.Record
		if r.Stall != nil && r.End.IsZero() {
			out = append(out, f)
			continue
		}
		if r.ContainerType == record.Init && r.Diagnosis.Cause == "completed" {
			continue
		}
		k := key{of(r), r.Kind}
		if old, ok := newest[k]; !ok || later(r, &old.Record) {
			newest[k] = f
		}
	}
	for k, f := range newest {
		over := k.kind == record.KindStall
		// A stall that is over is of interest where nothing came after it.
		if _, stopped := newest[key{k.containerOf, record.KindStop}]; over && (stopped || len(out) > 0) {
			continue
		}
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b pipeline.Finding) int {
		return cmp.Or(printer.ByWeight(&a.Record, &b.Record), cmp.Compare(a.Record.ID, b.Record.ID))
	})
	return out
}

// latest leaves out what says that a pod is there of which there is nothing to find, and
// of those with one ID all but the last, which replaces the earlier ones.
func latest(found []pipeline.Finding) []pipeline.Finding {
	at := make(map[string]int)
	var out []pipeline.Finding
	for _, f := range found {
		if f.Record.Kind == "" {
			continue
		}
		if i, ok := at[f.Record.ID]; ok {
			out[i] = f
			continue
		}
		at[f.Record.ID] = len(out)
		out = append(out, f)
	}
	return out
}

func later(a, b *record.Record) bool {
	if a.Stop != nil && b.Stop != nil && a.Epoch == b.Epoch && a.Ordinal != b.Ordinal {
		return a.Ordinal > b.Ordinal
	}
	return a.When().After(b.When())
}

// Restart returns the stop that restart n followed: the one with ordinal n-1.
func Restart(found []pipeline.Finding, n int) (pipeline.Finding, error) {
	var seen []int
	var best *pipeline.Finding
	found = latest(found)
	for i := range found {
		r := &found[i].Record
		if r.Stop == nil {
			continue
		}
		if r.Ordinal != n-1 {
			seen = append(seen, r.Ordinal+1)
		} else if best == nil || later(r, &best.Record) {
			best = &found[i]
		}
	}
	switch {
	case best != nil:
		return *best, nil
	case len(seen) == 0:
		return pipeline.Finding{}, fmt.Errorf("no stop is known, and so none that restart %d followed", n)
	}
	return pipeline.Finding{}, fmt.Errorf("the stop before restart %d is not known here, but before %s; a history that serve keeps has them all", n, ranges(seen))
}

// ranges writes numbers as 1, 3-7, 9.
func ranges(all []int) string {
	slices.Sort(all)
	all = slices.Compact(all)
	var out []string
	for i := 0; i < len(all); {
		j := i
		for j+1 < len(all) && all[j+1] == all[j]+1 {
			j++
		}
		if text := fmt.Sprint(all[i]); j == i {
			out = append(out, text)
		} else {
			out = append(out, fmt.Sprintf("%s-%d", text, all[j]))
		}
		i = j + 1
	}
	return strings.Join(out, ", ")
}

// AddLife adds the life of its pod to each finding, as far as the evidence tells it.
func AddLife(found []pipeline.Finding) {
	for i := range found {
		e, r := &found[i].Evidence, &found[i].Record
		if e.Version == "" {
			r.Diagnosis.Missing = append(slices.Clone(r.Diagnosis.Missing), record.Missing{What: "the pod's life", Why: "no evidence was kept of it"})
			continue
		}
		r.Life = diagnose.Life(e)
	}
}

// Explanations puts findings into words: of those that say the same of several pods, the
// newest stands for all.
func Explanations(found []pipeline.Finding) []printer.Explanation {
	records := Records(found)
	byID := make(map[string]*pipeline.Finding, len(found))
	for i := range found {
		byID[found[i].Record.ID] = &found[i]
	}
	var out []printer.Explanation
	for _, g := range printer.GroupBy(records) {
		x := printer.Explanation{Record: *g.Newest}
		if f := byID[g.Newest.ID]; f != nil {
			x.History = historyOf(f)
		}
		for _, r := range g.Findings {
			if r.Pod != g.Newest.Pod {
				x.Like = append(x.Like, *r)
			}
		}
		out = append(out, x)
	}
	return out
}

// mostInFull is how many problems of a workload are explained in full.
const mostInFull = 3

// Foremost parts explanations into those that are shown in full and those that are only
// named: all of one pod are shown, and of several pods what is most in need of it.
func Foremost(all []printer.Explanation) (full, also []printer.Explanation) {
	pods := make(map[string]bool)
	for i := range all {
		pods[all[i].Record.Pod] = true
		for j := range all[i].Like {
			pods[all[i].Like[j].Pod] = true
		}
	}
	if len(pods) == 1 {
		return all, nil
	}
	for i, x := range all {
		if i == 0 || i < mostInFull && x.Record.Category != record.Lifecycle {
			full = append(full, x)
		} else {
			also = append(also, x)
		}
	}
	return full, also
}

// Document makes the one document that is printed of findings.
func Document(found []pipeline.Finding, coverage record.Coverage) record.Document {
	return record.Document{Schema: record.Schema, Findings: Records(found), Coverage: coverage}
}

// Records returns the records of findings.
func Records(found []pipeline.Finding) []record.Record {
	out := make([]record.Record, len(found))
	for i := range found {
		out[i] = found[i].Record
	}
	return out
}

// historyOf is what the evidence, or the restart count alone, tells of earlier stops.
func historyOf(f *pipeline.Finding) *printer.History {
	r := &f.Record
	if r.Stop == nil {
		return nil
	}
	if h := f.Evidence.History; h != nil && h.Stops > 0 {
		out := &printer.History{Of: "this container", Stops: h.Stops + 1, First: h.First, Last: r.When(), RanSeconds: slices.Clone(h.RanSeconds)}
		if r.RanSeconds != nil {
			out.RanSeconds = append(out.RanSeconds, *r.RanSeconds)
		}
		out.Causes = countCauses(append(slices.Clone(h.Causes), r.Diagnosis.Cause))
		out.Missed = max(0, r.Ordinal-h.Stops)
		return out
	}
	if r.Ordinal == 0 {
		return nil
	}
	return &printer.History{Of: "this container", Stops: 1, Missed: r.Ordinal}
}

func countCauses(causes []string) []printer.CauseCount {
	n := make(map[string]int)
	for _, c := range causes {
		n[c]++
	}
	var out []printer.CauseCount
	for _, c := range slices.Sorted(maps.Keys(n)) {
		out = append(out, printer.CauseCount{Cause: c, Stops: n[c]})
	}
	slices.SortStableFunc(out, func(a, b printer.CauseCount) int { return b.Stops - a.Stops })
	return out
}

// WithID returns the finding whose ID begins so.
func WithID(found []pipeline.Finding, id string) []pipeline.Finding {
	var out []pipeline.Finding
	found = latest(found)
	for i := range found {
		if strings.HasPrefix(found[i].Record.ID, id) {
			out = append(out, found[i])
		}
	}
	return out
}
