package pipeline

import (
	"sync"
	"time"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

const (
	// neighbourWindow is how far apart stops are neighbours.
	neighbourWindow = time.Minute
	// neighboursKept bounds the stops among which neighbours are looked for.
	neighboursKept = 4096
)

// neighbourhood remembers the newest stops, to tell which others happened at the same time.
type neighbourhood struct {
	mu   sync.Mutex
	ring []neighbour
	next int
}

type neighbour struct {
	id, uid, node, namespace, image string
	workload                        record.Workload
	at                              time.Time
	// unknown tells that the runtime lost the exit status, as it does when it restarts.
	unknown bool
}

// neighbourOf says where a stop stands among others; false for one that is none: what was
// meant to happen, and what nobody saw the end of.
func neighbourOf(f *Finding) (neighbour, bool) {
	r := &f.Record
	if r.Stop == nil || !r.ExitObserved || r.Category == record.Lifecycle {
		return neighbour{}, false
	}
	n := neighbour{
		id: r.ID, uid: r.PodUID, node: r.Node, namespace: r.Namespace, image: r.Image,
		at: r.When(), unknown: r.Reason == "Unknown",
	}
	switch {
	case f.Evidence.Pod.Owner != nil:
		n.workload = *f.Evidence.Pod.Owner
	default:
		n.workload = record.Workload{Kind: "Pod", Name: r.Pod}
	}
	return n, true
}

func (h *neighbourhood) add(f *Finding) {
	n, ok := neighbourOf(f)
	if !ok {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.ring) < neighboursKept {
		h.ring = append(h.ring, n)
		return
	}
	h.ring[h.next] = n
	h.next = (h.next + 1) % neighboursKept
}

// around sums up the stops around one; nil where it has no neighbours by its nature.
func (h *neighbourhood) around(f *Finding) *evidence.Neighbours {
	this, ok := neighbourOf(f)
	if !ok {
		return nil
	}
	out := &evidence.Neighbours{Seconds: int64(neighbourWindow / time.Second)}
	var workload, node, image crowd
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.ring {
		o := &h.ring[i]
		if d := o.at.Sub(this.at); o.id == this.id || d < -neighbourWindow || d > neighbourWindow {
			continue
		}
		instant := o.unknown && o.at.Unix() == this.at.Unix()
		if o.namespace == this.namespace && o.workload == this.workload {
			workload.add(o, instant)
		}
		if o.node != "" && o.node == this.node {
			node.add(o, instant)
		}
		if o.image != "" && o.image == this.image {
			image.add(o, instant)
		}
	}
	out.SameWorkload, out.SameNode, out.SameImage = workload.sum(), node.sum(), image.sum()
	return out
}

// crowd counts stops, and the different pods and nodes among them.
type crowd struct {
	stops, instant int
	pods, nodes    map[string]struct{}
}

func (c *crowd) add(n *neighbour, instant bool) {
	if c.pods == nil {
		c.pods, c.nodes = make(map[string]struct{}), make(map[string]struct{})
	}
	c.stops++
	if instant {
		c.instant++
	}
	c.pods[n.uid] = struct{}{}
	if n.node != "" {
		c.nodes[n.node] = struct{}{}
	}
}

func (c *crowd) sum() evidence.Crowd {
	return evidence.Crowd{Stops: c.stops, Pods: len(c.pods), Nodes: len(c.nodes), SameInstant: c.instant}
}

const (
	// bootsKept bounds the boots of one node, bootNodes the nodes, that are remembered.
	bootsKept = 4
	bootNodes = 10_000
)

// boots remembers which boot of a node was seen when, to tell that it was booted while a
// container ran.
type boots struct {
	mu    sync.Mutex
	nodes map[string][]boot
}

type boot struct {
	id          string
	first, last time.Time
}

// saw takes a reading of a node.
func (b *boots) saw(node, id string, at time.Time) {
	if id == "" || at.IsZero() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.nodes == nil {
		b.nodes = make(map[string][]boot)
	}
	seen, known := b.nodes[node]
	if !known && len(b.nodes) >= bootNodes {
		return
	}
	if n := len(seen); n > 0 && seen[n-1].id == id {
		if at.After(seen[n-1].last) {
			seen[n-1].last = at
		}
		return
	}
	seen = append(seen, boot{id: id, first: at, last: at})
	b.nodes[node] = seen[max(0, len(seen)-bootsKept):]
}

// during returns the first boot of a node that was seen while something ran there.
func (b *boots) during(node string, from, to time.Time) string {
	if from.IsZero() || to.IsZero() {
		return ""
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.nodes[node] {
		if !s.last.Before(from) && !s.first.After(to) {
			return s.id
		}
	}
	return ""
}
