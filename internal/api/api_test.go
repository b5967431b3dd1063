package api

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/whyrestart/whyrestart/internal/record"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// serve answers requests with a document, and tells what was asked for.
func serve(asked *CoverageQuery, sight record.Sight, err error) http.Handler {
	return New(Options{
		Coverage: func(_ context.Context, q CoverageQuery) (record.Sight, error) {
			*asked = q
			return sight, err
		},
		Logger: slog.New(slog.DiscardHandler),
		Now:    func() time.Time { return now },
	})
}

func request(t *testing.T, h http.Handler, method, target string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, target, http.NoBody))
	return w
}

// TestCoverage holds that the answer is the command's document, and what parameters mean.
func TestCoverage(t *testing.T) {
	prod, none := "prod", ""
	for target, want := range map[string]CoverageQuery{
		"/api/v1/coverage":                                        {Since: now.Add(-24 * time.Hour), Now: now},
		"/api/v1/coverage?since=2h":                               {Since: now.Add(-2 * time.Hour), Now: now},
		"/api/v1/coverage?since=0":                                {Now: now},
		"/api/v1/coverage?since=2026-03-01T11:00:00Z&cluster=":    {Since: now.Add(-time.Hour), Now: now, Cluster: &none},
		"/api/v1/coverage?cluster=prod&namespace=b,a&namespace=b": {Since: now.Add(-24 * time.Hour), Now: now, Cluster: &prod, Namespaces: []string{"a", "b"}},
	} {
		var asked CoverageQuery
		sight := record.Sight{Summary: "fine", Missed: 3}
		w := request(t, serve(&asked, sight, nil), http.MethodGet, target)
		if diff := cmp.Diff(want, asked); diff != "" || w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d, %s, (-want +got):\n%s", target, w.Code, w.Header(), diff)
		}
		var doc record.SightDocument
		if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(record.SightDocument{Schema: record.Schema, Coverage: sight}, doc); diff != "" {
			t.Errorf("%s (-want +got):\n%s", target, diff)
		}
		head := request(t, serve(&asked, sight, nil), http.MethodHead, target)
		if head.Code != http.StatusOK || head.Body.Len() > 0 || head.Header().Get("Content-Length") != w.Header().Get("Content-Length") {
			t.Errorf("HEAD %s: %d, %s", target, head.Code, head.Header())
		}
	}
}

// TestProblems holds that what cannot be answered is a problem document, and no guess.
func TestProblems(t *testing.T) {
	for _, c := range []struct {
		method, target string
		status         int
		detail         string
	}{
		{http.MethodGet, "/api/v1/coverage?sinec=2h", 400, `unknown parameter "sinec": want since, cluster, namespace`},
		{http.MethodGet, "/api/v1/coverage?since=yesterday", 400, `since="yesterday": want a while`},
		{http.MethodGet, "/api/v1/coverage?since=-2h", 400, `since="-2h"`},
		{http.MethodGet, "/api/v1/coverage?since=999999h", 400, `since=`},
		{http.MethodGet, "/api/v1/coverage?since=2026-03-01T13:00:00Z", 400, "since is in the future"},
		{http.MethodGet, "/api/v1/coverage?since=2h&since=3h", 400, "since is given 2 times"},
		{http.MethodGet, "/api/v1/coverage?cluster=a&cluster=b", 400, "cluster is given 2 times"},
		{http.MethodGet, "/api/v1/coverage?namespace=", 400, `namespace="": want`},
		{http.MethodGet, "/api/v1/coverage?namespace=" + strings.Repeat("a,", 200) + "a", 400, "more than 100"},
		{http.MethodGet, "/api/v1/coverage?namespace=%1b%5b31m", 400, `namespace="\x1b[31m"`},
		{http.MethodGet, "/api/v1/coverage?%zz", 400, "the parameters cannot be read"},
		{http.MethodGet, "/api/v1/coverage?a=" + strings.Repeat("x", maxQuery), 414, "longer than"},
		{http.MethodPost, "/api/v1/coverage", 405, "only GET and HEAD"},
		{http.MethodDelete, "/api/v1/coverage?since=bad", 405, "only GET and HEAD"},
		{http.MethodGet, "/api/v1/", 404, "nothing at this path"},
		{http.MethodGet, "/api/v2/coverage", 404, "nothing at this path"},
		{http.MethodGet, "/api/v1/coverage/x", 404, "nothing at this path"},
	} {
		var asked CoverageQuery
		w := request(t, serve(&asked, record.Sight{}, nil), c.method, c.target)
		var p problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			t.Fatalf("%s %s: %v", c.method, c.target, err)
		}
		if w.Code != c.status || p.Status != c.status || p.Title == "" || p.Type != "about:blank" || !strings.Contains(p.Detail, c.detail) ||
			w.Header().Get("Content-Type") != "application/problem+json" || len(p.Detail) > 300 || !asked.Now.IsZero() {
			t.Errorf("%s %s: %d %+v, want %d %q", c.method, c.target, w.Code, p, c.status, c.detail)
		}
		if c.status == http.StatusMethodNotAllowed && w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: Allow is %q", c.method, w.Header().Get("Allow"))
		}
	}
}

// TestErrors holds that what goes wrong inside is not shown to whoever asks.
func TestErrors(t *testing.T) {
	for err, status := range map[error]int{
		errors.New("read store postgres://user:secret@db: gone"): 500,
		context.DeadlineExceeded:                                 503,
	} {
		var asked CoverageQuery
		w := request(t, serve(&asked, record.Sight{}, err), http.MethodGet, "/api/v1/coverage")
		if w.Code != status || strings.Contains(w.Body.String(), "secret") || strings.Contains(w.Body.String(), "schema") {
			t.Errorf("%v: %d %s", err, w.Code, w.Body)
		}
	}
}

// FuzzParameters holds that no parameters make anything but an answer or a problem.
func FuzzParameters(f *testing.F) {
	for _, s := range []string{"since=2h", "cluster=a&namespace=b,c", "since=%00", "namespace=a&namespace=-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/coverage", http.NoBody)
		r.URL.RawQuery = query
		var asked CoverageQuery
		w := httptest.NewRecorder()
		serve(&asked, record.Sight{}, nil).ServeHTTP(w, r)
		if w.Code != 200 && w.Code != 400 && w.Code != 414 || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%q: %d %s", query, w.Code, w.Body)
		}
		if asked.Since.After(asked.Now) || len(asked.Namespaces) > maxNamespaces {
			t.Errorf("%q: %+v", query, asked)
		}
	})
}
