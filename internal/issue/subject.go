package issue

import (
	"net/netip"
	"strings"

	"github.com/whyrestart/whyrestart/internal/record"
)

// onNode tells what the cluster or a node did to the pods of a node.
func onNode(d *record.Diagnosis) bool {
	switch d.Cause {
	case "runtime_restarted", "sandbox_changed", "node_pressure_eviction", "node_shutdown", "taint_eviction", "eviction_api",
		"kubelet_preempted", "pod_gc", "status_unknown", "node_lost":
		return true
	case "oom_killed":
		return d.Detail == "node"
	}
	return false
}

// subjectOf returns the kind and subject of the incident that a record is a part of if there are
// others; none is the empty kind. What happened to the node says more than what the program
// could not reach, and that more than its image.
func subjectOf(r *record.Record, k *Key) (kind, subject string) {
	d := &r.Diagnosis
	if r.Node != "" && onNode(d) {
		return OnNode, cut(r.Node, maxName)
	}
	if r.Category != record.Failure && r.Category != "" {
		return "", ""
	}
	if t := dependency(d.Target, r.Namespace); t != "" {
		return OnDependency, t
	}
	if s := ofImage(r, k); s != "" {
		return OfImage, s
	}
	return "", ""
}

// ofImage is the image, and how it failed: "app:v2 app_exit/panic#4f2a1c". Only failures of the
// program itself count. Many workloads share an image such as busybox or python and run
// programs of their own in it; they fail alike only if their last words are alike.
func ofImage(r *record.Record, k *Key) string {
	if r.Stop == nil {
		return ""
	}
	image := r.Image
	if image == "" {
		image = r.ImageID
	}
	if image == "" {
		return ""
	}
	how := k.Cause
	if r.Diagnosis.Detail != "" {
		how += "/" + r.Diagnosis.Detail
	}
	switch k.Cause {
	case "app_exit":
		if k.Signature == "" {
			return ""
		}
		how += "#" + hash("signature", k.Signature)[:6]
	case "app_signal", "exec_format_error":
	default:
		return ""
	}
	return cut(image, maxName) + " " + cut(how, maxName)
}

// dependency brings what a program could not reach into one form, "db.shop:5432": a name of one
// word is a Service of the pod's namespace, and what cluster DNS adds to the name of a Service is
// left out (pkg.go.dev/k8s.io/dns, SERVICE.NAMESPACE.svc.ZONE). What is on this machine is none.
func dependency(target, namespace string) string {
	t := strings.ToLower(strings.TrimSpace(target))
	if len(t) > maxName || strings.ContainsFunc(t, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return ""
	}
	if _, after, ok := strings.Cut(t, "://"); ok {
		t = after
	}
	if i := strings.IndexAny(t, "/?#"); i >= 0 {
		t = t[:i]
	}
	t = t[strings.LastIndexByte(t, '@')+1:]
	host, port := t, ""
	if a, err := netip.ParseAddr(strings.Trim(t, "[]")); err == nil {
		return address(a, "")
	}
	if i := strings.LastIndexByte(t, ':'); i >= 0 {
		host, port = t[:i], t[i+1:]
	}
	if a, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return address(a, port)
	}
	host = strings.TrimSuffix(host, ".")
	if host == "" || strings.Contains(host, ":") {
		return ""
	}
	parts := strings.Split(host, ".")
	last := parts[len(parts)-1]
	switch {
	case last == "localhost" || last == "localdomain" || strings.HasPrefix(host, "ip6-localhost") || strings.HasPrefix(host, "ip6-loopback"):
		return ""
	case len(parts) == 1:
		host += "." + namespace
	default:
		for i := 2; i < len(parts); i++ {
			if parts[i] == "svc" {
				host = strings.Join(parts[:i], ".")
				break
			}
		}
	}
	return join(host, port)
}

func address(a netip.Addr, port string) string {
	if a = a.Unmap().WithZone(""); a.IsLoopback() || a.IsUnspecified() {
		return ""
	}
	if a.Is6() && port != "" {
		return "[" + a.String() + "]:" + port
	}
	return join(a.String(), port)
}

func join(host, port string) string {
	if port == "" {
		return host
	}
	return host + ":" + port
}

// label is a workload in the form "shop/deploy/checkout".
func label(k *Key) string {
	w := k.Workload.Short()
	if k.Group != "" {
		w = "group/" + k.Group
	}
	return cut(k.Namespace+"/"+w, maxName)
}

// phrase says in words what a cause, with its detail, did to a subject.
func phrase(kind, cause string) string {
	code, detail, _ := strings.Cut(cause, "/")
	if kind == OnDependency {
		return unreachable(detail)
	}
	if kind == OfImage {
		switch code {
		case "app_signal":
			return "the program crashes with " + detail
		case "exec_format_error":
			return "it is no program for its nodes"
		}
		if detail == "" {
			return "the program fails with the same last words"
		}
		return "the program fails with the same last words (" + detail + ")"
	}
	switch code {
	case "runtime_restarted":
		if detail == "node_reboot" {
			return "the node was rebooted"
		}
		return "the container runtime or the node was restarted"
	case "sandbox_changed":
		return "pods got new sandboxes"
	case "node_pressure_eviction":
		if detail != "" {
			return "pods were evicted because the node ran short of " + detail
		}
		return "pods were evicted because the node ran short"
	case "node_shutdown":
		return "the node was shutting down"
	case "taint_eviction":
		return "pods were evicted by a taint"
	case "eviction_api":
		return "pods were evicted through the API, as a drain does"
	case "kubelet_preempted":
		return "pods had to make room for critical ones"
	case "pod_gc":
		return "pods were removed by the garbage collector"
	case "status_unknown":
		return "the exit status of containers was lost"
	case "node_lost":
		return "the node does not answer"
	case "oom_killed":
		return "the node ran out of memory"
	}
	return cause
}

func unreachable(detail string) string {
	switch detail {
	case "connection_refused":
		return "it refuses connections"
	case "connection_lost":
		return "it cuts connections"
	case "dns_failure":
		return "its name cannot be resolved"
	case "timeout":
		return "it does not answer in time"
	case "too_many_connections":
		return "it accepts no more connections"
	case "rate_limited":
		return "it refuses more requests"
	case "network_unreachable":
		return "there is no route to it"
	case "tls_error":
		return "TLS to it fails"
	case "auth_failed":
		return "it refuses the credentials"
	}
	return "it cannot be used"
}
