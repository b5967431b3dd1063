//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	// prefix begins the name of every namespace of the suite.
	prefix = "e2e-"
	// patience is how long a scenario waits for one condition. It is long: a busy
	// machine is no reason to fail, and nothing waits longer than it has to.
	patience = 2 * time.Minute
)

// suite holds what all scenarios share.
type suite struct {
	kube    kubernetes.Interface
	dir     string // of the run's files; kept
	changed *bell  // rung when any account or record changes

	node     *node // nil unless the cluster is that of test/cluster
	recorder *recorder
	truth    truth
	records  *records
	program  *program
	onlooker *onlooker
	report   *report
	accuracy *accuracy
	stop     context.CancelFunc
	doubtful doubtful
	release  func() // gives the cluster back
	// cordoning is held by scenarios that close the node or look at why it is closed.
	cordoning sync.Mutex
}

// newSuite makes ready what the tests need: the watch of the test, the accounts, and the
// program.
func newSuite(ctx context.Context) (_ *suite, err error) {
	kubeconfig := os.Getenv("KUBECONFIG")
	if kubeconfig == "" {
		return nil, errors.New("KUBECONFIG is not set: these tests need a cluster, see test/cluster/README.md")
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read KUBECONFIG: %w", err)
	}
	config.QPS, config.Burst = 200, 400
	config.WarningHandler = rest.NoWarnings{}
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	dir, err := os.MkdirTemp("", "whyrestart-e2e-")
	if err != nil {
		return nil, fmt.Errorf("make the folder of the run: %w", err)
	}
	fmt.Printf("e2e: files of this run: %s\n", dir)

	ctx, cancel := context.WithCancel(ctx)
	s := &suite{kube: kube, dir: dir, changed: newBell(), stop: cancel, report: &report{}, accuracy: newAccuracy()}
	if s.release, err = reserve(ctx, kube); err != nil {
		cancel()
		return nil, err
	}
	defer func() {
		if err != nil {
			cancel()
			s.release()
		}
	}()
	if err := s.removeNamespaces(ctx); err != nil {
		return nil, err
	}
	if err := clearNodes(ctx, s); err != nil {
		return nil, err
	}
	if s.recorder, err = startRecorder(ctx, kube, filepath.Join(dir, "statuses.jsonl"), s.changed); err != nil {
		return nil, err
	}
	s.truth = s.recorder
	if s.node, err = findNode(ctx, dir); err != nil {
		return nil, err
	}
	if s.node != nil {
		a, err := readAccount(ctx, s.node.accountFile(), time.Now(), s.changed)
		if err != nil {
			return nil, err
		}
		s.truth = a
	}
	s.records = newRecords(s.changed)
	if s.program, err = newProgram(ctx, dir, kubeconfig, s.records); err != nil {
		return nil, err
	}
	return s, nil
}

// watch starts whyrestart, and another one beside it.
func (s *suite) watch(t *testing.T) {
	t.Helper()
	if err := s.program.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	var err error
	if s.onlooker, err = startOnlooker(s.program, s.dir, s.changed); err != nil {
		t.Fatal(err)
	}
}

// close removes the namespaces and stops whyrestart, where the totals have not yet.
func (s *suite) close() error {
	defer s.release()
	defer s.stop()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	version := "of an unknown version"
	if v, err := s.kube.Discovery().ServerVersion(); err == nil {
		version = v.GitVersion
	}
	return errors.Join(writeFaults(version), s.onlooker.stop(), s.program.terminate(ctx), s.removeNamespaces(ctx))
}

// removeNamespaces deletes the namespaces of this suite, of an earlier run too, and waits
// until they are gone: what they hold would be in nobody's account.
func (s *suite) removeNamespaces(ctx context.Context) error {
	asked := map[string]bool{}
	var left []string
	err := wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, 2*patience, true, func(ctx context.Context) (bool, error) {
		list, err := s.kube.CoreV1().Namespaces().List(ctx, metav1.ListOptions{LabelSelector: suiteLabel})
		if err != nil {
			return false, nil //nolint:nilerr // tried again until the time is over
		}
		left = left[:0]
		for _, ns := range list.Items {
			left = append(left, ns.Name)
			if !asked[ns.Name] {
				asked[ns.Name] = s.kube.CoreV1().Namespaces().Delete(ctx, ns.Name, metav1.DeleteOptions{}) == nil
			}
		}
		return len(left) == 0, nil
	})
	if err != nil {
		return fmt.Errorf("wait until the namespaces %s are gone: %w", strings.Join(left, ", "), err)
	}
	return nil
}

// scenario is one thing that happens to containers.
type scenario struct {
	name string
	// again tells that it is played for the second time.
	again bool
	// needsNode tells that the scenario harms the node, which takes test/cluster.
	needsNode bool
	// truth is what is true of the stops and stalls that it provokes, all of them; none
	// where nothing is wrong.
	truth []claim
	// run makes it happen, waits until it has, and checks what is particular to it. That
	// the numbers add up is checked after it, for every scenario alike.
	run func(*space)
}

// play runs one scenario in a namespace of its own and settles its accounts.
func (s *suite) play(t *testing.T, sc scenario) {
	if sc.needsNode && s.node == nil {
		t.Skipf("it harms the node, which takes the cluster of test/cluster: there is none in %s", stateDir())
	}
	name := prefix + sc.name
	if sc.again {
		name += "-again"
	}
	sp := newSpace(t, s, name)
	sp.again = sc.again
	defer sp.explain()
	sc.run(sp)
	sp.compare(sc.truth)
	if sp.ending != nil {
		sp.ending()
	}
	sp.settle()
	sp.compareCleaning(sc.truth)
	if sp.doubtful {
		sc.again = true
		s.doubtful.Lock()
		defer s.doubtful.Unlock()
		s.doubtful.scenarios = append(s.doubtful.scenarios, sc)
	}
}

// doubtful holds the scenarios that are to be played once more.
type doubtful struct {
	sync.Mutex
	scenarios []scenario
}

// playAgain plays those once more.
func (s *suite) playAgain(t *testing.T, name string) {
	t.Run(name, func(t *testing.T) {
		for _, sc := range s.doubtful.scenarios {
			t.Run(sc.name, func(t *testing.T) { s.play(t, sc) })
		}
	})
	s.doubtful.scenarios = nil
}
