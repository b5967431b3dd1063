//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const (
	// soakFor is how long the changes go on where the environment says nothing, as beside the
	// scenarios; "make soak" says ten minutes.
	soakFor = 45 * time.Second
	// soakNodes is the number of nodes without a kubelet.
	soakNodes = 20
)

// TestSoak lets a fleet of forty workloads be rolled, rescaled, drained and deleted every
// few seconds, at random, with ten of them beginning to fail in ten ways in between. In the end there have
// to be ten failure issues, each with the right cause, and nothing else may be called a failure.
//
// It comes after TestCluster and has a whyrestart of its own, with a new store.
func TestSoak(t *testing.T) {
	suite := theSuite
	if suite.node == nil {
		t.Skipf("it takes nodes of kwok, and so the cluster of test/cluster: there is none in %s", stateDir())
	}
	k := newSoak(t, suite)
	k.makeNodes()
	k.makeFleet()
	k.churn()
	k.calm()
	k.judge()
}

// soak is one run.
type soak struct {
	*suite
	t       *testing.T
	ctx     context.Context
	program *program
	records *records
	dir     string

	random   *rand.Rand
	seed     uint64
	lasts    time.Duration
	began    time.Time
	registry registry
	log      *os.File
	did      map[string]int // how often each kind of change was made

	fleet   []*member
	planted []*plant
	drained []string // nodes
	made    int      // namespaces, jobs and versions, for their names
	spaces  []*passing
}

// passing is a namespace that comes and goes.
type passing struct {
	name string
	made time.Time
}

func newSoak(t *testing.T, s *suite) *soak {
	k := &soak{suite: s, t: t, ctx: t.Context(), lasts: soakFor, seed: uint64(time.Now().UnixNano()), did: map[string]int{}}
	if v := os.Getenv("SOAK_FOR"); v != "" {
		d, err := time.ParseDuration(v)
		k.must(err, "read SOAK_FOR")
		k.lasts = d
	}
	if v := os.Getenv("SOAK_SEED"); v != "" {
		_, err := fmt.Sscan(v, &k.seed)
		k.must(err, "read SOAK_SEED")
	}
	k.random = rand.New(rand.NewPCG(k.seed, 0))
	k.dir = filepath.Join(s.dir, "soak")
	k.must(os.Mkdir(k.dir, 0o755), "make the folder of the soak")
	var err error
	k.log, err = os.Create(filepath.Join(k.dir, "changes.log"))
	k.must(err, "keep the log of the soak")
	t.Cleanup(func() { _ = k.log.Close() })
	k.say("seed %d, for %s; set SOAK_SEED for the same choices", k.seed, k.lasts)

	// That of the scenarios would only watch the same again.
	k.must(s.onlooker.stop(), "stop the watch of the scenarios")
	k.must(s.program.terminate(k.ctx), "stop the whyrestart of the scenarios")
	k.registry = newRegistry(t)
	k.records = newRecords(s.changed)
	k.program, err = newProgram(k.ctx, k.dir, s.program.kubeconfig, k.records)
	k.must(err, "build whyrestart")
	k.must(k.program.start(k.ctx), "start whyrestart")
	t.Cleanup(k.clean)
	return k
}

func (k *soak) must(err error, doing string) {
	k.t.Helper()
	if err != nil {
		k.t.Fatalf("%s: %v", doing, err)
	}
}

// say keeps a line of what is done.
func (k *soak) say(format string, args ...any) {
	k.t.Helper()
	line := fmt.Sprintf(format, args...)
	if !k.began.IsZero() {
		line = fmt.Sprintf("%6.1fs %s", time.Since(k.began).Seconds(), line)
	}
	k.t.Log(line)
	fmt.Fprintln(k.log, line)
}

func (k *soak) wait(d time.Duration) {
	select {
	case <-time.After(d):
	case <-k.ctx.Done():
		k.t.Fatal(k.ctx.Err())
	}
}

// until waits for a condition of the API or the records.
func (k *soak) until(patience time.Duration, what string, condition func() (done bool, still string)) bool {
	k.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		done, still := condition()
		if done {
			return true
		}
		if time.Now().After(deadline) {
			k.t.Errorf("waited %s until %s; still: %s", patience, what, still)
			return false
		}
		k.wait(250 * time.Millisecond)
	}
}

// clean stops whyrestart and removes the fleet; the namespaces go with the suite.
func (k *soak) clean() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(k.ctx), patience)
	defer cancel()
	if err := k.program.terminate(ctx); err != nil {
		k.t.Error(err)
	}
	k.uncordon(ctx, "")
	if err := k.removeNamespaces(ctx); err != nil {
		k.t.Error(err)
	}
	if err := k.removeNodes(ctx); err != nil {
		k.t.Error(err)
	}
	if err := k.node.do(ctx, "stop-kwok"); err != nil {
		k.t.Error(err)
	}
}

// soaking tells the namespaces of the soak.
func soaking(namespace string) bool { return strings.HasPrefix(namespace, soakPrefix) }

// healthy returns the pods of the fleet that are there and not about to go.
func (k *soak) livePods(match func(*corev1.Pod) bool) []*corev1.Pod {
	k.recorder.mu.Lock()
	defer k.recorder.mu.Unlock()
	var pods []*corev1.Pod
	for _, p := range k.recorder.pods {
		if soaking(p.Namespace) && p.DeletionTimestamp == nil && match(p) {
			pods = append(pods, p)
		}
	}
	return pods
}
