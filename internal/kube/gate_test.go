package kube

import (
	"sync"
	"sync/atomic"
	"testing"
)

// TestGate has calls begin while the gate is shut: each either ends before shut
// returns, or does not begin.
func TestGate(t *testing.T) {
	for range 200 {
		var g gate
		var inside atomic.Int32
		var callers sync.WaitGroup
		for range 8 {
			callers.Go(func() {
				if g.enter() {
					inside.Add(1)
					inside.Add(-1)
					g.leave()
				}
			})
		}
		g.shut()
		if n := inside.Load(); n != 0 {
			t.Fatalf("%d calls inside a gate that is shut", n)
		}
		if g.enter() {
			t.Fatal("a call entered a gate that is shut")
		}
		callers.Wait()
	}
}
