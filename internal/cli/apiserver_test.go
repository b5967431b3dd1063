package cli

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// recordedServer answers as the API server of a recording's cluster would have, in JSON,
// for somebody who may not read what was not recorded. Nothing ever changes.
type recordedServer struct {
	*httptest.Server
	// files are those of the recording by their names below its folder.
	files map[string][]byte
}

func newRecordedServer(t *testing.T, recording string) *recordedServer {
	t.Helper()
	s := &recordedServer{files: make(map[string][]byte)}
	f, err := os.Open(filepath.Join(recording, "dump.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for archive := tar.NewReader(z); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		s.files[strings.TrimPrefix(h.Name, "dump/")] = b
	}
	s.makeRecent()
	s.Server = httptest.NewServer(s)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

var timestamp = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`)

// makeRecent moves all times so that the newest is a minute ago: the API forgets events.
func (s *recordedServer) makeRecent() {
	var newest time.Time
	each := func(f func(t time.Time) string) {
		for name, b := range s.files {
			s.files[name] = timestamp.ReplaceAllFunc(b, func(text []byte) []byte {
				t, err := time.Parse(time.RFC3339, string(text))
				if err != nil {
					return text
				}
				return []byte(f(t))
			})
		}
	}
	each(func(t time.Time) string {
		if t.After(newest) && t.Before(time.Now()) {
			newest = t
		}
		return t.Format(time.RFC3339)
	})
	by := time.Since(newest).Truncate(time.Second) - time.Minute
	each(func(t time.Time) string { return t.Add(by).Format(time.RFC3339) })
}

type item map[string]any

func (i item) at(path ...string) string {
	var v any = map[string]any(i)
	for _, p := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return ""
		}
		v = m[p]
	}
	s, _ := v.(string)
	return s
}

// items returns the recorded objects of a resource, of one namespace or of all.
func (s *recordedServer) items(namespace, resource string) (found []item, recorded bool) {
	for name, b := range s.files {
		dir, file := filepath.Split(name)
		dir = strings.TrimSuffix(dir, "/")
		if file != resource+".json" || namespace != "" && dir != namespace {
			continue
		}
		var list struct{ Items []item }
		if err := json.Unmarshal(b, &list); err != nil {
			continue
		}
		found, recorded = append(found, list.Items...), true
	}
	return found, recorded
}

var kinds = map[string]string{"pods": "Pod", "events": "Event", "nodes": "Node", "replicasets": "ReplicaSet", "deployments": "Deployment", "daemonsets": "DaemonSet"}

// ServeHTTP implements http.Handler.
func (s *recordedServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	version := "v1"
	switch {
	case len(parts) > 2 && parts[0] == "api":
		parts = parts[2:]
	case len(parts) > 3 && parts[0] == "apis":
		version, parts = parts[1]+"/"+parts[2], parts[3:]
	}
	namespace := ""
	if len(parts) > 2 && parts[0] == "namespaces" {
		namespace, parts = parts[1], parts[2:]
	}
	found, recorded := s.items(namespace, parts[0])
	q := r.URL.Query()
	switch {
	case !recorded:
		s.status(w, http.StatusForbidden, "Forbidden", fmt.Sprintf(`%s is forbidden: User "dev" cannot %s resource`, parts[0], strings.ToLower(r.Method)))
	case q.Get("sendInitialEvents") == "true":
		s.status(w, http.StatusUnprocessableEntity, "Invalid", "sendInitialEvents is forbidden for watch")
	case q.Get("watch") != "":
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	case len(parts) == 3 && parts[2] == "log":
		name := q.Get("container") + "-previous.log"
		if q.Get("previous") != "true" {
			name = "logs.txt"
		}
		// The recording is of a pod's first container, and without the times that are asked for.
		started := ""
		for _, i := range found {
			if i.at("metadata", "name") == parts[1] {
				c := item(i["status"].(map[string]any)["containerStatuses"].([]any)[0].(map[string]any))
				if started = c.at("state", "terminated", "startedAt"); q.Get("previous") == "true" {
					started = c.at("lastState", "terminated", "startedAt")
				}
			}
		}
		w.Header().Set("Content-Type", "text/plain")
		for line := range bytes.Lines(s.files[filepath.Join(namespace, parts[1], name)]) {
			if !bytes.HasPrefix(line, []byte("==== ")) { // of kubectl, around the log of each container
				fmt.Fprintf(w, "%s %s", started, line)
			}
		}
	case len(parts) == 2:
		for _, i := range found {
			if i.at("metadata", "name") == parts[1] {
				i["kind"], i["apiVersion"] = kinds[parts[0]], version
				s.json(w, http.StatusOK, i)
				return
			}
		}
		s.status(w, http.StatusNotFound, "NotFound", parts[1]+" not found")
	default:
		of := make([]item, 0, len(found))
		for _, i := range found {
			if selects(q.Get("fieldSelector"), i) {
				of = append(of, i)
			}
		}
		s.json(w, http.StatusOK, item{"kind": kinds[parts[0]] + "List", "apiVersion": version, "metadata": item{"resourceVersion": "1"}, "items": of})
	}
}

// selects knows the field selectors of events and of names.
func selects(selector string, i item) bool {
	for term := range strings.SplitSeq(selector, ",") {
		field, want, ok := strings.Cut(term, "=")
		if ok && !strings.HasSuffix(field, "!") && i.at(strings.Split(field, ".")...) != want {
			return false
		}
	}
	return true
}

func (s *recordedServer) status(w http.ResponseWriter, code int, reason, message string) {
	s.json(w, code, item{"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message})
}

func (s *recordedServer) json(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v)
}
