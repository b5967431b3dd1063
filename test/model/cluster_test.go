package model

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/whyrestart/whyrestart/internal/detect/kubelettest"
)

// cluster is an API server and its kubelets. Its clock is that of the bubble.
type cluster struct {
	rng *rand.Rand
	ops []string
	// skips tells that a kubelet may do several things between two statuses.
	skips bool

	mu      sync.Mutex
	version int
	// compacted is the newest version that the API server can no longer resume a watch from.
	compacted int
	pods      map[string]*simPod // by name
	all       []*simPod
	log       []entry
	changed   chan struct{} // closed when the log grows
}

// simPod is a pod and what became of it.
type simPod struct {
	*kubelettest.Pod
	name, uid string
	shown     *corev1.Pod // as the API server has it
	deleting  bool
	// deletedAt is when its object went, zero while it exists.
	deletedAt time.Time
	// waits is since when something is not shown yet.
	waits time.Time
}

// entry is one event of the watch.
type entry struct {
	version int
	typ     watch.EventType
	pod     *corev1.Pod
	at      time.Time
}

// The operations of kubelets, by how often they happen. What takes the count from a container is not
// among the first: there, every end can be told from what is shown later.
var (
	counted = []string{"start", "start", "start", "start", "create", "run", "run", "exit0", "exit1", "exit1", "exit1", "relabel", "relabel",
		"backoff", "backoff", "pull", "gc", "runtimeRestart", "startError"}
	losing = append([]string{"vanish", "wipe"}, counted...)
)

func newCluster(rng *rand.Rand, p plan) *cluster {
	c := &cluster{rng: rng, ops: counted, skips: true, version: 100, pods: make(map[string]*simPod), changed: make(chan struct{})}
	if p.resets {
		c.ops, c.skips = losing, false
	}
	for n := range 2 + rng.IntN(3) {
		c.create(fmt.Sprintf("pod-%d", n))
	}
	return c
}

func (c *cluster) publish(typ watch.EventType, p *simPod, o *corev1.Pod) {
	p.shown = o
	c.log = append(c.log, entry{c.version, typ, o, time.Now()})
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *cluster) create(name string) {
	shapes := [][]string{{"app"}, {"app", "other"}, {"init", "app"}, {"sidecar", "app"}}
	uid := fmt.Sprintf("uid-%d", len(c.all))
	p := &simPod{name: name, uid: uid, Pod: kubelettest.New(uid, c.rng.IntN(2) == 0, shapes[c.rng.IntN(len(shapes))]...)}
	p.Tick, p.Clock = 0, time.Now().Truncate(time.Second)
	p.Version = func() int { c.version++; return c.version }
	o := p.Object()
	o.Name, o.Spec.NodeName, o.Spec.RestartPolicy = name, "n1", corev1.RestartPolicyAlways
	c.pods[name] = p
	c.all = append(c.all, p)
	c.publish(watch.Added, p, p.Sync())
}

// step lets something happen in the cluster.
func (c *cluster) step() {
	c.mu.Lock()
	defer c.mu.Unlock()
	names := slices.Sorted(maps.Keys(c.pods))
	c.overdue(names)
	if len(names) == 0 || len(names) < 4 && c.rng.IntN(10) == 0 {
		if name := fmt.Sprintf("pod-%d", c.rng.IntN(12)); c.pods[name] == nil {
			c.create(name)
		}
		return
	}
	p := c.pods[names[c.rng.IntN(len(names))]]
	p.Clock = time.Now().Truncate(time.Second)
	switch n := c.rng.IntN(100); {
	case n < 4:
		c.remove(p)
		if c.rng.IntN(2) == 0 {
			c.create(p.name) // as a StatefulSet does
		}
		return
	case n < 6 && !p.deleting:
		p.deleting = true
		p.Step(p.Containers[0], "delete")
	default:
		p.Step(p.Containers[c.rng.IntN(len(p.Containers))], c.ops[c.rng.IntN(len(c.ops))])
	}
	if c.skips && c.rng.IntN(4) == 0 {
		if p.waits.IsZero() {
			p.waits = time.Now()
		}
		return
	}
	c.show(p)
}

// overdue shows what a kubelet does not keep to itself for longer.
func (c *cluster) overdue(names []string) {
	for _, name := range names {
		if p := c.pods[name]; !p.waits.IsZero() && time.Since(p.waits) > 5*time.Second {
			c.show(p)
		}
	}
}

// show publishes what changed in the status of a pod.
func (c *cluster) show(p *simPod) {
	was, version := p.shown, c.version
	p.waits = time.Time{}
	o := p.Sync()
	is := o.DeepCopy()
	is.ResourceVersion = was.ResourceVersion
	if reflect.DeepEqual(was, is) {
		c.version = version
		o.ResourceVersion = was.ResourceVersion
		return
	}
	c.publish(watch.Modified, p, o)
}

// remove takes a pod away: with its containers stopped and shown, or while they run.
func (c *cluster) remove(p *simPod) {
	c.show(p) // what nobody was ever shown to run ends unheard
	if c.rng.IntN(2) == 0 {
		if !p.deleting {
			p.deleting = true
			p.Step(p.Containers[0], "delete")
			c.show(p)
		}
		for _, k := range p.Containers {
			p.Step(k, "exit1")
		}
		c.show(p)
	}
	p.Kill()
	p.deletedAt = time.Now()
	delete(c.pods, p.name)
	last := p.shown.DeepCopy()
	last.ResourceVersion = fmt.Sprint(p.Version())
	c.publish(watch.Deleted, p, last)
}

// list returns what exists, and the version of that.
func (c *cluster) list() ([]*corev1.Pod, int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []*corev1.Pod
	for _, name := range slices.Sorted(maps.Keys(c.pods)) {
		out = append(out, c.pods[name].shown)
	}
	return out, c.version
}

// since returns the entries after a version; false where they are compacted away. The channel is
// closed when there are more.
func (c *cluster) since(version int) ([]entry, <-chan struct{}, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, _ := slices.BinarySearchFunc(c.log, version+1, func(e entry, v int) int { return e.version - v })
	return c.log[at:], c.changed, version >= c.compacted
}

func (c *cluster) compact() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.compacted = c.version
}

// settle shows everything that was not shown yet.
func (c *cluster) settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(c.pods)) {
		p := c.pods[name]
		p.Clock = time.Now().Truncate(time.Second)
		c.show(p)
	}
}
