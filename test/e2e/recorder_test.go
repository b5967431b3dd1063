//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
)

// recorder is a plain watch of pods by the test: what the API said, and in which order.
// The scenarios wait on it, a failure is explained from it, and where the runtime's
// account is not to be had it is the truth.
type recorder struct {
	kube    kubernetes.Interface
	changed *bell
	file    *os.File

	mu      sync.Mutex
	pods    map[types.UID]*corev1.Pod // those that exist
	history map[string][]string       // JSON lines by namespace
	seen    map[containerKey]*seenContainer
	deleted map[types.UID]time.Time // when the deletion of a pod was asked for, to the second below
	err     error
}

// sighting is one line of the history.
type sighting struct {
	Time            time.Time                `json:"time"`
	Event           watch.EventType          `json:"event"`
	Namespace       string                   `json:"namespace"`
	Pod             string                   `json:"pod"`
	PodUID          types.UID                `json:"podUID"`
	ResourceVersion string                   `json:"resourceVersion"`
	Deletion        *metav1.Time             `json:"deletion,omitempty"`
	Grace           *int64                   `json:"grace,omitempty"`
	Phase           corev1.PodPhase          `json:"phase,omitempty"`
	Reason          string                   `json:"reason,omitempty"`
	Message         string                   `json:"message,omitempty"`
	Init            []corev1.ContainerStatus `json:"init,omitempty"`
	Containers      []corev1.ContainerStatus `json:"containers,omitempty"`
	Ephemeral       []corev1.ContainerStatus `json:"ephemeral,omitempty"`
}

// seenContainer sums up the statuses of one container.
type seenContainer struct {
	ids     []string         // in the order of their first sight
	exit    map[string]int32 // of those whose end was shown
	current string
	running bool
	count   int32
	gone    bool
}

// startRecorder lists the pods, watches them from there until ctx ends, and lists
// anew when the watch breaks.
func startRecorder(ctx context.Context, kube kubernetes.Interface, file string, changed *bell) (*recorder, error) {
	f, err := os.Create(file)
	if err != nil {
		return nil, fmt.Errorf("keep the history of statuses: %w", err)
	}
	r := &recorder{
		kube: kube, changed: changed, file: f,
		pods: map[types.UID]*corev1.Pod{}, history: map[string][]string{}, seen: map[containerKey]*seenContainer{}, deleted: map[types.UID]time.Time{},
	}
	version, err := r.list(ctx)
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	go func() {
		defer f.Close()
		for ctx.Err() == nil {
			version = r.follow(ctx, version)
			for version == "" && ctx.Err() == nil {
				if version, err = r.list(ctx); err != nil {
					version = ""
					select { // the API server is away
					case <-ctx.Done():
					case <-time.After(200 * time.Millisecond):
					}
				}
			}
		}
	}()
	return r, nil
}

// list takes all pods that exist, and takes those for deleted that do not any more.
func (r *recorder) list(ctx context.Context) (version string, err error) {
	list, err := r.kube.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", err
	}
	exist := map[types.UID]bool{}
	for i := range list.Items {
		p := &list.Items[i]
		exist[p.UID] = true
		r.take(watch.Modified, p)
	}
	r.mu.Lock()
	var gone []*corev1.Pod
	for uid, p := range r.pods {
		if !exist[uid] {
			gone = append(gone, p)
		}
	}
	r.mu.Unlock()
	for _, p := range gone {
		r.take(watch.Deleted, p)
	}
	return list.ResourceVersion, nil
}

// follow watches from a version on, and returns from where to go on, or nothing where
// only a list can tell.
func (r *recorder) follow(ctx context.Context, version string) string {
	w, err := r.kube.CoreV1().Pods("").Watch(ctx, metav1.ListOptions{ResourceVersion: version, AllowWatchBookmarks: true})
	if err != nil {
		return ""
	}
	defer w.Stop()
	for e := range w.ResultChan() {
		p, ok := e.Object.(*corev1.Pod)
		if !ok {
			return ""
		}
		version = p.ResourceVersion
		if e.Type != watch.Bookmark {
			r.take(e.Type, p)
		}
	}
	return version
}

func (r *recorder) take(event watch.EventType, p *corev1.Pod) {
	defer r.changed.ring()
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := r.pods[p.UID]; old != nil && old.ResourceVersion == p.ResourceVersion && event != watch.Deleted {
		return // known before the list
	}
	if event == watch.Deleted {
		delete(r.pods, p.UID)
	} else {
		r.pods[p.UID] = p
	}
	if at := p.DeletionTimestamp; at != nil && p.DeletionGracePeriodSeconds != nil {
		if _, known := r.deleted[p.UID]; !known {
			r.deleted[p.UID] = at.Add(-time.Duration(*p.DeletionGracePeriodSeconds) * time.Second)
		}
	}
	st := &p.Status
	line, err := json.Marshal(sighting{
		Time: time.Now(), Event: event, Namespace: p.Namespace, Pod: p.Name, PodUID: p.UID, ResourceVersion: p.ResourceVersion,
		Deletion: p.DeletionTimestamp, Grace: p.DeletionGracePeriodSeconds, Phase: st.Phase, Reason: st.Reason, Message: st.Message,
		Init: bare(st.InitContainerStatuses), Containers: bare(st.ContainerStatuses), Ephemeral: bare(st.EphemeralContainerStatuses),
	})
	if err == nil {
		_, err = r.file.Write(append(line, '\n'))
	}
	r.err = errors.Join(r.err, err)
	r.history[p.Namespace] = append(r.history[p.Namespace], string(line))
	for _, list := range [][]corev1.ContainerStatus{st.InitContainerStatuses, st.ContainerStatuses, st.EphemeralContainerStatuses} {
		for i := range list {
			r.see(p, &list[i], event == watch.Deleted)
		}
	}
}

// bare leaves out what is the same in every status.
func bare(list []corev1.ContainerStatus) []corev1.ContainerStatus {
	out := make([]corev1.ContainerStatus, len(list))
	for i, s := range list {
		out[i] = corev1.ContainerStatus{Name: s.Name, RestartCount: s.RestartCount, ContainerID: s.ContainerID, State: s.State, LastTerminationState: s.LastTerminationState}
	}
	return out
}

func (r *recorder) see(p *corev1.Pod, s *corev1.ContainerStatus, gone bool) {
	k := containerKey{p.Namespace, string(p.UID), p.Name, s.Name}
	c := r.seen[k]
	if c == nil {
		c = &seenContainer{exit: map[string]int32{}}
		r.seen[k] = c
	}
	c.meet(bareID(s.ContainerID))
	for _, t := range []*corev1.ContainerStateTerminated{s.State.Terminated, s.LastTerminationState.Terminated} {
		if t == nil {
			continue
		}
		if id := bareID(t.ContainerID); id != "" {
			c.meet(id)
			c.exit[id] = t.ExitCode
		}
	}
	if id := bareID(s.ContainerID); id != "" {
		c.current = id
	}
	c.running = s.State.Running != nil
	c.count = max(c.count, s.RestartCount)
	c.gone = gone
}

func (c *seenContainer) meet(id string) {
	if id != "" && !slices.Contains(c.ids, id) {
		c.ids = append(c.ids, id)
	}
}

// instances tells what the statuses showed: those that ended by a state or by another one
// in their place, and as many more, without a name, as the restart count tells of.
func (r *recorder) instances(match func(string) bool) map[containerKey][]instance {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[containerKey][]instance{}
	for k, c := range r.seen {
		if !match(k.Namespace) {
			continue
		}
		ended := 0
		for _, id := range c.ids {
			i := instance{ID: id, Attempt: -1, Gone: c.gone}
			code, shown := c.exit[id]
			if shown {
				i.ExitCode = &code
			}
			i.Ended = shown || id != c.current || c.gone && c.running
			if i.Ended {
				ended++
			}
			out[k] = append(out[k], i)
		}
		all := int(c.count)
		if _, shown := c.exit[c.current]; shown || c.gone && c.running {
			all++
		}
		for ; ended < all; ended++ {
			out[k] = append(out[k], instance{Attempt: -1, Ended: true, Gone: true})
		}
	}
	return out
}

func (r *recorder) lines(namespace string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.history[namespace]...)
}

// shown returns how many instances of a container the API told of.
func (r *recorder) shown(k containerKey) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.seen[k]; c != nil && len(c.ids) > 0 {
		return int(c.count) + 1
	}
	return 0
}

// deletionOf returns when the deletion of a pod was asked for, zero where it never was.
func (r *recorder) deletionOf(uid string) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.deleted[types.UID(uid)]
}

// in returns the pods that exist in a namespace, not to be written to.
func (r *recorder) in(namespace string) []*corev1.Pod {
	r.mu.Lock()
	defer r.mu.Unlock()
	var pods []*corev1.Pod
	for _, p := range r.pods {
		if p.Namespace == namespace {
			pods = append(pods, p)
		}
	}
	return pods
}
