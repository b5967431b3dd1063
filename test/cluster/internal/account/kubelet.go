package account

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Noticed is one line of the kubelet's account: a change that the kubelet
// itself saw when it compared the state of the runtime with the one before.
type Noticed struct {
	PodUID      string `json:"podUID"`
	Namespace   string `json:"namespace"`
	Pod         string `json:"pod"`
	Type        string `json:"type"` // ContainerStarted, ContainerDied, ContainerRemoved or ContainerChanged
	ContainerID string `json:"containerID"`
}

// pleg begins the message of the kubelet that tells of a change. It is written
// from verbosity 2 on.
const pleg = `"SyncLoop (PLEG): event for pod" pod="`

// ReadKubelet reads a log of a kubelet and hands every change in it to yield,
// in the order of the log, until yield fails or the log ends.
func ReadKubelet(log io.Reader, yield func(Noticed) error) error {
	lines := bufio.NewReader(log)
	for {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return nil // what the kubelet is just writing is not a line yet
		}
		if err != nil {
			return fmt.Errorf("read the log of the kubelet: %w", err)
		}
		n, ok := parsePLEG(line)
		if !ok {
			continue
		}
		if err := yield(n); err != nil {
			return err
		}
	}
}

// parsePLEG reads a line like
//
//	I1121 03:45:01.123456    4711 kubelet.go:2788] "SyncLoop (PLEG): event for pod" pod="ns/name" event={"ID":"UID","Type":"ContainerDied","Data":"CONTAINER"}
func parsePLEG(line string) (Noticed, bool) {
	_, rest, ok := strings.Cut(line, pleg)
	if !ok {
		return Noticed{}, false
	}
	name, rest, ok := strings.Cut(rest, `" event=`)
	if !ok {
		return Noticed{}, false
	}
	namespace, pod, ok := strings.Cut(name, "/")
	if !ok {
		return Noticed{}, false
	}
	var event struct {
		ID   string
		Type string
		Data string
	}
	// What follows the event on the line is none of ours.
	if err := json.NewDecoder(bytes.NewBufferString(rest)).Decode(&event); err != nil {
		return Noticed{}, false
	}
	return Noticed{
		PodUID:      event.ID,
		Namespace:   namespace,
		Pod:         pod,
		Type:        event.Type,
		ContainerID: event.Data,
	}, true
}
