package record

import (
	"fmt"
	"testing"
)

// TestIDs holds the IDs that were given out: they stand in stores, links and messages,
// and must never change.
func TestIDs(t *testing.T) {
	api := ContainerKey{PodUID: "7f1a", Type: App, Name: "api"}
	for _, tc := range []struct{ got, want string }{
		{StopKey{}.ID(), "4b8b7da0e98f7106d997c42a"},
		{StopKey{Cluster: "prod", ContainerKey: api}.ID(), "784e32687633a8916e11536b"},
		{StopKey{Cluster: "prod", ContainerKey: api, Epoch: 1, Ordinal: 41}.ID(), "255dbbc4bf815a06f89defd8"},
		{StopKey{Cluster: "größe", ContainerKey: ContainerKey{PodUID: "u", Type: Sidecar, Name: "proxy"}, Ordinal: 2147483645}.ID(), "0ac6dcbe09e73f58bcf103d2"},
		{StallKey{}.ID(), "920e72f2e7d875bf680ed25b"},
		{StallKey{Cluster: "prod", ContainerKey: api, Cause: "image_not_found"}.ID(), "a4984b8d3e3133dce77480d4"},
		{StallKey{Cluster: "prod", ContainerKey: ContainerKey{PodUID: "7f1a"}, Cause: "unschedulable"}.ID(), "b1106a5810d56d4e107df6a2"},
	} {
		if tc.got != tc.want {
			t.Errorf("ID %s, want %s", tc.got, tc.want)
		}
	}
}

// TestIDsDiffer moves the borders between parts, and changes one part at a time.
func TestIDsDiffer(t *testing.T) {
	seen := map[string]string{}
	add := func(k interface{ ID() string }) {
		id := k.ID()
		if len(id) != 24 {
			t.Errorf("ID %q of %+v has %d digits", id, k, len(id))
		}
		if other, taken := seen[id]; taken {
			t.Errorf("%+v and %s share the ID %s", k, other, id)
		}
		seen[id] = fmt.Sprintf("%+v", k)
	}
	stop := func(cluster, uid string, kind ContainerType, name string, epoch, ordinal int) {
		add(StopKey{Cluster: cluster, ContainerKey: ContainerKey{PodUID: uid, Type: kind, Name: name}, Epoch: epoch, Ordinal: ordinal})
	}
	stop("ab", "c", App, "x", 1, 2)
	stop("a", "bc", App, "x", 1, 2)
	stop("", "abc", App, "x", 1, 2)
	stop("abc", "", App, "x", 1, 2)
	stop("ab", "c", "ap", "px", 1, 2)
	stop("ab", "c", "", "appx", 1, 2)
	stop("ab", "c", App, "x1", 1, 2)
	stop("ab", "c", App, "x", 11, 2)
	stop("ab", "c", App, "x", 1, 12)
	stop("ab", "c", App, "x", 12, 0)
	stop("ab", "c", App, "x", 0, 12)
	stop("ab", "c", Init, "x", 1, 2)
	stop("ab", "c", App, "x", -1, 2)
	stop("ab1:c", "", App, "x", 1, 2)
	stop("ab", "c3:app", "", "x", 1, 2)
	for _, cause := range []string{"", "x", "12"} {
		add(StallKey{Cluster: "ab", ContainerKey: ContainerKey{PodUID: "c", Type: App, Name: "x"}, Cause: cause})
		add(StallKey{Cluster: "ab", ContainerKey: ContainerKey{PodUID: "c", Type: App}, Cause: "x" + cause})
	}
}
