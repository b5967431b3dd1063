package kube

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Problem tells why an API server did not give what was asked for.
type Problem string

const (
	// Unreachable means that no answer came: no such host, refused, not trusted, no credentials to send.
	Unreachable Problem = "unreachable"
	// Unauthorized means that the server does not know the credentials.
	Unauthorized Problem = "unauthorized"
	// Forbidden means that the server knows who asks, and says no.
	Forbidden Problem = "forbidden"
	// NotFound means that there is no such object, or no such resource.
	NotFound Problem = "not found"
	// Expired means that the server no longer has the changes since the last ones that were seen.
	Expired Problem = "expired"
	// Failed is any other answer that is an error.
	Failed Problem = "failed"
)

// AccessError says what was asked of which server and why it was not given. Its
// text is one sentence for a person, without an address that holds more than the host.
type AccessError struct {
	Problem Problem
	Host    string
	// Verb, Resource and Namespace say what was asked for, as RBAC names it; the
	// namespace is empty for all of them.
	Verb, Resource, Namespace string
	// Reason is the server's or the network's own text.
	Reason string
	err    error
}

// Error returns one sentence.
func (e *AccessError) Error() string {
	what := fmt.Sprintf("%s %s", e.Verb, e.Resource)
	switch {
	case e.Namespace != "":
		what += fmt.Sprintf(" in namespace %q", e.Namespace)
	case e.Resource != "nodes" && e.Resource != "namespaces": // which are in none
		what += " in all namespaces"
	}
	switch e.Problem {
	case Unreachable:
		return fmt.Sprintf("cannot reach the cluster at %s: %s", e.Host, e.Reason)
	case Unauthorized:
		return fmt.Sprintf("the cluster at %s does not accept these credentials: %s", e.Host, e.Reason)
	case Forbidden:
		return fmt.Sprintf("not allowed to %s: %s", what, e.Reason)
	default:
		return fmt.Sprintf("cannot %s: %s", what, e.Reason)
	}
}

// Unwrap returns the error as client-go gave it.
func (e *AccessError) Unwrap() error { return e.err }

// access makes an AccessError of what client-go returned, nil of nil.
func access(err error, host, verb, resource, namespace string) error {
	if err == nil {
		return nil
	}
	if _, known := errors.AsType[*AccessError](err); known {
		return err
	}
	e := &AccessError{Problem: Failed, Host: host, Verb: verb, Resource: resource, Namespace: namespace, err: err}
	var status apierrors.APIStatus
	var address *url.Error
	switch {
	case errors.As(err, &status):
		e.Reason = status.Status().Message
		switch {
		case apierrors.IsUnauthorized(err):
			e.Problem = Unauthorized
		case apierrors.IsForbidden(err):
			e.Problem = Forbidden
		case apierrors.IsResourceExpired(err), apierrors.IsGone(err):
			e.Problem = Expired
		case apierrors.IsNotFound(err):
			e.Problem = NotFound
		}
	case errors.Is(err, context.DeadlineExceeded):
		e.Problem, e.Reason = Unreachable, "no answer in time"
	case errors.As(err, &address):
		// The text of a url.Error holds the whole address.
		e.Problem, e.Reason = Unreachable, address.Err.Error()
	case strings.HasPrefix(err.Error(), "client rate limiter"):
		// rest.Request.tryThrottle: the turn would come after the context's deadline.
		e.Reason = "too many requests at the same time"
	default:
		e.Reason = err.Error()
	}
	e.Reason = strings.TrimSpace(e.Reason)
	if e.Reason == "" {
		e.Reason = "no reason given"
	}
	return e
}

// certain returns err, unless it is a 404 that does not say which object is missing: of
// a server that does not know the resource, or of a proxy before it. That is no proof
// that an object is gone, so apierrors.IsNotFound does not hold for what comes in its place.
func certain(err error) error {
	var status apierrors.APIStatus
	if !apierrors.IsNotFound(err) || !errors.As(err, &status) {
		return err
	}
	if d := status.Status().Details; d != nil && d.Name != "" && !apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse) {
		return err
	}
	return errors.New(status.Status().Message)
}
