// Package api answers programs over HTTP: what is under /api/v1. It only reads. An answer is
// the same JSON document that the command of the same name prints; an error is a problem
// document (RFC 9457), with a sentence in "detail" that is safe to show.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
)

const (
	// maxQuery bounds the parameters of a request, maxNamespaces how many namespaces it may name.
	maxQuery      = 8 << 10
	maxNamespaces = 100
	// defaultSince is how far back an answer goes where nothing else is asked for, maxSince how far it may.
	defaultSince = 24 * time.Hour
	maxSince     = 20 * 365 * 24 * time.Hour
	// answerTimeout bounds the work for one request, and atOnce how many are worked on.
	answerTimeout = 30 * time.Second
	atOnce        = 4
)

// CoverageQuery is what may be asked of coverage.
type CoverageQuery struct {
	// Cluster is nil for all that there are.
	Cluster    *string
	Namespaces []string
	Since, Now time.Time
}

// Options configure the API.
type Options struct {
	// Coverage answers what was seen.
	Coverage func(ctx context.Context, q CoverageQuery) (record.Sight, error)
	Logger   *slog.Logger
	Now      func() time.Time
}

// New returns the handler of everything under /api/.
func New(o Options) http.Handler {
	a := &api{Options: o, turns: make(chan struct{}, atOnce)}
	mux := http.NewServeMux()
	mux.HandleFunc("/api/v1/coverage", a.get(a.coverage, "since", "cluster", "namespace"))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		a.problem(w, r, problem{Status: http.StatusNotFound, Detail: "there is nothing at this path"})
	})
	return mux
}

type api struct {
	Options
	turns chan struct{}
}

// problem is RFC 9457's. It is an error too, so that what answers can return it.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
}

// Error implements error.
func (p problem) Error() string { return p.Detail }

func bad(format string, args ...any) error {
	return problem{Status: http.StatusBadRequest, Detail: fmt.Sprintf(format, args...)}
}

// get wraps what answers GET and HEAD: other methods, unknown parameters and parameters that are
// given twice, where that has no meaning, are refused.
func (a *api) get(answer func(context.Context, url.Values) (any, error), parameters ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		doc, err := a.answer(w, r, answer, parameters)
		var p problem
		switch {
		case err == nil:
		case errors.As(err, &p):
			a.problem(w, r, p)
			return
		case r.Context().Err() != nil:
			return // nobody waits for it
		case errors.Is(err, context.DeadlineExceeded):
			a.problem(w, r, problem{Status: http.StatusServiceUnavailable, Detail: "the answer took too long"})
			return
		default:
			// The words of the store may hold a path or an address: they are for the log.
			a.Logger.Error("cannot answer a request", "path", r.URL.Path, "err", err)
			a.problem(w, r, problem{Status: http.StatusInternalServerError, Detail: "the history cannot be read at the moment; the log says why"})
			return
		}
		b, err := encode(doc)
		if err != nil {
			a.Logger.Error("cannot encode an answer", "path", r.URL.Path, "err", err)
			a.problem(w, r, problem{Status: http.StatusInternalServerError, Detail: "the answer cannot be encoded"})
			return
		}
		send(w, r, http.StatusOK, "application/json", b)
	}
}

func (a *api) answer(w http.ResponseWriter, r *http.Request, answer func(context.Context, url.Values) (any, error), parameters []string) (any, error) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		return nil, problem{Status: http.StatusMethodNotAllowed, Detail: "only GET and HEAD are answered here"}
	}
	if len(r.URL.RawQuery) > maxQuery {
		return nil, problem{Status: http.StatusRequestURITooLong, Detail: fmt.Sprintf("the parameters are longer than %d bytes", maxQuery)}
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, bad("the parameters cannot be read")
	}
	for name := range values {
		if !slices.Contains(parameters, name) {
			return nil, bad("unknown parameter %s: want %s", strconv.QuoteToASCII(clip(name)), strings.Join(parameters, ", "))
		}
	}
	select {
	case a.turns <- struct{}{}:
		defer func() { <-a.turns }()
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	ctx, cancel := context.WithTimeout(r.Context(), answerTimeout)
	defer cancel()
	return answer(ctx, values)
}

func (a *api) coverage(ctx context.Context, v url.Values) (any, error) {
	q := CoverageQuery{Now: a.Now()}
	since, err := one(v, "since")
	if err != nil {
		return nil, err
	}
	if q.Since, err = parseSince(since, q.Now); err != nil {
		return nil, err
	}
	if v.Has("cluster") {
		name, err := one(v, "cluster")
		if err != nil {
			return nil, err
		}
		q.Cluster = &name
	}
	if q.Namespaces, err = namespaces(v); err != nil {
		return nil, err
	}
	s, err := a.Coverage(ctx, q)
	return record.SightDocument{Schema: record.Schema, Coverage: s}, err
}

// one returns the only value of a parameter, empty where it is not given.
func one(v url.Values, name string) (string, error) {
	if len(v[name]) > 1 {
		return "", bad("%s is given %d times: want it once", name, len(v[name]))
	}
	return v.Get(name), nil
}

// parseSince reads a while from now back, such as 24h, or a time; 0 is since ever.
func parseSince(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return now.Add(-defaultSince), nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		if t.After(now) {
			return time.Time{}, bad("since is in the future")
		}
		return t, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d > maxSince {
		return time.Time{}, bad("since=%s: want a while from now back, such as 24h, or a time, such as 2026-01-02T15:04:05Z", strconv.QuoteToASCII(clip(s)))
	}
	if d == 0 {
		return time.Time{}, nil
	}
	return now.Add(-d), nil
}

// label is the name of a namespace (RFC 1123).
var label = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// namespaces are given several times, or with commas between.
func namespaces(v url.Values) ([]string, error) {
	var out []string
	for _, text := range v["namespace"] {
		for ns := range strings.SplitSeq(text, ",") {
			if !label.MatchString(ns) {
				return nil, bad("namespace=%s: want the name of a namespace", strconv.QuoteToASCII(clip(ns)))
			}
			out = append(out, ns)
			if len(out) > maxNamespaces {
				return nil, bad("more than %d namespaces: leave the parameter out for all", maxNamespaces)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// clip keeps what an error quotes short.
func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "..."
	}
	return s
}

func (a *api) problem(w http.ResponseWriter, r *http.Request, p problem) {
	p.Type, p.Title = "about:blank", http.StatusText(p.Status)
	b, err := encode(p)
	if err != nil {
		a.Logger.Error("cannot encode a problem", "err", err)
	}
	send(w, r, p.Status, "application/problem+json", b)
}

func encode(v any) ([]byte, error) {
	b, err := json.MarshalIndent(v, "", "    ")
	return append(b, '\n'), err
}

func send(w http.ResponseWriter, r *http.Request, status int, kind string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // whoever asked is gone
	}
}
