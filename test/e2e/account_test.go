//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// account follows the file in which test/cluster records what containerd reports.
type account struct {
	mu     sync.Mutex
	since  time.Time
	events []accountEvent
	raw    map[string][]string // lines by namespace
	err    error
}

// accountEvent is one line of that file, as far as the comparison needs it.
type accountEvent struct {
	Time        time.Time `json:"time"`
	Type        string    `json:"type"`
	PodUID      string    `json:"podUID"`
	Namespace   string    `json:"namespace"`
	Pod         string    `json:"pod"`
	Container   string    `json:"container"`
	Attempt     int       `json:"attempt"`
	ContainerID string    `json:"containerID"`
	State       string    `json:"state"`
	ExitCode    *int32    `json:"exitCode"`
}

// readAccount follows the file until ctx ends, and takes what happened after since.
func readAccount(ctx context.Context, file string, since time.Time, changed *bell) (*account, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("open the runtime's account: %w", err)
	}
	a := &account{since: since, raw: map[string][]string{}}
	go func() {
		defer f.Close()
		var rest []byte
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			data, err := io.ReadAll(f)
			if err != nil {
				a.fail(fmt.Errorf("read the runtime's account: %w", err))
			}
			if len(data) > 0 {
				rest = a.take(append(rest, data...))
				changed.ring()
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	return a, nil
}

// take adds the whole lines of data and returns what follows the last of them.
func (a *account) take(data []byte) []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	for {
		line, rest, whole := bytes.Cut(data, []byte{'\n'})
		if !whole {
			return data
		}
		data = rest
		var e accountEvent
		if err := json.Unmarshal(line, &e); err != nil {
			a.err = errors.Join(a.err, fmt.Errorf("line %q of the runtime's account: %w", line, err))
			continue
		}
		if e.Time.Before(a.since) || e.Namespace == "" {
			continue
		}
		a.events = append(a.events, e)
		a.raw[e.Namespace] = append(a.raw[e.Namespace], string(line))
	}
}

func (a *account) fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.err = errors.Join(a.err, err)
}

// instances replays the account. The order of events does not matter to it: when
// containerd comes back, what was there is reported anew.
func (a *account) instances(match func(string) bool) map[containerKey][]instance {
	a.mu.Lock()
	defer a.mu.Unlock()
	type life struct {
		instance
		started bool
	}
	known := map[containerKey][]*life{}
	byID := map[string]*life{}
	for _, e := range a.events {
		if e.Container == "" || !match(e.Namespace) {
			continue
		}
		l := byID[e.ContainerID]
		if l == nil {
			l = &life{instance: instance{ID: e.ContainerID, Attempt: e.Attempt}}
			byID[e.ContainerID] = l
			k := containerKey{e.Namespace, e.PodUID, e.Pod, e.Container}
			known[k] = append(known[k], l)
		}
		ended := false
		switch e.Type {
		case "started":
			l.started = true
		case "stopped":
			ended = true
		case "deleted":
			l.Gone = true
		case "seen":
			switch e.State {
			case "running":
				l.started = true
			case "exited", "unknown":
				ended = true
			}
		}
		if ended {
			if !l.Ended {
				l.EndedAt = e.Time
			}
			l.Ended = true
			if e.ExitCode != nil && e.State != "unknown" {
				l.ExitCode = e.ExitCode
			}
		}
	}
	out := make(map[containerKey][]instance, len(known))
	for k, lives := range known {
		for _, l := range lives {
			l.NeverRan = !l.Ended && !l.started
			out[k] = append(out[k], l.instance)
		}
	}
	return out
}

func (a *account) lines(namespace string) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]string(nil), a.raw[namespace]...)
}
