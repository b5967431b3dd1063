package storm

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// fleet adds pods that run, of as many containers each.
func fleet(api *apiServer, pods, containers int) []*replica {
	at := time.Now()
	out := make([]*replica, pods)
	for n := range out {
		out[n] = &replica{n: n, restarts: make([]int32, containers)}
		api.set(&api.pods, out[n].pod(false, at))
	}
	return out
}

// crash ends all containers of all pods, one pod after another as fast as it goes, and starts them
// again.
func crash(api *apiServer, pods []*replica) (stops int64) {
	at := time.Now()
	for _, r := range pods {
		api.set(&api.pods, r.pod(true, at))
	}
	at = at.Add(time.Second)
	for _, r := range pods {
		for i := range r.restarts {
			r.restarts[i]++
			stops++
		}
		api.set(&api.pods, r.pod(false, at))
	}
	return stops
}

func shortLog(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	at := time.Now().Add(-time.Second).UTC().Format(time.RFC3339Nano)
	_, _ = io.WriteString(w, strings.Repeat(at+" level=error msg=\"cannot reach the database\" err=\"dial tcp 10.0.0.7:5432: connect: connection refused\"\n", 20))
}

// Many pods crash at once, again and again: every stop is recorded, each is told, and what
// was not read for it is said in the record.
func TestBurst(t *testing.T) {
	pods, rounds := sized(120, 10_000), sized(2, 3)
	api := newAPIServer(t)
	api.log = shortLog
	all := fleet(api, pods, 1)
	s := serve(t, api)
	sync := s.watching(pods)
	var truth int64
	for n := range rounds {
		began := time.Now()
		truth += crash(api, all)
		made := time.Since(began)
		took := s.stored(truth)
		t.Logf("round %d: %d stops happened in %s, all stored after %s more", n, pods, made.Round(time.Millisecond), took.Round(time.Millisecond))
	}
	s.allTold(truth)
	captured := s.metric("whyrestart_log_captures_total")
	peak := s.end()
	t.Logf("%d pods, listed in %s; %d stops; peak memory %d MiB; %.0f logs captured or said to be missing", pods, sync.Round(time.Millisecond), truth, peak>>20, captured)
}

// allTold waits until each stop was printed.
func (s *server) allTold(truth int64) {
	s.t.Helper()
	s.until("every record to be printed", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return int64(len(s.told)) >= truth
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	if int64(len(s.told)) != truth {
		s.t.Errorf("%d different records were printed of %d", len(s.told), truth)
	}
}
