package diagnose

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// stalling is a pod in which something has stalled since t0; what was read is of ten
// minutes later.
func stalling(class evidence.Class, change ...change) *evidence.Evidence {
	e := &evidence.Evidence{
		Version:    evidence.Version,
		AsOf:       at(600),
		Pod:        evidence.Pod{Namespace: "shop", Name: "api-1", UID: "u1", Node: "n1", Phase: "Pending", RestartPolicy: "Always", CreatedAt: t0, StartedAt: t0, TerminationGraceSeconds: 30},
		EventsRead: true,
		Stall:      &evidence.Stall{Class: class, Begin: t0},
	}
	for _, c := range change {
		c(e)
	}
	return e
}

// waits is the container api, of an image, that waits.
func waits(reason, message string) change {
	return func(e *evidence.Evidence) {
		e.Container = evidence.Container{Name: "api", Type: record.App, Image: "registry.example/team/app:2.1", State: "waiting", WaitingReason: reason, WaitingMessage: message}
	}
}

// warns adds a warning about the pod.
func warns(reason, message string, when time.Time) change {
	return func(e *evidence.Evidence) {
		e.Events = append(e.Events, evidence.Event{Type: "Warning", Reason: reason, Message: message, First: when, Last: when, Count: 1})
	}
}

// warnsOf adds a warning about the container.
func warnsOf(reason, message string, when time.Time) change {
	return func(e *evidence.Evidence) {
		e.Events = append(e.Events, evidence.Event{Type: "Warning", Reason: reason, Message: message, Container: true, First: when, Last: when, Count: 1})
	}
}

// unfound is the condition PodScheduled with the scheduler's message.
func unfound(message string) change {
	return func(e *evidence.Evidence) {
		e.Pod.Node, e.Pod.StartedAt = "", time.Time{}
		e.Pod.Conditions = []evidence.Condition{{Type: "PodScheduled", Status: "False", Reason: "Unschedulable", Message: message, Time: t0}}
	}
}

func changed(f func(*evidence.Evidence)) change { return f }

// outcome is what a test of a rule looks at; the zero outcome is no finding.
type outcome struct {
	Cause, Detail string
	Confidence    record.Confidence
	Category      record.Category
}

func outcomeOf(e *evidence.Evidence) outcome {
	f, ok := Stalled(e)
	if !ok {
		return outcome{}
	}
	return outcome{f.Diagnosis.Cause, f.Diagnosis.Detail, f.Diagnosis.Confidence, f.Category}
}

// stallCase is a case of a rule: name, evidence, and what it gives.
type stallCase struct {
	name string
	e    *evidence.Evidence
	want outcome
}

func runStalls(t *testing.T, cases []stallCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if d := cmp.Diff(c.want, outcomeOf(c.e)); d != "" {
				f, _ := Stalled(c.e)
				t.Errorf("(-want +got):\n%s%s", d, f.Diagnosis.Summary)
			}
		})
	}
}

func confirmed(cause, detail string) outcome {
	return outcome{cause, detail, record.Confirmed, record.Failure}
}

func likely(cause, detail string) outcome {
	return outcome{cause, detail, record.Likely, record.Failure}
}

var nothing outcome

func TestImageStalls(t *testing.T) {
	const pulled = `failed to pull and unpack image "registry.example/team/app:2.1": `
	const resolved = pulled + `failed to resolve reference "registry.example/team/app:2.1": `
	pull := func(text string) *evidence.Evidence {
		return stalling(evidence.Image, waits("ErrImagePull", text))
	}
	runStalls(t, []stallCase{
		{"containerd: not found", pull(resolved + "registry.example/team/app:2.1: not found"), confirmed("image_not_found", "")},
		{"containerd up to 1.30, with the code", pull("rpc error: code = NotFound desc = " + resolved + "registry.example/team/app:2.1: not found"), confirmed("image_not_found", "")},
		{"cri-o: not found", pull("reading manifest 2.1 in registry.example/team/app: manifest unknown"), confirmed("image_not_found", "manifest")},
		{"docker.io: denied may mean that there is none", pull(resolved + "pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed"), likely("image_pull_auth", "")},
		{"cri-o: denied may mean that there is none", pull("initializing source docker://team/app:2.1: reading manifest 2.1 in docker.io/team/app: errors:\ndenied: requested access to the resource is denied\nunauthorized: authentication required"), likely("image_pull_auth", "")},
		{"401", pull(resolved + "failed to authorize: failed to fetch anonymous token: unexpected status from GET request to https://registry.example/token?scope=x: 401 Unauthorized"), likely("image_pull_auth", "")},
		{"the registry asks for credentials", pull(resolved + "pull access denied, repository does not exist or may require authorization: authorization failed: no basic auth credentials"), confirmed("image_pull_auth", "")},
		{"403", pull(resolved + "unexpected status from HEAD request to https://registry.example/v2/team/app/manifests/2.1: 403 Forbidden"), likely("image_pull_auth", "")},
		{"429", pull(pulled + "failed to resolve image: unexpected status from HEAD request to http://registry.example/v2/team/app/manifests/2.1: 429 Too Many Requests"), confirmed("image_rate_limited", "")},
		{"docker.io: pull limit", pull("reading manifest 2.1 in docker.io/team/app: toomanyrequests: You have reached your unauthenticated pull rate limit."), confirmed("image_rate_limited", "")},
		{"500", pull(pulled + "failed to resolve image: unexpected status from HEAD request to http://registry.example/v2/team/app/manifests/2.1: 500 Internal Server Error"), confirmed("image_pull_failed", "http_500")},
		{"cri-o: 503", pull("reading manifest 2.1 in registry.example/team/app: StatusCode: 503, <html>"), confirmed("image_pull_failed", "http_503")},
		{"cri-o: 404", pull("reading manifest 2.1 in registry.example/team/app: StatusCode: 404, <html>"), confirmed("image_not_found", "")},
		{"docker: not found", pull("Error response from daemon: manifest for team/app:2.1 not found: manifest unknown: manifest unknown"), confirmed("image_not_found", "manifest")},
		{"docker: denied", pull("Error response from daemon: pull access denied for team/app, repository does not exist or may require 'docker login': denied: requested access to the resource is denied"), likely("image_pull_auth", "")},
		{"503", pull(resolved + "unexpected status from HEAD request to https://x.example/v2/: 503 Service Unavailable"), confirmed("image_pull_failed", "http_503")},
		{"dns", pull(resolved + `failed to do request: Head "https://registry.example/v2/team/app/manifests/2.1": dial tcp: lookup registry.example on 10.96.0.10:53: no such host`), confirmed("image_registry_unreachable", "dns")},
		{"refused", pull(pulled + `failed to resolve image: failed to do request: Head "https://127.0.0.1:5999/v2/team/app/manifests/2.1": dial tcp 127.0.0.1:5999: connect: connection refused`), confirmed("image_registry_unreachable", "refused")},
		{"the token server does not answer: the network, not credentials", pull(resolved + `failed to authorize: failed to fetch anonymous token: Get "https://auth.example/token": dial tcp 10.0.0.1:443: i/o timeout`), confirmed("image_registry_unreachable", "timeout")},
		{"a timeout that may be the node's", pull("rpc error: code = DeadlineExceeded desc = context deadline exceeded"), likely("image_registry_unreachable", "timeout")},
		{"tls", pull(resolved + `failed to do request: Head "https://registry.example/v2/": tls: failed to verify certificate: x509: certificate signed by unknown authority`), confirmed("image_registry_unreachable", "tls")},
		{"plain http", pull(resolved + `failed to do request: Head "https://registry.example/v2/": http: server gave HTTP response to HTTPS client`), confirmed("image_registry_unreachable", "tls")},
		{"truth 51: the image exists, for another platform", pull(pulled + "no match for platform in manifest: not found"), confirmed("image_platform_mismatch", "")},
		{"cri-o: another platform", pull(`choosing image instance: no image found in image index for architecture "arm64", variant "v8", OS "linux"`), confirmed("image_platform_mismatch", "")},
		{"disk", pull(pulled + `failed to extract layer sha256:12: write /var/lib/containerd/x: no space left on device`), confirmed("image_pull_failed", "disk_full")},
		{"a layer is missing, not the image", pull(pulled + "failed to copy: httpReadSeeker: failed open: could not fetch content descriptor sha256:12 from remote: not found"), confirmed("image_pull_failed", "content_missing")},
		{"kubelet's own limit", pull("pull QPS exceeded"), confirmed("image_rate_limited", "kubelet")},
		{"the image's name proves nothing", stalling(evidence.Image, waits("ErrImagePull", `failed to pull and unpack image "registry.example/denied:401": something else`), changed(func(e *evidence.Evidence) { e.Container.Image = "registry.example/denied:401" })), confirmed("image_pull_failed", "")},
		{"1.32: back-off with the cause", stalling(evidence.Image, waits("ImagePullBackOff", `Back-off pulling image "registry.example/team/app:2.1": ErrImagePull: `+resolved+`registry.example/team/app:2.1: not found`)), confirmed("image_not_found", "")},
		{"1.31: back-off without, the event tells", stalling(evidence.Image, waits("ImagePullBackOff", `Back-off pulling image "registry.example/team/app:2.1"`), warnsOf("Failed", `Failed to pull image "registry.example/team/app:2.1": rpc error: code = NotFound desc = `+resolved+`registry.example/team/app:2.1: not found`, at(500)), warnsOf("Failed", "Error: ErrImagePull", at(500))), confirmed("image_not_found", "")},
		{"1.31: the event is about another image", stalling(evidence.Image, waits("ImagePullBackOff", `Back-off pulling image "registry.example/team/app:2.1"`), warnsOf("Failed", `Failed to pull image "registry.example/team/app:2.0": x: not found`, at(500))), likely("image_pull_failed", "")},
		{"never pull", stalling(evidence.Image, waits("ErrImageNeverPull", `Container image "registry.example/team/app:2.1" is not present with pull policy of Never`)), confirmed("image_never_pull", "")},
		{"invalid name", stalling(evidence.Image, waits("InvalidImageName", `Failed to apply default image tag "Team/App::2.1": couldn't parse image name "Team/App::2.1": invalid reference format: repository name (App) must be lowercase`)), confirmed("image_invalid_name", "")},
		{"inspect", stalling(evidence.Image, waits("ImageInspectError", `Failed to inspect image "x": rpc error: code = Unavailable`)), confirmed("image_pull_failed", "inspect_error")},
		{"cri-o: signature", stalling(evidence.Image, waits("SignatureValidationFailed", `image pull failed for x because the signature validation failed`)), confirmed("image_pull_failed", "signature")},
		{"registry unavailable", stalling(evidence.Image, waits("RegistryUnavailable", `image pull failed for x because the registry is unavailable: y`)), confirmed("image_registry_unreachable", "")},
		{"a kubelet that was restarted has forgotten why", stalling(evidence.Image, waits("ContainerCreating", ""), warnsOf("Failed", `Failed to pull image "registry.example/team/app:2.1": x: not found`, at(500))), confirmed("image_not_found", "")},
		{"and is pulling", stalling(evidence.Image, waits("ContainerCreating", ""), warnsOf("Failed", `Failed to pull image "registry.example/team/app:2.1": x: not found`, at(500)), warnsOf("Pulling", "", at(510))), nothing},
		{"a crash loop is told by its stops", stalling(evidence.Image, waits("CrashLoopBackOff", "back-off 10s")), nothing},
	})
}

func TestConfigStalls(t *testing.T) {
	config := func(message string, more ...change) *evidence.Evidence {
		return stalling(evidence.Config, append([]change{waits("CreateContainerConfigError", message)}, more...)...)
	}
	soon := changed(func(e *evidence.Evidence) { e.AsOf = at(60) })
	runStalls(t, []stallCase{
		{"truth 49: through the environment", config(`configmap "app-settings" not found`), confirmed("missing_configmap", "env")},
		{"secret", config(`secret "db" not found`), confirmed("missing_secret", "env")},
		{"key of a ConfigMap", config(`couldn't find key level in ConfigMap shop/app-settings`), confirmed("missing_key", "env")},
		{"key of a Secret", config(`couldn't find key password in Secret shop/db`), confirmed("missing_key", "env")},
		{"key of a file", config(`environment variable key "A" not found in file "/v/env"`), confirmed("missing_key", "env")},
		{"image runs as root", config(`container has runAsNonRoot and image will run as root (pod: "api-1_shop(u1)", container: api)`), confirmed("run_as_non_root", "image_user")},
		{"image user without a number", config(`container has runAsNonRoot and image has non-numeric user (nobody), cannot verify user is non-root (pod: "x", container: api)`), confirmed("run_as_non_root", "user_not_numeric")},
		{"runAsUser 0", config(`container's runAsUser breaks non-root policy (pod: "x", container: api)`), confirmed("run_as_non_root", "run_as_user")},
		{"subPath", config(`failed to prepare subPath for volumeMount "v" of container "api"`), confirmed("container_create_failed", "sub_path")},
		{"truth 50: a kubelet that starts", config(`services have not yet been read at least once, cannot construct envvars`, soon), nothing},
		{"truth 50: for longer than it may take", config(`services have not yet been read at least once, cannot construct envvars`), likely("container_create_failed", "kubelet_caches")},
		{"truth 50: between two tries that say more", config(`failed to sync secret cache: timed out waiting for the condition`, soon, warnsOf("Failed", `Error: secret "db" not found`, at(30))), confirmed("missing_secret", "env")},
		{"a kubelet that was restarted has forgotten why", stalling(evidence.Config, waits("ContainerCreating", ""), warnsOf("Failed", `Error: configmap "app-settings" not found`, at(590))), confirmed("missing_configmap", "env")},
		{"and no event says it", stalling(evidence.Config, waits("ContainerCreating", ""), warnsOf("Failed", "Error: ImagePullBackOff", at(590))), nothing},
		{"without a message", config(""), likely("container_create_failed", "config")},
		{"a crash loop is told by its stops", stalling(evidence.Config, waits("CrashLoopBackOff", "")), nothing},
	})
}

func TestCreateStalls(t *testing.T) {
	create := func(message string) *evidence.Evidence {
		return stalling(evidence.Create, waits("CreateContainerError", message))
	}
	failed := func(detail string) outcome { return confirmed("container_create_failed", detail) }
	runStalls(t, []stallCase{
		{"no command", create(`failed to generate container "x" spec: failed to generate spec: no command specified`), failed("no_command")},
		{"truth 28: cri-o with crun, no such command", create("container create failed: executable file `xyz` not found in $PATH: No such file or directory"), failed("command_not_found")},
		{"cri-o with runc, no such command", create(`container create failed: runc create failed: unable to start container process: exec: "xyz": executable file not found in $PATH`), failed("command_not_found")},
		{"cri-o with runc, not executable", create(`container create failed: runc create failed: unable to start container process: exec: "/x": permission denied`), failed("command_not_executable")},
		{"working directory", create(`container create failed: runc create failed: unable to start container process: error during container init: mkdir cwd "/x": permission denied`), failed("working_dir")},
		{"memory limit", create("container create failed: container init was OOM-killed (memory limit too low?)"), failed("memory_limit")},
		{"name reserved", create(`failed to reserve container name "api_1": name "api_1" is reserved for "abc"`), failed("name_reserved")},
		{"deadline", create("context deadline exceeded"), failed("deadline_exceeded")},
		{"subPath", create(`failed to generate container "x" spec: failed to stat "/var/lib/kubelet/pods/u1/volume-subpaths/v/api/0": no such file or directory`), failed("sub_path")},
		{"user", create("unable to find user app: no matching entries in passwd file"), failed("user")},
		{"user, containerd", create("mount callback failed on /tmp/x: no users found"), failed("user")},
		{"cgroup, not disk", create("unable to apply cgroup configuration: mkdir /sys/fs/cgroup/x: no space left on device"), failed("cgroup")},
		{"disk, not device", create("write /var/lib/x: no space left on device"), failed("disk_full")},
		{"something else", create("the moon is in the seventh house"), failed("")},
		{"a hook of the resource managers", stalling(evidence.Create, waits("PreCreateHookError", "Internal PreCreateContainer hook failed: not enough cpus")), failed("resource_manager")},
		{"a start that failed is a stop", stalling(evidence.Create, waits("RunContainerError", `exec: "x": executable file not found in $PATH`), changed(func(e *evidence.Evidence) {
			e.Container.LastEnded = &evidence.Ended{ExitCode: 128, Reason: "StartError"}
		})), nothing},
		{"a start that failed, and no stop of it", stalling(evidence.Create, waits("RunContainerError", `exec: "x": executable file not found in $PATH`)), failed("command_not_found")},
		{"a failed hook is a stop", stalling(evidence.Create, waits("PostStartHookError", "x")), nothing},
		{"a kubelet that was restarted has forgotten why", stalling(evidence.Create, waits("ContainerCreating", ""), warnsOf("Failed", "Error: context deadline exceeded", at(590))), failed("deadline_exceeded")},
		{"and no event says it", stalling(evidence.Create, waits("ContainerCreating", "")), nothing},
		{"created, and not started", stalling(evidence.Create, waits("", "")), likely("container_create_failed", "not_started")},
		{"created just now", stalling(evidence.Create, waits("", ""), changed(func(e *evidence.Evidence) { e.AsOf = at(60) })), nothing},
		{"no text", create(""), likely("container_create_failed", "")},
	})
}

// TestChanges: what is to be changed is the topmost controller, a file of the node, or a
// pod that is made anew.
func TestChanges(t *testing.T) {
	owned := changed(func(e *evidence.Evidence) {
		e.Owner = &evidence.Owner{Chain: []evidence.Controller{{Kind: "ReplicaSet", Name: "api-5f"}, {Kind: "Deployment", Name: "api"}}}
	})
	static := changed(func(e *evidence.Evidence) {
		e.Pod.Static, e.Pod.Owner = true, &record.Workload{Kind: "Node", Name: "n1"}
	})
	hostile := changed(func(e *evidence.Evidence) { e.Pod.Name = "--all" })
	for name, c := range map[string]struct {
		change  change
		command string
	}{
		"a deployment": {owned, "kubectl edit deployment/api -n shop"},
		"a bare pod":   {changed(func(*evidence.Evidence) {}), "kubectl get pod api-1 -o yaml -n shop"},
		"a static pod": {static, ""},
		"no name":      {hostile, ""},
	} {
		f, ok := Stalled(stalling(evidence.Config, waits("CreateContainerConfigError", `container has runAsNonRoot and image will run as root`), c.change))
		if !ok || len(f.Diagnosis.Next) != 1 || f.Diagnosis.Next[0].Command != c.command {
			t.Errorf("%s: %v", name, f.Diagnosis.Next)
		}
	}
}

// TestStallEvidence: what proves a stall is quoted, with its path.
func TestStallEvidence(t *testing.T) {
	secret := warns("FailedToRetrieveImagePullSecret", "Unable to retrieve some image pull secrets (regcred); attempting to pull the image may not succeed.", at(500))
	references := changed(func(e *evidence.Evidence) {
		e.Container.References = []evidence.Reference{
			{Kind: "ConfigMap", Name: "app-settings"},
			{Kind: "ConfigMap", Name: "app-settings", Key: "level", Variable: "LEVEL"},
			{Kind: "ConfigMap", Name: "app-settings", Key: "maybe", Variable: "MAYBE", Optional: true},
			{Kind: "Secret", Name: "app-settings", Key: "x", Variable: "X"},
		}
	})
	waiting := "status.containerStatuses[api].state.waiting."
	for _, c := range []struct {
		name   string
		e      *evidence.Evidence
		fields []string
	}{
		{
			"1.37: the pull secret that could not be read",
			stalling(evidence.Image, waits("ErrImagePull", "x: 401 Unauthorized"), secret),
			[]string{waiting + "reason", waiting + "message", "spec.containers[api].image", "FailedToRetrieveImagePullSecret"},
		},
		{
			"where the environment names the ConfigMap",
			stalling(evidence.Config, waits("CreateContainerConfigError", `configmap "app-settings" not found`), references),
			[]string{waiting + "reason", waiting + "message", "spec.containers[api].envFrom[app-settings].configMapRef.name", "spec.containers[api].env[LEVEL].valueFrom.configMapKeyRef"},
		},
		{
			"where it names the key",
			stalling(evidence.Config, waits("CreateContainerConfigError", `couldn't find key level in ConfigMap shop/app-settings`), references),
			[]string{waiting + "reason", waiting + "message", "spec.containers[api].env[LEVEL].valueFrom.configMapKeyRef"},
		},
		{
			"an init container",
			stalling(evidence.Create, waits("CreateContainerError", "x"), typeIs(record.Init)),
			[]string{"status.initContainerStatuses[api].state.waiting.reason", "status.initContainerStatuses[api].state.waiting.message"},
		},
		{
			"what a volume is made of",
			stalling(evidence.Preparing, warns("FailedMount", `MountVolume.SetUp failed for volume "v" : references non-existent secret key: k`, at(500)), changed(func(e *evidence.Evidence) {
				e.Pod.Volumes = []evidence.Volume{{Name: "v", Kind: "secret", Source: "tls"}, {Name: "w", Kind: "secret", Source: "x"}}
			}), warns("FailedMount", `MountVolume.SetUp failed for volume "w" : secret "x" not found`, at(490))),
			[]string{"FailedMount", "spec.volumes[v].secret", "FailedMount"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, ok := Stalled(c.e)
			if !ok {
				t.Fatal("no finding")
			}
			var fields []string
			for _, q := range f.Diagnosis.Evidence {
				fields = append(fields, q.Field)
			}
			if d := cmp.Diff(c.fields, fields); d != "" {
				t.Errorf("(-want +got):\n%s%s", d, f.Diagnosis.Summary)
			}
		})
	}
}
