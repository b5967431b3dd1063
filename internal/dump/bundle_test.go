package dump

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/redact"
)

func redactor(t testing.TB) Redactor {
	t.Helper()
	r, err := redact.New(redact.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var bundleTime = time.Date(2026, 11, 21, 3, 4, 5, 0, time.UTC)

func bundled(t testing.TB, c Contents) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := WriteBundle(&b, c, redactor(t), bundleTime); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// secretSpec is a pod with a secret in every place where people put one.
func secretSpec() corev1.PodSpec {
	return corev1.PodSpec{
		ImagePullSecrets: []corev1.LocalObjectReference{{Name: "registry"}},
		InitContainers:   []corev1.Container{{Name: "init", Env: []corev1.EnvVar{{Name: "COLOUR", Value: "s3cr3t-init"}}}},
		Containers: []corev1.Container{{
			Name: "api", Image: "shop:1",
			Command: []string{"/api", "--db-password", "s3cr3t-flag", "--token=s3cr3t-token", "--port", "8080"},
			Args:    []string{"-c", "export PASSWORD=s3cr3t-script\nrun"},
			Env: []corev1.EnvVar{
				{Name: "PLAIN", Value: "s3cr3t-env"}, {Name: "EMPTY"},
				{Name: "REF", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "db"}, Key: "password"}}},
			},
			LivenessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{
				Path: "/healthz", HTTPHeaders: []corev1.HTTPHeader{{Name: "X-Anything", Value: "s3cr3t-header"}},
			}}},
			Lifecycle: &corev1.Lifecycle{PostStart: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"curl", "-H", "Authorization: Bearer s3cr3tbearertoken"}}}},
		}},
		Volumes: []corev1.Volume{
			{Name: "v", VolumeSource: corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: "d", VolumeAttributes: map[string]string{"share": "s3cr3t-csi"}}}},
			{Name: "w", VolumeSource: corev1.VolumeSource{FlexVolume: &corev1.FlexVolumeSource{Driver: "d", Options: map[string]string{"share": "s3cr3t-flex"}}}},
		},
		DNSConfig: &corev1.PodDNSConfig{Options: []corev1.PodDNSConfigOption{{Name: "ndots", Value: new("2")}}},
	}
}

func secretMeta(namespace, name string) metav1.ObjectMeta {
	m := named(namespace, name)
	m.Annotations = map[string]string{
		corev1.LastAppliedConfigAnnotation:  `{"env":"s3cr3t-applied"}`,
		"deployment.kubernetes.io/revision": "3",
		"example.com/password":              "s3cr3t-annotation",
		"example.com/config":                strings.Repeat("s3cr3t-long ", 40),
	}
	m.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "s3cr3t-manager"}}
	return m
}

// secretRevision is the data of a ControllerRevision.
func secretRevision(template corev1.PodTemplateSpec) []byte {
	b, err := json.Marshal(map[string]any{"spec": map[string]any{"template": template}})
	if err != nil {
		panic(err)
	}
	return b
}

func secretContents() Contents {
	template := corev1.PodTemplateSpec{ObjectMeta: secretMeta("", ""), Spec: secretSpec()}
	return Contents{
		Objects: []Object{
			&corev1.Pod{ObjectMeta: secretMeta("shop", "web-1"), Spec: secretSpec(), Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
				Name: "api", RestartCount: 2, LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
					ExitCode: 1, Reason: "Error", Message: "first line\npassword=s3cr3t-message", ContainerID: "containerd://1",
				}},
			}}}},
			&corev1.Event{ObjectMeta: secretMeta("shop", "e"), Reason: "Failed", Message: "login with password=s3cr3t-event failed"},
			&corev1.Node{ObjectMeta: secretMeta("", "n1")},
			&corev1.Namespace{ObjectMeta: secretMeta("", "shop")},
			&corev1.PersistentVolumeClaim{ObjectMeta: secretMeta("shop", "data")},
			&corev1.ReplicationController{ObjectMeta: secretMeta("shop", "rc"), Spec: corev1.ReplicationControllerSpec{Template: &template}},
			&appsv1.ReplicaSet{ObjectMeta: secretMeta("shop", "web"), Spec: appsv1.ReplicaSetSpec{Template: template}},
			&appsv1.Deployment{ObjectMeta: secretMeta("shop", "web-d"), Spec: appsv1.DeploymentSpec{Template: template}},
			&appsv1.StatefulSet{ObjectMeta: secretMeta("shop", "db"), Spec: appsv1.StatefulSetSpec{Template: template}},
			&appsv1.DaemonSet{ObjectMeta: secretMeta("shop", "agent"), Spec: appsv1.DaemonSetSpec{Template: template}},
			&appsv1.ControllerRevision{ObjectMeta: secretMeta("shop", "db-1"), Revision: 1, Data: runtime.RawExtension{Raw: secretRevision(template)}},
			&metav1.PartialObjectMetadata{ObjectMeta: secretMeta("shop", "app")},
			&batchv1.Job{ObjectMeta: secretMeta("shop", "job"), Spec: batchv1.JobSpec{Template: template}},
			&batchv1.CronJob{ObjectMeta: secretMeta("shop", "cron"), Spec: batchv1.CronJobSpec{JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: template}}}},
		},
		Logs: []ContainerLog{
			{Namespace: "shop", Pod: "web-1", Container: "api", Previous: true, Lines: []string{"starting", "password=s3cr3t-log"}},
			{Namespace: "shop", Pod: "web-1", Container: "api", Missing: "forbidden: no"},
		},
		Missing: []record.Missing{{What: "events of shop", Why: "forbidden: token=s3cr3t-missing"}},
	}
}

func TestBundleHoldsNoSecret(t *testing.T) {
	c := secretContents()
	before := fmt.Sprint(c.Objects[0])
	raw := bundled(t, c)
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "s3cr3t") {
			t.Errorf("a secret is left: %s", line)
		}
	}
	if fmt.Sprint(c.Objects[0]) != before {
		t.Error("an object was changed")
	}
	// The same contents in another order are the same bundle.
	slices.Reverse(c.Objects)
	if !bytes.Equal(raw, bundled(t, c)) {
		t.Error("the order of the objects changes the bundle")
	}
}

func TestBundleRoundTrip(t *testing.T) {
	c := secretContents()
	d, err := ReadDump(t.Context(), "-", bytes.NewReader(bundled(t, c)), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if len(All[Object](d.Objects)) != len(c.Objects) || !d.At.Equal(bundleTime) {
		t.Errorf("%d objects of %d, recorded at %s", len(All[Object](d.Objects)), len(c.Objects), d.At)
	}
	wantMissing := []record.Missing{{What: "events of shop", Why: "forbidden: token=[redacted]"}}
	if d := cmp.Diff(wantMissing, d.Missing); d != "" {
		t.Errorf("missing (-want +got):\n%s", d)
	}
	if cr, _ := ByName[*appsv1.ControllerRevision](d.Objects, "shop", "db-1"); cr == nil || cr.Revision != 1 || !strings.Contains(string(cr.Data.Raw), `"[removed]"`) {
		t.Errorf("a revision without its template: %+v", cr)
	}
	pod, _ := ByName[*corev1.Pod](d.Objects, "shop", "web-1")
	if pod == nil {
		t.Fatal("no pod")
	}
	want := secretMeta("shop", "web-1")
	want.ManagedFields = nil
	want.Annotations = map[string]string{"deployment.kubernetes.io/revision": "3", "example.com/password": "[redacted]", "example.com/config": removed}
	if d := cmp.Diff(want, pod.ObjectMeta); d != "" {
		t.Errorf("metadata (-want +got):\n%s", d)
	}
	spec := secretSpec()
	spec.InitContainers[0].Env[0].Value = removed
	api := &spec.Containers[0]
	api.Env[0].Value = removed
	api.Command[2], api.Command[3] = removed, "--token=[redacted]"
	api.Args[1] = "export PASSWORD=[redacted]\nrun"
	api.LivenessProbe.HTTPGet.HTTPHeaders[0].Value = removed
	api.Lifecycle.PostStart.Exec.Command[2] = "Authorization: Bearer [redacted]"
	spec.Volumes[0].CSI.VolumeAttributes["share"] = removed
	spec.Volumes[1].FlexVolume.Options["share"] = removed
	if d := cmp.Diff(spec, pod.Spec); d != "" {
		t.Errorf("spec (-want +got):\n%s", d)
	}
	ended := pod.Status.ContainerStatuses[0].LastTerminationState.Terminated
	if ended.Message != "first line\npassword=[redacted]" || ended.ContainerID != "containerd://1" {
		t.Errorf("the end of the container: %+v", ended)
	}
	var logs []string
	for key, log := range d.Objects.logs {
		logs = append(logs, fmt.Sprint(key, log.Lines)+log.Missing)
	}
	slices.Sort(logs)
	wantLogs := []string{"{shop web-1 api false} []forbidden: no", "{shop web-1 api true} [starting password=[redacted]]"}
	if d := cmp.Diff(wantLogs, logs); d != "" {
		t.Errorf("logs (-want +got):\n%s", d)
	}
}

// What is left after one reading and writing does not change by another one.
func TestBundleOfBundle(t *testing.T) {
	read := func(raw []byte) Contents {
		d, err := ReadDump(context.Background(), "-", bytes.NewReader(raw), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		return Contents{Objects: All[Object](d.Objects), Missing: d.Missing}
	}
	c := secretContents()
	c.Logs = nil
	first := bundled(t, c)
	if !bytes.Equal(first, bundled(t, read(first))) {
		t.Error("the second bundle is another")
	}
}

func TestBundleRefuses(t *testing.T) {
	for name, c := range map[string]Contents{
		"a kind that is not read back":  {Objects: []Object{&corev1.Secret{ObjectMeta: named("shop", "s")}}},
		"a namespace that leads out":    {Objects: []Object{&corev1.Pod{ObjectMeta: named("../up", "p")}}},
		"a container that leads out":    {Logs: []ContainerLog{{Namespace: "shop", Pod: "p", Container: "../../../x"}}},
		"the same log twice":            {Logs: []ContainerLog{{Namespace: "shop", Pod: "p", Container: "x"}, {Namespace: "shop", Pod: "p", Container: "x"}}},
		"a pod whose name is a folder":  {Logs: []ContainerLog{{Namespace: "shop", Pod: "a/b", Container: "x"}}},
		"a namespace that is not given": {Logs: []ContainerLog{{Pod: "p", Container: "x"}}},
	} {
		if err := WriteBundle(io.Discard, c, redactor(t), bundleTime); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Whatever can be read can be bundled, or is refused; a bundle is read back whole, has no
// value of an environment variable, and does not change when it is bundled again.
func FuzzBundle(f *testing.F) {
	f.Add([]byte(layouts()["kubectl get"]["all.json"]))
	f.Add([]byte(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","annotations":{"a":"b"}},"spec":{"containers":[{"env":[{"name":"A","value":"b"}],"args":["--password","x"]}]}}`))
	f.Add([]byte(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"../p","namespace":".."}}`))
	r := redactor(f)
	f.Fuzz(func(t *testing.T, in []byte) {
		bundle := func(in []byte) ([]byte, *Dump) {
			d, err := ReadDump(t.Context(), "-", bytes.NewReader(in), Limits{File: mib, Document: 64 * kib})
			if err != nil {
				return nil, nil
			}
			var b bytes.Buffer
			if err := WriteBundle(&b, Contents{Objects: All[Object](d.Objects)}, r, bundleTime); err != nil {
				return nil, nil
			}
			return b.Bytes(), d
		}
		first, before := bundle(in)
		if first == nil || before.Objects.Len() == 0 {
			return
		}
		second, after := bundle(first)
		if second == nil || after.Objects.Len() != before.Objects.Len() {
			t.Fatalf("%d objects became %v", before.Objects.Len(), after)
		}
		for _, pod := range All[*corev1.Pod](after.Objects) {
			for _, c := range pod.Spec.Containers {
				for _, e := range c.Env {
					if e.Value != "" && e.Value != removed {
						t.Errorf("a value is left: %q", e.Value)
					}
				}
			}
		}
		if !bytes.Equal(first, second) {
			t.Error("a bundle of the bundle is another one")
		}
	})
}
