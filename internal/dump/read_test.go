package dump

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/whyrestart/whyrestart/internal/record"
)

// summary words what a dump holds, a line each, sorted.
func summary(d *Dump) []string {
	var got []string
	add := func(kind string, o Object) {
		got = append(got, strings.TrimSuffix(fmt.Sprintf("%s %s/%s %s", kind, o.GetNamespace(), o.GetName(), o.GetResourceVersion()), " "))
	}
	for _, o := range All[Object](d.Objects) {
		add(o.GetObjectKind().GroupVersionKind().Kind, o)
	}
	for key, log := range d.Objects.logs {
		which := "current"
		if key.previous {
			which = "previous"
		}
		text := fmt.Sprintf("%q", log.Lines)
		if log.Missing != "" {
			text = "missing: " + log.Missing
		}
		got = append(got, fmt.Sprintf("log %s/%s/%s %s %s", key.namespace, key.pod, key.container, which, text))
	}
	slices.Sort(got)
	return got
}

// tree is a folder in memory.
type tree map[string]string

func (f tree) folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range f {
		full := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func (f tree) archive(t testing.TB) []byte {
	t.Helper()
	var headers []tar.Header
	for _, name := range slices.Sorted(maps.Keys(f)) {
		headers = append(headers, tar.Header{Name: name, Typeflag: tar.TypeReg, Size: int64(len(f[name]))})
	}
	return archiveOf(t, headers, f)
}

func archiveOf(t testing.TB, headers []tar.Header, content tree) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, h := range headers {
		h.Mode = 0o644
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write([]byte(content[h.Name])); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const podYAML = `apiVersion: v1
kind: Pod
metadata: {name: one, namespace: shop, uid: u-one, resourceVersion: "10"}
`

func TestReadDumpFiles(t *testing.T) {
	tests := []struct {
		name, in string
		want     []string
		missing  []record.Missing
	}{
		{"one object", indented(pod("one", 10)), []string{"Pod shop/one 10"}, nil},
		{"a list", indented(`{"apiVersion":"v1","items":[` + pod("one", 10) + `,{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"shop"}}],"kind":"List"}`), []string{"Deployment shop/web", "Pod shop/one 10"}, nil},
		{"an empty list", `{"apiVersion":"v1","items":[],"kind":"List"}`, nil, nil},
		{"yaml", podYAML, []string{"Pod shop/one 10"}, nil},
		{"yaml documents", "# a comment\n---\n" + podYAML + "---\n" + strings.ReplaceAll(podYAML, "one", "two") + "---\n", []string{"Pod shop/one 10", "Pod shop/two 10"}, nil},
		{"a yaml list", "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: one}}\n- {apiVersion: batch/v1, kind: CronJob, metadata: {name: nightly}}\n", []string{"CronJob /nightly", "Pod /one"}, nil},
		{"a damaged yaml document", podYAML + "---\n\t- x: [\n---\n" + strings.ReplaceAll(podYAML, "one", "two"), []string{"Pod shop/one 10", "Pod shop/two 10"}, []record.Missing{{What: "standard input, line 5", Why: "is not YAML here: yaml: found character that cannot start any token"}}},
		{"an event of the newer API", `{"apiVersion":"events.k8s.io/v1","kind":"Event","metadata":{"name":"e","namespace":"shop"},"regarding":{"uid":"u-one"},"note":"n"}`, []string{"Event shop/e"}, nil},
		{"the newest state counts", pod("one", 9) + pod("one", 11) + pod("one", 10), []string{"Pod shop/one 11"}, nil},
		{"a recorded watch", event("ADDED", pod("one", 1)) + event("ADDED", pod("two", 2)) + event("MODIFIED", pod("one", 3)) + event("DELETED", pod("two", 4)), []string{"Pod shop/one 3"}, nil},
		{"a list that was cut off", `{"apiVersion":"v1","items":[` + pod("one", 10) + `,` + pod("two", 11)[:20], []string{"Pod shop/one 10"}, []record.Missing{{What: "standard input, line 1", Why: "ends in the middle of a document; 20 bytes are not used"}}},
		{
			"cluster-info dump on standard output",
			indented(`{"kind":"PodList","apiVersion":"v1","items":[{"metadata":{"name":"one","namespace":"shop"}}]}`) +
				"==== START logs for container app of pod shop/one ====\n{\"kind\":\"Pod\"}\nlast==== END logs for container app of pod shop/one ====\n" +
				"==== START logs for container side of pod shop/one ====\nRequest log error: the server rejected our request\n==== END logs for container side of pod shop/one ====\n" +
				indented(`{"kind":"NodeList","apiVersion":"v1","items":[{"metadata":{"name":"n"}}]}`),
			[]string{"Node /n", "Pod shop/one", `log shop/one/app current ["{\"kind\":\"Pod\"}" "last"]`, "log shop/one/side current missing: Request log error: the server rejected our request"},
			nil,
		},
		{"a warning of kubectl first", "Warning: v1 is deprecated\n" + pod("one", 10), []string{"Pod shop/one 10"}, []record.Missing{{What: "standard input, line 1", Why: `is not JSON here, but "Warning: v1 is deprecated"; 26 bytes are not used`}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, err := ReadDump(t.Context(), "-", strings.NewReader(tt.in), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, summary(d)); diff != "" {
				t.Errorf("objects (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.missing, d.Missing); diff != "" {
				t.Errorf("missing (-want +got):\n%s", diff)
			}
		})
	}
}

// bundles are the layouts of the tools that write dumps.
var bundles = map[string]struct {
	files   tree
	want    []string
	missing []record.Missing
}{
	"cluster-info dump": {
		files: tree{
			"nodes.json":                `{"kind":"NodeList","apiVersion":"v1","items":[{"metadata":{"name":"n"}}]}`,
			"shop/pods.json":            indented(`{"kind":"PodList","apiVersion":"v1","items":[{"metadata":{"name":"one","namespace":"shop"}}]}`),
			"shop/deployments.json":     `{"kind":"DeploymentList","apiVersion":"apps/v1","items":null}`,
			"shop/services.json":        `{"kind":"ServiceList","apiVersion":"v1","items":[{"metadata":{"name":"s"}}]}`,
			"shop/replicasets.json":     `{"kind":"ReplicaSetList","apiVersion":"apps/v1","items":[{"metad`,
			"shop/events.json":          ``,
			"shop/one/logs.txt":         "==== START logs for container app of pod shop/one ====\nb\n==== END logs for container app of pod shop/one ====\n==== START logs for container app of pod other/pod ====\nnot its own\n",
			"shop/one/app-previous.log": "a\n",
			"shop/one/two-previous.log": `Error from server (BadRequest): previous terminated container "two" in pod "one" not found` + "\n",
			"shop/one/gone.log":         "",
			"notes.md":                  "# not read",
			"notes.json":                `{"who":"me"}`,
		},
		want: []string{
			"Node /n", "Pod shop/one",
			`log shop/one/ current ["==== START logs for container app of pod other/pod ====" "not its own"]`,
			`log shop/one/app current ["b"]`, `log shop/one/app previous ["a"]`,
			"log shop/one/gone current missing: the recorded log is empty",
			`log shop/one/two previous missing: Error from server (BadRequest): previous terminated container "two" in pod "one" not found`,
		},
		missing: []record.Missing{{What: "shop/replicasets.json, line 1", Why: "ends in the middle of a document; 7 bytes are not used"}},
	},
	"troubleshoot": {
		files: tree{
			"b/cluster-resources/pods/shop.json":                      `{"metadata":{},"items":[{"metadata":{"name":"one","namespace":"shop"}}]}`,
			"b/cluster-resources/events/shop.json":                    `[{"metadata":{"name":"e","namespace":"shop"},"involvedObject":{"uid":"u"}}]`,
			"b/cluster-resources/pvcs/shop.json":                      `{"kind":"PersistentVolumeClaimList","apiVersion":"v1","items":[{"metadata":{"name":"data","namespace":"shop"}}]}`,
			"b/cluster-resources/pods/logs/shop/one/app.log":          "now",
			"b/cluster-resources/pods/logs/shop/one/app-previous.log": "then",
		},
		want: []string{"Event shop/e", "PersistentVolumeClaim shop/data", "Pod shop/one", `log shop/one/app current ["now"]`, `log shop/one/app previous ["then"]`},
	},
	"must-gather": {
		files: tree{
			"m/namespaces/shop/core/pods.yaml":                     "apiVersion: v1\nkind: PodList\nitems:\n- metadata: {name: one, namespace: shop}\n",
			"m/namespaces/shop/pods/one/one.yaml":                  "---\napiVersion: v1\nkind: Pod\nmetadata: {name: one, namespace: shop}\n",
			"m/namespaces/shop/pods/one/app/app/logs/current.log":  "2026-11-21T02:06:54.123456789Z hello\n2026-11-21T02:06:55Z\n",
			"m/namespaces/shop/pods/one/app/app/logs/previous.log": "2026-11-21T02:06:54.1+01:00 bye\n",
		},
		want: []string{"Pod shop/one", `log shop/one/app current ["hello" "2026-11-21T02:06:55Z"]`, `log shop/one/app previous ["bye"]`},
	},
}

func TestReadDumpBundles(t *testing.T) {
	for name, tt := range bundles {
		check := func(t *testing.T, d *Dump, err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, summary(d)); diff != "" {
				t.Errorf("objects (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.missing, d.Missing); diff != "" {
				t.Errorf("missing (-want +got):\n%s", diff)
			}
		}
		t.Run(name+" folder", func(t *testing.T) {
			d, err := ReadDump(t.Context(), tt.files.folder(t), nil, Limits{})
			check(t, d, err)
		})
		t.Run(name+" archive", func(t *testing.T) {
			d, err := ReadDump(t.Context(), "-", bytes.NewReader(tt.files.archive(t)), Limits{})
			check(t, d, err)
		})
	}
}

func TestReadDumpThatIsNone(t *testing.T) {
	tests := map[string]struct {
		in   string
		want string
	}{
		"text":            {"hello\nworld\n", `nothing in standard input can be read: standard input, line 1: is neither JSON nor YAML of Kubernetes objects, but "hello"`},
		"empty":           {"", `standard input holds no Kubernetes objects: wanted is what "kubectl get -o json|yaml" or "kubectl cluster-info dump" writes`},
		"other JSON":      {`{"a":1}`, `standard input holds no Kubernetes objects: wanted is what "kubectl get -o json|yaml" or "kubectl cluster-info dump" writes`},
		"zip":             {"PK\x03\x04rest", "standard input is a zip archive, which is not read: unpack it and name the folder, or make it a .tar.gz"},
		"half a document": {`{"kind":"Pod"`, "nothing in standard input can be read: standard input, line 1: ends in the middle of a document; 13 bytes of a Pod are not used"},
	}
	for name, tt := range tests {
		if _, err := ReadDump(t.Context(), "-", strings.NewReader(tt.in), Limits{}); err == nil || err.Error() != tt.want {
			t.Errorf("%s:\ngot  %v\nwant %s", name, err, tt.want)
		}
	}
	if _, err := ReadDump(t.Context(), "testdata/none", nil, Limits{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a path that is not there: %v", err)
	}
	if _, err := ReadDump(t.Context(), t.TempDir(), nil, Limits{}); err == nil {
		t.Error("an empty folder: no error")
	}
}

func TestReadDumpRefusesWhatLeadsOut(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret.json")
	if err := os.WriteFile(secret, []byte(pod("secret", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Run("folder", func(t *testing.T) {
		dir := tree{"pods.json": pod("one", 1)}.folder(t)
		if err := os.Symlink(secret, filepath.Join(dir, "z.json")); err != nil {
			t.Fatal(err)
		}
		d, err := ReadDump(t.Context(), dir, nil, Limits{})
		want := []record.Missing{{What: "z.json", Why: "is not a plain file, and links are not followed"}}
		if err != nil || d.Objects.Len() != 1 || !cmp.Equal(d.Missing, want) {
			t.Errorf("%v, error %v", d, err)
		}
	})
	t.Run("archive", func(t *testing.T) {
		bad := []string{"../up.json", "a/../../up.json", "/abs.json", `..\win.json`}
		headers := []tar.Header{{Name: "pods.json", Typeflag: tar.TypeReg, Size: int64(len(pod("one", 1)))}}
		content := tree{"pods.json": pod("one", 1)}
		for _, name := range bad {
			content[name] = pod("evil", 1)
			headers = append(headers, tar.Header{Name: name, Typeflag: tar.TypeReg, Size: int64(len(content[name]))})
		}
		headers = append(headers, tar.Header{Name: "sym.json", Linkname: secret, Typeflag: tar.TypeSymlink}, tar.Header{Name: "hard.json", Linkname: "pods.json", Typeflag: tar.TypeLink})
		d, err := ReadDump(t.Context(), "-", bytes.NewReader(archiveOf(t, headers, content)), Limits{})
		if err != nil || len(d.Missing) != len(bad)+2 || !cmp.Equal(summary(d), []string{"Pod shop/one 1"}) {
			t.Fatalf("%v, error %v", d, err)
		}
		for i, name := range bad {
			if want := (record.Missing{What: name, Why: "its name leads out of the archive"}); d.Missing[i] != want {
				t.Errorf("got %v, want %v", d.Missing[i], want)
			}
		}
	})
}

func TestReadDumpBounds(t *testing.T) {
	files := tree{}
	for i := range 30 {
		files[fmt.Sprintf("ns/p%02d.json", i)] = pod(fmt.Sprintf("p%02d", i), 1)
	}
	one := int64(len(pod("p00", 1)))
	tests := map[string]struct {
		limits  Limits
		files   tree
		objects int
		missing string
	}{
		"files":    {Limits{Files: 10}, files, 10, "only the first 10 files were read"},
		"total":    {Limits{Total: 10 * one}, files, 10, "only the first 1130 bytes were read"},
		"file":     {Limits{File: one}, tree{"a.json": pod("p00", 1), "b.json": pod("p00", 1) + pod("p02", 1)}, 1, "reading ends here: it is longer than is read: 113 bytes"},
		"document": {Limits{Document: 200}, tree{"a.json": pod("p00", 1), "b.json": pod(strings.Repeat("x", 200), 1)}, 1, "a document of more than 200 bytes; 507 bytes of a Pod are not used"},
		"yaml":     {Limits{Document: 200}, tree{"a.json": pod("p00", 1), "b.yaml": "# " + strings.Repeat("x", 300)}, 1, "a YAML document of more than 200 bytes is not read"},
		"logs":     {Limits{AllLogs: 100}, tree{"a.json": pod("p00", 1), "shop/p00/a.log": strings.Repeat("x", 60), "shop/p00/b.log": strings.Repeat("y", 60)}, 1, "the dump holds more than 100 bytes of log tails"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d, err := ReadDump(t.Context(), tt.files.folder(t), nil, tt.limits)
			if err != nil {
				t.Fatal(err)
			}
			if d.Objects.Len() != tt.objects || len(d.Missing) != 1 || d.Missing[0].Why != tt.missing {
				t.Errorf("%d objects, missing %v", d.Objects.Len(), d.Missing)
			}
		})
	}
	t.Run("bomb", func(t *testing.T) {
		bomb := tree{"a.json": pod("one", 1), "b.json": strings.Repeat(" ", 64*mib), "c.json": pod("two", 1)}.archive(t)
		d, err := ReadDump(t.Context(), "-", bytes.NewReader(bomb), Limits{Total: 8 * mib})
		if err != nil || d.Objects.Len() != 1 || len(d.Missing) == 0 {
			t.Errorf("%v, error %v", d, err)
		}
	})
	t.Run("yaml that multiplies itself", func(t *testing.T) {
		y := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
		for c := 'b'; c <= 'k'; c++ {
			y += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.Repeat(fmt.Sprintf("*%c,", c-1), 10))
		}
		if _, err := ReadDump(t.Context(), "-", strings.NewReader(y), Limits{}); err == nil || !strings.Contains(err.Error(), "aliasing") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("canceled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := ReadDump(ctx, files.folder(t), nil, Limits{}); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	})
}

// TestRecordedDumps reads dumps of a real cluster, packed as archives.
func TestRecordedDumps(t *testing.T) {
	d, err := ReadDump(t.Context(), "testdata/recordings/gopanic.dump.tar.gz", nil, Limits{})
	if err != nil || len(d.Missing) > 0 {
		t.Fatal(d, err)
	}
	if n := [...]int{len(All[*corev1.Pod](d.Objects)), len(All[*corev1.Node](d.Objects)), len(All[*corev1.Event](d.Objects)), len(All[*appsv1.ReplicaSet](d.Objects)), len(All[*appsv1.Deployment](d.Objects))}; n != [...]int{2, 1, 21, 1, 1} {
		t.Errorf("pods, nodes, events, ReplicaSets, Deployments: %v", n)
	}
	for _, p := range All[*corev1.Pod](d.Objects) {
		w, err := d.Objects.Workload(t.Context(), p)
		if err != nil || *w != (record.Workload{Kind: "Deployment", Name: "ledger"}) {
			t.Errorf("%s belongs to %v, error %v", p.Name, w, err)
		}
		if events := d.Objects.EventsAbout(p.UID); len(events) == 0 || events[0].Reason != "Scheduled" {
			t.Errorf("%s: %d events, not beginning with Scheduled", p.Name, len(events))
		}
		last := p.Status.ContainerStatuses[0].LastTerminationState.Terminated
		log := d.Objects.Tail(t.Context(), request(p, "app", last.ContainerID, true))
		if len(log.Lines) < 2 || log.Lines[1] != "panic: assignment to entry in nil map" || log.Instance != record.LogProbable {
			t.Errorf("%s: log %+v", p.Name, log)
		}
	}
	jobs, err := ReadDump(t.Context(), "testdata/recordings/jobfail.dump.tar.gz", nil, Limits{})
	if err != nil || len(All[*batchv1.Job](jobs.Objects)) != 1 {
		t.Errorf("jobs: %v, error %v", jobs, err)
	}
	if _, ok := ByName[*corev1.Node](jobs.Objects, "", "node1"); !ok {
		t.Error("no node by name")
	}
}

// FuzzReadArchive feeds any bytes as a file or an archive: nothing may panic, and
// the bounds must hold.
func FuzzReadArchive(f *testing.F) {
	for _, b := range bundles {
		f.Add(b.files.archive(f))
	}
	var plain bytes.Buffer
	w := tar.NewWriter(&plain)
	if err := errors.Join(w.WriteHeader(&tar.Header{Name: "a.json", Size: 2, Typeflag: tar.TypeReg})); err != nil {
		f.Fatal(err)
	}
	if _, err := w.Write([]byte("{}")); err != nil {
		f.Fatal(err)
	}
	f.Add(plain.Bytes())
	f.Add([]byte(podYAML + "---\n"))
	f.Add([]byte(indented(pod("a", 1))))
	f.Fuzz(func(t *testing.T, raw []byte) {
		limits := Limits{Document: 4 * kib, File: 64 * kib, Total: 256 * kib, Files: 20, AllLogs: 8 * kib}
		d, err := ReadDump(t.Context(), "-", bytes.NewReader(raw), limits)
		if err != nil {
			return
		}
		kept := 0
		for _, log := range d.Objects.logs {
			for _, line := range log.Lines {
				kept += len(line)
			}
		}
		if kept > 8*kib {
			t.Errorf("%d bytes of logs", kept)
		}
		for _, p := range All[*corev1.Pod](d.Objects) {
			if _, err := d.Objects.Workload(t.Context(), p); err == nil && p.Name == "" {
				t.Error("a pod without a name")
			}
		}
	})
}

func TestKindOfPath(t *testing.T) {
	for name, want := range map[string]kindOf{
		"shop/pods.json":                    {"Pod", ""},
		"events/deployments.json":           {"Deployment", "apps"},
		"b/cluster-resources/pods/x.json":   {"Pod", ""},
		"b/cluster-resources/nodes.json":    {"Node", ""},
		"cluster-resources/pods/jobs.json":  {"Pod", ""}, // of a namespace with that name
		"core/nodes/n1.yaml":                {"Node", ""},
		"b/cluster-resources/services.json": {},
		"notes.json":                        {},
	} {
		if got := kindOfPath(name); got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}
