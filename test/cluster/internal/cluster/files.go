package cluster

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"text/template"
)

// The images, which are built from the source of this module and pulled from
// nowhere.
const (
	PauseImage     = "whyrestart.test/pause:1"
	MisbehaveImage = "whyrestart.test/misbehave:1"
	BusyboxImage   = "whyrestart.test/busybox:1"
	StrangerImage  = "whyrestart.test/stranger:1"
)

const containerdConfig = `version = 3
root = "{{.State}}/containerd"
state = "{{.State}}/containerd.state"

[grpc]
  address = "{{.Socket}}"

[plugins.'io.containerd.shim.v1.manager']
  socket_dir = "{{.State}}/s"

[plugins.'io.containerd.internal.v1.opt']
  path = "{{.State}}/opt"

[plugins.'io.containerd.nri.v1.nri']
  disable = true

[plugins.'io.containerd.cri.v1.images']
  snapshotter = "overlayfs"
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = "{{.PauseImage}}"

[plugins.'io.containerd.cri.v1.runtime']
  # A root without CAP_SYS_RESOURCE, as in many containers and small machines,
  # may not lower the score that the kernel chooses its victims by.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ["/usr/lib/cni"]
    conf_dir = "{{.State}}/cni"
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
      Root = "{{.State}}/runc"

[plugins.'io.containerd.grpc.v1.cri']
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
`

const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: 127.0.0.1
port: {{.KubeletPort}}
healthzPort: 0
authentication:
  anonymous: {enabled: true}
  webhook: {enabled: false}
authorization: {mode: AlwaysAllow}
containerRuntimeEndpoint: unix://{{.Socket}}
podLogsDir: {{.State}}/pods
volumePluginDir: {{.State}}/volumeplugins
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupRoot: /{{.CgroupRoot}}
enforceNodeAllocatable: []
makeIPTablesUtilChains: false
failSwapOn: false
resolvConf: ""
clusterDNS: [127.0.0.1]
maxPods: 220
serializeImagePulls: false
registryPullQPS: 0
kubeAPIQPS: 100
kubeAPIBurst: 200
# Many pods that crash every second make many events; they are not to wait for minutes.
eventRecordQPS: 500
eventBurst: 1000
# A container that fails starts again after a second, not after up to five
# minutes.
featureGates: {KubeletCrashLoopBackOffMax: true}
crashLoopBackOff: {maxContainerRestartPeriod: 1s}
syncFrequency: 10s
nodeStatusUpdateFrequency: 4s
nodeStatusReportFrequency: 10s
nodeLeaseDurationSeconds: 8
# Nothing is evicted or collected because the machine happens to be full; the disk of
# the node is one of its own.
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {memory.available: 50Mi, nodefs.available: 64Mi, nodefs.inodesFree: 0%, imagefs.available: 0%, imagefs.inodesFree: 0%}
evictionPressureTransitionPeriod: 5s
`

// podNetwork gives each pod an address on a bridge. It needs no rule of a
// packet filter: nobody outside the machine is reached.
const podNetwork = `{
  "cniVersion": "1.0.0",
  "name": "{{.Network}}",
  "plugins": [{
    "type": "bridge",
    "bridge": "{{.Bridge}}",
    "isGateway": true,
    "ipMasq": false,
    "ipam": {
      "type": "host-local",
      "dataDir": "{{.State}}/cni-addresses",
      "ranges": [[{"subnet": "{{.PodSubnet}}"}]],
      "routes": [{"dst": "0.0.0.0/0"}]
    }
  }]
}
`

const kubectlScript = `#!/bin/sh
KUBECONFIG=${KUBECONFIG:-{{.State}}/kubeconfig}
export KUBECONFIG
exec {{.Bin}}/node kubectl "$@"
`

const ctrScript = `#!/bin/sh
exec {{.Bin}}/ctr --address {{.Socket}} --namespace k8s.io "$@"
`

// writeFiles writes what the parts read.
func (c *Cluster) writeFiles() error {
	values := map[string]any{
		"State": c.state, "Bin": c.builder.Bin(), "Socket": c.Socket(), "PauseImage": PauseImage,
		"KubeletPort": kubeletPort, "CgroupRoot": cgroupRoot, "Bridge": bridge, "Network": networkName, "PodSubnet": podSubnet,
	}
	for _, f := range []struct {
		path, content string
		mode          os.FileMode
	}{
		{c.path("containerd.toml"), containerdConfig, 0o644},
		{c.path("kubelet.yaml"), kubeletConfig, 0o644},
		{c.path("cni", "10-whyrestart.conflist"), podNetwork, 0o644},
		{filepath.Join(c.BinDir(), "kubectl"), kubectlScript, 0o755},
		{filepath.Join(c.BinDir(), "ctr"), ctrScript, 0o755},
	} {
		parsed, err := template.New(f.path).Parse(f.content)
		if err != nil {
			return fmt.Errorf("read the template of %s: %w", f.path, err)
		}
		var content bytes.Buffer
		if err := parsed.Execute(&content, values); err != nil {
			return fmt.Errorf("fill in the template of %s: %w", f.path, err)
		}
		if err := writeFile(f.path, content.Bytes(), f.mode); err != nil {
			return err
		}
	}
	return os.MkdirAll(c.path("logs"), 0o755)
}

// writeKubeconfig writes the file with which the bearer of a token reaches the
// API server.
func (c *Cluster) writeKubeconfig(path string, token string, ca []byte) error {
	const name = "whyrestart"
	named := func(kind string, value any) []any {
		return []any{map[string]any{"name": name, kind: value}}
	}
	content, err := json.MarshalIndent(map[string]any{
		"apiVersion":      "v1",
		"kind":            "Config",
		"current-context": name,
		"clusters":        named("cluster", map[string]any{"server": apiURL(), "certificate-authority-data": ca}),
		"users":           named("user", map[string]any{"token": token}),
		"contexts":        named("context", map[string]any{"cluster": name, "user": name}),
	}, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	return writeFile(path, append(content, '\n'), 0o600)
}

func writeFile(path string, content []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make the folder of %s: %w", path, err)
	}
	return os.WriteFile(path, content, mode)
}
