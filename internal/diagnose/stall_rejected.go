package diagnose

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// This family: the kubelet refused to admit the pod (pkg/kubelet/kubelet.go rejectPod,
// pkg/kubelet/lifecycle/predicate.go). The pod is Failed for good, and whoever controls
// it makes another.

// outOf matches the message of OutOfcpu and its like (pkg/kubelet/lifecycle/predicate.go).
var outOf = regexp.MustCompile(`Node didn't have enough resource: (\S+), requested: (\d+), used: (\d+), capacity: (\d+)`)

// Rejected explains the stall of a pod that the kubelet refused to admit.
func Rejected(e *evidence.Evidence) Finding {
	ev := statusEvidence(e)
	no := false
	f := Finding{
		Category: record.Failure,
		Diagnosis: record.Diagnosis{
			Cause:        "admission_rejected",
			Detail:       e.Pod.Reason,
			Confidence:   record.Confirmed,
			Summary:      fmt.Sprintf("The kubelet refused to admit the pod (%s); none of its containers was started after that.", e.Pod.Reason),
			Evidence:     distinct([]record.Evidence{ev("status.reason", e.Pod.Reason), ev("status.message", e.Pod.Message)}),
			Missing:      e.Missing,
			RulesVersion: RulesVersion,
		},
		WillRestart: &no,
	}
	d := &f.Diagnosis
	if len(d.Evidence) == 0 {
		d.Confidence = record.Unknown
		d.Summary = "The kubelet refused to admit the pod, and its status does not say why."
		return f
	}
	if why := rejectedWhy(&e.Pod); why != "" {
		d.Summary = fmt.Sprintf("The kubelet refused to admit the pod (%s): %s. None of its containers was started after that.", e.Pod.Reason, why)
	}
	if ev := rebootedBefore(e); ev != nil {
		d.Evidence = append(d.Evidence, record.Evidence{Source: "event", Object: "Node " + e.Pod.Node, Field: ev.Reason, Value: ev.Message, Time: ev.Last})
		d.Summary += " The node had just been rebooted: until its kubelet and device plugins are back in step, this passes by itself."
	}
	if e.Pod.Node != "" {
		d.Next = append(d.Next, record.NextStep{Text: "See what the node has, what is in use, and its conditions", Command: kubectl("describe", "node", e.Pod.Node)})
	}
	if e.Pod.Owner != nil {
		d.Next = append(d.Next, step(e, "See whether "+workload(e)+" has running pods in its place: then this one is history, and may be deleted", "get", workload(e)))
	} else {
		d.Next = append(d.Next, record.NextStep{Text: "A rejected pod is never tried again, and no controller replaces this one: delete it and create it anew", Command: kubectl("delete", "pod", e.Pod.Name, "-n", e.Pod.Namespace)})
	}
	d.Next = sentences(d.Next)
	return f
}

// rebootedBefore returns the event of a reboot of the node shortly before the pod was rejected.
func rebootedBefore(e *evidence.Evidence) *evidence.Event {
	at := e.Pod.StartedAt
	if at.IsZero() {
		at = e.Pod.CreatedAt
	}
	if e.Node == nil || at.IsZero() {
		return nil
	}
	return newest(e.Node.Events, func(ev *evidence.Event) bool {
		return ev.Reason == "Rebooted" && !ev.Last.After(at.Add(time.Minute)) && at.Sub(ev.Last) < 10*time.Minute
	})
}

// rejectedWhy puts the kubelet's reason into words, with the numbers; empty where its message has to do.
func rejectedWhy(p *evidence.Pod) string {
	text := strings.TrimPrefix(p.Message, "Pod was rejected: ")
	if m := outOf.FindStringSubmatch(text); m != nil {
		asked, used, has := m[2], m[3], m[4]
		if m[1] == "cpu" {
			asked, used, has = cores(asked), cores(used), cores(has)
		} else if bytesOf(m[1]) {
			asked, used, has = inBytes(asked), inBytes(used), inBytes(has)
		}
		return fmt.Sprintf("it asks for %s of %s, and its node has %s, of which %s are in use", asked, m[1], has, used)
	}
	switch {
	case p.Reason == "NodeAffinity":
		return "the node's labels do not match the pod's node selector or affinity"
	case p.Reason == "NodeShutdown":
		return "the node was shutting down"
	case strings.HasPrefix(text, "The node had condition: "):
		return "the node had the condition " + strings.Trim(strings.TrimPrefix(text, "The node had condition: "), "[]. ")
	case text != "":
		return brief(text)
	}
	return ""
}

// cores writes thousandths of a core, as the kubelet states them.
func cores(milli string) string {
	n, err := strconv.ParseInt(milli, 10, 64)
	if err != nil {
		return milli
	}
	return quantity("cpu", evidence.Amount(n))
}

func inBytes(s string) string {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return s
	}
	return bytesText(n)
}
