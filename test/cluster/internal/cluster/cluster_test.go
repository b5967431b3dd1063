package cluster

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const mountTable = `22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
90 22 0:50 / /var/lib/c/kubelet/pods/1/volumes/kubernetes.io~projected/token rw - tmpfs tmpfs rw
91 22 0:51 / /var/lib/c/containerd.state/rootfs rw - overlay overlay rw
92 22 0:52 / /var/lib/c/with\040blank rw - tmpfs tmpfs rw
93 22 0:53 / /var/lib/c2/rootfs rw - overlay overlay rw
94 22 0:54 / /var/lib/c rw - tmpfs tmpfs rw
`

func TestMountsUnderTheStateFolderAndNoOther(t *testing.T) {
	got := mountsUnder(mountTable, "/var/lib/c")
	want := []string{
		"/var/lib/c/kubelet/pods/1/volumes/kubernetes.io~projected/token",
		"/var/lib/c/containerd.state/rootfs",
		"/var/lib/c/with blank",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

func TestNewRefusesFoldersThatAreNotItsOwn(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a cluster needs root, and so New refuses everything")
	}
	for _, state := range []string{"", "relative", "/", "/var", "/var/", "/var/lib/" + strings.Repeat("x", maxStateLength)} {
		if _, err := New(Options{State: state, Cache: "/tmp/cache", Progress: io.Discard}); err == nil {
			t.Errorf("New accepts the state folder %q", state)
		}
	}
}

func TestRemoveFilesKeepsTheRecords(t *testing.T) {
	c := &Cluster{state: t.TempDir()}
	for _, name := range []string{"logs/kubelet.log", "runtime.jsonl", "lock", "kubeconfig", "etcd/member/db"} {
		if err := writeFile(c.path(name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.removeFiles(); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(c.path("*"))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{c.path("lock"), c.path("logs"), c.path("runtime.jsonl")}; !slices.Equal(left, want) {
		t.Errorf("left are %q, want %q", left, want)
	}
	if err := errors.Join(c.removeRecords(), c.removeRecords()); err != nil {
		t.Errorf("removing the records twice: %v", err)
	}
}

func TestTheKubeconfigIsReadAsItWasWritten(t *testing.T) {
	c := &Cluster{state: t.TempDir()}
	if err := c.writeIdentities(); err != nil {
		t.Fatal(err)
	}
	admin, err := c.api()
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := os.ReadFile(c.path("pki", "tokens.csv"))
	if err != nil {
		t.Fatal(err)
	}
	if want := admin.token + `,admin,admin,"system:masters"`; !strings.Contains(string(tokens), want) {
		t.Error("the token of the kubeconfig is not that of the administrator")
	}
}

func TestNodeReady(t *testing.T) {
	restart := time.Date(2026, 1, 1, 0, 0, 10, 5e8, time.UTC)
	reported := func(status string, at time.Time) node {
		var n node
		n.Status.Conditions = []condition{{Type: "Ready", Status: status, LastHeartbeat: at}}
		return n
	}
	tainted := reported("True", restart)
	tainted.Spec.Taints = []taint{{Key: "node.kubernetes.io/unreachable", Effect: "NoSchedule"}}

	for _, tt := range []struct {
		name  string
		node  node
		ready bool
	}{
		{"reported after the restart", reported("True", restart.Truncate(time.Second)), true},
		{"reported before the restart", reported("True", restart.Add(-2*time.Second)), false},
		{"not ready", reported("False", restart), false},
		{"has reported nothing", node{}, false},
		{"still avoided by the scheduler", tainted, false},
	} {
		if err := tt.node.ready(restart); (err == nil) != tt.ready {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
