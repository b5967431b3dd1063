// Package record defines what whyrestart writes down: one Record for every
// container stop and every stall, with the diagnosis, the log tail and the keys
// that make storing and telling it idempotent.
//
// The JSON of these types is the public schema "whyrestart/v1": a field's name
// and meaning never change, fields may be added. Fields that are empty are left
// out, except those of a stop that are meaningful when zero. A time that the
// container runtime did not know (null, or the epoch of 1970) is the zero
// time.Time here, is left out of the JSON, and is never computed with.
//
// The package imports the standard library alone.
package record

import (
	"slices"
	"strings"
	"time"
)

// Schema names the version of the JSON that Record and Document marshal to.
const Schema = "whyrestart/v1"

// Kind tells the two things a Record can be about.
type Kind string

const (
	// KindStop is the end of one container instance.
	KindStop Kind = "stop"
	// KindStall is a container or pod that cannot start, become ready or go away.
	KindStall Kind = "stall"
)

// ContainerType tells in which of a pod's container lists a container stands.
type ContainerType string

const (
	// App is a regular container (spec.containers).
	App ContainerType = "app"
	// Init is an init container that runs to completion before the regular ones.
	Init ContainerType = "init"
	// Sidecar is an init container with restartPolicy Always (KEP-753).
	Sidecar ContainerType = "sidecar"
	// Ephemeral is a debug container added to a running pod.
	Ephemeral ContainerType = "ephemeral"
)

// Category separates what is broken from what was meant to happen.
type Category string

const (
	// Failure means that the workload is broken.
	Failure Category = "failure"
	// Disruption means that the cluster moved or interrupted the workload.
	Disruption Category = "disruption"
	// Lifecycle means that somebody wanted the stop: a rollout, a deletion, a finished job.
	Lifecycle Category = "lifecycle"
)

// Rank orders categories, what is broken first. What is not known may be a failure.
func (c Category) Rank() int {
	switch c {
	case Disruption:
		return 1
	case Lifecycle:
		return 2
	case Failure:
	}
	return 0
}

// Confidence tells how well a cause is proven.
type Confidence string

const (
	// Confirmed means that an API fact says so, and is quoted as evidence.
	Confirmed Confidence = "confirmed"
	// Likely means that a documented mechanism fits; competing explanations are named.
	Likely Confidence = "likely"
	// Unknown means that the API does not carry the cause; what is missing is named.
	Unknown Confidence = "unknown"
)

// Record is one stop or one stall.
type Record struct {
	Kind      Kind   `json:"kind"`
	ID        string `json:"id"`
	Cluster   string `json:"cluster,omitempty"`
	Namespace string `json:"namespace"`
	Pod       string `json:"pod"`
	PodUID    string `json:"podUID"`
	Node      string `json:"node,omitempty"`
	// Container is empty where the finding is about the pod as a whole.
	Container     string        `json:"container,omitempty"`
	ContainerType ContainerType `json:"containerType,omitempty"`
	// Workload is the root owner; nil where it could not be resolved.
	Workload *Workload `json:"workload,omitempty"`

	*Stop
	*Stall

	// ObservedAt is the watcher's clock when the stop or stall was first seen.
	ObservedAt time.Time `json:"observedAt,omitzero"`

	Category Category `json:"category"`
	// WillRestart tells whether the kubelet starts this container again; nil where that cannot be told.
	WillRestart *bool `json:"willRestart,omitempty"`
	// BackOffSeconds is the delay before the next start as the kubelet's own message states it, in seconds.
	BackOffSeconds int64 `json:"backOffSeconds,omitempty"`

	Diagnosis Diagnosis `json:"diagnosis"`
	Log       *Log      `json:"log,omitempty"`
	// Life is the pod's life, where it was asked for.
	Life []LifeStep `json:"life,omitempty"`

	// PodCreatedAt is when the pod was created, Revision which revision of its workload made it:
	// the value of the label pod-template-hash or controller-revision-hash.
	PodCreatedAt time.Time `json:"podCreatedAt,omitzero"`
	Revision     string    `json:"revision,omitempty"`
	// GenerateName is what the pod's name begins with, where the API server made up the rest.
	GenerateName string `json:"generateName,omitempty"`
	// Group replaces the workload in the issue's identity, where the pod's annotation
	// whyrestart.dev/group or a merge rule says so.
	Group string `json:"group,omitempty"`
	// Changes are what was changed before the container began to fail, the newest first.
	Changes []Change `json:"changes,omitempty"`
	// Issue is what the record belongs to; nil where nobody grouped it.
	Issue *IssueRef `json:"issue,omitempty"`
}

// Workload names the root owner of a pod, such as a Deployment, a CronJob or a custom kind.
type Workload struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
}

// Short is the workload as kubectl spells kinds: "deploy/checkout".
func (w Workload) Short() string {
	kind := strings.ToLower(w.Kind)
	switch kind {
	case "deployment":
		kind = "deploy"
	case "statefulset":
		kind = "sts"
	case "daemonset":
		kind = "ds"
	case "replicaset":
		kind = "rs"
	case "replicationcontroller":
		kind = "rc"
	case "cronjob":
		kind = "cj"
	}
	return kind + "/" + w.Name
}

// Stop holds what is known of the end of one container instance.
type Stop struct {
	// Epoch counts the resets of the restart count that were seen before this instance.
	Epoch int `json:"epoch,omitempty"`
	// Ordinal is the restart count while this instance ran: the first instance has ordinal 0.
	Ordinal int `json:"ordinal"`
	// RestartCount is the restart count that the pod's status showed when the stop was seen.
	RestartCount int `json:"restartCount"`
	// MissedBefore is the number of instances that ended between the previous recorded
	// stop of this container and this one, of which only the count is known.
	MissedBefore int `json:"missedBefore"`
	// MissedAfter and MissedUntil bound the time in which the missed ones ended, where known.
	MissedAfter time.Time `json:"missedAfter,omitzero"`
	MissedUntil time.Time `json:"missedUntil,omitzero"`
	// ExitObserved is true where the API reported the end, by a terminated state or at
	// least by a restart count that moved on; false where the pod was gone before that.
	ExitObserved bool `json:"exitObserved"`
	// BeforeWatch is true where the stop happened before the watch of this cluster began.
	BeforeWatch bool `json:"beforeWatch"`

	// ExitCode is nil where no terminated state was seen for this instance.
	ExitCode *int32 `json:"exitCode,omitempty"`
	// Signal is the signal that the exit code stands for by convention (128+n); see diagnosis
	// for whether a signal really was the cause.
	Signal      string    `json:"signal,omitempty"`
	Reason      string    `json:"reason,omitempty"`
	Message     string    `json:"message,omitempty"`
	ContainerID string    `json:"containerID,omitempty"`
	Image       string    `json:"image,omitempty"`
	ImageID     string    `json:"imageID,omitempty"`
	StartedAt   time.Time `json:"startedAt,omitzero"`
	FinishedAt  time.Time `json:"finishedAt,omitzero"`
	// RanSeconds is FinishedAt minus StartedAt in whole seconds; nil where either is unknown.
	RanSeconds *int64 `json:"ranSeconds,omitempty"`
}

// Stall holds what is known of a container or pod that cannot go on.
type Stall struct {
	Begin time.Time `json:"begin,omitzero"`
	End   time.Time `json:"end,omitzero"`
}

// Diagnosis says why, and what that rests on.
type Diagnosis struct {
	// Cause is a stable snake_case code.
	Cause string `json:"cause"`
	// Detail refines the cause; also a stable code.
	Detail     string     `json:"detail,omitempty"`
	Confidence Confidence `json:"confidence"`
	// Summary is one plain sentence.
	Summary      string        `json:"summary"`
	Evidence     []Evidence    `json:"evidence,omitempty"`
	Alternatives []Alternative `json:"alternatives,omitempty"`
	RuledOut     []Alternative `json:"ruledOut,omitempty"`
	Missing      []Missing     `json:"missing,omitempty"`
	Next         []NextStep    `json:"next,omitempty"`
	// Advice is what the evidence shows should be changed whatever caused this one.
	Advice       []Advice `json:"advice,omitempty"`
	RulesVersion string   `json:"rulesVersion,omitempty"`
	// Signature tells the program's last words from others of their class, for grouping:
	// without what changes from one time to the next.
	Signature string `json:"signature,omitempty"`
	// Target is what the program could not reach, as "db.shop:5432", where its last words name it.
	Target string `json:"target,omitempty"`
}

// Evidence quotes one fact of the API.
type Evidence struct {
	// Source is the kind of reading: pod-status, pod-spec, event, node, log, owner, history, config-map.
	Source string `json:"source"`
	// Object is the object's kind and namespaced name, as "Pod shop/checkout-1".
	Object string    `json:"object,omitempty"`
	UID    string    `json:"uid,omitempty"`
	Field  string    `json:"field,omitempty"`
	Value  string    `json:"value"`
	Time   time.Time `json:"time,omitzero"`
}

// Alternative names another cause, and why it stays possible or is ruled out.
type Alternative struct {
	Cause string `json:"cause"`
	Why   string `json:"why"`
}

// Missing names a reading that would have helped, and why there is none.
type Missing struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

// NextStep is something for a person to do; whyrestart never runs Command.
type NextStep struct {
	Text    string `json:"text"`
	Command string `json:"command,omitempty"`
}

// Advice is something that the evidence shows to be set up badly, and which stops to
// expect of it.
type Advice struct {
	// Code is a stable code, such as "no_startup_probe".
	Code string `json:"code"`
	Text string `json:"text"`
	// Evidence is what it rests on.
	Evidence []Evidence `json:"evidence,omitempty"`
}

// LifeStep is one step of a pod's life, such as "scheduled" or "image pulled".
type LifeStep struct {
	// Step is a stable code.
	Step string `json:"step"`
	// Container is empty for a step of the pod.
	Container string    `json:"container,omitempty"`
	Time      time.Time `json:"time,omitzero"`
	// Seconds is how long the step took, nil where that is not known; UsualSeconds what is
	// usual for this workload.
	Seconds      *float64 `json:"seconds,omitempty"`
	UsualSeconds *float64 `json:"usualSeconds,omitempty"`
	Text         string   `json:"text,omitempty"`
	// Source tells where it was read: pod-status, pod-metadata or event.
	Source string `json:"source,omitempty"`
}

// LogInstance tells whose log a captured tail is.
type LogInstance string

const (
	// LogProven means that the container IDs before and after the read show that the
	// lines are those of the stopped instance.
	LogProven LogInstance = "proven"
	// LogProbable means that another restart during the read cannot be excluded.
	LogProbable LogInstance = "probable"
)

// Log is the captured, redacted tail of a stopped instance's log.
type Log struct {
	Lines    []string    `json:"lines,omitempty"`
	Instance LogInstance `json:"instance,omitempty"`
	// Truncated tells that earlier output was left out.
	Truncated bool `json:"truncated,omitempty"`
	// Redactions counts the values that were replaced.
	Redactions int `json:"redactions,omitempty"`
	// Missing says why there are no lines, in the API's words where it gave any.
	Missing string `json:"missing,omitempty"`
}

// Document is the one JSON document that "analyze -o json" and its relatives print.
type Document struct {
	Schema   string   `json:"schema"`
	Findings []Record `json:"findings"`
	Coverage Coverage `json:"coverage"`
}

// Coverage says what was looked at, and what could not be seen.
type Coverage struct {
	Pods   int   `json:"pods"`
	Stops  int   `json:"stops"`
	Missed int   `json:"missed"`
	Gaps   []Gap `json:"gaps,omitempty"`
	// Missing names what could not be read: a forbidden resource, a damaged file.
	Missing []Missing `json:"missing,omitempty"`
}

// GapKind says what a Gap is a gap in.
type GapKind string

// The kinds of gaps.
const (
	// GapWatch: the state of pods was not seen.
	GapWatch GapKind = "watch"
	// GapEvents: the events of a scope were not seen.
	GapEvents GapKind = "events"
	// GapPermission: the API server refused to show something. Scope is the resource, such as "pods/log",
	// "jobs.batch" or "pods/log in shop", and Count how often.
	GapPermission GapKind = "permission"
	// GapStore: what was seen could not be stored. It waited, in memory.
	GapStore GapKind = "store"
	// GapNotification: Count records were stored and not told to the consumer that Scope names.
	GapNotification GapKind = "notification"
	// GapEvidence: the logs and events of Count stops were not read, as too many came at once.
	GapEvidence GapKind = "evidence"
)

// Gap is a stretch of time of which something is not known.
type Gap struct {
	// Kind is empty in records of versions that knew only GapWatch.
	Kind GapKind   `json:"kind,omitempty"`
	From time.Time `json:"from,omitzero"`
	// To is zero for a gap that lasts.
	To time.Time `json:"to,omitzero"`
	// Scope is what was not seen, such as a namespace; empty for everything watched.
	Scope string `json:"scope,omitempty"`
	Why   string `json:"why"`
	// Count is of how many things, where they can be counted.
	Count int64 `json:"count,omitempty"`
	// Cluster is filled in where an answer is about several.
	Cluster string `json:"cluster,omitempty"`
}

// Clone returns a copy of r that shares no memory with it that either may write to.
func (r Record) Clone() Record {
	r.Workload = clone(r.Workload)
	if r.Stop = clone(r.Stop); r.Stop != nil {
		r.ExitCode, r.RanSeconds = clone(r.ExitCode), clone(r.RanSeconds)
	}
	r.Stall = clone(r.Stall)
	r.WillRestart = clone(r.WillRestart)
	if r.Log = clone(r.Log); r.Log != nil {
		r.Log.Lines = slices.Clone(r.Log.Lines)
	}
	d := &r.Diagnosis
	d.Evidence = slices.Clone(d.Evidence)
	d.Alternatives = slices.Clone(d.Alternatives)
	d.RuledOut = slices.Clone(d.RuledOut)
	d.Missing = slices.Clone(d.Missing)
	d.Next = slices.Clone(d.Next)
	d.Advice = slices.Clone(d.Advice)
	for i := range d.Advice {
		d.Advice[i].Evidence = slices.Clone(d.Advice[i].Evidence)
	}
	r.Life = slices.Clone(r.Life)
	r.Changes = slices.Clone(r.Changes)
	for i := range r.Changes {
		r.Changes[i].Fields = slices.Clone(r.Changes[i].Fields)
	}
	r.Issue = clone(r.Issue)
	return r
}

func clone[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}
