package diagnose

import "testing"

func TestRegistryOf(t *testing.T) {
	for image, want := range map[string]string{
		"busybox": "docker.io", "library/busybox:1": "docker.io", "busybox@sha256:ab": "docker.io",
		"ghcr.io/a/b:1": "ghcr.io", "localhost/a": "localhost", "localhost:5000/a": "localhost:5000", "reg:5000/a": "reg:5000", "10.0.0.1:5000/team/app": "10.0.0.1:5000",
	} {
		if got := registryOf(image); got != want {
			t.Errorf("%s: %s, want %s", image, got, want)
		}
	}
}
