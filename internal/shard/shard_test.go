package shard_test

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/sharding"

	"github.com/whyrestart/whyrestart/internal/shard"
)

// The shards of any number have every namespace exactly once, and the hash is the server's.
func TestShardsAreAPartition(t *testing.T) {
	for of := 1; of <= shard.Slots; of++ {
		for n := range 2000 {
			ns := fmt.Sprintf("team-%d", n)
			owners := 0
			for i := range of {
				s := shard.Shard{Index: i, Of: of}
				if s.Contains(ns) {
					owners++
				}
				if of > 1 && s.Contains(ns) != server(t, s, ns) {
					t.Fatalf("shard %s and the API server differ about namespace %s", s, ns)
				}
			}
			if owners != 1 {
				t.Fatalf("namespace %s belongs to %d of %d shards", ns, owners, of)
			}
		}
	}
}

// server is what the API server's own code says of a pod in a namespace.
func server(t *testing.T, s shard.Shard, ns string) bool {
	t.Helper()
	quoted := strings.Split(s.Selector(), "'")
	if len(quoted) != 5 {
		t.Fatalf("selector %q", s.Selector())
	}
	sel := sharding.NewSelector(sharding.ShardRangeRequirement{Key: "object.metadata.namespace", Start: quoted[1], End: quoted[3]})
	ok, err := sel.Matches(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: ns}})
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func TestParse(t *testing.T) {
	for text, want := range map[string]shard.Shard{"": {}, "0/1": {Of: 1}, "3/4": {Index: 3, Of: 4}, "15/16": {Index: 15, Of: 16}} {
		if got, err := shard.Parse(text); err != nil || got != want {
			t.Errorf("Parse(%q) = %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"4/4", "-1/4", "1", "a/b", "0/17", "0/0", "1/4/2", "/"} {
		if got, err := shard.Parse(text); err == nil {
			t.Errorf("Parse(%q) = %v, want an error", text, got)
		}
	}
}
