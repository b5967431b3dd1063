//go:build e2e

package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"testing"
)

// atOnce is how many scenarios run side by side: enough to keep one node busy while
// most of them wait for back-offs, few enough that the kubelet stays responsive.
const atOnce = 36

// theSuite is what all tests of the package share; TestMain sets it.
var theSuite *suite

func TestMain(m *testing.M) {
	os.Exit(runMain(m))
}

func runMain(m *testing.M) int {
	flag.Parse()
	if !isSet("test.parallel") {
		// The gate below lets them in, in an order; package testing would take any.
		if err := flag.Set("test.parallel", "1000"); err != nil {
			fmt.Fprintln(os.Stderr, "e2e:", err)
			return 1
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s, err := newSuite(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	theSuite = s
	code := m.Run()
	if err := s.close(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e: clean up:", err)
		code = max(code, 1)
	}
	return code
}

func isSet(name string) bool {
	found := false
	flag.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}

// TestCluster plays all scenarios, and then compares the sums over all of them.
func TestCluster(t *testing.T) {
	s := theSuite
	s.watch(t)
	entrance := &gate{changed: newBell(), limit: atOnce}
	t.Run("together", func(t *testing.T) {
		for _, sc := range together() {
			t.Run(sc.name, func(t *testing.T) {
				ticket := entrance.ticket()
				t.Parallel()
				entrance.enter(ticket)
				defer entrance.leave()
				s.play(t, sc)
			})
		}
	})
	s.playAgain(t, "together, again")
	s.compareOutputs(t)
	// These take the node, the API server or whyrestart away from everybody.
	t.Run("alone", func(t *testing.T) {
		for _, sc := range alone() {
			t.Run(sc.name, func(t *testing.T) { s.play(t, sc) })
		}
	})
	s.playAgain(t, "alone, again")
	s.total(t)
}

// together lists the scenarios that do not disturb each other, the long ones first.
func together() []scenario {
	var all []scenario
	for _, list := range [][]scenario{
		slowestScenarios(), longScenarios(), pendingScenarios(), wantedScenarios(), issueScenarios(), refusedScenarios(), imageScenarios(), ownerScenarios(), disruptionScenarios(), calmScenarios(), trapScenarios(), controllerScenarios(), configScenarios(), probeKindScenarios(),
		jobScenarios(), workloadScenarios(), killScenarios(), exitScenarios(), wordScenarios(), startScenarios(), memoryScenarios(),
		probeScenarios(), initScenarios(), podScenarios(), deletionScenarios(),
	} {
		all = append(all, list...)
	}
	return all
}

// alone lists the scenarios that need the cluster for themselves.
func alone() []scenario {
	return slices.Concat(watcherScenarios(), nodeScenarios(), lostScenarios())
}

// gate lets scenarios in by the order of their tickets, a limited number at once.
type gate struct {
	changed *bell
	limit   int

	mu           sync.Mutex
	issued, left int
}

func (g *gate) ticket() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.issued++
	return g.issued - 1
}

func (g *gate) enter(ticket int) {
	for {
		rung := g.changed.rung()
		g.mu.Lock()
		open := ticket < g.left+g.limit
		g.mu.Unlock()
		if open {
			return
		}
		<-rung
	}
}

func (g *gate) leave() {
	g.mu.Lock()
	g.left++
	g.mu.Unlock()
	g.changed.ring()
}
