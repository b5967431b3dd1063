package diagnose

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// This family: there is no pod at all, because the API refuses it to its controller,
// which says so in events FailedCreate and in the condition ReplicaFailure
// (pkg/controller/controller_utils.go, pkg/controller/replicaset).

var (
	quotaText   = regexp.MustCompile(`exceeded quota: ([^,]+), requested: (.+?), used: (.+?), limited: ([^"]+)`)
	webhookName = regexp.MustCompile(`webhook "([^"]+)"`)
)

// notCreated explains a pod that a controller cannot create.
func notCreated(e *evidence.Evidence) *answer {
	if e.Owner == nil {
		return nil
	}
	text, quotes := refusal(e)
	if text == "" {
		return nil
	}
	if !e.Owner.NamespaceDeleting.IsZero() || strings.Contains(text, "because it is being terminated") {
		return nil // no pod is to be made in a namespace that goes away
	}
	detail, why := classifyRefusal(text)
	a := &answer{
		cause:      "pod_not_created",
		detail:     detail,
		confidence: record.Confirmed,
		summary:    fmt.Sprintf("%s cannot create its pods: %s.", capital(controllerName(e)), why),
		evidence:   quotes,
	}
	switch detail {
	case "quota":
		a.next = append(a.next, step(e, "See what the quotas allow and what is used", "describe", "resourcequota"))
	case "limit_range":
		a.next = append(a.next, step(e, "See what the limit ranges demand", "describe", "limitrange"))
	case "service_account":
		a.next = append(a.next, step(e, "See which service accounts there are", "get", "serviceaccounts"))
	case "priority_class":
		a.next = append(a.next, record.NextStep{Text: "See which priority classes there are", Command: kubectl("get", "priorityclasses")})
	case "runtime_class":
		a.next = append(a.next, record.NextStep{Text: "See which runtime classes there are", Command: kubectl("get", "runtimeclasses")})
	case "webhook_unreachable", "webhook_denied":
		a.next = append(a.next, record.NextStep{Text: "See which webhooks there are, and which service they call", Command: kubectl("get", "validatingwebhookconfigurations,mutatingwebhookconfigurations")})
	case "pod_security":
		a.next = append(a.next, record.NextStep{Text: "See which level of Pod Security the namespace enforces", Command: kubectl("get", "namespace", e.Pod.Namespace, "--show-labels")})
	}
	a.next = append(a.next, step(e, "See the controller's events and conditions", "describe", workload(e)))
	return a
}

// refusal is the API's newest answer to the controller, without the controller's own words.
func refusal(e *evidence.Evidence) (string, []record.Evidence) {
	o := e.Owner
	failed := newest(o.Events, hasReason("FailedCreate"))
	var text string
	var quotes []record.Evidence
	for i := range o.Chain {
		c := &o.Chain[i]
		if f := condition(c.Conditions, "ReplicaFailure"); f != nil && f.Status == "True" {
			text = f.Message
			quotes = append(quotes, conditionParts(func(field, value string) record.Evidence {
				return record.Evidence{Source: "owner", Object: c.Kind + " " + e.Pod.Namespace + "/" + c.Name, UID: c.UID, Field: field, Value: value}
			}, f)...)
			break
		}
	}
	if failed != nil {
		if text == "" {
			done := newest(o.Events, hasReason("SuccessfulCreate"))
			if done != nil && done.Object == failed.Object && done.Last.After(failed.Last) {
				return "", nil // it could, since
			}
		}
		if text == "" || failed.Message != "" && !strings.Contains(failed.Message, text) {
			text = failed.Message
		}
		quotes = append(quotes, quoteEvent(e, failed))
	}
	text = strings.TrimPrefix(text, "Error creating: ")
	if _, after, ok := strings.Cut(text, " failed error: "); ok { // StatefulSet
		text = after
	}
	return text, quotes
}

// classifyRefusal tells why the API refuses a pod (plugin/pkg/admission, pod-security-admission).
func classifyRefusal(text string) (detail, why string) {
	switch {
	case strings.Contains(text, "exceeded quota: "):
		if m := quotaText.FindStringSubmatch(text); m != nil {
			return "quota", fmt.Sprintf("they exceed the quota %s (asked for %s, in use %s, allowed %s)", m[1], m[2], m[3], brief(m[4]))
		}
		return "quota", brief(text)
	case strings.Contains(text, "failed quota: "):
		_, q, _ := strings.Cut(text, "failed quota: ")
		return "quota", fmt.Sprintf("a quota demands what they do not state (%s)", brief(q))
	case contains(text, "violates PodSecurity"):
		_, v, _ := strings.Cut(text, "violates PodSecurity")
		return "pod_security", "they violate the namespace's Pod Security level " + brief(v)
	case contains(text, " usage per ", "limit to request ratio per "):
		return "limit_range", "a limit range does not allow them (" + afterForbidden(text) + ")"
	case contains(text, "error looking up service account", "service account") && contains(text, "not found", "was not found"):
		return "service_account", "their service account does not exist (" + last(text) + ")"
	case strings.Contains(text, "no PriorityClass with name"):
		return "priority_class", "their priority class does not exist (" + afterForbidden(text) + ")"
	case strings.Contains(text, "RuntimeClass"):
		return "runtime_class", "their runtime class does not exist (" + afterForbidden(text) + ")"
	case contains(text, "failed calling webhook", "failed to call webhook"):
		return "webhook_unreachable", "the admission webhook " + webhook(text) + "cannot be called (" + last(text) + ")"
	case strings.Contains(text, "admission webhook") && strings.Contains(text, "denied the request"):
		_, says, _ := strings.Cut(text, "denied the request")
		return "webhook_denied", "the admission webhook " + webhook(text) + "refuses them" + brief(says)
	case strings.Contains(text, "ValidatingAdmissionPolicy"):
		return "policy", "an admission policy refuses them (" + afterForbidden(text) + ")"
	case strings.Contains(text, "security context constraint"):
		return "scc", "no security context constraint allows them (" + afterForbidden(text) + ")"
	case contains(text, " already exists"):
		return "name_conflict", brief(text)
	case contains(text, " is invalid: "):
		_, why, _ := strings.Cut(text, " is invalid: ")
		return "invalid", "the API takes them for invalid (" + brief(why) + ")"
	case contains(text, "etcdserver", "deadline exceeded", "connection refused", "i/o timeout", "the server is currently unable"):
		return "api_error", "the API server failed (" + brief(text) + ")"
	case strings.Contains(text, "is forbidden"):
		return "forbidden", "they are forbidden (" + afterForbidden(text) + ")"
	}
	return "", brief(text)
}

func afterForbidden(text string) string {
	if _, after, ok := strings.Cut(text, " is forbidden: "); ok {
		text = after
	}
	return brief(text)
}

func webhook(text string) string {
	if m := webhookName.FindStringSubmatch(text); m != nil {
		return m[1] + " "
	}
	return ""
}

// controllerName names the controller that makes the pod.
func controllerName(e *evidence.Evidence) string {
	if len(e.Owner.Chain) > 0 && e.Owner.Chain[0].Kind != "" {
		return "the " + e.Owner.Chain[0].Kind + " " + e.Owner.Chain[0].Name
	}
	if o := e.Pod.Owner; o != nil {
		return "the " + o.Kind + " " + o.Name
	}
	return "the controller of " + e.Pod.Name
}

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
