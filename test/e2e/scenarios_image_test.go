//go:build e2e

package e2e

import (
	corev1 "k8s.io/api/core/v1"
)

// imageScenarios are images that cannot be had.
func imageScenarios() []scenario {
	pulled := func(name, truth, cause string, image func(registry) string) scenario {
		return scenario{
			name: name, needsNode: true, truth: []claim{stalled("app/main", truth, cause, "*", fair)},
			run: func(s *space) {
				c := steady("main")
				c.Image = image(newRegistry(s.t))
				s.create(newPod("app", c))
				s.untilStalls("app", "main", 1)
			},
		}
	}
	at := func(path string) func(registry) string {
		return func(r registry) string { return r.addr + "/" + path }
	}
	return append([]scenario{
		pulled("image-not-found", "the registry says 404, MANIFEST_UNKNOWN", "image_not_found", at("shop/api:1.9")),
		pulled("image-unauthorised", "the registry says 401", "image_pull_auth", at("private/api:1")),
		pulled("image-forbidden", "the registry says 403", "image_pull_auth", at("forbidden/api:1")),
		pulled("image-rate-limited", "the registry says 429", "image_rate_limited", at("busy/api:1")),
		pulled("image-registry-broken", "the registry says 500", "image_pull_failed|image_registry_unreachable", at("broken/api:1")),
		pulled("image-wrong-platform", "the image is for another kind of computer", "image_platform_mismatch", at("foreign:1")),
		pulled("image-registry-refuses", "nobody listens at the registry's address", "image_registry_unreachable", func(r registry) string { return r.closed + "/shop/api:1" }),
	}, provocations(
		provocation{
			name: "image-invalid-name", truth: []claim{stalled("app/main", "the name of the image has capital letters", "image_invalid_name", "*", proven)},
			pods: one("app", with(steady("main"), func(c *corev1.Container) { c.Image = "Shop/API:1" })),
		},
		provocation{
			name: "image-never-pulled", truth: []claim{stalled("app/main", "the image is not there, and its pull policy is Never", "image_never_pull", "*", proven)},
			pods: one("app", with(steady("main"), func(c *corev1.Container) {
				c.Image, c.ImagePullPolicy = "whyrestart.test/elsewhere:1", corev1.PullNever
			})),
		},
		provocation{
			name: "image-of-init", truth: []claim{stalled("app/setup", "the image of an init container is not there, and its pull policy is Never", "image_never_pull", "*", proven)},
			pods: []*corev1.Pod{withInit(newPod("app", steady("main")), with(steady("setup"), func(c *corev1.Container) {
				c.Image, c.ImagePullPolicy = "whyrestart.test/elsewhere:1", corev1.PullNever
			}))},
		},
	)...)
}

// configScenarios are containers and volumes that lack what they are made of.
func configScenarios() []scenario {
	const main = "app/main"
	env := func(name, truth, cause, quote string, source corev1.EnvVarSource, before func(*space)) provocation {
		return provocation{name: name, before: before, truth: []claim{stalled(main, truth, cause, "env", proven).quoting(quote)}, pods: one("app", with(steady("main"), func(c *corev1.Container) {
			c.Env = []corev1.EnvVar{{Name: "SETTING", ValueFrom: &source}}
		}))}
	}
	volume := func(name, truth, cause, quote string, source corev1.VolumeSource, before func(*space)) provocation {
		return provocation{
			name: name, before: before, truth: []claim{stalled("app", truth, cause, "volume|host_path|filesystem", fair).quoting(quote)},
			pods: []*corev1.Pod{mounted(newPod("app", steady("main")), source, corev1.VolumeMount{Name: "extra", MountPath: "/extra"})},
		}
	}
	ref := func(name string) corev1.LocalObjectReference { return corev1.LocalObjectReference{Name: name} }
	configMap := func(s *space) { s.configMap("settings", map[string]string{"present": "1"}) }
	secret := func(s *space) { s.secret("keys", map[string]string{"present": "1"}) }
	secure := func(name, truth, cause string, confidence claim, c corev1.Container, change func(*corev1.SecurityContext)) provocation {
		c.SecurityContext = &corev1.SecurityContext{}
		change(c.SecurityContext)
		return provocation{name: name, truth: []claim{stalled(main, truth, cause, "*", confidence.confidence)}, pods: one("app", c)}
	}
	missing := "no-such-profile.json"
	directory := corev1.HostPathDirectory
	return provocations(
		env("env-secret-missing", "an environment variable from a Secret that does not exist", "missing_secret", "no-such-secret",
			corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: ref("no-such-secret"), Key: "k"}}, nil),
		env("env-configmap-missing", "an environment variable from a ConfigMap that does not exist", "missing_configmap", "no-such-map",
			corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: ref("no-such-map"), Key: "k"}}, nil),
		env("env-configmap-key-missing", "an environment variable from a key that the ConfigMap does not have", "missing_key", "absent",
			corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: ref("settings"), Key: "absent"}}, configMap),
		env("env-secret-key-missing", "an environment variable from a key that the Secret does not have", "missing_key", "absent",
			corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: ref("keys"), Key: "absent"}}, secret),
		volume("volume-configmap-missing", "a volume of a ConfigMap that does not exist", "missing_configmap", "no-such-map",
			corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: ref("no-such-map")}}, nil),
		volume("volume-secret-missing", "a volume of a Secret that does not exist", "missing_secret", "no-such-secret",
			corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "no-such-secret"}}, nil),
		volume("volume-configmap-key-missing", "a volume with a key that the ConfigMap does not have", "missing_key", "absent",
			corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: ref("settings"), Items: []corev1.KeyToPath{{Key: "absent", Path: "x"}}}}, configMap),
		volume("volume-secret-key-missing", "a volume with a key that the Secret does not have", "missing_key", "absent",
			corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "keys", Items: []corev1.KeyToPath{{Key: "absent", Path: "x"}}}}, secret),
		volume("volume-hostpath-missing", "a hostPath of type Directory that is not there", "volume_mount_failed", "hostPath type check failed",
			corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/no/such/folder", Type: &directory}}, nil),
		volume("volume-nfs-unreachable", "an NFS volume of a server that does not answer", "volume_mount_failed", "",
			corev1.VolumeSource{NFS: &corev1.NFSVolumeSource{Server: "127.0.0.1", Path: "/no/such/export"}}, nil),
		secure("run-as-non-root", "runAsNonRoot, and the image runs as root", "run_as_non_root", claim{confidence: proven}, steady("main"), func(c *corev1.SecurityContext) { c.RunAsNonRoot = yes() }),
		secure("run-as-non-root-by-name", "runAsNonRoot, and the image names its user", "run_as_non_root", claim{confidence: proven}, with(steady("main"), func(c *corev1.Container) { c.Image = strangerImage }), func(c *corev1.SecurityContext) { c.RunAsNonRoot = yes() }),
		secure("user-unknown", "the image's user is not in its passwd file", "container_create_failed", claim{confidence: fair}, with(steady("main"), func(c *corev1.Container) { c.Image = strangerImage }), func(*corev1.SecurityContext) {}),
		secure("seccomp-profile-missing", "a seccomp profile that the node does not have", "container_create_failed", claim{confidence: fair}, steady("main"), func(c *corev1.SecurityContext) {
			c.SeccompProfile = &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeLocalhost, LocalhostProfile: &missing}
		}),
	)
}
