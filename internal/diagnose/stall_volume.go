package diagnose

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// This family: what keeps a pod that has a node from its first container: volumes and
// the sandbox. Neither ever appears in the status; only events tell
// (pkg/kubelet/kubelet.go SyncPod, pkg/volume/util/operationexecutor,
// pkg/controller/volume/attachdetach). The kubelet goes in the order network, volumes,
// devices, sandbox, and starts over after a failure.

var (
	mountFailed   = regexp.MustCompile(`^(?:MountVolume|MapVolume|MountDevice|UnmountVolume)\.(\w[\w .]*?) failed for volume "([^"]+)"\s*:?\s*`)
	attachFailed  = regexp.MustCompile(`^(?:AttachVolume\.\w+ failed for|Multi-Attach error for|Waiting for detach for) volume "([^"]+)"\s*:?\s*`)
	missingInKeys = regexp.MustCompile(`references non-existent (secret|config) key: (\S+)`)
)

// serialStart is how long a container may wait for others of its pod.
const serialStart = 5 * time.Minute

// preparing explains a pod that has a node, and no container that was tried.
func preparing(e *evidence.Evidence) *answer {
	node := troubleOfNode(e)
	if node.silent() && node.confidence == record.Confirmed {
		return nodeLost(e, node)
	}
	if e.Container.Name != "" {
		// Others of the pod were tried: its volumes and its sandbox are there. The kubelet
		// tries one container after the other, and pulls the image of one at a time.
		switch {
		case node != nil:
			return nodeLost(e, node)
		case goesOn(e), hooking(e) == "" && young(e, serialStart):
			return nil
		}
		return unexplained(e)
	}
	ev := blocker(e)
	switch {
	case ev == nil:
	case ev.Reason == "NetworkNotReady" && newNode(e):
		return nil // its network is being set up
	case ev.Reason == "FailedAttachVolume":
		return attachStall(e, ev).aged(e, ev)
	case ev.Reason == "FailedMount" || ev.Reason == "FailedMapVolume":
		return mountStall(e, ev).aged(e, ev)
	default:
		return sandboxStall(e, ev).aged(e, ev)
	}
	switch {
	case node != nil && !node.silent() && newNode(e):
		return nil // it is being set up
	case node != nil:
		return nodeLost(e, node)
	case goesOn(e), young(e, startRace):
		return nil
	}
	return unexplained(e)
}

// aged takes from an answer what an event cannot prove that is too old to tell of now.
func (a *answer) aged(e *evidence.Evidence, ev *evidence.Event) *answer {
	if age, known := lasted(e, ev.Last); known && age > recently && a.confidence == record.Confirmed {
		a.confidence = record.Likely
		a.alternatives = append(a.alternatives, record.Alternative{Cause: "unknown", Why: fmt.Sprintf("the event is %s old, and what fails now may be something else", span(age))})
	}
	return a
}

// blocker returns the event of the step that fails now, nil where none is known to. Of a
// kubelet's cache that had not filled yet nothing is said, as long as another try says more.
func blocker(e *evidence.Evidence) *evidence.Event {
	ready := condition(e.Pod.Conditions, "PodReadyToStartContainers")
	return newest(e.Events, func(ev *evidence.Event) bool {
		switch ev.Reason {
		case "FailedAttachVolume", "FailedMount", "FailedMapVolume", "FailedCreatePodSandBox", "NetworkNotReady",
			"FailedPrepareDynamicResources", "FailedCreatePodContainer":
		default:
			return false
		}
		switch {
		case ev.Container || ev.Other != "" || ev.Last.Before(e.Pod.StartedAt.Add(-skew)) && ev.Reason != "FailedAttachVolume":
			return false
		case ready != nil && ready.Status == "True" && ready.Time.After(ev.Last.Add(-skew)), reached(e, ev.Last):
			return false // the sandbox has been made since
		case starting(ev.Message):
			return !anotherTry(e, ev) && !young(e, startRace)
		case ev.Reason == "FailedAttachVolume":
			return !attached(e, ev)
		}
		return true
	})
}

// newNode tells that the node is as new as the stall: its daemons start with its first pods.
func newNode(e *evidence.Evidence) bool {
	if e.Node == nil {
		return false
	}
	age, known := lasted(e, e.Node.CreatedAt)
	return known && age < serialStart && young(e, startRace)
}

// reached tells that a container was tried after a time, which the kubelet does once volumes
// and sandbox are there. Up to Kubernetes 1.28 no condition says so.
func reached(e *evidence.Evidence, after time.Time) bool {
	return newest(e.Events, func(ev *evidence.Event) bool {
		return about(e, ev) != "" && ev.Reason != "Killing" && ev.Last.After(after)
	}) != nil
}

// anotherTry tells that another event of the same volume or step says more than this one.
func anotherTry(e *evidence.Evidence, ev *evidence.Event) bool {
	volume := volumeOf(ev.Message)
	return newest(e.Events, func(other *evidence.Event) bool {
		return other.Reason == ev.Reason && !starting(other.Message) && volumeOf(other.Message) == volume
	}) != nil
}

// attached tells that the volume was attached after the event.
func attached(e *evidence.Evidence, ev *evidence.Event) bool {
	volume := volumeOf(ev.Message)
	return newest(e.Events, func(ok *evidence.Event) bool {
		return ok.Reason == "SuccessfulAttachVolume" && !ok.Last.Before(ev.Last) && strings.Contains(ok.Message, `"`+volume+`"`)
	}) != nil
}

// volumeOf is the volume that an event names, empty where it names none.
func volumeOf(message string) string {
	if m := mountFailed.FindStringSubmatch(message); m != nil {
		return m[2]
	}
	if m := attachFailed.FindStringSubmatch(message); m != nil {
		return m[1]
	}
	return ""
}

// mountStall explains a volume that cannot be mounted.
func mountStall(e *evidence.Evidence, ev *evidence.Event) *answer {
	a := &answer{confidence: record.Confirmed, evidence: []record.Evidence{quoteEvent(e, ev)}}
	volume, text := volumeOf(ev.Message), withoutCode(mountFailed.ReplaceAllString(ev.Message, ""))
	if _, output, ok := strings.Cut(text, "\nOutput: "); ok { // of mount(8), after its arguments
		text = output
	}
	source := sourcesOf(e, volume)
	a.evidence = append(a.evidence, source...)
	for _, other := range otherVolumes(e, volume) {
		a.evidence = append(a.evidence, quoteEvent(e, other))
	}
	switch {
	case objectNotFound.MatchString(text):
		m := objectNotFound.FindStringSubmatch(text)
		kind := kindOf(m[1])
		a.cause, a.detail = "missing_"+m[1], "volume"
		a.summary = fmt.Sprintf("The pod's volume %s is made of the %s %s, which does not exist in the namespace %s.", volume, kind, m[2], e.Pod.Namespace)
		a.next = missingSteps(e, kind, m[2])
		return a
	case missingInKeys.MatchString(text):
		m := missingInKeys.FindStringSubmatch(text)
		kind := either(m[1] == "secret", "Secret", "ConfigMap")
		name := volumeSource(e, volume, kind)
		a.cause, a.detail = "missing_key", "volume"
		key := strings.TrimRight(m[2], ",]")
		a.summary = fmt.Sprintf("The pod's volume %s takes the key %s of the %s %s, which has no such key.", volume, key, kind, name)
		if name == "" {
			a.summary = fmt.Sprintf("The pod's volume %s takes the key %s of a %s that has no such key.", volume, key, kind)
			a.next = []record.NextStep{step(e, "See which "+kind+" the volume names", "describe", "pod", e.Pod.Name)}
		} else {
			a.next = keySteps(e, kind, name)
		}
		return a
	case strings.HasPrefix(ev.Message, "MountVolume.WaitForAttach ") || contains(text, "timed out waiting for external-attacher", "volume attachment is being deleted"):
		a.cause, a.detail = "volume_attach_failed", "wait_for_attach"
		a.summary = fmt.Sprintf("The pod's volume %s has not been attached to its node %s: %s.", volume, e.Pod.Node, brief(text))
		a.next = attachSteps(e)
		return a
	}
	a.cause = "volume_mount_failed"
	a.detail = mountDetail(ev.Message, text)
	a.summary = fmt.Sprintf("The pod's volume %s cannot be mounted on its node %s: %s.", volume, e.Pod.Node, brief(text))
	if volume == "" {
		a.summary = fmt.Sprintf("The pod's volumes cannot be mounted on its node %s: %s.", e.Pod.Node, brief(text))
	}
	if starting(text) {
		a.confidence = record.Likely
		a.detail = "kubelet_caches"
		a.alternatives = []record.Alternative{{Cause: "node_lost", Why: "the kubelet may have lost its connection to the API server"}}
	}
	a.next = []record.NextStep{step(e, "See the pod's volumes and its events", "describe", "pod", e.Pod.Name)}
	if claim := volumeSource(e, volume, "persistentVolumeClaim"); claim != "" {
		a.next = append(a.next, step(e, "See the claim's state and its volume", "describe", "pvc", claim))
	}
	return a
}

// mountDetail classes why a volume cannot be mounted.
func mountDetail(message, text string) string {
	// mount(8) lists all that may be wrong, where it does not know.
	lower := strings.ReplaceAll(strings.ToLower(text), "wrong fs type, bad option, bad superblock", "")
	for _, c := range []struct {
		detail string
		texts  []string
	}{
		{"host_path", []string{"hostpath type check failed"}},
		{"service_account_token", []string{"failed to fetch token"}},
		{"csi_driver_missing", []string{"not found in the list of registered csi drivers"}},
		{"pvc_not_found", []string{"persistentvolumeclaims \"", "persistentvolumeclaim not found"}},
		{"pvc_unbound", []string{"pvc is not bound"}},
		{"disk_full", []string{"no space left on device"}},
		{"read_only", []string{"read-only file system"}},
		{"permission_denied", []string{"access denied by server", "permission denied", "operation not permitted"}},
		{"refused", []string{"connection refused"}},
		{"timeout", []string{"timed out", "deadline exceeded"}},
		{"path_not_found", []string{"no such file or directory", "does not exist"}},
		{"in_use", []string{"already in use", "already mounted", "device or resource busy"}},
		{"filesystem", []string{"wrong fs type", "bad superblock", "fsck", "structure needs cleaning", "unknown filesystem type"}},
	} {
		if contains(lower, c.texts...) {
			return c.detail
		}
	}
	if strings.HasPrefix(message, "MountVolume.NodeAffinity") {
		return "node_affinity"
	}
	return ""
}

// attachStall explains a volume that cannot be attached to the pod's node.
func attachStall(e *evidence.Evidence, ev *evidence.Event) *answer {
	volume := volumeOf(ev.Message)
	text := withoutCode(attachFailed.ReplaceAllString(ev.Message, ""))
	a := &answer{
		cause:      "volume_attach_failed",
		confidence: record.Confirmed,
		summary:    fmt.Sprintf("The volume %s cannot be attached to the pod's node %s: %s.", volume, e.Pod.Node, brief(text)),
		evidence:   []record.Evidence{quoteEvent(e, ev)},
		next:       attachSteps(e),
	}
	// Up to Kubernetes 1.36 and from 1.37 on.
	if strings.HasPrefix(ev.Message, "Multi-Attach error ") || strings.HasPrefix(ev.Message, "Waiting for detach ") {
		a.detail = "multi_attach"
		a.summary = fmt.Sprintf("The volume %s is still attached to another node and can be attached to one only, so that the pod waits on its node %s: %s.", volume, e.Pod.Node, brief(text))
		a.missing = []record.Missing{{What: "volume attachments", Why: "they would tell which node holds the volume; if that node is dead, it is the root of this"}}
	}
	for i := range e.Claims {
		if c := &e.Claims[i]; c.Volume == volume && volume != "" {
			a.evidence = append(a.evidence, quoteClaim(e, c)("spec.volumeName", c.Volume))
		}
	}
	return a
}

func attachSteps(e *evidence.Evidence) []record.NextStep {
	return []record.NextStep{
		{Text: "See which node holds the volume", Command: kubectl("get", "volumeattachments")},
		{Text: "See whether that node is alive; a volume of a dead node is taken from it by force after six minutes at the soonest", Command: kubectl("get", "nodes")},
	}
}

// quoteClaim quotes a claim of the pod.
func quoteClaim(e *evidence.Evidence, c *evidence.Claim) func(field, value string) record.Evidence {
	return func(field, value string) record.Evidence {
		return record.Evidence{Source: "claim", Object: "PersistentVolumeClaim " + e.Pod.Namespace + "/" + c.Name, Field: field, Value: value}
	}
}

// otherVolumes are the newest events of other volumes that cannot be mounted either.
func otherVolumes(e *evidence.Evidence, volume string) []*evidence.Event {
	var out []*evidence.Event
	for _, v := range e.Pod.Volumes {
		if v.Name == volume {
			continue
		}
		if ev := newest(e.Events, func(ev *evidence.Event) bool {
			age, known := lasted(e, ev.Last)
			return ev.Reason == "FailedMount" && !starting(ev.Message) && volumeOf(ev.Message) == v.Name && known && age < recently
		}); ev != nil {
			out = append(out, ev)
		}
	}
	return out
}

// sourcesOf quotes what a volume of the pod is made of.
func sourcesOf(e *evidence.Evidence, volume string) []record.Evidence {
	var out []record.Evidence
	for i := range e.Pod.Volumes {
		if v := &e.Pod.Volumes[i]; v.Name == volume && volume != "" {
			out = append(out, specEvidence(e, "spec.volumes["+v.Name+"]."+v.Kind, v.Source))
		}
	}
	return out
}

// volumeSource is the object of a kind that a volume is made of, empty where there is none or several.
func volumeSource(e *evidence.Evidence, volume, kind string) string {
	found := ""
	for i := range e.Pod.Volumes {
		if v := &e.Pod.Volumes[i]; v.Name == volume && strings.EqualFold(v.Kind, kind) {
			if found != "" {
				return ""
			}
			found = v.Source
		}
	}
	return found
}
