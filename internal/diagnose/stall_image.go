package diagnose

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// This family: the container's image cannot be had. The kubelet names the step that
// failed (pkg/kubelet/images/image_manager.go, types.go) and hands on the runtime's
// text, which hands on what the registry or the network said.

// imageStall explains a container that waits for its image.
func imageStall(e *evidence.Evidence) *answer {
	c := &e.Container
	a := &answer{confidence: record.Confirmed, evidence: append(quoteWaiting(e), specEvidence(e, specPath(c)+".image", c.Image))}
	switch c.WaitingReason {
	case "InvalidImageName":
		a.cause = "image_invalid_name"
		a.summary = fmt.Sprintf("The image name %q is not a valid reference%s.", c.Image, tail(c.WaitingMessage, "couldn't parse image name", ": "))
		a.next = editImage(e, "Correct the image name")
		return a
	case "ErrImageNeverPull":
		a.cause = "image_never_pull"
		a.summary = fmt.Sprintf("The image %s is not on the node, and its pull policy Never forbids to fetch it.", c.Image)
		a.evidence = append(a.evidence, specEvidence(e, specPath(c)+".imagePullPolicy", c.ImagePullPolicy))
		a.alternatives = []record.Alternative{{Cause: "image_pull_auth", Why: "from Kubernetes 1.35 on the kubelet says the same of an image that is on the node, and that the pod's credentials are not known to open"}}
		a.next = []record.NextStep{
			{Text: "See which images the node has", Command: kubectl("get", "node", e.Pod.Node, "-o", "jsonpath={.status.images[*].names}")},
			edit(e, "Or let the kubelet pull it: imagePullPolicy IfNotPresent"),
		}
		return a
	case "ImageInspectError":
		a.cause, a.detail = "image_pull_failed", "inspect_error"
		a.summary = fmt.Sprintf("The container runtime could not look up the image %s in its store: %s.", c.Image, brief(c.WaitingMessage))
		a.next = nodeSteps(e)
		return a
	case "SignatureValidationFailed":
		a.cause, a.detail = "image_pull_failed", "signature"
		a.summary = fmt.Sprintf("The node's policy does not accept the signature of the image %s.", c.Image)
		a.next = editImage(e, "Use an image that is signed as the node's policy asks for")
		return a
	case "ErrImagePull", "ImagePullBackOff", "RegistryUnavailable":
		return pullStall(e, a)
	case "ContainerCreating", "PodInitializing":
		// What was said before the kubelet was restarted; now it may be pulling.
		if _, ev := pullText(e); ev != nil && pulling(e) == nil {
			return pullStall(e, a).aged(e, ev)
		}
	}
	return nil
}

// pullStall explains a failed pull by its text.
func pullStall(e *evidence.Evidence, a *answer) *answer {
	c := &e.Container
	text, ev := pullText(e)
	if ev != nil {
		a.evidence = append(a.evidence, quoteEvent(e, ev))
	}
	if text == "" {
		a.cause, a.confidence = "image_pull_failed", record.Likely
		a.summary = fmt.Sprintf("The image %s could not be pulled; why, neither the status nor an event says.", c.Image)
		a.alternatives = []record.Alternative{
			{Cause: "image_not_found", Why: "the pull error was not seen"},
			{Cause: "image_pull_auth", Why: "the pull error was not seen"},
			{Cause: "image_registry_unreachable", Why: "the pull error was not seen"},
		}
		a.missing = []record.Missing{lostEvents(e, `an event "Failed to pull image"`)}
		a.next = []record.NextStep{step(e, "The kubelet tries again, and writes the error to the pod's events", "events", "--for", "pod/"+e.Pod.Name)}
		return a
	}
	p := classifyPull(text, c.Image)
	if p.cause == "image_pull_failed" && p.detail == "" && c.WaitingReason == "RegistryUnavailable" {
		p.cause = "image_registry_unreachable"
	}
	a.cause, a.detail, a.confidence = p.cause, p.detail, p.confidence
	a.alternatives = p.alternatives
	a.summary = pullSummary(c.Image, text, p)
	if answered(p) {
		a.ruledOut = append(a.ruledOut, record.Alternative{Cause: "image_registry_unreachable", Why: "the registry answered"})
	}
	if p.cause == "image_platform_mismatch" {
		a.ruledOut = append(a.ruledOut, record.Alternative{Cause: "image_not_found", Why: "the registry has the name, for other platforms"})
	}
	switch p.cause {
	case "image_not_found", "image_platform_mismatch":
		a.next = editImage(e, "Compare the name, the tag and the platform with what the registry has; then correct the image")
	case "image_pull_auth":
		pullSecrets(e, a)
	case "image_registry_unreachable":
		a.target = registryOf(c.Image)
		if e.Pod.Node != "" {
			a.next = append(a.next, record.NextStep{Text: "See whether the node has network trouble: the pull is done by the node, not by the pod", Command: kubectl("describe", "node", e.Pod.Node)})
		}
		a.next = append(a.next, record.NextStep{Text: "See whether pods of other nodes have the same trouble: if so it is the registry's", Command: kubectl("get", "events", "-A", "--field-selector", "reason=Failed")})
	case "image_rate_limited":
		a.target = registryOf(c.Image)
		fallthrough
	default:
		a.next = append(a.next, step(e, "The kubelet tries again with a growing delay; follow it in the pod's events", "events", "--for", "pod/"+e.Pod.Name))
	}
	return a
}

// registryOf is the registry of an image: what is before the first slash, if that is a host, else
// that of Docker (github.com/distribution/reference, splitDockerDomain).
func registryOf(image string) string {
	host, _, ok := strings.Cut(image, "/")
	if !ok || !strings.ContainsAny(host, ".:") && host != "localhost" {
		return "docker.io"
	}
	return host
}

// pullSecrets adds what is known of the credentials of a pull.
func pullSecrets(e *evidence.Evidence, a *answer) {
	// From Kubernetes 1.37 on the kubelet says that a pull secret could not be read.
	if ev := newest(e.Events, hasReason("FailedToRetrieveImagePullSecret")); ev != nil {
		a.evidence = append(a.evidence, quoteEvent(e, ev))
		a.summary = strings.TrimSuffix(a.summary, ".") + "; " + lowerFirst(brief(ev.Message)) + "."
	}
	a.next = append(a.next,
		step(e, "See which pull secrets the pod names (its service account's are added to them)", "get", "pod", e.Pod.Name, "-o", "jsonpath={.spec.imagePullSecrets}"),
		step(e, "See whether they exist and are of type kubernetes.io/dockerconfigjson", "get", "secrets"))
}

func editImage(e *evidence.Evidence, text string) []record.NextStep {
	return []record.NextStep{step(e, text, "edit", workload(e))} // even of a bare pod the image may be changed
}

// pullText returns the runtime's error. Up to Kubernetes 1.31 the message of
// ImagePullBackOff has no cause, and the event of the last failed pull has it.
func pullText(e *evidence.Evidence) (string, *evidence.Event) {
	c := &e.Container
	ev := newest(e.Events, func(ev *evidence.Event) bool {
		return ev.Reason == "Failed" && ev.Container && strings.HasPrefix(ev.Message, "Failed to pull image ") &&
			(c.Image == "" || strings.Contains(ev.Message, strconv.Quote(c.Image)))
	})
	text := c.WaitingMessage
	if c.WaitingReason == "ImagePullBackOff" {
		_, text, _ = strings.Cut(strings.TrimPrefix(text, "Back-off pulling image "), ": ")
	}
	if text != "" {
		return text, ev
	}
	if ev == nil {
		return "", nil
	}
	_, text, _ = strings.Cut(strings.TrimPrefix(ev.Message, "Failed to pull image "), ": ")
	return text, ev
}

// pull is what the text of a failed pull says.
type pull struct {
	cause, detail string
	confidence    record.Confidence
	alternatives  []record.Alternative
}

var (
	quotedPart  = regexp.MustCompile(`"[^"]*"`)
	serverError = regexp.MustCompile(`\b(5\d\d) (?:[a-z]+ )*(?:error|gateway|unavailable|timeout|time-out|implemented|supported|storage)|(?:http status|status ?code|status):? (5\d\d)\b`)
)

// classifyPull tells why a pull failed by what containerd and cri-o say. The order is
// that of how much a text proves: what the network did stands inside of what was to
// be done then, such as "failed to authorize: ... connection refused".
func classifyPull(text, image string) pull {
	t := strings.ToLower(withoutNames(text, image))
	for _, c := range pullTexts() {
		if contains(t, c.texts...) {
			p := pull{cause: c.cause, detail: c.detail, confidence: record.Confirmed}
			if p.detail == "timeout" && !contains(t, "dial tcp", "i/o timeout", "tls handshake timeout", "client.timeout") {
				p.confidence = record.Likely
				p.alternatives = []record.Alternative{{Cause: "image_pull_failed", Why: "a slow disk of the node, or a very large image, can exceed the time of the pull too"}}
			}
			return p
		}
	}
	if m := serverError.FindStringSubmatch(t); m != nil {
		return pull{cause: "image_pull_failed", detail: "http_" + m[1] + m[2], confidence: record.Confirmed}
	}
	switch {
	case contains(t, "no basic auth credentials", "incorrect username or password", "invalid username", "token has expired", "expiredtoken", "authentication failed", "invalid credentials"):
		return pull{cause: "image_pull_auth", confidence: record.Confirmed}
	case contains(t, "401 unauthorized", "403 forbidden", "statuscode: 401", "statuscode: 403", "unauthorized", "insufficient_scope", "authorization failed", "pull access denied",
		"authentication required", "access denied", "access to the resource is denied", "denied:", "failed to authorize", "permission_denied", "access forbidden"):
		return pull{
			cause: "image_pull_auth", confidence: record.Likely,
			alternatives: []record.Alternative{{Cause: "image_not_found", Why: "registries such as Docker Hub answer in the same way for a name that does not exist, so that the two cannot be told apart"}},
		}
	case contains(t, "name unknown", "name_unknown", "repository not found", "repository does not exist"):
		return pull{cause: "image_not_found", detail: "repository", confidence: record.Confirmed}
	case contains(t, "manifest unknown", "manifest_unknown", "tag does not exist", "manifest not found"):
		return pull{cause: "image_not_found", detail: "manifest", confidence: record.Confirmed}
	case contains(t, ": not found", "404 not found", "code = notfound", "statuscode: 404", "status code 404", "http status: 404") || t == "not found":
		return pull{cause: "image_not_found", confidence: record.Confirmed}
	}
	return pull{cause: "image_pull_failed", confidence: record.Confirmed}
}

// answered tells a failure that the registry itself told of.
func answered(p pull) bool {
	switch p.cause {
	case "image_not_found", "image_pull_auth", "image_platform_mismatch":
		return true
	case "image_rate_limited":
		return p.detail == ""
	}
	return strings.HasPrefix(p.detail, "http_")
}

// pullClass is a cause and the texts that prove it, in lower case.
type pullClass struct {
	cause, detail string
	texts         []string
}

func pullTexts() []pullClass {
	return []pullClass{
		{"image_pull_failed", "signature", []string{"signature validation failed", "source image rejected", "a signature was required", "no signature exists"}},
		{"image_rate_limited", "kubelet", []string{"pull qps exceeded"}},
		{"image_rate_limited", "", []string{"429 too many requests", "toomanyrequests", "too many requests", "pull rate limit", "rate limit exceeded", "statuscode: 429", "status code 429", "http status: 429"}},
		{"image_platform_mismatch", "", []string{"no match for platform in manifest", "no matching manifest for", "no image found in image index for architecture", "no image found in manifest list for architecture", "does not match the specified platform"}},
		{"image_pull_failed", "disk_full", []string{"no space left on device", "disk quota exceeded"}},
		{"image_pull_failed", "content_missing", []string{"could not fetch content descriptor", "failed open: content at", "content digest", "blob unknown", "blob_unknown"}},
		{"image_pull_failed", "unpack", []string{"failed to extract layer", "apply layer error", "failed to prepare extraction snapshot", "failed to register layer", "failed to unpack image on snapshotter", "unpigz", "archive/tar", "gzip: invalid"}},
		{"image_registry_unreachable", "proxy", []string{"proxyconnect"}},
		{"image_registry_unreachable", "dns", []string{"no such host", "server misbehaving", "temporary failure in name resolution", "name or service not known", "dial tcp: lookup"}},
		{"image_registry_unreachable", "refused", []string{"connection refused"}},
		{"image_registry_unreachable", "unreachable", []string{"no route to host", "network is unreachable", "host is down", "host is unreachable"}},
		{"image_registry_unreachable", "timeout", []string{"i/o timeout", "tls handshake timeout", "client.timeout", "timeout awaiting response", "connection timed out", "operation timed out", "deadline exceeded", "context canceled"}},
		{"image_registry_unreachable", "tls", []string{"x509:", "tls:", "server gave http response to https client", "first record does not look like a tls handshake", "client sent an http request to an https server"}},
		{"image_registry_unreachable", "reset", []string{"connection reset by peer", "unexpected eof", "broken pipe", "server closed idle connection", ": eof"}},
		{"image_pull_failed", "short_name", []string{"did not resolve to an alias", "returns ambiguous list", "short-name resolution enforced", "short name mode is enforcing"}},
		{"image_pull_failed", "unsupported_format", []string{"no longer supported", "unsupported manifest media type", "unsupported media type", "schema 1 is not supported"}},
	}
}

// withoutNames leaves out what an error quotes: an image may be called "denied:401".
func withoutNames(text, image string) string {
	words := strings.Fields(quotedPart.ReplaceAllString(text, `""`))
	for i, w := range words {
		name := strings.TrimRight(w, ":,;.)")
		if name == "" {
			continue
		}
		if image != "" && strings.Contains(name, image) || strings.Contains(name, "/") && strings.ContainsAny(name, ".:") {
			words[i] = w[len(name):]
		}
	}
	return strings.Join(words, " ")
}

func pullSummary(image, text string, p pull) string {
	switch p.cause {
	case "image_not_found":
		return fmt.Sprintf("The registry says that it has no image %s.", image)
	case "image_pull_auth":
		if p.confidence != record.Confirmed {
			return fmt.Sprintf("The registry refused to hand out the image %s: the pod may not pull it, or it does not exist.", image)
		}
		return fmt.Sprintf("The registry refused to hand out the image %s: it asks for credentials that the pull did not have.", image)
	case "image_rate_limited":
		if p.detail == "kubelet" {
			return fmt.Sprintf("The image %s was not pulled because the kubelet pulls no more than so many images a second (registryPullQPS).", image)
		}
		return fmt.Sprintf("The registry refused to hand out the image %s because it was asked for too much: its rate limit is reached.", image)
	case "image_platform_mismatch":
		return fmt.Sprintf("The image %s exists, and not for the platform of the node.", image)
	case "image_registry_unreachable":
		return fmt.Sprintf("The registry of the image %s cannot be reached from the node: %s.", image, map[string]string{
			"proxy": "the proxy refused or could not be reached", "dns": "its name does not resolve", "refused": "the connection was refused",
			"unreachable": "there is no route to it", "timeout": "it did not answer in time", "tls": "TLS failed, or one side does not speak it",
			"reset": "the connection was cut", "": "the runtime reports it as unavailable",
		}[p.detail])
	}
	if status, ok := strings.CutPrefix(p.detail, "http_"); ok {
		return fmt.Sprintf("The registry of the image %s answered with an error of its own, HTTP status %s.", image, status)
	}
	switch p.detail {
	case "disk_full":
		return fmt.Sprintf("The node has no room left on its disk for the image %s.", image)
	case "signature":
		return fmt.Sprintf("The node's policy does not accept the signature of the image %s.", image)
	}
	return fmt.Sprintf("The image %s could not be pulled: %s.", image, last(text))
}

// grpcCode matches what the kubelet leaves of a runtime's or driver's error.
var grpcCode = regexp.MustCompile(`rpc error: code = \w+ desc = `)

func withoutCode(text string) string { return grpcCode.ReplaceAllString(text, "") }

// last returns the end of a chain of errors, which says most.
func last(text string) string {
	parts := strings.Split(strings.Join(strings.Fields(withoutCode(text)), " "), ": ")
	out := parts[len(parts)-1]
	for i := len(parts) - 2; i >= 0 && len(out) < 40; i-- {
		out = parts[i] + ": " + out
	}
	return brief(out)
}

// tail returns what follows the last separator after a marker, to be put behind a colon.
func tail(message, marker, sep string) string {
	_, after, ok := strings.Cut(message, marker)
	if !ok {
		return ""
	}
	if _, rest, ok := strings.Cut(after, sep); ok {
		return ": " + brief(rest)
	}
	return ""
}

func lowerFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}
