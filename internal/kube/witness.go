package kube

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"

	"github.com/whyrestart/whyrestart/internal/pipeline"
)

// Overheard returns a copy of a client configuration whose requests are told, each with
// whether the server refused it, when the head of the answer has come. A request that got no
// answer, or another error, is not told: it says nothing of what is allowed.
func Overheard(config *rest.Config, heard func(pipeline.Asked, pipeline.Refusal)) *rest.Config {
	c := rest.CopyConfig(config)
	c.Wrap(func(next http.RoundTripper) http.RoundTripper { return &overhearing{next: next, heard: heard} })
	return c
}

type overhearing struct {
	next  http.RoundTripper
	heard func(pipeline.Asked, pipeline.Refusal)
}

// RoundTrip implements http.RoundTripper.
func (o *overhearing) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := o.next.RoundTrip(r)
	if err != nil || answer == nil {
		return answer, err
	}
	refusal := pipeline.Answered
	switch code := answer.StatusCode; {
	case code == http.StatusUnauthorized:
		refusal = pipeline.Unauthorized
	case code == http.StatusForbidden:
		refusal = pipeline.Forbidden
	case code == http.StatusNotFound:
		// Authorization comes before the object is looked for.
	case code >= http.StatusBadRequest:
		return answer, nil
	}
	if a, ok := asked(r); ok {
		o.heard(a, refusal)
	}
	return answer, nil
}

// WrappedRoundTripper lets client-go look beneath.
func (o *overhearing) WrappedRoundTripper() http.RoundTripper { return o.next }

// asked says what a request asks for, as RBAC names it: apiserver's RequestInfoFactory the
// other way round, for what this program asks for. It returns false for other requests.
func asked(r *http.Request) (pipeline.Asked, bool) {
	var a pipeline.Asked
	if r.Method != http.MethodGet {
		return a, false
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	group := ""
	for len(parts) > 0 { // a server may be reached beneath a path
		at := parts[0]
		parts = parts[1:]
		if at == "api" && len(parts) > 1 && parts[0] == "v1" {
			parts = parts[1:]
			break
		}
		if at == "apis" && len(parts) > 2 {
			group, parts = parts[0], parts[2:]
			break
		}
	}
	if len(parts) == 0 {
		return a, false
	}
	if parts[0] == "namespaces" && len(parts) > 2 {
		a.Namespace, parts = parts[1], parts[2:]
	}
	a.Resource = parts[0]
	if group != "" {
		a.Resource += "." + group
	}
	switch {
	case len(parts) > 2:
		a.Resource += "/" + parts[2]
		a.Verb = "get"
	case len(parts) == 2:
		a.Verb = "get"
	case r.URL.Query().Get("watch") == "true" || r.URL.Query().Get("watch") == "1":
		a.Verb = "watch"
	default:
		a.Verb = "list"
	}
	return a, true
}

// Reviewer asks an API server what is allowed.
type Reviewer struct {
	client rest.Interface
	host   string
}

// reviewTimeout bounds one question.
const reviewTimeout = 10 * time.Second

// NewReviewer prepares the connection; it does not use it.
func NewReviewer(config *rest.Config, userAgent string) (*Reviewer, error) {
	group := authorizationv1.SchemeGroupVersion
	scheme := runtime.NewScheme()
	scheme.AddKnownTypes(group, &authorizationv1.SelfSubjectAccessReview{})
	c := clientConfig(config, userAgent)
	c.APIPath, c.GroupVersion = "/apis", &group
	c.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	c.ContentType, c.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	c.Timeout = reviewTimeout
	client, host, err := clientFor(c)
	if err != nil {
		return nil, err
	}
	return &Reviewer{client: client, host: host}, nil
}

// Allowed tells whether the server allows what was asked for. It may be asked by everybody
// (the ClusterRole system:basic-user), and changes nothing.
func (v *Reviewer) Allowed(ctx context.Context, a pipeline.Asked) (bool, error) {
	resource, sub, _ := strings.Cut(a.Resource, "/")
	of := schema.ParseGroupResource(resource)
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: a.Namespace, Verb: a.Verb, Group: of.Group, Resource: of.Resource, Subresource: sub,
		},
	}}
	answer := new(authorizationv1.SelfSubjectAccessReview)
	err := v.client.Post().Resource("selfsubjectaccessreviews").Body(review).Do(ctx).Into(answer)
	if err != nil {
		return false, access(err, v.host, "create", "selfsubjectaccessreviews", "")
	}
	if e := answer.Status.EvaluationError; e != "" && !answer.Status.Allowed {
		return false, fmt.Errorf("ask whether it is allowed to %s %s: %s", a.Verb, a.Resource, e)
	}
	return answer.Status.Allowed, nil
}
