package cluster

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Status is what a cluster is doing.
type Status struct {
	Parts []PartStatus
	// Node says why the node is not ready; nil if it is.
	Node error
}

// PartStatus is a part and its process, which is 0 where there is none.
type PartStatus struct {
	Name string
	PID  int
}

// Up reports whether every part runs and the node is ready.
func (s Status) Up() bool {
	for _, p := range s.Parts {
		if p.PID == 0 {
			return false
		}
	}
	return s.Node == nil
}

func (s Status) String() string {
	var b strings.Builder
	for _, p := range s.Parts {
		state := "does not run"
		if p.PID != 0 {
			state = fmt.Sprintf("runs as process %d", p.PID)
		}
		fmt.Fprintf(&b, "%-24s %s\n", p.Name, state)
	}
	state := "is ready"
	if s.Node != nil {
		state = s.Node.Error()
	}
	fmt.Fprintf(&b, "%-24s %s\n", Node, state)
	return b.String()
}

// Status looks at every part and asks the API server for the node.
func (c *Cluster) Status(ctx context.Context) (Status, error) {
	var s Status
	for _, p := range parts() {
		pids, err := c.find(p)
		if err != nil {
			return Status{}, err
		}
		status := PartStatus{Name: string(p)}
		if len(pids) > 0 {
			status.PID = pids[0]
		}
		s.Parts = append(s.Parts, status)
	}
	s.Node = c.nodeReady(ctx)
	return s, nil
}

func (c *Cluster) nodeReady(ctx context.Context) error {
	admin, err := c.api()
	if err != nil {
		return err
	}
	n, err := admin.node(ctx)
	if err != nil {
		return err
	}
	return n.ready(time.Time{})
}
