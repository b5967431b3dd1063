// Package evidence holds what was known of a stop or stall when it was diagnosed,
// and what was not and why. It is plain data with a versioned JSON form, so that a
// diagnosis can be repeated later, offline, and with newer rules.
//
// The package imports the standard library and package record alone.
package evidence

import (
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
)

// Version names the JSON form of Evidence.
const Version = "evidence/v1"

// Evidence is everything that a rule may look at.
type Evidence struct {
	Version   string    `json:"version"`
	Pod       Pod       `json:"pod"`
	Container Container `json:"container,omitzero"`
	// Stop is nil for a stall.
	Stop *Stop `json:"stop,omitempty"`
	// EventsRead tells that the pod's events were read; Events are those that concern the
	// pod or the container, oldest first.
	EventsRead bool    `json:"eventsRead,omitempty"`
	Events     []Event `json:"events,omitempty"`
	// EventsSince is the time before which the API has forgotten events, or may have; zero
	// where that is not known.
	EventsSince time.Time `json:"eventsSince,omitzero"`
	// Missing names readings that were not to be had.
	Missing []record.Missing `json:"missing,omitempty"`
}

// Pod is the part of a pod's spec and status that rules look at.
type Pod struct {
	Namespace     string    `json:"namespace"`
	Name          string    `json:"name"`
	UID           string    `json:"uid"`
	Phase         string    `json:"phase,omitempty"`
	Reason        string    `json:"reason,omitempty"`
	Message       string    `json:"message,omitempty"`
	CreatedAt     time.Time `json:"createdAt,omitzero"`
	RestartPolicy string    `json:"restartPolicy,omitempty"`
	// DeletionTimestamp is when a deletion's grace period ends, as the API has it.
	DeletionTimestamp time.Time `json:"deletionTimestamp,omitzero"`
	// DeletionGraceSeconds is that grace period, TerminationGraceSeconds the one of the spec.
	DeletionGraceSeconds    int64 `json:"deletionGraceSeconds,omitempty"`
	TerminationGraceSeconds int64 `json:"terminationGraceSeconds,omitempty"`
	// Disruption is the condition DisruptionTarget, where it is True.
	Disruption *Condition `json:"disruption,omitempty"`
	// Owner is the controller of the pod.
	Owner *record.Workload `json:"owner,omitempty"`
	// AppsFinished is true once every regular container of the pod has terminated.
	AppsFinished bool `json:"appsFinished,omitempty"`
}

// Condition is a pod condition.
type Condition struct {
	Reason  string    `json:"reason,omitempty"`
	Message string    `json:"message,omitempty"`
	Time    time.Time `json:"time,omitzero"`
}

// Container is the part of a container's spec and status that rules look at.
type Container struct {
	Name string               `json:"name"`
	Type record.ContainerType `json:"type"`
	// RestartPolicy is the container's own, empty where it follows the pod's.
	RestartPolicy string `json:"restartPolicy,omitempty"`
	// RestartRules tells that restartPolicyRules may override the policy.
	RestartRules bool `json:"restartRules,omitempty"`
	// Liveness, Startup and PostStart tell what the kubelet may kill the container for.
	Liveness  bool `json:"liveness,omitempty"`
	Startup   bool `json:"startup,omitempty"`
	PostStart bool `json:"postStart,omitempty"`
	// MemoryLimit is the container's memory limit in bytes, 0 for none.
	MemoryLimit int64 `json:"memoryLimit,omitempty"`
	// WaitingReason and WaitingMessage are those of the status that showed the stop.
	WaitingReason  string `json:"waitingReason,omitempty"`
	WaitingMessage string `json:"waitingMessage,omitempty"`
}

// Stop is the end of an instance as the API shows it.
type Stop struct {
	// Field is the path of the terminated state in the pod, empty where none was seen.
	Field string `json:"field,omitempty"`
	// ExitObserved is as in record.Stop.
	ExitObserved bool      `json:"exitObserved"`
	HasExitCode  bool      `json:"hasExitCode"`
	ExitCode     int32     `json:"exitCode,omitempty"`
	Reason       string    `json:"reason,omitempty"`
	Message      string    `json:"message,omitempty"`
	StartedAt    time.Time `json:"startedAt,omitzero"`
	FinishedAt   time.Time `json:"finishedAt,omitzero"`
}

// Event is an event about the pod, or about the container.
type Event struct {
	Type    string `json:"type"`
	Reason  string `json:"reason"`
	Message string `json:"message,omitempty"`
	// Container tells that the event is about this container, not about the pod.
	Container bool `json:"container,omitempty"`
	// First and Last are when it happened for the first and last time, Count how often.
	First time.Time `json:"first,omitzero"`
	Last  time.Time `json:"last,omitzero"`
	Count int       `json:"count,omitempty"`
}
