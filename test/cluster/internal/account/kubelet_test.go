package account

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

const kubeletLog = `I1121 03:45:01.000001    4711 kubelet.go:2741] "SyncLoop ADD" source="api" pods=["default/crash"]
I1121 03:45:02.000001    4711 kubelet.go:2788] "SyncLoop (PLEG): event for pod" pod="default/crash" event={"ID":"0b5c","Type":"ContainerStarted","Data":"aaa"}
I1121 03:45:02.500001    4711 pod_startup_latency_tracker.go:104] "Observed pod startup duration" pod="default/crash"
I1121 03:45:03.000001    4711 kubelet.go:2788] "SyncLoop (PLEG): event for pod" pod="default/crash" event={"ID":"0b5c","Type":"ContainerDied","Data":"aaa"}
I1121 03:45:04.000001    4711 kubelet.go:2788] "SyncLoop (PLEG): event for pod" pod="default/crash" event=garbage
I1121 03:45:05.000001    4711 kubelet.go:2788] "SyncLoop (PLEG): event for pod" pod="default/crash" event={"ID":"0b5c","Type":"Conta`

func TestReadKubelet(t *testing.T) {
	var got []Noticed
	err := ReadKubelet(strings.NewReader(kubeletLog), func(n Noticed) error {
		got = append(got, n)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []Noticed{
		{"0b5c", "default", "crash", "ContainerStarted", "aaa"},
		{"0b5c", "default", "crash", "ContainerDied", "aaa"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestReadKubeletStopsWhenItsReaderDoes(t *testing.T) {
	full := errors.New("full")
	calls := 0
	err := ReadKubelet(strings.NewReader(kubeletLog), func(Noticed) error {
		calls++
		return full
	})
	if !errors.Is(err, full) || calls != 1 {
		t.Errorf("got %v after %d calls, want %v after 1", err, calls, full)
	}
}
