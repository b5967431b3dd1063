package diagnose

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// This family: the kubelet cannot put the container's configuration together
// (pkg/kubelet/kubelet_pods.go makeEnvironmentVariables, kuberuntime_container.go
// generateContainerConfig, security_context_others.go). It tries again for ever, and
// no restart is counted.

var (
	objectNotFound = regexp.MustCompile(`\b(configmap|secret) "([^"]+)" not found`)
	keyNotFound    = regexp.MustCompile(`couldn't find key (\S+) in (ConfigMap|Secret) (\S+)`)
	fileKey        = regexp.MustCompile(`environment variable key "([^"]+)" not found in file "([^"]+)"`)
	noSuchVolume   = regexp.MustCompile(`cannot find volume "([^"]+)" to mount into container`)
	rootUser       = regexp.MustCompile(`non-numeric user \(([^)]*)\)`)
)

// configStall explains a container whose configuration cannot be put together.
func configStall(e *evidence.Evidence) *answer {
	if e.Container.WaitingReason == "CrashLoopBackOff" {
		return nil // its stops tell
	}
	text := e.Container.WaitingMessage
	a := &answer{confidence: record.Confirmed, evidence: quoteWaiting(e)}
	if text != "" && !starting(text) {
		return a.config(e, text)
	}
	// The kubelet's caches fill after it started; the event of a try before or after says more.
	ev, said := lastFailure(e)
	switch {
	case ev != nil:
		a.evidence = append(a.evidence, quoteEvent(e, ev))
		return a.config(e, said).aged(e, ev)
	case forgotten(e), text != "" && young(e, startRace):
		return nil
	}
	return a.config(e, text)
}

// starting tells texts of a kubelet that has just started, or just got the pod.
func starting(text string) bool {
	return contains(text, "services have not yet been read at least once", "failed to sync secret cache", "failed to sync configmap cache", " not registered")
}

// config classes the text of a container's configuration error.
func (a *answer) config(e *evidence.Evidence, text string) *answer {
	c := &e.Container
	a.ruledOut = []record.Alternative{{Cause: "image_pull_failed", Why: "the kubelet puts the configuration together after it has got the image"}}
	switch {
	case strings.HasPrefix(text, "container has runAsNonRoot"), strings.HasPrefix(text, "container's runAsUser breaks"):
		a.nonRoot(e, text) // first: it has the name of a user, which the image may call anything
	case objectNotFound.MatchString(text):
		m := objectNotFound.FindStringSubmatch(text)
		kind := kindOf(m[1])
		a.cause, a.detail = "missing_"+m[1], "env"
		a.summary = fmt.Sprintf("The container's environment takes values from the %s %s, which does not exist in the namespace %s.", kind, m[2], e.Pod.Namespace)
		a.evidence = append(a.evidence, quoteReferences(e, kind, m[2], "")...)
		a.next = missingSteps(e, kind, m[2])
	case keyNotFound.MatchString(text):
		m := keyNotFound.FindStringSubmatch(text)
		name := m[3][strings.LastIndex(m[3], "/")+1:]
		a.cause, a.detail = "missing_key", "env"
		a.summary = fmt.Sprintf("The container's environment takes the key %s of the %s %s, which has no such key.", m[1], m[2], name)
		a.evidence = append(a.evidence, quoteReferences(e, m[2], name, m[1])...)
		a.next = keySteps(e, m[2], name)
	case fileKey.MatchString(text):
		m := fileKey.FindStringSubmatch(text)
		a.cause, a.detail = "missing_key", "env"
		a.summary = fmt.Sprintf("The container's environment takes the key %s of the file %s, which has no such key.", m[1], m[2])
		a.next = []record.NextStep{step(e, "See which container writes the file, and what it writes", "get", "pod", e.Pod.Name, "-o", "yaml")}
	case contains(text, "runAsNonRoot", "runAsUser breaks non-root policy"):
		a.nonRoot(e, text)
	case contains(text, "subPath"):
		a.cause, a.detail = "container_create_failed", "sub_path"
		a.summary = fmt.Sprintf("A subPath of a volume of the container cannot be mounted: %s.", brief(text))
		a.next = []record.NextStep{step(e, "Compare the subPath with what the volume contains", "get", "pod", e.Pod.Name, "-o", "jsonpath={.spec.containers[*].volumeMounts}")}
	case noSuchVolume.MatchString(text):
		a.cause, a.detail = "container_create_failed", "volume"
		a.summary = fmt.Sprintf("The container mounts the volume %s, which the kubelet does not know of.", noSuchVolume.FindStringSubmatch(text)[1])
		a.next = []record.NextStep{step(e, "See the pod's volumes and its events", "describe", "pod", e.Pod.Name)}
	case starting(text):
		a.cause, a.detail = "container_create_failed", "kubelet_caches"
		a.summary = fmt.Sprintf("The kubelet has not been able to read from the API what the container needs%s: %s.", forHow(e, stallBegin(e)), brief(text))
		a.confidence = record.Likely
		a.alternatives = []record.Alternative{{Cause: "node_lost", Why: "the kubelet may have lost its connection to the API server"}}
		a.next = nodeSteps(e)
	default:
		a.cause, a.detail = "container_create_failed", "config"
		a.summary = fmt.Sprintf("The kubelet cannot put the configuration of the container %s together: %s.", c.Name, brief(text))
		if text == "" {
			a.confidence = record.Likely
			a.summary = fmt.Sprintf("The kubelet cannot put the configuration of the container %s together; why, its status does not say.", c.Name)
			a.missing = []record.Missing{lostEvents(e, `an event "Failed" of the container`)}
			a.alternatives = []record.Alternative{{Cause: "missing_configmap", Why: "the error was not seen"}, {Cause: "missing_secret", Why: "the error was not seen"}}
		}
		a.next = []record.NextStep{step(e, "See the pod's spec and events", "describe", "pod", e.Pod.Name)}
	}
	return a
}

// nonRoot explains what keeps the container from running as somebody else than root.
func (a *answer) nonRoot(e *evidence.Evidence, text string) {
	a.cause = "run_as_non_root"
	c := &e.Container
	if c.RunAsNonRoot != nil {
		a.evidence = append(a.evidence, specEvidence(e, "securityContext.runAsNonRoot of the container or its pod", fmt.Sprint(*c.RunAsNonRoot)))
	}
	if c.RunAsUser != nil {
		a.evidence = append(a.evidence, specEvidence(e, "securityContext.runAsUser of the container or its pod", fmt.Sprint(*c.RunAsUser)))
	}
	switch m := rootUser.FindStringSubmatch(text); {
	case m != nil:
		a.detail = "user_not_numeric"
		a.summary = fmt.Sprintf("The container must not run as root, and its image names its user as %q: whether that is root cannot be told without a number.", m[1])
	case strings.Contains(text, "runAsUser breaks"):
		a.detail = "run_as_user"
		a.summary = "The container must not run as root, and its own runAsUser is 0."
	default:
		a.detail = "image_user"
		a.summary = "The container must not run as root, and its image runs as root."
	}
	a.next = []record.NextStep{edit(e, "Set securityContext.runAsUser to a number other than 0, or build the image with a numeric USER")}
}

// quoteReferences quotes where the container's environment names an object.
func quoteReferences(e *evidence.Evidence, kind, name, key string) []record.Evidence {
	var out []record.Evidence
	c := &e.Container
	for i := range c.References {
		r := &c.References[i]
		if r.Kind != kind || r.Name != name || r.Optional || key != "" && r.Key != key {
			continue
		}
		path := specPath(c) + ".envFrom[" + r.Name + "]." + either(kind == "ConfigMap", "configMapRef", "secretRef") + ".name"
		value := r.Name
		if r.Key != "" {
			path = specPath(c) + ".env[" + r.Variable + "].valueFrom." + either(kind == "ConfigMap", "configMapKeyRef", "secretKeyRef")
			value = r.Name + ", key " + r.Key
		}
		out = append(out, specEvidence(e, path, value))
	}
	return out
}

// kindOf writes a kind as the API does.
func kindOf(lower string) string { return either(lower == "configmap", "ConfigMap", "Secret") }

func missingSteps(e *evidence.Evidence, kind, name string) []record.NextStep {
	lower := strings.ToLower(kind)
	return []record.NextStep{
		step(e, fmt.Sprintf("See whether the %s exists by now, or under another name", kind), "get", lower+"s"),
		edit(e, fmt.Sprintf("Create the %s %s, or name the right one (or mark it as optional)", kind, name)),
	}
}

func keySteps(e *evidence.Evidence, kind, name string) []record.NextStep {
	// "describe" shows the keys of a Secret, and not their values.
	return []record.NextStep{
		step(e, fmt.Sprintf("See which keys the %s has", kind), "describe", strings.ToLower(kind), name),
		edit(e, "Add the key, or name the right one"),
	}
}
