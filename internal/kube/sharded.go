package kube

import (
	"errors"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/whyrestart/whyrestart/internal/detect"
	"github.com/whyrestart/whyrestart/internal/shard"
)

// sharded divides the lists and watches of all namespaces. It asks the server for the shard
// (KEP-5866: the parameter shardSelector, behind the feature gate ShardedListAndWatch), and leaves out here
// what comes nevertheless: servers that do not know the parameter ignore it, as do those whose
// gate is off, and of several servers behind one address some may do so. So it does not
// matter which one answers, or what it is upgraded to, but for the bytes.
//
// Only a server that divides otherwise could lose something. What it did stands in a list
// (ListMeta.ShardInfo; a watch does not tell), and is believed only if it is word for
// word what was asked for and nothing else came with it. A server of which that is not true is
// not asked for a shard again.
//
// A pod never changes its namespace, so none moves from one shard to another: no watch
// has to tell that one left or came.
type sharded struct {
	shard.Shard
	// told is called when it becomes known whether the server divides, and when that changes; may
	// be nil.
	told func(byServer bool)

	mu sync.Mutex
	// refused tells that the server is not to be asked.
	refused         bool
	known, byServer bool
}

// newSharded returns nil, which divides nothing, for the whole of a cluster.
func newSharded(s shard.Shard, told func(byServer bool)) *sharded {
	if s.Whole() {
		return nil
	}
	return &sharded{Shard: s, told: told}
}

// selector is what to ask the server for, empty for everything.
func (d *sharded) selector() string {
	if d == nil {
		return ""
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refused {
		return ""
	}
	return d.Selector()
}

// keeps tells whether what is in a namespace is wanted; what is in none, such as a bookmark, always is.
func (d *sharded) keeps(namespace string) bool {
	return d == nil || namespace == "" || d.Contains(namespace)
}

// errShards: the server divides otherwise.
var errShards = errors.New("the API server divides lists otherwise than it was asked to (shardSelector); it is asked for everything from now on")

// answered takes what a list says of what was done to it, and how much of it belongs to other
// shards. After an error, the list may lack something, and is to be asked for again.
func (d *sharded) answered(asked string, info *metav1.ShardInfo, foreign int) error {
	if d == nil {
		return nil
	}
	if info == nil || asked == "" && info.Selector == "" {
		d.tell(false)
		return nil
	}
	if asked == "" || info.Selector != asked || foreign > 0 {
		d.refuse()
		return errShards
	}
	d.tell(true)
	return nil
}

// refusedBy tells whether an error is the answer to the parameter, which is then not sent again. A server
// that knows it and cannot read it answers 500 (apiserver pkg/registry/generic/registry/store.go).
func (d *sharded) refusedBy(asked string, err error) bool {
	if d == nil || asked == "" || err == nil {
		return false
	}
	if !apierrors.IsBadRequest(err) && !apierrors.IsInvalid(err) && !apierrors.IsInternalError(err) {
		return false
	}
	if !strings.Contains(strings.ToLower(err.Error()), "shard") {
		return false
	}
	d.refuse()
	return true
}

func (d *sharded) refuse() {
	d.mu.Lock()
	d.refused = true
	d.mu.Unlock()
	d.tell(false)
}

func (d *sharded) tell(byServer bool) {
	d.mu.Lock()
	news := !d.known || d.byServer != byServer
	d.known, d.byServer = true, byServer
	d.mu.Unlock()
	if news && d.told != nil {
		d.told(byServer)
	}
}

// progressEvery is how often what other shards' pods do tells that a watch is up to date.
const progressEvery = time.Second

// sieve leaves the pods of other shards out of one watch. It is used from one goroutine.
type sieve struct {
	*sharded
	// initial tells that the state from which a streamed list begins is still to come: its pods
	// have versions of any time.
	initial bool
	last    time.Time
}

// pass returns what is to be handed over for an event; false for nothing. Of the others' pods that is,
// now and then, how far the watch has come: else it would be resumed from the newest pod of its
// own, of which the server may not know any more what followed.
func (s *sieve) pass(e watch.Event, now time.Time) (watch.Event, bool) {
	p, ok := e.Object.(*pod)
	switch {
	case !ok:
		return e, true
	case e.Type == watch.Bookmark:
		s.initial = s.initial && !p.slim.InitialEventsEnd
		return e, true
	case s.keeps(p.slim.View.Namespace):
		return e, true
	case s.initial || now.Sub(s.last) < progressEvery:
		return e, false
	}
	s.last = now
	mark := &pod{}
	mark.slim.ResourceVersion = p.slim.ResourceVersion
	mark.slim.View.ResourceVersion = detect.ParseResourceVersion(mark.slim.ResourceVersion)
	return watch.Event{Type: watch.Bookmark, Object: mark}, true
}
