// Package account keeps two accounts of what happened to containers that do not
// come from the Kubernetes API: what the container runtime reports of itself,
// and what the kubelet writes to its log when it notices a change.
//
// A tool that reads the API is measured against them: what it missed and what
// it made up can only be told by somebody who was nearer.
package account

import "time"

// The types of Event. Created, Started, Stopped and Deleted are the runtime's
// own; the rest say what the recorder knows of its own completeness.
const (
	Created = "created"
	Started = "started"
	Stopped = "stopped"
	Deleted = "deleted"

	// Seen is a container that was there when the recorder connected.
	Seen = "seen"
	// Connected follows the Seen events of a connection: from here on nothing
	// is missed until the next Disconnected.
	Connected = "connected"
	// Disconnected says that the runtime went away.
	Disconnected = "disconnected"
)

// Event is one line of the runtime's account. A sandbox is an event without
// the name of a container.
type Event struct {
	Time        time.Time  `json:"time"`
	Type        string     `json:"type"`
	PodUID      string     `json:"podUID,omitempty"`
	Namespace   string     `json:"namespace,omitempty"`
	Pod         string     `json:"pod,omitempty"`
	Container   string     `json:"container,omitempty"`
	Attempt     int        `json:"attempt"`
	ContainerID string     `json:"containerID,omitempty"`
	State       string     `json:"state,omitempty"`    // of Seen: created, running, exited or unknown
	ExitCode    *int       `json:"exitCode,omitempty"` // of a container that has ended
	Reason      string     `json:"reason,omitempty"`
	StartedAt   *time.Time `json:"startedAt,omitempty"`
	FinishedAt  *time.Time `json:"finishedAt,omitempty"`
}
