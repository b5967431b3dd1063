package pipeline

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

// ObservationReader reads what objects were seen to be before. Every store.Store is one.
type ObservationReader interface {
	Observations(ctx context.Context, cluster, object string, since time.Time) ([]record.Observation, error)
}

// observedFields are the fields of a node that are followed, with what they are called in a sentence.
func observedFields() [4]observedField {
	return [...]observedField{
		{"status.nodeInfo.kubeletVersion", "kubelet"},
		{"status.nodeInfo.containerRuntimeVersion", "container runtime"},
		{"status.nodeInfo.kernelVersion", "kernel"},
		{bootField, "boot"},
	}
}

type observedField struct{ field, name string }

const bootField = "status.nodeInfo.bootID"

func observed(n *corev1.Node) [4]string {
	i := &n.Status.NodeInfo
	return [4]string{i.KubeletVersion, i.ContainerRuntimeVersion, i.KernelVersion, i.BootID}
}

// nodeMemory remembers what nodes were seen to be. It may be used from several goroutines.
type nodeMemory struct {
	mu    sync.Mutex
	nodes map[string]*nodeSeen
}

type nodeSeen struct {
	// loaded tells that what an earlier run saw was read.
	loaded bool
	fields [4][]record.Observation // the oldest first
}

// saw takes a reading of a node, and returns what is new in it.
func (m *nodeMemory) saw(n *corev1.Node, at time.Time) []record.Observation {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.node(n.Name)
	if s == nil || at.IsZero() {
		return nil
	}
	var news []record.Observation
	for i, value := range observed(n) {
		seen := s.fields[i]
		if value == "" || len(seen) > 0 && (seen[len(seen)-1].Value == value || at.Before(seen[len(seen)-1].Time)) {
			continue
		}
		o := record.Observation{Object: "Node " + n.Name, Field: observedFields()[i].field, Value: value, Time: at.UTC()}
		s.fields[i] = append(seen, o)[max(0, len(seen)+1-bootsKept):]
		news = append(news, o)
	}
	return news
}

// node returns what is remembered of a node; nil where there are too many. The caller holds mu.
func (m *nodeMemory) node(name string) *nodeSeen {
	s := m.nodes[name]
	if s == nil && len(m.nodes) < bootNodes {
		if m.nodes == nil {
			m.nodes = make(map[string]*nodeSeen)
		}
		s = new(nodeSeen)
		m.nodes[name] = s
	}
	return s
}

// wantsLoading tells, once, that what an earlier run saw of a node is to be read.
func (m *nodeMemory) wantsLoading(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.node(name)
	if s == nil || s.loaded {
		return false
	}
	s.loaded = true
	return true
}

// load puts what an earlier run saw of a node before what this one did.
func (m *nodeMemory) load(name string, found []record.Observation) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.node(name)
	if s == nil {
		return
	}
	for i := range s.fields {
		var all []record.Observation
		for _, o := range append(slices.Clone(found), s.fields[i]...) {
			if o.Field != observedFields()[i].field {
				continue
			}
			if n := len(all); n > 0 && (all[n-1].Value == o.Value || !o.Time.After(all[n-1].Time)) {
				continue
			}
			all = append(all, o)
		}
		s.fields[i] = all[max(0, len(all)-bootsKept):]
	}
}

// changes returns the fields that were first seen to differ at the newest time between two, and that time.
func (m *nodeMemory) changes(name string, from, to time.Time) ([]record.FieldChange, time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.nodes[name]
	if s == nil {
		return nil, time.Time{}
	}
	var out []record.FieldChange
	var newest time.Time
	for i := range s.fields {
		for k := 1; k < len(s.fields[i]); k++ {
			was, is := s.fields[i][k-1], s.fields[i][k]
			if is.Time.Before(from) || is.Time.After(to) || is.Time.Before(newest) {
				continue
			}
			if is.Time.After(newest) {
				out, newest = nil, is.Time
			}
			out = append(out, record.FieldChange{Field: is.Field, Old: was.Value, New: is.Value})
		}
	}
	return out, newest
}

// sawNode takes a reading of a node.
func (c *collector) sawNode(n *corev1.Node, at time.Time) {
	c.boots.saw(n.Name, n.Status.NodeInfo.BootID, at)
	if news := c.changes.nodes.saw(n, at); len(news) > 0 && c.keepObserved != nil {
		c.keepObserved(news)
	}
}

// nodeChange returns what was changed of the node lately, nil where nothing is known to be.
func (c *collector) nodeChange(ctx context.Context, r *record.Record, p *passage) *record.Change {
	if r.Node == "" || p.began.IsZero() {
		return nil
	}
	object := "Node " + r.Node
	if reader, ok := c.History.(ObservationReader); ok && c.changes.nodes.wantsLoading(r.Node) {
		found, err := reader.Observations(ctx, r.Cluster, object, p.began.Add(-lately))
		if err == nil { // else only what this run saw is known
			c.changes.nodes.load(r.Node, found)
		}
	}
	fields, at := c.changes.nodes.changes(r.Node, p.began.Add(-lately), p.began)
	if len(fields) == 0 {
		return nil
	}
	var parts []string
	for _, f := range fields {
		for _, o := range observedFields() {
			switch {
			case o.field != f.Field:
			case f.Field == bootField:
				parts = append(parts, "booted anew")
			default:
				parts = append(parts, fmt.Sprintf("with %s %s in place of %s", o.name, f.New, f.Old))
			}
		}
	}
	return &record.Change{
		Kind: record.ChangeNode, Object: object, Time: at, Fields: fields,
		Text: fmt.Sprintf("%s was first seen %s%s", object, enumerated(parts), p.before(at)),
	}
}

// moved returns that a pod of a StatefulSet runs on another node than the pod of its name did
// before; nil where it does not, or nothing is recorded of that.
func (c *collector) moved(ctx context.Context, f *Finding, p *passage) *record.Change {
	r, e := &f.Record, &f.Evidence
	if c.watched == nil || c.History == nil || r.Node == "" || e.Pod.Owner == nil || e.Pod.Owner.Kind != "StatefulSet" || e.Pod.CreatedAt.IsZero() {
		return nil
	}
	was, known := c.changes.moves.get(r.PodUID)
	if !known {
		found, _, err := c.History.List(ctx, store.Query{Cluster: r.Cluster, Namespaces: []string{r.Namespace}, Pod: r.Pod, Limit: rowPage})
		if err != nil {
			return nil
		}
		for i := range found {
			if o := &found[i]; o.Namespace == r.Namespace && o.Pod == r.Pod && o.PodUID != r.PodUID && o.Node != "" && !o.When().After(r.When()) {
				was = o.Node
				break
			}
		}
		c.changes.moves.put(r.PodUID, was)
	}
	at := e.Pod.CreatedAt
	if was == "" || was == r.Node || p.began.Sub(at) > lately {
		return nil
	}
	object := strings.Join([]string{"Pod ", r.Namespace, "/", r.Pod}, "")
	return &record.Change{
		Kind: record.ChangeNode, Object: object, Time: at,
		Fields: []record.FieldChange{{Field: "spec.nodeName", Old: was, New: r.Node}},
		Text:   fmt.Sprintf("%s was made anew on node %s, after node %s%s", object, r.Node, was, p.before(at)),
	}
}
