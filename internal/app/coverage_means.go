package app

import (
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/pipeline"
	"github.com/whyrestart/whyrestart/internal/printer"
)

// span is how long something took, as a person says it.
func span(d time.Duration) string { return printer.Duration(d) }

// deniedMeans says what is not known while something is refused. A reading that is refused is never
// taken for one that found nothing.
func deniedMeans(a pipeline.Asked) string {
	resource, sub, _ := strings.Cut(a.Resource, "/")
	name, _, _ := strings.Cut(resource, ".")
	if sub != "" {
		name += "/" + sub
	}
	switch name {
	case "pods":
		if a.Verb == "get" {
			return "whose log a tail is cannot be proven, and the pod of a stall is known by its last status alone"
		}
		return "no stop is seen there; what stops meanwhile is counted at best, once it is allowed"
	case "pods/log":
		return "log tails are missing; causes that are read from last words stay unknown, and crashes are grouped by exit code"
	case "events":
		return "kills by probes, evictions and what keeps a pod from starting cannot be proven; such causes are likely or unknown"
	case "nodes":
		if a.Verb == "get" {
			return "the node of a stop is not looked at: pressure, reboots and lost nodes stay unproven"
		}
		return "reboots of nodes and what an unschedulable pod was offered stay unknown"
	case "replicasets", "deployments", "statefulsets", "daemonsets", "replicationcontrollers":
		if a.Verb == "list" {
			return "what a rollout changed before a failure is not told"
		}
		return "stops are told of the nearest owner that is known, and a rollout, a scale-down and a deletion by hand cannot be told apart"
	case "controllerrevisions":
		return "what a rollout of a StatefulSet or DaemonSet changed before a failure is not told"
	case "jobs", "cronjobs":
		return "stops of jobs are told of the nearest owner that is known, and why a Job ended its pods stays unknown"
	case "namespaces":
		return "that a pod was deleted with its namespace cannot be proven"
	case "persistentvolumeclaims":
		return "why a volume is not bound or mounted stays unknown"
	case "configmaps":
		return "which keys of a ConfigMap changed before a failure is not told"
	}
	return "who owns pods of that kind, or what became of it, is not known"
}
