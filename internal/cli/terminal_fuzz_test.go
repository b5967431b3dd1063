package cli

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// FuzzTerminal gives a program's last words, names and messages to the whole command line, and holds
// that nothing of them reaches the terminal that is more than text, in any form of output.
func FuzzTerminal(f *testing.F) {
	for _, s := range []string{"plain", "\x1b[2Jx", "\x1b]8;;http://x\x1b\\y", "\u202etxt", "\u009b31m", "a\r\nb\x00", "\x7f\u2066", "{{.x}}", "- a: b", "\u2028\u2029"} {
		f.Add(s, s, uint8(0))
	}
	modes := []string{"", "wide", "json", "yaml", "jsonl", "name"}
	f.Fuzz(func(t *testing.T, message, name string, mode uint8) {
		p := corev1.Pod{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "p" + name, UID: "u1", Labels: map[string]string{"app": name}, Annotations: map[string]string{"whyrestart.dev/group": name}},
			Spec:       corev1.PodSpec{NodeName: name, RestartPolicy: corev1.RestartPolicyAlways, Containers: []corev1.Container{{Name: "c", Image: name}}},
			Status: corev1.PodStatus{Phase: corev1.PodRunning, Message: message, ContainerStatuses: []corev1.ContainerStatus{{
				Name: "c", Image: name, RestartCount: 2, ContainerID: "containerd://1" + name,
				State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: message}},
				LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Reason: name, Message: message, ContainerID: "containerd://0"}},
			}}},
		}
		in, err := json.Marshal(&p)
		if err != nil {
			t.Skip()
		}
		args := []string{"whyrestart", "analyze", "-"}
		if m := modes[int(mode)%len(modes)]; m != "" {
			args = append(args, "-o", m)
		}
		var out, errs bytes.Buffer
		code := Main(t.Context(), args, Streams{In: bytes.NewReader(in), Out: &out, Err: &errs})
		if code > 3 {
			t.Errorf("%v ended with %d", args, code)
		}
		for _, text := range []string{out.String(), errs.String()} {
			if !utf8.ValidString(text) {
				t.Fatalf("%v printed bytes that are no UTF-8: %q", args, text)
			}
			for _, c := range strings.ReplaceAll(text, "\n", "") {
				if c < ' ' || c >= 0x7f && c < 0xa0 || c == 0x200e || c == 0x200f || c >= 0x2028 && c <= 0x202e || c >= 0x2066 && c <= 0x2069 {
					t.Fatalf("%v printed %q of %q and %q: %q", args, c, message, name, text)
				}
			}
		}
	})
}
