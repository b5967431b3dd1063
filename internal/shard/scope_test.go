package shard_test

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/whyrestart/whyrestart/internal/shard"
)

// Every run of slots has a scope of its own, which reads back, and which no namespace is called.
func TestScope(t *testing.T) {
	seen := make(map[string]bool)
	for from := range shard.Slots {
		for to := from + 1; to <= shard.Slots; to++ {
			scope := shard.Scope(from, to)
			if seen[scope] {
				t.Errorf("two runs of slots are %q", scope)
			}
			seen[scope] = true
			if f, n, ok := shard.ParseScope(scope); !ok || f != from || n != to {
				t.Errorf("ParseScope(%q) = %d, %d, %t, want %d, %d", scope, f, n, ok, from, to)
			}
			if scope != "" && len(validation.IsDNS1123Label(scope)) == 0 {
				t.Errorf("scope %q could be a namespace", scope)
			}
			for n := range 50 {
				ns := fmt.Sprintf("shop-%d-a", n)
				if want := from <= shard.Slot(ns) && shard.Slot(ns) < to; shard.InScope(scope, ns) != want {
					t.Errorf("InScope(%q, %q) = %t, want %t", scope, ns, !want, want)
				}
			}
		}
	}
	for _, scope := range []string{"shop", "slot", "slots", "slot 16", "slots 3-2", "slots 0-15", "slots 4-4", "slot 1-2", "slots a-b", "slot -1", "slots 1-2-3", "slot 01"} {
		if from, to, ok := shard.ParseScope(scope); ok {
			t.Errorf("ParseScope(%q) = %d, %d", scope, from, to)
		}
	}
	if !shard.InScope("shop", "shop") || shard.InScope("shop", "cart") {
		t.Error("a namespace is not its own scope alone")
	}
}

func TestSuffix(t *testing.T) {
	names := make(map[string]bool)
	for of := 2; of <= shard.Slots; of++ {
		for i := range of {
			s := shard.Shard{Index: i, Of: of}
			name := "whyrestart-" + s.Suffix()
			if p := validation.IsDNS1123Label(name); len(p) > 0 || names[name] {
				t.Errorf("shard %s is called %s in names: %s", s, name, strings.Join(p, "; "))
			}
			names[name] = true
		}
	}
	if s := (shard.Shard{Of: 1}); s.Suffix() != "" || s.Scope() != "" {
		t.Errorf("the whole is called %q, its scope %q", s.Suffix(), s.Scope())
	}
}
