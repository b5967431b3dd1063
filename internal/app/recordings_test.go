package app

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/whyrestart/whyrestart/internal/record"
)

const recordings = "../../test/recordings"

// want is a recording's want.json.
type want struct {
	Namespace   string
	Final, Gone []finding
}

type finding struct {
	Pod, Container, Cause, Category, Detail string
}

func (f finding) matches(r *record.Record, namespace string) bool {
	return r.Namespace == namespace && strings.HasPrefix(r.Pod, f.Pod) && (f.Container == "" || r.Container == f.Container) &&
		slices.Contains(strings.Split(f.Cause, "|"), r.Diagnosis.Cause) && (f.Category == "*" || f.Category == string(r.Category)) &&
		strings.Contains(r.Diagnosis.Detail, f.Detail)
}

// eachRecording runs a subtest for every recording.
func eachRecording(t *testing.T, test func(t *testing.T, dir string, w want)) {
	dirs, err := filepath.Glob(recordings + "/*/want.json")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	for _, path := range dirs {
		dir := filepath.Dir(path)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var w want
			if err := json.Unmarshal(b, &w); err != nil {
				t.Fatal(err)
			}
			test(t, dir, w)
		})
	}
}

// instance is a container of a pod.
type instance struct{ podUID, container string }

// ended counts the distinct container IDs that a stream shows in a terminated state.
// It is the truth, and so it shares nothing with the program but the JSON of Kubernetes.
func ended(t *testing.T, stream []byte) map[instance]int {
	type status struct {
		Name             string
		State, LastState struct{ Terminated struct{ ContainerID string } }
	}
	ids := make(map[instance]map[string]bool)
	for _, line := range bytes.Split(bytes.TrimSpace(stream), []byte("\n")) {
		var ev struct {
			Object struct {
				Kind     string
				Metadata struct{ UID string }
				Status   struct{ InitContainerStatuses, ContainerStatuses, EphemeralContainerStatuses []status }
			}
		}
		if err := json.Unmarshal(line, &ev); err != nil {
			t.Fatal(err)
		}
		o := &ev.Object
		if o.Kind != "Pod" {
			continue
		}
		for _, s := range slices.Concat(o.Status.InitContainerStatuses, o.Status.ContainerStatuses, o.Status.EphemeralContainerStatuses) {
			for _, id := range []string{s.State.Terminated.ContainerID, s.LastState.Terminated.ContainerID} {
				key := instance{o.Metadata.UID, s.Name}
				if id == "" {
					continue
				}
				if ids[key] == nil {
					ids[key] = make(map[string]bool)
				}
				ids[key][id] = true
			}
		}
	}
	n := make(map[instance]int)
	for key := range ids {
		n[key] = len(ids[key])
	}
	return n
}

func readStream(t *testing.T, dir string) []byte {
	f, err := os.Open(filepath.Join(dir, "watch.jsonl.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// replayed returns the records of a stream, the last with each ID, in order.
func replayed(t *testing.T, stream []byte) []record.Record {
	var found []record.Record
	at := make(map[string]int)
	_, err := Replay(context.Background(), "", []string{"-"}, bytes.NewReader(stream), func(r record.Record) error {
		if i, ok := at[r.ID]; ok {
			found[i] = r
			return nil
		}
		at[r.ID] = len(found)
		found = append(found, r)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func accounted(found []record.Record) map[instance]int {
	n := make(map[instance]int)
	for i := range found {
		if r := &found[i]; r.Stop != nil && r.ExitObserved {
			n[instance{r.PodUID, r.Container}] += 1 + r.MissedBefore
		}
	}
	return n
}

func TestReplayAccountsForEveryStop(t *testing.T) {
	eachRecording(t, func(t *testing.T, dir string, w want) {
		stream := readStream(t, dir)
		truth := ended(t, stream)
		found := replayed(t, stream)
		if diff := cmp.Diff(truth, accounted(found)); diff != "" {
			t.Errorf("every update seen: (-ended +recorded and missed):\n%s", diff)
		}
		for _, f := range w.Gone {
			if !slices.ContainsFunc(found, func(r record.Record) bool { return f.matches(&r, w.Namespace) }) {
				t.Errorf("no stop like %+v in %s", f, outline(found))
			}
		}
		for seed := range uint64(3) {
			kept := drop(stream, seed)
			if diff := cmp.Diff(truth, accounted(replayed(t, kept))); diff != "" {
				t.Errorf("40%% of the updates dropped, seed %d: (-ended +recorded and missed):\n%s", seed, diff)
			}
		}
	})
}

// drop leaves out 40% of the MODIFIED events of pods, never a pod's last event.
func drop(stream []byte, seed uint64) []byte {
	type header struct {
		Type   string
		Object struct {
			Kind     string
			Metadata struct{ UID string }
		}
	}
	var lines [][]byte
	var headers []header
	last := make(map[string]int)
	scan := bufio.NewScanner(bytes.NewReader(stream))
	scan.Buffer(nil, 16<<20)
	for scan.Scan() {
		var h header
		if json.Unmarshal(scan.Bytes(), &h) == nil && h.Object.Kind == "Pod" {
			last[h.Object.Metadata.UID] = len(lines)
		}
		lines, headers = append(lines, bytes.Clone(scan.Bytes())), append(headers, h)
	}
	random := rand.New(rand.NewPCG(seed, 1))
	var out bytes.Buffer
	for i, h := range headers {
		if h.Object.Kind == "Pod" && h.Type == "MODIFIED" && last[h.Object.Metadata.UID] != i && random.Float64() < 0.4 {
			continue
		}
		out.Write(lines[i])
		out.WriteByte('\n')
	}
	return out.Bytes()
}

// TestWithoutEventsNothingIsRuledOut leaves the events out of a recording of a liveness
// probe's kills: an exit code alone must not become the program's own end.
func TestWithoutEventsNothingIsRuledOut(t *testing.T) {
	for _, name := range []string{"live500", "act-sandbox", "exit1"} {
		var pods bytes.Buffer
		for line := range bytes.Lines(readStream(t, filepath.Join(recordings, name))) {
			if bytes.Contains(line, []byte(`"kind":"Pod"`)) && !bytes.Contains(line, []byte(`"kind":"Event"`)) {
				pods.Write(line)
			}
		}
		found := replayed(t, pods.Bytes())
		if len(found) == 0 {
			t.Fatalf("%s: no stops", name)
		}
		for i := range found {
			if c := found[i].Diagnosis.Confidence; c != record.Unknown {
				t.Errorf("%s: %s%s", name, c, outline(found[i:i+1]))
			}
		}
	}
}

func TestReplayTwiceIsTheSame(t *testing.T) {
	eachRecording(t, func(t *testing.T, dir string, _ want) {
		stream := readStream(t, dir)
		if diff := cmp.Diff(replayed(t, stream), replayed(t, stream)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAnalyzeFindsTheCauses(t *testing.T) {
	eachRecording(t, func(t *testing.T, dir string, w want) {
		found, coverage, err := LookInto(context.Background(), "", filepath.Join(dir, "dump.tar.gz"), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		doc := Document(found, coverage)
		for _, f := range w.Final {
			if !slices.ContainsFunc(doc.Findings, func(r record.Record) bool { return f.matches(&r, w.Namespace) }) {
				t.Errorf("no stop like %+v in %s", f, outline(doc.Findings))
			}
		}
		if len(w.Final) > 0 {
			return
		}
		for i := range doc.Findings {
			if r := &doc.Findings[i]; r.Namespace == w.Namespace && r.Category == record.Failure {
				t.Errorf("a failure where there is none: %s", outline(doc.Findings[i:i+1]))
			}
		}
	})
}

func outline(found []record.Record) string {
	var b strings.Builder
	for i := range found {
		r := &found[i]
		fmt.Fprintf(&b, "\n  %s/%s %s: %s %s (%s)", r.Namespace, r.Pod, r.Container, r.Category, r.Diagnosis.Cause, r.Diagnosis.Detail)
	}
	return b.String()
}
