//go:build e2e

package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"
)

// atOnce is how many scenarios run side by side: enough to keep one node busy while
// most of them wait for back-offs, few enough that the kubelet stays responsive.
const atOnce = "24"

// theSuite is what all tests of the package share; TestMain sets it.
var theSuite *suite

func TestMain(m *testing.M) {
	os.Exit(runMain(m))
}

func runMain(m *testing.M) int {
	flag.Parse()
	if !isSet("test.parallel") {
		if err := flag.Set("test.parallel", atOnce); err != nil {
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
	t.Run("together", func(t *testing.T) {
		for _, sc := range together() {
			t.Run(sc.name, func(t *testing.T) {
				t.Parallel()
				s.play(t, sc)
			})
		}
	})
	// These take the node, the API server or whyrestart away from everybody.
	t.Run("alone", func(t *testing.T) {
		for _, sc := range alone() {
			t.Run(sc.name, func(t *testing.T) { s.play(t, sc) })
		}
	})
	s.total(t)
}

// together lists the scenarios that do not disturb each other, the long ones first.
func together() []scenario {
	var all []scenario
	for _, list := range [][]scenario{
		longScenarios(), jobScenarios(), workloadScenarios(), killScenarios(), exitScenarios(),
		probeScenarios(), initScenarios(), podScenarios(), deletionScenarios(),
	} {
		all = append(all, list...)
	}
	return all
}

// alone lists the scenarios that need the cluster for themselves.
func alone() []scenario {
	return append(watcherScenarios(), nodeScenarios()...)
}
