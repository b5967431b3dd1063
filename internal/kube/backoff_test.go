package kube

import (
	"testing"
	"time"
)

// However often it failed, a Watcher looks again within seconds: what comes and goes in between
// is never seen.
func TestAgainSoon(t *testing.T) {
	delay := againSoon().DelayFunc()
	first, longest := delay(), time.Duration(0)
	for range 50 {
		longest = max(longest, delay())
	}
	if first > time.Second || longest < 3*time.Second || longest > 7500*time.Millisecond {
		t.Errorf("it waits %s at first, and up to %s", first, longest)
	}
}
