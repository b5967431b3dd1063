package dump

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/whyrestart/whyrestart/internal/pipeline"
	"github.com/whyrestart/whyrestart/internal/record"
)

// told words what a replay of streams gave, an event a line.
func told(t *testing.T, limits Limits, streams ...string) (events []string, missing []record.Missing, err error) {
	t.Helper()
	inputs := make([]Input, len(streams))
	for i, s := range streams {
		inputs[i] = Input{fmt.Sprintf("%c.json", 'a'+i), strings.NewReader(s)}
	}
	missing, err = Replay(t.Context(), inputs, limits, func(e Event) error {
		events = append(events, word1(e))
		return nil
	})
	return events, missing, err
}

func word1(e Event) string {
	switch {
	case e.Err != nil:
		return fmt.Sprintf("%s %v", e.Type, e.Err)
	case e.Object == nil:
		return fmt.Sprintf("%s %d", e.Type, e.ResourceVersion)
	}
	return fmt.Sprintf("%s %s %s %d", e.Type, e.Object.GetObjectKind().GroupVersionKind().Kind, e.Object.GetName(), e.ResourceVersion)
}

func pod(name string, version int) string {
	return fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"%s","namespace":"shop","uid":"u-%s","resourceVersion":"%d"}}`, name, name, version)
}

func event(typ, object string) string {
	return fmt.Sprintf(`{"type":"%s","object":%s}`, typ, object)
}

// indented prints a document as kubectl does when it watches one object.
func indented(doc string) string {
	var b bytes.Buffer
	if err := json.Indent(&b, []byte(doc), "", "    "); err != nil {
		panic(err)
	}
	return b.String() + "\n"
}

func TestReplay(t *testing.T) {
	three := event("ADDED", pod("one", 10)) + "\n" + event("MODIFIED", pod("one", 12)) + "\n" + event("DELETED", pod("one", 15)) + "\n"
	threeTold := []string{"ADDED Pod one 10", "MODIFIED Pod one 12", "DELETED Pod one 15"}
	tests := []struct {
		name    string
		limits  Limits
		streams []string
		want    []string
		missing []record.Missing
	}{
		{name: "a document a line", streams: []string{three}, want: threeTold},
		{
			name:    "indented documents",
			streams: []string{indented(event("ADDED", pod("one", 10))) + indented(event("MODIFIED", pod("one", 12))) + indented(event("DELETED", pod("one", 15)))},
			want:    threeTold,
		},
		{name: "no newline between", streams: []string{strings.ReplaceAll(three, "\n", "")}, want: threeTold},
		{name: "carriage returns and a byte order mark", streams: []string{"\ufeff" + strings.ReplaceAll(three, "\n", "\r\n")}, want: threeTold},
		{name: "nothing", streams: []string{""}},
		{name: "blank lines", streams: []string{"\n\n" + three + "\n\n"}, want: threeTold},
		{
			name: "merged by number, not by text, and the first of equals first",
			streams: []string{
				event("ADDED", pod("a", 9)) + event("MODIFIED", pod("a", 100)),
				event("ADDED", pod("b", 9)) + event("MODIFIED", pod("b", 20)),
			},
			want: []string{"ADDED Pod a 9", "ADDED Pod b 9", "MODIFIED Pod b 20", "MODIFIED Pod a 100"},
		},
		{
			name: "a stream's own order is kept: its first list is by name",
			streams: []string{
				event("ADDED", pod("a", 50)) + event("ADDED", pod("b", 3)) + event("MODIFIED", pod("b", 60)),
				event("ADDED", pod("c", 55)),
			},
			want: []string{"ADDED Pod a 50", "ADDED Pod b 3", "ADDED Pod c 55", "MODIFIED Pod b 60"},
		},
		{
			name:    "kinds that are not asked for are passed over",
			streams: []string{event("ADDED", `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s"},"data":{"a":"Yg=="}}`) + three},
			want:    threeTold,
		},
		{
			name:    "bookmarks and errors",
			streams: []string{event("BOOKMARK", pod("", 77)) + event("ERROR", `{"kind":"Status","apiVersion":"v1","code":410,"reason":"Expired","message":"too old resource version: 5 (9)"}`)},
			want:    []string{"BOOKMARK 77", "ERROR a.json, line 1: the recorded watch failed: too old resource version: 5 (9)"},
		},
		{
			name:    "lists and plain objects count as added",
			streams: []string{`{"apiVersion":"v1","items":[` + pod("a", 1) + "," + pod("b", 2) + `],"kind":"List"}` + pod("c", 3)},
			want:    []string{"ADDED Pod a 1", "ADDED Pod b 2", "ADDED Pod c 3"},
		},
		{
			name:    "a list inside an event",
			streams: []string{event("MODIFIED", `{"apiVersion":"v1","items":[`+pod("a", 1)+","+pod("b", 2)+`],"kind":"List"}`)},
			want:    []string{"MODIFIED Pod a 1", "MODIFIED Pod b 2"},
		},
		{
			name:    "typed lists, the kind before and after the items",
			streams: []string{`{"kind":"PodList","apiVersion":"v1","items":[{"metadata":{"name":"a"}}]} {"items":[{"metadata":{"name":"b"}}],"kind":"PodList","apiVersion":"v1"} {"kind":"PodList","apiVersion":"v1","items":null}`},
			want:    []string{"ADDED Pod a 0", "ADDED Pod b 0"},
		},
		{
			name:    "half a line at the end",
			streams: []string{three[:len(three)-9]},
			want:    threeTold[:2],
			missing: []record.Missing{{What: "a.json, line 3", Why: "ends in the middle of a document; 134 bytes of a Pod (DELETED) are not used"}},
		},
		{
			name:    "half a line in the middle, and the next recording appended on a new line",
			streams: []string{event("ADDED", pod("one", 10))[:60] + "\n" + three},
			want:    threeTold,
			missing: []record.Missing{{What: "a.json, line 1", Why: "is not JSON here; 61 bytes of a Pod (ADDED) are not used"}},
		},
		{
			name:    "an indented document that was cut off before the next",
			streams: []string{indented(event("ADDED", pod("one", 10)))[:70] + "\n" + indented(event("ADDED", pod("two", 11)))},
			want:    []string{"ADDED Pod two 11"},
			missing: []record.Missing{{What: "a.json, line 1", Why: "is not JSON here; 71 bytes are not used"}},
		},
		{
			name:    "messages of kubectl between the lines",
			streams: []string{event("ADDED", pod("one", 10)) + "\nerror: unexpected EOF\nmore\n" + event("MODIFIED", pod("one", 12))},
			want:    threeTold[:2],
			missing: []record.Missing{{What: "a.json, line 2", Why: `is not JSON here, but "error: unexpected EOF"; 27 bytes are not used`}},
		},
		{
			name:    "a field of the wrong type, no name, an unknown type of event",
			streams: []string{event("ADDED", `{"apiVersion":"v1","kind":"Pod","metadata":{"name":7}}`) + "\n" + event("ADDED", `{"apiVersion":"v1","kind":"Pod"}`) + "\n" + event("RENAMED", pod("a", 1)) + "\n" + three},
			want:    threeTold,
			missing: []record.Missing{
				{What: "a.json, line 1", Why: "the ADDED event is not used: decode a Pod: json: cannot unmarshal number into Go struct field ObjectMeta.metadata.name of type string"},
				{What: "a.json, line 2", Why: "the ADDED event is not used: decode a Pod: it has no name"},
				{What: "a.json, line 3", Why: `is a watch event of no known type: "RENAMED"`},
			},
		},
		{
			name:    "a document that is too long",
			limits:  Limits{Document: 300},
			streams: []string{three + event("ADDED", pod(strings.Repeat("x", 100_000), 16)) + "\n" + event("ADDED", pod("two", 17)) + "\n"},
			want:    append(threeTold[:3:3], "ADDED Pod two 17"),
			missing: []record.Missing{{What: "a.json, line 4", Why: "a document of more than 300 bytes; 200135 bytes of a Pod (ADDED) are not used"}},
		},
		{
			name:    "one of two inputs is none",
			streams: []string{three, "hello\n"},
			want:    threeTold,
			missing: []record.Missing{{What: "b.json", Why: `b.json, line 1: is not JSON here, but "hello"; 6 bytes are not used; wanted is what "kubectl get pods --watch --output-watch-events -o json" prints`}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, missing, err := told(t, tt.limits, tt.streams...)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("events (-want +got):\n%s", d)
			}
			if d := cmp.Diff(tt.missing, missing); d != "" {
				t.Errorf("missing (-want +got):\n%s", d)
			}
		})
	}
}

func TestReplayOfWhatIsNotARecording(t *testing.T) {
	tests := map[string]string{
		"NAME  READY\nweb   1/1\n":    `a.json, line 1: is not JSON here, but "NAME  READY"; 22 bytes are not used; wanted is what "kubectl get pods --watch --output-watch-events -o json" prints`,
		`{"type":"ADDED","object":{"`: `a.json, line 1: ends in the middle of a document; 27 bytes are not used; wanted is what "kubectl get pods --watch --output-watch-events -o json" prints`,
		"\x1f\x8bnot gzip after all":  `decompress a.json: `,
	}
	for in, want := range tests {
		_, _, err := told(t, Limits{}, in)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q:\ngot  %v\nwant %s", in, err, want)
		}
	}
}

func TestReplayBounds(t *testing.T) {
	t.Run("garbage is given up", func(t *testing.T) {
		endless := &counter{r: zeros{}}
		_, err := ReadWatch(t.Context(), "z", io.LimitReader(endless, gib), Limits{}, func(Event) error { return nil })
		if err == nil || endless.n > 64*mib {
			t.Errorf("read %d bytes of garbage, error %v", endless.n, err)
		}
	})
	t.Run("a stream has an end", func(t *testing.T) {
		line := event("ADDED", pod("one", 1)) + "\n"
		n := 0
		missing, err := ReadWatch(t.Context(), "long", strings.NewReader(strings.Repeat(line, 10)), Limits{Stream: int64(len(line) * 3)}, func(Event) error { n++; return nil })
		want := []record.Missing{{What: "long, line 4", Why: "reading ends here: it is longer than is read: 420 bytes"}}
		if n != 3 || err != nil || !cmp.Equal(missing, want) {
			t.Errorf("%d events, %v, error %v", n, missing, err)
		}
	})
	t.Run("damages are counted after the first", func(t *testing.T) {
		_, missing, err := told(t, Limits{}, pod("a", 1)+"\n"+strings.Repeat("x\n{}\n", 100))
		if err != nil || len(missing) != maxNamed+1 || missing[maxNamed].Why != "80 more damaged places" {
			t.Errorf("error %v, %d missing, last %v", err, len(missing), missing[len(missing)-1])
		}
	})
	t.Run("a file damaged on purpose costs little", func(t *testing.T) {
		nested := strings.Repeat(`{"a":[`+"\n", 200_000)
		if _, _, err := told(t, Limits{}, nested); err == nil {
			t.Error("no error")
		}
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

func TestReplayStops(t *testing.T) {
	in := strings.Repeat(event("ADDED", pod("one", 1))+"\n", 10)
	stop := errors.New("enough")
	n := 0
	_, err := ReadWatch(t.Context(), "a", strings.NewReader(in), Limits{}, func(Event) error {
		n++
		return stop
	})
	if n != 1 || !errors.Is(err, stop) {
		t.Errorf("%d events, error %v", n, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ReadWatch(ctx, "a", strings.NewReader(in), Limits{}, func(Event) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestReplayFailingReaders(t *testing.T) {
	in := event("ADDED", pod("one", 1)) + "\n"
	for name, r := range map[string]io.Reader{
		"one byte at a time": iotest.OneByteReader(strings.NewReader(in)),
		"error at the end":   iotest.DataErrReader(strings.NewReader(in)),
	} {
		n := 0
		missing, err := ReadWatch(t.Context(), name, r, Limits{}, func(Event) error { n++; return nil })
		if n != 1 || err != nil || len(missing) > 0 {
			t.Errorf("%s: %d events, %v, %v", name, n, missing, err)
		}
	}
	n := 0
	broken := io.MultiReader(strings.NewReader(in), iotest.ErrReader(errors.New("disk on fire")))
	missing, err := ReadWatch(t.Context(), "x", broken, Limits{}, func(Event) error { n++; return nil })
	if n != 1 || err != nil || len(missing) != 1 || !strings.Contains(missing[0].Why, "disk on fire") {
		t.Errorf("%d events, %v, %v", n, missing, err)
	}
}

func TestReplayTruncatedGzip(t *testing.T) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	for i := range 2000 {
		fmt.Fprintln(z, event("ADDED", pod(fmt.Sprintf("pod-%x", i*7919), i+1)))
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	n := 0
	missing, err := ReadWatch(t.Context(), "cut.gz", bytes.NewReader(b.Bytes()[:b.Len()/2]), Limits{}, func(Event) error { n++; return nil })
	if err != nil || n < 500 || len(missing) == 0 || !strings.Contains(missing[len(missing)-1].Why, "unexpected EOF") {
		t.Errorf("%d events, %v, error %v", n, missing, err)
	}
}

// TestRecordings replays streams that a real cluster gave. What is counted was
// counted with another program.
func TestRecordings(t *testing.T) {
	want := map[string]string{
		"reboot":      "Event 57+17-0 Node 1+44-0 Pod 1+9-0",
		"act-rollout": "Deployment 1+16-0 Event 29+0-0 Node 1+0-0 Pod 4+31-2 ReplicaSet 2+19-0",
		"initfail":    "Event 9+61-0 Node 1+0-0 Pod 1+27-0",
		"fasttwo":     "Event 10+42-10 Node 1+0-0 Pod 1+100-1",
		"outofcpu":    "Event 1+0-0 Node 1+0-0 Pod 1+2-0",
		"jobok":       "Event 6+0-0 Job 1+3-0 Node 1+0-0 Pod 1+9-0",
	}
	for name, want := range want {
		t.Run(name, func(t *testing.T) {
			count := map[string]map[EventType]int{}
			last := uint64(0)
			missing, err := ReplayFiles(t.Context(), []string{recording(name)}, nil, Limits{}, func(e Event) error {
				kind := e.Object.GetObjectKind().GroupVersionKind().Kind
				if count[kind] == nil {
					count[kind] = map[EventType]int{}
				}
				count[kind][e.Type]++
				if e.ResourceVersion < last {
					t.Errorf("line %d: version %d after %d", e.Line, e.ResourceVersion, last)
				}
				last = e.ResourceVersion
				return nil
			})
			if err != nil || len(missing) > 0 {
				t.Fatal(missing, err)
			}
			var got []string
			for _, kind := range []string{"Deployment", "Event", "Job", "Node", "Pod", "ReplicaSet"} {
				if c := count[kind]; c != nil {
					got = append(got, fmt.Sprintf("%s %d+%d-%d", kind, c[Added], c[Modified], c[Deleted]))
				}
			}
			if got := strings.Join(got, " "); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func recording(name string) string {
	return filepath.Join("testdata", "recordings", name+".watch.jsonl.gz")
}

func TestReplayFilesThatAreNotThere(t *testing.T) {
	for _, name := range []string{"testdata/none.json", "testdata"} {
		if _, err := ReplayFiles(t.Context(), []string{recording("jobok"), name}, nil, Limits{}, func(Event) error { return nil }); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// sink writes down what it was called with.
type sink []string

func (s *sink) Replace(scope string, pods []pipeline.Object, version string) {
	*s = append(*s, fmt.Sprintf("replace %s %d %s", scope, len(pods), version))
}
func (s *sink) Apply(scope string, o pipeline.Object)  { s.pod("apply", scope, o) }
func (s *sink) Delete(scope string, o pipeline.Object) { s.pod("delete", scope, o) }
func (s *sink) Progress(scope, version string) {
	*s = append(*s, "progress "+scope+" "+version)
}
func (s *sink) Trouble(scope string, err error) {
	*s = append(*s, fmt.Sprintf("trouble %s %v", scope, err))
}
func (s *sink) pod(what, scope string, o pipeline.Object) {
	full, err := o.Full()
	if err != nil || string(full.UID) != o.View.UID {
		what += " wrong"
	}
	*s = append(*s, fmt.Sprintf("%s %s %s %d", what, scope, full.Name, o.View.ResourceVersion))
}

func TestDeliver(t *testing.T) {
	stream := strings.Join([]string{
		event("ADDED", pod("one", 10)),
		event("ADDED", `{"apiVersion":"v1","kind":"Node","metadata":{"name":"n"}}`),
		event("MODIFIED", pod("one", 12)), event("BOOKMARK", pod("", 14)), event("DELETED", pod("one", 15)),
		event("ERROR", `{"kind":"Status","reason":"Expired"}`),
	}, "\n")
	var s sink
	_, err := ReadWatch(t.Context(), "a", strings.NewReader(stream), Limits{}, func(e Event) error {
		_, isNode := e.Object.(*corev1.Node)
		if taken := e.Deliver(&s, "all"); taken == isNode {
			t.Errorf("%s taken: %v", word1(e), taken)
		}
		return nil
	})
	want := sink{"apply all one 10", "apply all one 12", "progress all 14", "delete all one 15", "trouble all a, line 6: the recorded watch failed: Expired"}
	if err != nil || !cmp.Equal(s, want) {
		t.Errorf("error %v\n%s", err, cmp.Diff(want, s))
	}
}

// FuzzReadWatch feeds any bytes. Nothing may panic or hang, a valid document at the
// end of a line must be found whatever stands before it, and what is found must not
// depend on how the bytes arrive.
func FuzzReadWatch(f *testing.F) {
	f.Add([]byte(event("ADDED", pod("a", 1))), uint16(30))
	f.Add([]byte(indented(event("ADDED", pod("a", 1)))), uint16(3))
	f.Add([]byte(`{"kind":"PodList","apiVersion":"v1","items":[{"metadata":{"name":"a"}},`), uint16(1))
	f.Add([]byte(`[{"metadata":{"name":"a"}}]`), uint16(1))
	f.Add([]byte(`{"items":[{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"}}],"items":[]}`), uint16(9))
	f.Add([]byte("==== START logs for container a of pod b/c ====\n"), uint16(5))
	f.Add([]byte("{\n[{\n{\"a\":[\n{\"\\u00"), uint16(2))
	if raw, err := os.ReadFile(recording("outofcpu")); err == nil {
		f.Add(raw, uint16(1000))
	}
	f.Fuzz(func(t *testing.T, raw []byte, limit uint16) {
		limits := Limits{Document: 200 + int(limit), Stream: mib}
		read := func(r io.Reader) (got []string, lost int) {
			missing, err := ReadWatch(t.Context(), "f", r, limits, func(e Event) error {
				if e.Object == nil && e.Type != Error && e.Type != Bookmark {
					t.Errorf("event without an object: %+v", e)
				}
				got = append(got, word1(e))
				return nil
			})
			if err != nil && len(got) > 0 {
				t.Errorf("error %v after %d events", err, len(got))
			}
			return got, len(missing)
		}
		got, lost := read(bytes.NewReader(raw))
		again, lostAgain := read(iotest.OneByteReader(bytes.NewReader(raw)))
		if !cmp.Equal(got, again) || lost != lostAgain {
			t.Errorf("depends on how the bytes arrive: %d lost, then %d\n%s", lost, lostAgain, cmp.Diff(got, again))
		}
		if bytes.HasPrefix(raw, gzipMagic) {
			return
		}
		more, _ := read(io.MultiReader(bytes.NewReader(raw), strings.NewReader("\n"+event("ADDED", pod("last", 9))+"\n"+event("ADDED", pod("last", 9))+"\n")))
		if len(more) == 0 || more[len(more)-1] != "ADDED Pod last 9" {
			t.Errorf("the last event was not found: %q", more)
		}
	})
}

// BenchmarkReplay reads a recorded stream of a real cluster, 4 KB an event.
func BenchmarkReplay(b *testing.B) {
	f, err := os.Open(recording("fasttwo"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		b.Fatal(err)
	}
	raw, err := io.ReadAll(z)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ReadWatch(b.Context(), "b", bytes.NewReader(raw), Limits{}, func(Event) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
