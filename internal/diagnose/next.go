package diagnose

import (
	"fmt"
	"strings"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// This file says what to do next. A command is something for a person to read and then to
// run: nothing here runs anything. Names go into a command only if they are names that the
// API would accept, so that those of a forged dump cannot smuggle in a flag or a shell's syntax.

// steps collects next steps.
type steps struct {
	e    *evidence.Evidence
	list []record.NextStep
}

// next returns what to do next, the most useful first.
func next(e *evidence.Evidence, d *record.Diagnosis) []record.NextStep {
	s := &steps{e: e}
	switch d.Cause {
	case "app_exit", "app_completed", "app_signal":
		s.program(d)
	case "command_not_found", "command_not_executable", "exec_format_error", "start_error":
		s.start(d)
	case "oom_killed":
		s.memory(d)
	case "liveness_probe", "startup_probe":
		s.probe(d)
	case "post_start_hook":
		s.logs()
		s.add("Look at what the hook runs, and try it in the container.", s.pod("get", "-o", s.jsonpath("{.lifecycle.postStart}")))
	case "definition_changed", "resize_restart":
		s.add("See which client changed the pod, and when.", s.pod("get", "-o", "yaml", "--show-managed-fields"))
	case "restart_all_containers":
		s.add("See how the container ended whose rule it was.", s.pod("describe"))
	case "sandbox_changed", "runtime_restarted", "status_unknown":
		s.node()
		s.add("Look into the logs of the kubelet and of the container runtime on the node, at the time of the end.", "")
	case "sigkill_unattributed", "sigterm_unattributed":
		s.logs()
		s.node()
		if d.Cause == "sigkill_unattributed" {
			s.add("Look into the kernel log of the node for a line with \"oom-kill\" at the time of the end: it names the process, and the cgroup whose limit was reached.", "")
		}
	case "pod_deleted", "grace_period_exceeded", "deadline_exceeded":
		s.deletion(d)
	case "eviction_api", "taint_eviction", "node_shutdown", "pod_gc", "preempted", "kubelet_preempted", "node_pressure_eviction", "storage_limit_eviction":
		s.disruption(d)
	case "unknown":
		s.add("Read the pod's events before the API forgets them, which it does after an hour.", s.pod("describe"))
		s.logs()
	}
	s.crowd(d)
	return s.list
}

// crowd points to what the others have in common that stopped at the same time.
func (s *steps) crowd(d *record.Diagnosis) {
	n := s.e.Neighbours
	if n == nil {
		return
	}
	switch d.Cause {
	case "app_exit", "app_signal", "app_completed", "sigkill_unattributed", "sigterm_unattributed", "unknown":
	default:
		return
	}
	switch w, node := n.SameWorkload, n.SameNode; {
	case w.Pods >= 2 && w.Nodes >= 2:
		s.add(fmt.Sprintf("%d other pods of the workload stopped within %d s, on %d nodes: look for what they share, such as a configuration, a dependency or a rollout.", w.Pods, n.Seconds, w.Nodes), "")
	case node.Pods >= 3 && node.Pods > w.Pods:
		s.add(fmt.Sprintf("%d other pods of the same node stopped within %d s: look at the node first.", node.Pods, n.Seconds), "")
	}
}

func (s *steps) add(text, command string) {
	s.list = append(s.list, record.NextStep{Text: text, Command: command})
}

// addIf adds a step that is nothing without its command.
func (s *steps) addIf(text, command string) {
	if command != "" {
		s.add(text, command)
	}
}

// kubectl writes a command about the pod's namespace; empty where a name is not one that
// the API accepts.
func (s *steps) kubectl(names []string, args ...string) string {
	if !isName(s.e.Pod.Namespace) {
		return ""
	}
	for _, n := range names {
		if !isName(n) {
			return ""
		}
	}
	return "kubectl -n " + s.e.Pod.Namespace + " " + strings.Join(args, " ")
}

// pod writes a command about the pod.
func (s *steps) pod(verb string, args ...string) string {
	name := s.e.Pod.Name
	return s.kubectl([]string{name}, append([]string{verb, "pod", name}, args...)...)
}

// jsonpath writes an output format that shows, of each container of the kind, its name and
// the fields.
func (s *steps) jsonpath(fields string) string {
	list, _, _ := strings.Cut(specPath(&s.e.Container), "[")
	return "jsonpath='{range ." + list + "[*]}{.name}{\" \"}" + fields + "{\"\\n\"}{end}'"
}

// isName tells a DNS subdomain, as the names of pods, nodes and workloads are (RFC 1123).
func isName(s string) bool {
	if s == "" || len(s) > 253 || s[0] == '-' || s[0] == '.' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.') {
			return false
		}
	}
	return true
}

// logs reads the log of the stopped instance.
func (s *steps) logs() {
	e := s.e
	if e.Container.Type == "" || !e.Stop.HasExitCode || synthetic(e.Stop) {
		return
	}
	args := []string{"logs", e.Pod.Name, "-c", e.Container.Name}
	text := "Read the log of the instance that ended; once it is started again, add --previous."
	if strings.Contains(e.Stop.Field, ".lastState.") {
		args, text = append(args, "--previous"), "Read the log of the instance that ended."
	}
	s.addIf(text, s.kubectl([]string{e.Pod.Name, e.Container.Name}, args...))
}

// node describes the node.
func (s *steps) node() {
	if n := s.e.Pod.Node; isName(n) {
		s.add("Look at the node: its conditions, its events, what else runs there.", "kubectl describe node "+n)
	}
}

// workload returns the pod's topmost controller of a kind that kubectl knows, as
// "deployment/name"; empty where there is none.
func (s *steps) workload() string {
	for _, o := range owners(s.e) {
		switch o.Kind {
		case "Deployment", "StatefulSet", "DaemonSet":
			if isName(o.Name) {
				return strings.ToLower(o.Kind) + "/" + o.Name
			}
		}
	}
	return ""
}

// rollout points to the change of the template, where the pod is of the newest revision
// and still new.
func (s *steps) rollout() {
	e := s.e
	o := e.Owner
	if o == nil || len(o.Chain) == 0 || e.Stop.FinishedAt.IsZero() || e.Pod.CreatedAt.IsZero() || e.Stop.FinishedAt.Sub(e.Pod.CreatedAt) > freshPod {
		return
	}
	top := &o.Chain[len(o.Chain)-1]
	if top.Kind != "Deployment" || len(o.Chain) < 2 {
		return
	}
	revision := o.Chain[0].Revision
	if old, known := older(revision, top.NewestRevision); !known || old || revision == "1" || !digits(revision) {
		return
	}
	w := s.workload()
	s.addIf(fmt.Sprintf("The pod is of revision %s, the newest: see what it changed.", revision), s.kubectl(nil, "rollout", "history", w, "--revision="+revision))
	s.addIf("If the revision before was sound, go back to it, which replaces the pods of the workload.", s.kubectl(nil, "rollout", "undo", w))
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// wordSteps is what to look at for what the program's last words say.
func (s *steps) wordSteps(detail string) {
	switch detail {
	case "connection_refused", "dns_failure", "timeout":
		s.addIf("See whether what the program connects to is there: Services and their endpoints.", s.kubectl(nil, "get", "services,endpointslices"))
	case "missing_setting":
		if w := s.workload(); w != "" {
			s.addIf("List the environment that the container is given.", s.kubectl([]string{s.e.Container.Name}, "set", "env", w, "-c", s.e.Container.Name, "--list"))
		}
	case "permission_denied", "read_only_filesystem":
		s.addIf("Look at the user that the container runs as, and at what is mounted read-only.", s.pod("get", "-o", s.jsonpath("{.securityContext}{\" \"}{.volumeMounts}")))
	case "leader_election_lost":
		s.add("See whether the API server was slow or away at that time: other controllers of the cluster will have ended too.", "")
	}
}

func (s *steps) program(d *record.Diagnosis) {
	s.logs()
	s.wordSteps(d.Detail)
	if d.Cause == "app_completed" {
		s.addIf("If the program is meant to end, run it as a Job; if not, look at what it is told to run.", s.pod("get", "-o", s.jsonpath("{.command}{\" \"}{.args}")))
		return
	}
	s.rollout()
}

func (s *steps) start(d *record.Diagnosis) {
	s.addIf("Compare the command of the pod with what the image has.", s.pod("get", "-o", s.jsonpath("{.image}{\" \"}{.command}{\" \"}{.args}")))
	if d.Cause == "exec_format_error" && isName(s.e.Pod.Node) {
		s.add("Compare the node's architecture with what the image is built for.", "kubectl get node "+s.e.Pod.Node+" -o jsonpath='{.status.nodeInfo.architecture}'")
	}
	s.rollout()
}

func (s *steps) memory(d *record.Diagnosis) {
	e := s.e
	if d.Detail == "node" || d.Detail == "level_unknown" {
		s.node()
		s.add("Look into the kernel log of the node for the line with \"oom-kill\" at the time of the end: it names the process, and the cgroup whose limit was reached.", "")
	}
	s.addIf("See how much memory it takes now.", s.kubectl([]string{e.Pod.Name}, "top", "pod", e.Pod.Name, "--containers"))
	if l := e.Container.MemoryLimit; l > 0 && d.Detail != "node" && d.Detail != "pod_limit" {
		if w := s.workload(); w != "" {
			s.addIf(fmt.Sprintf("If the program needs more than %s and does not leak, raise the limit, for example to double, which replaces the pods of the workload.", size(l)),
				s.kubectl([]string{e.Container.Name}, "set", "resources", w, "-c", e.Container.Name, "--limits=memory="+size(2*l)))
		}
	}
	if d.Detail == "child_process" {
		s.logs()
	}
}

func (s *steps) probe(d *record.Diagnosis) {
	s.logs()
	name := strings.TrimSuffix(d.Cause, "_probe") + "Probe"
	s.addIf("Compare the probe with what the program listens to, and how long it takes.", s.pod("get", "-o", s.jsonpath("{."+name+"}")))
	if d.Detail == "timeout" {
		s.addIf("See whether the container has the processor time to answer.", s.kubectl([]string{s.e.Pod.Name}, "top", "pod", s.e.Pod.Name, "--containers"))
	}
	s.rollout()
}

func (s *steps) deletion(d *record.Diagnosis) {
	w := s.workload()
	switch {
	case d.Cause == "deadline_exceeded":
		if o := s.e.Pod.Owner; o != nil && o.Kind == "Job" && isName(o.Name) {
			s.addIf("See the Job's deadline and how far it got.", s.kubectl(nil, "describe", "job", o.Name))
		}
	case d.Detail == "rollout" && w != "":
		s.addIf("See how the rollout went.", s.kubectl(nil, "rollout", "status", w))
	case d.Detail == "scale_down" && w != "":
		s.addIf("See whether an autoscaler sets the number of replicas.", s.kubectl(nil, "get", "horizontalpodautoscalers"))
	case d.Detail == "direct":
		s.add("Only the audit log of the API server tells who deleted the pod.", "")
	}
}

func (s *steps) disruption(d *record.Diagnosis) {
	switch d.Cause {
	case "preempted":
		s.add("Compare the priorities.", "kubectl get priorityclasses")
	case "storage_limit_eviction":
		s.addIf("Compare what the container writes with its limits.", s.pod("describe"))
		return
	case "eviction_api":
		s.addIf("See which disruption budgets hold for the pod.", s.kubectl(nil, "get", "poddisruptionbudgets"))
	}
	s.node()
}
