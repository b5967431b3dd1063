package diagnose

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// This file says what was changed before a container began to fail. A change proves nothing: it
// is quoted where it bears on the cause, and neither the cause nor its confidence goes by it.

const (
	// changesQuoted bounds the fields that a diagnosis quotes.
	changesQuoted = 3
	// beginsWith is how soon after a rollout a failure began with it.
	beginsWith = time.Hour
)

// bearing is which changes bear on a cause.
type bearing struct {
	// container are fields of the container, the one that says most first, anyContainer those of
	// all containers, pod those of the pod.
	container, anyContainer, pod []string
	configMaps, node             bool
}

// bears returns which changes bear on a cause.
func bears(cause string) bearing {
	runs := []string{"image", "command", "args", "env", "envFrom"}
	switch cause {
	case "oom_killed":
		return bearing{container: append([]string{"resources.limits.memory"}, runs...), pod: []string{"resources.limits.memory"}, configMaps: true}
	case "liveness_probe", "startup_probe", "readiness_probe":
		probe := map[string]string{"liveness_probe": "livenessProbe", "startup_probe": "startupProbe", "readiness_probe": "readinessProbe"}[cause]
		return bearing{container: append([]string{probe, "resources.limits.cpu", "ports"}, runs...), configMaps: true}
	case "post_start_hook":
		return bearing{container: append([]string{"lifecycle.postStart"}, runs...), configMaps: true}
	case "app_exit", "app_completed", "app_signal", "init_not_finished":
		return bearing{
			container: append(slices.Clone(runs), "volumeMounts", "securityContext", "workingDir"),
			pod:       []string{"volumes", "serviceAccountName", "securityContext"}, configMaps: true,
		}
	case "sigkill_unattributed", "sigterm_unattributed", "status_unknown", "unknown":
		return bearing{container: append([]string{"resources.limits.memory", "livenessProbe"}, runs...), configMaps: true, node: true}
	case "command_not_found", "command_not_executable", "exec_format_error", "start_error":
		return bearing{container: []string{"command", "image", "args", "volumeMounts", "securityContext", "workingDir"}, pod: []string{"securityContext", "runtimeClassName"}, node: true}
	case "image_not_found", "image_pull_auth", "image_registry_unreachable", "image_rate_limited", "image_platform_mismatch",
		"image_invalid_name", "image_never_pull", "image_pull_failed":
		return bearing{container: []string{"image", "imagePullPolicy"}, pod: []string{"imagePullSecrets", "serviceAccountName", "nodeSelector"}, node: true}
	case "missing_configmap", "missing_secret", "missing_key":
		return bearing{container: []string{"env", "envFrom", "volumeMounts"}, pod: []string{"volumes"}, configMaps: cause == "missing_key"}
	case "run_as_non_root":
		return bearing{container: []string{"securityContext", "image"}, pod: []string{"securityContext"}}
	case "container_create_failed", "sandbox_failed":
		return bearing{container: []string{"image", "command", "securityContext", "volumeMounts", "resources"}, pod: []string{"volumes", "securityContext", "runtimeClassName", "hostNetwork"}, node: true}
	case "volume_mount_failed", "volume_attach_failed":
		return bearing{container: []string{"volumeMounts"}, pod: []string{"volumes"}, node: true}
	case "storage_limit_eviction":
		return bearing{anyContainer: []string{"resources.limits.ephemeral-storage", "volumeMounts", "image"}, pod: []string{"volumes"}}
	case "unschedulable", "not_scheduled", "scheduling_gated", "admission_rejected", "pod_not_created":
		return bearing{
			anyContainer: []string{"resources", "ports", "image", "securityContext"},
			pod: []string{
				"resources", "nodeSelector", "affinity", "tolerations", "topologySpreadConstraints", "volumes", "schedulerName", "schedulingGates",
				"priorityClassName", "runtimeClassName", "serviceAccountName", "hostNetwork", "securityContext",
			},
		}
	}
	return bearing{}
}

// BearingFirst returns the fields of a change with those first that bear on the cause of a
// failure of a container.
func BearingFirst(cause, container string, fields []record.FieldChange) []record.FieldChange {
	b := bears(cause)
	first := b.order(fields, container)
	out := make([]record.FieldChange, 0, len(fields))
	for _, i := range first {
		out = append(out, fields[i])
	}
	for i := range fields {
		if !slices.Contains(first, i) {
			out = append(out, fields[i])
		}
	}
	return out
}

// addChanges adds to the answer for a failure what of the changes before it bears on its cause, and
// whether it began with a rollout.
func addChanges(e *evidence.Evidence, a *answer) {
	if a.category != record.Failure {
		return
	}
	b := bears(a.cause)
	quoted := 0
	for i := range e.Changes {
		ch := &e.Changes[i]
		for _, q := range quoteChange(e, &b, ch, changesQuoted-quoted) {
			a.evidence = append(a.evidence, q)
			quoted++
		}
	}
	ro := beganWith(e)
	if ro == nil {
		return
	}
	a.summary = strings.TrimSuffix(a.summary, ".") + fmt.Sprintf("; it began with revision %s of %s, %s after that was rolled out.", ro.To, ro.Object, span(e.FailingSince.Sub(ro.Time)))
	if quoted == 0 {
		a.evidence = append(a.evidence, record.Evidence{Source: "owner", Object: ro.Object, Field: "revision",
			Value: strings.TrimSpace(fmt.Sprintf("%s (%s before), rolled out %s", ro.To, ro.From, agoWords(e, ro.Time))), Time: ro.Time})
	}
}

// beganWith returns the rollout that a row of failures began with: the container failed with
// it soon, and for a day before with no other revision, as far as was recorded. Nil where that is not known.
func beganWith(e *evidence.Evidence) *record.Change {
	ro := e.Rollout
	if ro == nil || !ro.WatchedBefore || ro.EarlierFailures > 0 || ro.Time.IsZero() || e.FailingSince.IsZero() ||
		e.FailingSince.Before(ro.Time) || e.FailingSince.Sub(ro.Time) > beginsWith {
		return nil
	}
	for i := range e.Changes {
		if ch := &e.Changes[i]; ch.Kind == record.ChangeRollout && ch.To == ro.Revision && ch.From != "" {
			return ch
		}
	}
	return nil
}

// quoteChange quotes at most n fields of a change that bear on a cause.
func quoteChange(e *evidence.Evidence, b *bearing, ch *record.Change, n int) []record.Evidence {
	var out []record.Evidence
	quote := func(source, field, value string) {
		if len(out) < n {
			out = append(out, record.Evidence{Source: source, Object: ch.Object, Field: field, Value: value, Time: ch.Time})
		}
	}
	switch ch.Kind {
	case record.ChangeRollout, record.ChangePod:
		source, path, until := "owner", "spec.template.spec.", "revision "+ch.To
		if ch.Kind == record.ChangePod {
			source, path, until = "pod-spec", "spec.", "it was edited"
			if ch.By != "" {
				until += " by " + ch.By
			}
		}
		for _, i := range b.order(ch.Fields, e.Container.Name) {
			f := &ch.Fields[i]
			quote(source, path+f.Field, fieldValue(e, f, until, ch.Time))
		}
	case record.ChangeConfigMap:
		if b.configMaps {
			value := "written"
			if ch.By != "" {
				value += " by " + ch.By
			}
			quote("config-map", "data", strings.TrimSpace(value+" "+agoWords(e, ch.Time)))
		}
	case record.ChangeNode:
		for i := range ch.Fields {
			if f := &ch.Fields[i]; b.node {
				quote("node", f.Field, fieldValue(e, f, "", ch.Time))
			}
		}
	}
	return out
}

// order returns the indices of the fields that bear on a cause, those that say most first.
func (b *bearing) order(fields []record.FieldChange, container string) []int {
	var out []int
	add := func(match func(of, field string) bool) {
		for i := range fields {
			of, field := containerField(fields[i].Field)
			if match(of, field) && !slices.Contains(out, i) {
				out = append(out, i)
			}
		}
	}
	for _, want := range b.container {
		add(func(of, field string) bool { return of != "" && of == container && below(field, want) })
	}
	for _, want := range b.pod {
		add(func(of, field string) bool { return of == "" && below(field, want) })
	}
	for _, want := range b.anyContainer {
		add(func(of, field string) bool { return of != "" && below(field, want) })
	}
	return out
}

// below tells that a path is that of a field, or lies in it.
func below(path, field string) bool {
	rest, ok := strings.CutPrefix(path, field)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// containerField splits the path of a container's field; the container is empty for one of the pod.
func containerField(path string) (container, field string) {
	rest, ok := strings.CutPrefix(path, "containers[")
	if !ok {
		rest, ok = strings.CutPrefix(path, "initContainers[")
	}
	if !ok {
		return "", path
	}
	container, field, _ = strings.Cut(rest, "]")
	return container, strings.TrimPrefix(field, ".")
}

// fieldValue writes what a field is, and in brackets what it was until when.
func fieldValue(e *evidence.Evidence, f *record.FieldChange, until string, at time.Time) string {
	ago := agoWords(e, at)
	when := strings.Trim(until+", "+ago, ", ")
	switch {
	case f.Hidden && until == "":
		return strings.TrimSpace("changed " + ago)
	case f.Hidden:
		return "not the same as until " + when
	case when == "":
		return fmt.Sprintf("%s (%s before)", f.New, f.Old)
	case f.Old == "":
		return fmt.Sprintf("%s (not set until %s)", f.New, when)
	case f.New == "":
		return fmt.Sprintf("not set (%s until %s)", f.Old, when)
	}
	return fmt.Sprintf("%s (%s until %s)", f.New, f.Old, when)
}

// agoWords writes how long before the failure something was, as "6m before the first stop"; empty
// where that is not known.
func agoWords(e *evidence.Evidence, at time.Time) string {
	noun, when := "stop", time.Time{}
	switch {
	case e.Stall != nil:
		noun, when = "stall", e.Stall.Begin
	case e.Stop != nil:
		when = e.Stop.FinishedAt
	}
	which := "this " + noun
	if !e.FailingSince.IsZero() {
		which, when = "the first "+noun, e.FailingSince
	}
	if at.IsZero() || when.IsZero() || when.Before(at) {
		return ""
	}
	return coarse(when.Sub(at)) + " before " + which
}

// coarse writes a duration as people say it, in its largest unit: "6m", "3d".
func coarse(d time.Duration) string {
	switch {
	case d < 90*time.Second:
		return fmt.Sprintf("%ds", int64(d.Round(time.Second)/time.Second))
	case d < 90*time.Minute:
		return fmt.Sprintf("%dm", int64(d.Round(time.Minute)/time.Minute))
	case d < 36*time.Hour:
		return fmt.Sprintf("%dh", int64(d.Round(time.Hour)/time.Hour))
	}
	return fmt.Sprintf("%dd", int64(d.Round(24*time.Hour)/(24*time.Hour)))
}
