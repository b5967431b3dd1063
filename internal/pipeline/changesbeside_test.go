package pipeline

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

func configMapOf(created int, writes ...metav1.ManagedFieldsEntry) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(minute(created)), ManagedFields: writes}}
}

func written(by string, n int) metav1.ManagedFieldsEntry {
	return metav1.ManagedFieldsEntry{Manager: by, Time: &metav1.Time{Time: minute(n)}}
}

func TestConfigMapsBeforeFailure(t *testing.T) {
	env := func(p *corev1.Pod) {
		p.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "app"}}}}
	}
	mount := func(sub string) func(p *corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Spec.Volumes = []corev1.Volume{
				{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "app"}}}},
				{Name: "other", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "other"}}}},
				{Name: "ca", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: rootCA}}}},
			}
			p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "config", MountPath: "/etc/app", SubPath: sub}, {Name: "ca", MountPath: "/ca"}}
		}
	}
	const far = -30 * 24 * 60
	for _, tt := range []struct {
		name    string
		m       *metav1.PartialObjectMetadata
		created int // of the pod
		use     func(*corev1.Pod)
		want    []string
	}{
		{"written lately", configMapOf(far, written("kubectl-edit", -9), written("helm", -90)), -5, env, []string{"ConfigMap ns/app was written by kubectl-edit, 9 minutes before the first stop."}},
		{"written long before the pod", configMapOf(far, written("kubectl-edit", far)), -5, env, nil},
		{"written after the pod was made", configMapOf(2*far, written("kubectl-edit", far)), 2 * far, env, []string{"ConfigMap ns/app was written by kubectl-edit, 30 days before the first stop."}},
		{"written after the stop", configMapOf(far, written("kubectl-edit", 1)), -5, env, nil},
		{"written while it ran, and its environment was made before", configMapOf(far, written("kubectl-edit", -1)), -5, env, nil},
		{"written while it ran, and mounted", configMapOf(far, written("kubectl-edit", -1)), -5, mount(""), []string{"ConfigMap ns/app was written by kubectl-edit, 1 minute before the first stop."}},
		{"written while it ran, and mounted in a way that stays", configMapOf(far, written("kubectl-edit", -1)), -5, mount("app.yaml"), nil},
		{"created", configMapOf(-9, written("kubectl-create", -9)), -5, env, []string{"ConfigMap ns/app was created by kubectl-create, 9 minutes before the first stop."}},
		{"created, without managed fields", configMapOf(-9), -5, env, []string{"ConfigMap ns/app was created, 9 minutes before the first stop."}},
		{"gone", nil, -5, env, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &shop{configs: map[string]*metav1.PartialObjectMetadata{"other": configMapOf(-1, written("nobody uses it", -3))}}
			if tt.m != nil {
				s.configs["app"] = tt.m
			}
			p := bare(oomed("u", "", tt.created))
			tt.use(p)
			p.Status.ContainerStatuses[0].State.Terminated.StartedAt = metav1.NewTime(failedAt.Add(-90 * time.Second))
			f := stopOf(t, watching(s, &recorded{}, 600_000), p)
			for i := range f.Record.Changes { // seconds are as good as the minute in the table
				f.Record.Changes[i].Text = strings.Replace(f.Record.Changes[i].Text, "60 seconds", "1 minute", 1)
			}
			if d := cmp.Diff(tt.want, texts(f.Record.Changes)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if len(f.Evidence.Missing) != 0 {
				t.Errorf("missing %+v", f.Evidence.Missing)
			}
		})
	}
}

func TestEditedPod(t *testing.T) {
	entry := func(by, sub, field string, n int) metav1.ManagedFieldsEntry {
		f := new(metav1.FieldsV1)
		f.SetRawString(`{"f:spec":{"f:containers":{"k:{\"name\":\"app\"}":{"f:` + field + `":{}}}}}`)
		return metav1.ManagedFieldsEntry{Manager: by, Subresource: sub, Time: &metav1.Time{Time: minute(n)}, FieldsV1: f}
	}
	t.Run("of a workload", func(t *testing.T) {
		s := &shop{owner: web, sets: []*appsv1.ReplicaSet{replicaSet("new", "2", -99999, template("web:1", "512Mi"))}}
		p := oomed("u", "new", -500)
		p.Spec.Containers[0].Image = "web:1"
		p.ManagedFields = []metav1.ManagedFieldsEntry{entry("kubectl-patch", "resize", "resources", -8), entry("mutator", "", "image", -9), entry("kubectl-patch", "resize", "resources", 5)}
		f := stopOf(t, watching(s, &recorded{}, 600_000), p)
		want := []record.Change{{
			Kind: record.ChangePod, Object: "Pod ns/pod-u", Time: minute(-8), By: "kubectl-patch", Fields: []record.FieldChange{{Field: "containers[app].resources.limits.memory", Old: "512Mi", New: "256Mi"}},
			Text: "Pod ns/pod-u was edited by kubectl-patch, which changed limits.memory from 512Mi to 256Mi, 8 minutes before the first stop.",
		}}
		if d := cmp.Diff(want, f.Record.Changes); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		if q := f.Record.Diagnosis.Evidence; q[len(q)-1].Value != "256Mi (512Mi until it was edited by kubectl-patch, 8m before the first stop)" || q[len(q)-1].Source != "pod-spec" {
			t.Errorf("quoted %+v", q)
		}
	})
	t.Run("bare", func(t *testing.T) {
		p := bare(oomed("u", "", -500))
		p.Spec.Containers[0].Image = "web:2"
		p.ManagedFields = []metav1.ManagedFieldsEntry{entry("kubectl-set", "", "image", -8)}
		c := watching(&shop{}, &recorded{}, 600)
		o := object(p)
		f := c.engine.Observe(&o, false, minute(0))[0]
		f.Record.Workload = &record.Workload{Kind: "Pod", Name: p.Name}
		f.Evidence.History = &evidence.History{Image: "web:2", Images: []evidence.ImageHistory{{Image: "web:0", Last: minute(-90)}, {Image: "web:1", Last: minute(-30)}, {Image: "web:2", Last: minute(-1)}}}
		c.changed(t.Context(), &f)
		if d := cmp.Diff([]record.FieldChange{{Field: "containers[app].image", Old: "web:1", New: "web:2"}}, f.Record.Changes[0].Fields); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	})
}

func TestNodeBeforeFailure(t *testing.T) {
	node := func(kubelet, boot string) *corev1.Node {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}
		n.Status.NodeInfo.KubeletVersion, n.Status.NodeInfo.BootID = kubelet, boot
		return n
	}
	s := &shop{}
	h := &recorded{observed: []record.Observation{{Object: "Node n1", Field: "status.nodeInfo.kubeletVersion", Value: "v1.30.1", Time: minute(-5000)}}}
	c := watching(s, h, 6000)
	var kept []record.Observation
	c.keepObserved = func(o []record.Observation) { kept = append(kept, o...) }
	c.sawNode(node("v1.31.2", "boot-1"), minute(-20))
	c.sawNode(node("v1.31.2", "boot-1"), minute(-15))
	c.sawNode(node("v1.31.2", "boot-2"), minute(-10))
	if len(kept) != 3 {
		t.Errorf("kept %+v", kept)
	}
	f := stopOf(t, c, bare(oomed("u", "", -500)))
	want := []record.Change{{
		Kind: record.ChangeNode, Object: "Node n1", Time: minute(-10), Fields: []record.FieldChange{{Field: "status.nodeInfo.bootID", Old: "boot-1", New: "boot-2"}},
		Text: "Node n1 was first seen booted anew, 10 minutes before the first stop.",
	}}
	if d := cmp.Diff(want, f.Record.Changes); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	c = watching(s, h, 6000)
	c.sawNode(node("v1.31.2", "boot-2"), minute(-10))
	f = stopOf(t, c, bare(oomed("u", "", -500)))
	if d := cmp.Diff([]string{"Node n1 was first seen with kubelet v1.31.2 in place of v1.30.1, 10 minutes before the first stop."}, texts(f.Record.Changes)); d != "" {
		t.Errorf("what an earlier run saw (-want +got):\n%s", d)
	}
	c = watching(s, &recorded{}, 6000)
	c.sawNode(node("v1.30.1", "boot-1"), minute(-10))
	c.sawNode(node("v1.31.2", "boot-2"), minute(1))
	if f = stopOf(t, c, bare(oomed("u", "", -500))); len(f.Record.Changes) != 0 {
		t.Errorf("what was seen after the stop: %q", texts(f.Record.Changes))
	}
}

func TestMovedPod(t *testing.T) {
	before := record.Record{Namespace: "ns", Pod: "pod-u", PodUID: "before", Node: "n0", Stop: &record.Stop{FinishedAt: minute(-9)}}
	p := oomed("u", "", -8)
	p.Labels, p.OwnerReferences = nil, controlledBy("StatefulSet", "db")
	f := stopOf(t, watching(&shop{}, &recorded{records: []record.Record{before}}, 6000), p)
	want := []record.Change{{
		Kind: record.ChangeNode, Object: "Pod ns/pod-u", Time: minute(-8), Fields: []record.FieldChange{{Field: "spec.nodeName", Old: "n0", New: "n1"}},
		Text: "Pod ns/pod-u was made anew on node n1, after node n0, 8 minutes before the first stop.",
	}}
	if d := cmp.Diff(want, f.Record.Changes); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestFieldsText(t *testing.T) {
	for _, tt := range []struct {
		fields []record.FieldChange
		all    int
		want   string
	}{
		{nil, 0, "was rolled out without a change that is known"},
		{[]record.FieldChange{{Field: "metadata.annotations[kubectl.kubernetes.io/restartedAt]", New: "x"}}, 1, "restarted the pods by hand (kubectl rollout restart)"},
		{[]record.FieldChange{{Field: "metadata.annotations[kubectl.kubernetes.io/restartedAt]", New: "x"}, {Field: "volumes[a]", Old: "configMap a"}}, 2,
			"restarted the pods by hand (kubectl rollout restart) and changed volumes[a] (removed)"},
		{[]record.FieldChange{{Field: "containers[api].env[A]", New: "literal value"}, {Field: "containers[api].env[B]", Hidden: true}, {Field: "containers[proxy].image", Old: "a", New: "b"}, {Field: "x"}}, 9,
			"changed env[A] (added), env[B], image of container proxy from a to b and 6 more fields"},
		{[]record.FieldChange{{Field: "containers[api]", New: "a"}, {Field: "containers[old]", Old: "b"}, {Field: "nodeSelector.zone", New: "a"}, {Field: "x"}}, 4,
			"changed container api (added), container old (removed), nodeSelector.zone to a and 1 more field"},
		{[]record.FieldChange{{Field: "containers[api].command", Old: strings.Repeat("ä", 100), New: "b"}}, 1, "changed command from " + strings.Repeat("ä", 60) + "… to b"},
	} {
		if got := fieldsText(tt.fields, tt.all, "api"); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

// What changed is stored with the record and its evidence, and what was seen of the nodes is kept.
func TestRuntimeKeepsChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}
		node.Status.NodeInfo.KubeletVersion = "v1.31.2"
		s := &shop{cluster: cluster{node: node}, owner: web}
		g := watched(t, new(ledger), func(o *Options) { o.Readers.Cluster = s })
		g.Replace("", nil, "1")
		time.Sleep(2 * time.Hour) // somebody watched before
		now := time.Now()
		old, is := replicaSet("old", "41", 0, template("web:1", "512Mi")), replicaSet("new", "42", 0, template("web:1", "256Mi"))
		old.CreationTimestamp, is.CreationTimestamp = metav1.NewTime(now.Add(-9*time.Hour)), metav1.NewTime(now)
		s.sets = []*appsv1.ReplicaSet{old, is}
		time.Sleep(time.Minute)
		p := oomed("u", "new", 0)
		p.CreationTimestamp = metav1.NewTime(now)
		end := p.Status.ContainerStatuses[0].State.Terminated
		end.StartedAt, end.FinishedAt = metav1.NewTime(now), metav1.NewTime(time.Now())
		p.Status.ContainerStatuses[0].State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: end.StartedAt}}
		g.Apply("", object(p))
		q := p.DeepCopy()
		q.ResourceVersion, q.Status.ContainerStatuses[0].State = "2", corev1.ContainerState{Terminated: end}
		g.Apply("", object(q))
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(g.told) != 1 {
			t.Fatalf("told %d", len(g.told))
		}
		want := []string{"Revision 42 of Deployment ns/web changed limits.memory from 512Mi to 256Mi, 60 seconds before the first stop."}
		if d := cmp.Diff(want, texts(g.told[0].Changes)); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		if d := g.told[0].Diagnosis; !strings.HasSuffix(d.Summary, "it began with revision 42 of Deployment ns/web, 1m after that was rolled out.") {
			t.Errorf("summary %q", d.Summary)
		}
		if e := g.evidence(t, g.told[0].ID); len(e.Changes) != 1 || !e.ChangesRead || e.Rollout == nil || e.FailingSince.IsZero() {
			t.Errorf("evidence: %+v, %+v, %v", e.Changes, e.Rollout, e.FailingSince)
		}
		g.end(t)
		var kept []record.Observation
		for _, b := range g.ledger.appends {
			kept = append(kept, b.Observed...)
		}
		if len(kept) != 1 || kept[0].Value != "v1.31.2" || kept[0].Object != "Node n1" || kept[0].Time.IsZero() {
			t.Errorf("kept %+v", kept)
		}
	})
}

// While stops wait, what changed is read for few at a time, and for the others later: logs do not wait for it.
func TestChangesDoNotHoldUpAStorm(t *testing.T) {
	s := &shop{owner: web, sets: []*appsv1.ReplicaSet{replicaSet("old", "41", -90, template("web:1", "")), replicaSet("new", "42", -6, template("web:2", ""))}}
	c := watching(s, &recorded{}, 600)
	busy := true
	c.busy = func() bool { return busy }
	c.changes.reading <- struct{}{}
	c.changes.reading <- struct{}{}
	f := stopOf(t, c, oomed("u", "new", -5))
	if len(f.Record.Changes) != 0 || !f.unread || len(s.asked) != 0 || f.Evidence.ChangesRead {
		t.Errorf("read although others wait: %+v, asked %v", f.Record.Changes, s.asked)
	}
	<-c.changes.reading
	for range 2 { // it gives its turn back
		if f = stopOf(t, c, oomed("v", "new", -5)); len(f.Record.Changes) != 1 || f.unread {
			t.Errorf("not read in turn: %+v", f.Record.Changes)
		}
	}
	c.changes.reading <- struct{}{}
	if f = stopOf(t, c, oomed("w", "new", -5)); len(f.Record.Changes) != 1 {
		t.Errorf("what was read for others needs no turn: %+v", f.Record.Changes)
	}
	busy = false
	g := stopOf(t, watching(s, &recorded{}, 600), oomed("x", "new", -5))
	var rs recents
	rs.put(*g, minute(0))
	g.unread = true
	g.Record.ID, g.Record.Diagnosis.Confidence = "other", record.Confirmed
	rs.put(*g, minute(0))
	for _, r := range rs.due(minute(1)) {
		if r.Record.ID == "other" {
			return
		}
	}
	t.Error("what was put off is not looked at again")
}

// What was put off is read at the next look, and stored although the diagnosis is the same.
func TestChangesThatWerePutOffAreStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shop{owner: web, sets: []*appsv1.ReplicaSet{replicaSet("old", "41", -90, template("web:1", "")), replicaSet("new", "42", -6, template("web:2", ""))}}
		g := watched(t, new(ledger), func(o *Options) { o.Readers.Cluster = s })
		g.collector.busy = func() bool { return true }
		g.collector.changes.reading <- struct{}{}
		g.collector.changes.reading <- struct{}{}
		p := oomed("u", "new", -5)
		before := p.DeepCopy()
		before.Status.ContainerStatuses[0].State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
		g.Replace("", []Object{object(before)}, "1")
		p.ResourceVersion = "2"
		g.Apply("", object(p))
		time.Sleep(firstLook - time.Second)
		synctest.Wait()
		if r := g.ledger.known[g.ledger.order[0]]; len(r.Changes) != 0 || r.Log == nil {
			t.Fatalf("not stored before what changed was read: %+v", r)
		}
		<-g.collector.changes.reading
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if r := g.ledger.known[g.ledger.order[0]]; len(r.Changes) != 1 || r.Changes[0].To != "42" {
			t.Errorf("stored %+v", r.Changes)
		}
		if e := g.evidence(t, g.ledger.order[0]); !e.ChangesRead || len(e.Changes) != 1 {
			t.Errorf("evidence %+v", e.Changes)
		}
		g.end(t)
	})
}
