package extract

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/whyrestart/whyrestart/internal/record"
)

const (
	// maxChanges bounds the fields of one comparison, maxChanged a value of one: what was compared is
	// remembered for many workloads.
	maxChanges = 64
	maxChanged = 160
	// maxPath bounds the path of a field.
	maxPath = 256
	// literal stands for the value of an environment variable, which is never shown.
	literal = "literal value"
	// AnnotationRestarted is what "kubectl rollout restart" writes into a template, with the time.
	AnnotationRestarted = "kubectl.kubernetes.io/restartedAt"
)

// TemplateChanges returns the fields in which two pod templates differ, in an order that is
// always the same: the containers and what they run first, labels and annotations last. Paths
// begin below the pod's spec, or with "metadata.". Values of environment variables, headers and
// annotations are not shown, references to ConfigMaps and Secrets are; of what is not a single
// value, such as an affinity, only that it differs. Hide is given the words of commands to
// take secrets out; everything else is as it was written.
func TemplateChanges(before, after *corev1.PodTemplateSpec, hide func([]string) []string) []record.FieldChange {
	d := differ{hide: hide}
	d.podSpec(&before.Spec, &after.Spec)
	d.byKey("metadata.labels", labelValues(before.Labels), labelValues(after.Labels))
	d.annotations(before.Annotations, after.Annotations)
	return d.out
}

// Foremost returns at most n of the changes, those of one container first, then those of the
// pod, then those of its other containers. How many there are in all is for the caller to tell.
func Foremost(changes []record.FieldChange, container string, n int) []record.FieldChange {
	rank := func(c record.FieldChange) int {
		switch name, _, ok := ContainerField(c.Field); {
		case !ok && strings.HasPrefix(c.Field, "metadata."):
			return 3 // unlikely to be a reason
		case !ok:
			return 1
		case name == container:
			return 0
		}
		return 2
	}
	out := slices.Clone(changes)
	slices.SortStableFunc(out, func(a, b record.FieldChange) int { return cmp.Compare(rank(a), rank(b)) })
	return out[:min(len(out), n):min(len(out), n)]
}

// ContainerField splits the path of a container's field into the container's name and the
// path within it, which is empty for the container as a whole.
func ContainerField(path string) (container, field string, ok bool) {
	rest, ok := strings.CutPrefix(path, "containers[")
	if !ok {
		if rest, ok = strings.CutPrefix(path, "initContainers["); !ok {
			return "", "", false
		}
	}
	container, field, ok = strings.Cut(rest, "]")
	return container, strings.TrimPrefix(field, "."), ok
}

// differ gathers what differs between two objects.
type differ struct {
	hide func([]string) []string
	out  []record.FieldChange
}

// add notes that a field differs, if it does.
func (d *differ) add(field, before, after string) {
	if before != after {
		d.note(field, before, after)
	}
}

// note notes that a field differs. Where its values look the same as they are shown, they are hidden.
func (d *differ) note(field, before, after string) {
	if len(d.out) >= maxChanges {
		return
	}
	if d.hide != nil && max(len(before), len(after)) > maxChanged && !strings.Contains(field, ".env[") {
		// What says that a value is a secret may stand before the part that is kept.
		before, after = d.hide([]string{before})[0], d.hide([]string{after})[0]
	}
	c := record.FieldChange{Field: clipTo(field, maxPath)}
	if c.Old, c.New = around(before, after); c.Old == c.New {
		c.Old, c.New, c.Hidden = "", "", true
	}
	d.out = append(d.out, c)
}

// differs notes that a field differs whose values are not shown.
func (d *differ) differs(field string) { d.note(field, "", "") }

// around bounds two values that differ, so that it can still be seen where.
func around(a, b string) (string, string) {
	if len(a) <= maxChanged && len(b) <= maxChanged {
		return a, b
	}
	same := 0
	for same < min(len(a), len(b)) && a[same] == b[same] {
		same++
	}
	const context = 24
	if same <= maxChanged/2 {
		return clipTo(a, maxChanged), clipTo(b, maxChanged)
	}
	cut := same - context
	for cut > 0 && a[cut]&0xC0 == 0x80 {
		cut--
	}
	return "…" + clipTo(a[cut:], maxChanged), "…" + clipTo(b[cut:], maxChanged)
}

// fieldsOf returns an object as the fields of its JSON, nil for nil.
func fieldsOf(v any) map[string]any {
	b, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.UseNumber()
	var m map[string]any
	if d.Decode(&m) != nil {
		return nil
	}
	return m
}

// inOrder returns the keys of two maps, the first ones first and the others in their order.
func inOrder[V any](first []string, a, b map[string]V) []string {
	all := make(map[string]bool, len(a)+len(b))
	for k := range a {
		all[k] = true
	}
	for k := range b {
		all[k] = true
	}
	var out []string
	for _, k := range first {
		if all[k] {
			out = append(out, k)
			delete(all, k)
		}
	}
	return append(out, slices.Sorted(maps.Keys(all))...)
}

// podSpec compares two specs of pods.
func (d *differ) podSpec(before, after *corev1.PodSpec) {
	d.containers("containers", before.Containers, after.Containers)
	d.containers("initContainers", before.InitContainers, after.InitContainers)
	d.volumes(before.Volumes, after.Volumes)
	rest := func(s *corev1.PodSpec) map[string]any {
		without := *s
		without.Containers, without.InitContainers, without.EphemeralContainers, without.Volumes = nil, nil, nil, nil
		without.DeprecatedServiceAccount = "" // the same as serviceAccountName
		m := fieldsOf(&without)
		delete(m, "containers") // which is null, and always there
		return m
	}
	a, b := rest(before), rest(after)
	for _, key := range inOrder([]string{"serviceAccountName", "imagePullSecrets", "nodeSelector", "affinity", "tolerations", "resources", "securityContext"}, a, b) {
		switch {
		case reflect.DeepEqual(a[key], b[key]):
		case key == "affinity":
			d.differs(key)
		case key == "imagePullSecrets":
			d.add(key, secretNames(before.ImagePullSecrets), secretNames(after.ImagePullSecrets))
		default:
			d.value(key, a[key], b[key])
		}
	}
}

func secretNames(list []corev1.LocalObjectReference) string {
	return strings.Join(texts(list, func(r corev1.LocalObjectReference) string { return r.Name }), ", ")
}

// containers compares two lists of containers by their names.
func (d *differ) containers(list string, before, after []corev1.Container) {
	at := func(list []corev1.Container, name string) *corev1.Container {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
		return nil
	}
	for i := range after {
		c, path := &after[i], list+"["+after[i].Name+"]"
		if was := at(before, c.Name); was != nil {
			d.container(path, was, c)
		} else {
			d.note(path, "", cmp.Or(c.Image, "added"))
		}
	}
	for i := range before {
		if c := &before[i]; at(after, c.Name) == nil {
			d.note(list+"["+c.Name+"]", cmp.Or(c.Image, "there"), "")
		}
	}
}

// containerOrder is the order in which the fields of a container are told.
func containerOrder() []string {
	return []string{
		"image", "command", "args", "env", "envFrom", "resources", "livenessProbe", "startupProbe", "readinessProbe", "lifecycle", "volumeMounts", "ports", "securityContext",
	}
}

func (d *differ) container(path string, before, after *corev1.Container) {
	if equality.Semantic.DeepEqual(before, after) {
		return
	}
	a, b := fieldsOf(before), fieldsOf(after)
	for _, key := range inOrder(containerOrder(), a, b) {
		if reflect.DeepEqual(a[key], b[key]) {
			continue
		}
		field := path + "." + key
		switch key {
		case "command":
			d.words(field, before.Command, after.Command)
		case "args":
			d.words(field, before.Args, after.Args)
		case "env":
			d.env(field, before.Env, after.Env)
		case "envFrom":
			d.add(field, strings.Join(texts(before.EnvFrom, envFromText), ", "), strings.Join(texts(after.EnvFrom, envFromText), ", "))
		case "livenessProbe":
			d.probe(field, before, after, before.LivenessProbe, after.LivenessProbe)
		case "startupProbe":
			d.probe(field, before, after, before.StartupProbe, after.StartupProbe)
		case "readinessProbe":
			d.probe(field, before, after, before.ReadinessProbe, after.ReadinessProbe)
		case "lifecycle":
			d.lifecycle(field, before, after)
		case "volumeMounts":
			d.byKey(field, mountTexts(before.VolumeMounts), mountTexts(after.VolumeMounts))
		case "ports":
			d.add(field, strings.Join(texts(before.Ports, portText), ", "), strings.Join(texts(after.Ports, portText), ", "))
		default:
			d.value(field, a[key], b[key])
		}
	}
}

func (d *differ) words(field string, before, after []string) {
	if !slices.Equal(before, after) {
		d.note(field, d.line(before), d.line(after))
	}
}

// line writes the words of a command on one line, without secrets.
func (d *differ) line(list []string) string {
	if d.hide != nil {
		list = d.hide(list)
	}
	return strings.Join(list, " ")
}

func (d *differ) env(field string, before, after []corev1.EnvVar) {
	// Of variables with the same name the kubelet takes the last.
	was, is := make(map[string]corev1.EnvVar), make(map[string]corev1.EnvVar)
	for _, v := range before {
		was[v.Name] = v
	}
	for _, v := range after {
		is[v.Name] = v
	}
	one := func(name string) {
		a, b := was[name], is[name]
		_, had := was[name]
		_, has := is[name]
		if had == has && equality.Semantic.DeepEqual(a, b) {
			return
		}
		path := field + "[" + name + "]"
		switch {
		case !had:
			d.note(path, "", envText(&b))
		case !has:
			d.note(path, envText(&a), "")
		default:
			d.note(path, envText(&a), envText(&b)) // the same where both are literal, and so hidden
		}
	}
	done := make(map[string]bool)
	for _, list := range [][]corev1.EnvVar{after, before} {
		for _, v := range list {
			if !done[v.Name] {
				done[v.Name] = true
				one(v.Name)
			}
		}
	}
}

// envText tells where the value of a variable comes from.
func envText(v *corev1.EnvVar) string {
	from := v.ValueFrom
	if from == nil {
		return literal
	}
	switch {
	case from.ConfigMapKeyRef != nil:
		return "configMapKeyRef " + from.ConfigMapKeyRef.Name + "/" + from.ConfigMapKeyRef.Key + optional(from.ConfigMapKeyRef.Optional)
	case from.SecretKeyRef != nil:
		return "secretKeyRef " + from.SecretKeyRef.Name + "/" + from.SecretKeyRef.Key + optional(from.SecretKeyRef.Optional)
	case from.FieldRef != nil:
		return "fieldRef " + from.FieldRef.FieldPath
	case from.ResourceFieldRef != nil:
		return strings.TrimSpace("resourceFieldRef " + strings.TrimSpace(from.ResourceFieldRef.ContainerName+" "+from.ResourceFieldRef.Resource))
	case from.FileKeyRef != nil:
		return "fileKeyRef " + from.FileKeyRef.VolumeName + " " + from.FileKeyRef.Path + "/" + from.FileKeyRef.Key + optional(from.FileKeyRef.Optional)
	}
	return "valueFrom"
}

func envFromText(f corev1.EnvFromSource) string {
	text := "envFrom"
	switch {
	case f.ConfigMapRef != nil:
		text = "configMapRef " + f.ConfigMapRef.Name + optional(f.ConfigMapRef.Optional)
	case f.SecretRef != nil:
		text = "secretRef " + f.SecretRef.Name + optional(f.SecretRef.Optional)
	}
	if f.Prefix != "" {
		text += " as " + f.Prefix + "*"
	}
	return text
}

func optional(b *bool) string {
	if yes(b) {
		return " (optional)"
	}
	return ""
}

// probe compares two probes: field by field, or as a whole where there is only one.
func (d *differ) probe(field string, before, after *corev1.Container, a, b *corev1.Probe) {
	if a == nil || b == nil {
		d.note(field, d.probeText(before, a), d.probeText(after, b))
		return
	}
	d.handler(field, before, after, &a.ProbeHandler, &b.ProbeHandler)
	rest := func(p *corev1.Probe) map[string]any {
		without := *p
		without.ProbeHandler = corev1.ProbeHandler{}
		return fieldsOf(&without)
	}
	d.value(field, rest(a), rest(b))
}

// handler compares what two probes ask.
func (d *differ) handler(field string, before, after *corev1.Container, a, b *corev1.ProbeHandler) {
	if equality.Semantic.DeepEqual(a, b) {
		return
	}
	was, is := d.shown(before, &corev1.Probe{ProbeHandler: *a}), d.shown(after, &corev1.Probe{ProbeHandler: *b})
	field += "." + cmp.Or(is.kind, was.kind, "handler")
	if was.kind != is.kind {
		d.note(field, strings.TrimSpace(was.kind+" "+was.target), strings.TrimSpace(is.kind+" "+is.target))
		return
	}
	d.note(field, was.target, is.target) // hidden where only the headers differ
}

type shownProbe struct{ kind, target string }

func (d *differ) shown(c *corev1.Container, p *corev1.Probe) shownProbe {
	e := probe(c, p)
	if p.Exec != nil {
		return shownProbe{e.Kind, d.line(p.Exec.Command)}
	}
	return shownProbe{e.Kind, e.Target}
}

func (d *differ) probeText(c *corev1.Container, p *corev1.Probe) string {
	if p == nil {
		return ""
	}
	e, s := probe(c, p), d.shown(c, p)
	return fmt.Sprintf("%s every %ds, timeout %ds, %d failures", strings.TrimSpace(s.kind+" "+clipTo(s.target, maxChanged/2)), e.PeriodSeconds, e.TimeoutSeconds, e.FailureThreshold)
}

func (d *differ) lifecycle(field string, before, after *corev1.Container) {
	was, is := before.Lifecycle, after.Lifecycle
	if was == nil {
		was = new(corev1.Lifecycle)
	}
	if is == nil {
		is = new(corev1.Lifecycle)
	}
	for _, h := range []struct {
		name string
		a, b *corev1.LifecycleHandler
	}{{"postStart", was.PostStart, is.PostStart}, {"preStop", was.PreStop, is.PreStop}} {
		if !equality.Semantic.DeepEqual(h.a, h.b) {
			d.note(field+"."+h.name, d.hookText(before, h.a), d.hookText(after, h.b))
		}
	}
	signal := func(l *corev1.Lifecycle) string {
		if l.StopSignal == nil {
			return ""
		}
		return string(*l.StopSignal)
	}
	d.add(field+".stopSignal", signal(was), signal(is))
}

func (d *differ) hookText(c *corev1.Container, h *corev1.LifecycleHandler) string {
	if h == nil {
		return ""
	}
	if h.Exec != nil {
		return "exec " + d.line(h.Exec.Command)
	}
	e := hook(c, h)
	return strings.TrimSpace(e.Kind + " " + e.Target)
}

func mountTexts(list []corev1.VolumeMount) map[string]string {
	out := make(map[string]string, len(list))
	for _, m := range list {
		text := m.Name
		if sub := cmp.Or(m.SubPath, m.SubPathExpr); sub != "" {
			text += " " + sub
		}
		if m.ReadOnly {
			text += " (read-only)"
		}
		out[m.MountPath] = text
	}
	return out
}

func portText(p corev1.ContainerPort) string {
	text := fmt.Sprintf("%d/%s", p.ContainerPort, cmp.Or(p.Protocol, corev1.ProtocolTCP))
	if p.HostPort != 0 {
		text += fmt.Sprintf(" on host port %d", p.HostPort)
	}
	if p.Name != "" {
		text = p.Name + " " + text
	}
	return text
}

// byKey compares two maps of values by their keys.
func (d *differ) byKey(field string, before, after map[string]string) {
	for _, k := range inOrder(nil, before, after) {
		d.add(field+"["+k+"]", before[k], after[k])
	}
}

// labelValues returns the labels that somebody sets: not those of the controllers, which
// tell one revision from another.
func labelValues(m map[string]string) map[string]string {
	out := maps.Clone(m)
	for _, k := range []string{"pod-template-hash", "controller-revision-hash", labelTemplateGeneration} {
		delete(out, k)
	}
	return out
}

func (d *differ) annotations(before, after map[string]string) {
	for _, k := range inOrder([]string{AnnotationRestarted}, before, after) {
		was, had := before[k]
		is, has := after[k]
		field := "metadata.annotations[" + k + "]"
		switch {
		case had == has && was == is:
		case k == AnnotationRestarted:
			d.note(field, was, is)
		default:
			d.differs(field) // tools keep whole configurations in them
		}
	}
}

func (d *differ) volumes(before, after []corev1.Volume) {
	was, is := make(map[string]*corev1.Volume), make(map[string]*corev1.Volume)
	for i := range before {
		was[before[i].Name] = &before[i]
	}
	var order []string
	for i := range after {
		is[after[i].Name] = &after[i]
		order = append(order, after[i].Name)
	}
	for _, name := range inOrder(order, was, is) {
		if a, b := was[name], is[name]; !equality.Semantic.DeepEqual(a, b) {
			d.note("volumes["+name+"]", volumeText(a), volumeText(b)) // hidden where only its options differ
		}
	}
}

// volumeText names where a volume comes from.
func volumeText(v *corev1.Volume) string {
	if v == nil {
		return ""
	}
	var parts []string
	for _, s := range volumes([]corev1.Volume{*v}, "POD") {
		text := s.Kind
		if s.Source != "" {
			text += " " + s.Source
		}
		if s.Medium != "" {
			text += " in " + s.Medium
		}
		if e := v.EmptyDir; e != nil && e.SizeLimit != nil {
			text += " up to " + e.SizeLimit.String()
		}
		if s.Optional {
			text += " (optional)"
		}
		parts = append(parts, text)
	}
	return cmp.Or(strings.Join(parts, ", "), "projected")
}

// value compares two values of JSON, key by key where they are objects.
func (d *differ) value(field string, before, after any) {
	if reflect.DeepEqual(before, after) {
		return
	}
	a, isMap := before.(map[string]any)
	b, isToo := after.(map[string]any)
	if (isMap || before == nil) && (isToo || after == nil) {
		for _, k := range inOrder(nil, a, b) {
			path := field + "." + k
			if strings.ContainsAny(k, "./[]") {
				path = field + "[" + k + "]"
			}
			d.value(path, a[k], b[k])
		}
		return
	}
	was, ok := scalar(before)
	is, too := scalar(after)
	if !ok || !too {
		d.differs(field)
		return
	}
	d.note(field, was, is)
}

// scalar writes a value that is one, or a list of such; false for another.
func scalar(v any) (string, bool) {
	switch v := v.(type) {
	case nil:
		return "", true
	case []any:
		var parts []string
		for _, e := range v {
			s, ok := scalar(e)
			if _, nested := e.([]any); !ok || nested {
				return "", false
			}
			parts = append(parts, s)
		}
		return strings.Join(parts, ", "), true
	case map[string]any:
		return "", false
	}
	return fmt.Sprint(v), true
}
