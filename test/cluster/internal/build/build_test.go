package build

import (
	"os"
	"strings"
	"testing"
)

// The version that the programs report is set by the linker, so nothing but a
// test compares it with what they are made of.
func TestKubernetesVersionIsThatOfGoMod(t *testing.T) {
	goMod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if want := "k8s.io/kubernetes " + kubernetesVersion + "\n"; !strings.Contains(string(goMod), want) {
		t.Errorf("go.mod does not require %q", want)
	}
}

func TestTailKeepsTheLastLines(t *testing.T) {
	var output tail
	for range 3 * kept {
		output.Write([]byte("k8s.io/a"))
		output.Write([]byte("pi\n"))
	}
	if n, last := output.state(); n != 3*kept || last != "k8s.io/api" {
		t.Errorf("got %d lines, the last %q", n, last)
	}
	if n := strings.Count(output.text(), "\n"); n != kept {
		t.Errorf("kept %d lines, want %d", n, kept)
	}
}
