package storm

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/whyrestart/whyrestart/internal/cli"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/sqlite"
)

const (
	// child tells the test binary that it is whyrestart.
	child = "WHYRESTART_STORM_CHILD"
	// profileVar names a file for the heap of the child at its peak.
	profileVar = "WHYRESTART_STORM_PROFILE"
	// largeVar asks for the storms of docs/limits.md in place of small ones.
	largeVar = "WHYRESTART_STORM_LARGE"
)

func TestMain(m *testing.M) {
	if os.Getenv(child) != "" {
		os.Exit(whyrestart())
	}
	os.Exit(m.Run())
}

// whyrestart is the program, as cmd/whyrestart has it.
func whyrestart() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if path := os.Getenv(profileVar); path != "" {
		go profile(ctx, path)
	}
	return cli.Main(ctx, os.Args, cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
}

// profile keeps the profile of the largest heap that was seen.
func profile(ctx context.Context, path string) {
	var peak uint64
	for ctx.Err() == nil {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		if m.HeapInuse > peak+peak/20 {
			peak = m.HeapInuse
			if f, err := os.Create(path); err == nil {
				_ = pprof.Lookup("heap").WriteTo(f, 0)
				_ = f.Close()
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func large() bool { return os.Getenv(largeVar) != "" }

// sized returns the first number, or the second in the large form.
func sized(small, big int) int {
	if large() {
		return big
	}
	return small
}

// server is whyrestart at work.
type server struct {
	t     testing.TB
	cmd   *exec.Cmd
	store string
	// listen is the address that it said it listens to.
	listen string

	mu   sync.Mutex
	told map[string]int // how often each stop was printed
	raw  int            // bytes that must not reach a terminal
	said bytes.Buffer   // stderr
	read sync.WaitGroup
}

// serve starts whyrestart on the API server.
func serve(t testing.TB, api *apiServer, args ...string) *server {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "config")
	content := fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","current-context":"c","clusters":[{"name":"c","cluster":{"server":%q}}],
		"contexts":[{"name":"c","context":{"cluster":"c","user":"u"}}],"users":[{"name":"u","user":{"token":"t"}}]}`, api.URL)
	if err := os.WriteFile(config, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, store: filepath.Join(dir, "history.db"), told: make(map[string]int)}
	args = append([]string{"serve", "--kubeconfig", config, "--store", s.store, "--listen", "127.0.0.1:0"}, args...)
	s.cmd = exec.CommandContext(t.Context(), os.Args[0], args...)
	s.cmd.Cancel = func() error { return s.cmd.Process.Signal(syscall.SIGTERM) }
	s.cmd.WaitDelay = 30 * time.Second
	s.cmd.Env = append(os.Environ(), child+"=1")
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	errs, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.read.Go(func() { s.stdout(out) })
	s.read.Go(func() { s.stderr(errs) })
	return s
}

func (s *server) stdout(r io.Reader) {
	lines := bufio.NewReaderSize(r, 1<<20)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var rec struct {
				ID   string      `json:"id"`
				Kind record.Kind `json:"kind"`
			}
			bad := json.Unmarshal(line, &rec) != nil
			s.mu.Lock()
			if rec.Kind == record.KindStop {
				s.told[rec.ID]++
			}
			s.raw += raw(line)
			if bad {
				s.raw++
			}
			s.mu.Unlock()
		}
		if err != nil {
			return
		}
	}
}

// raw counts what a terminal would take for more than text.
func raw(line []byte) int {
	n := 0
	for _, c := range strings.TrimSuffix(string(line), "\n") {
		if c < ' ' && c != '\t' || c >= 0x7f && c < 0xa0 || c >= 0x202a && c <= 0x202e || c >= 0x2066 && c <= 0x2069 {
			n++
		}
	}
	return n
}

func (s *server) stderr(r io.Reader) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		s.mu.Lock()
		if _, after, ok := strings.Cut(lines.Text(), "listen=127"); ok && s.listen == "" {
			addr, _, _ := strings.Cut(after, " ")
			s.listen = "127" + addr
		}
		s.raw += raw(lines.Bytes())
		if s.said.Len() < 64<<10 {
			s.said.WriteString(lines.Text() + "\n")
		}
		s.mu.Unlock()
	}
}

// metric returns the sum of a metric of the server, whatever its labels.
func (s *server) metric(name string) float64 {
	s.mu.Lock()
	addr := s.listen
	s.mu.Unlock()
	if addr == "" {
		return -1
	}
	resp, err := http.Get("http://" + addr + "/metrics") //nolint:noctx // of a child that ends with the test
	if err != nil {
		return -1
	}
	defer resp.Body.Close()
	sum, found := 0.0, false
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		rest, ok := strings.CutPrefix(lines.Text(), name)
		if !ok || rest == "" || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		var v float64
		if _, err := fmt.Sscan(rest[strings.LastIndexByte(rest, ' ')+1:], &v); err == nil {
			sum, found = sum+v, true
		}
	}
	if !found {
		return -1
	}
	return sum
}

// until waits until something holds, and fails the test where it does not within minutes.
func (s *server) until(what string, holds func() bool) time.Duration {
	s.t.Helper()
	began := time.Now()
	for !holds() {
		if time.Since(began) > 10*time.Minute || s.t.Context().Err() != nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.t.Fatalf("waited for %s in vain:\n%s", what, s.said.String())
		}
		time.Sleep(20 * time.Millisecond)
	}
	return time.Since(began)
}

// watching waits until the server has seen a number of pods.
func (s *server) watching(pods int) time.Duration {
	s.t.Helper()
	return s.until("the first list", func() bool { return s.metric("whyrestart_watched_pods") >= float64(pods) })
}

// stats reads the store beside the server.
func (s *server) stats() store.Stats {
	db, err := sqlite.Open(context.Background(), sqlite.Options{Path: s.store, ReadOnly: true})
	if err != nil {
		return store.Stats{}
	}
	defer db.Close()
	stats, err := db.Stats(context.Background())
	if err != nil {
		return store.Stats{}
	}
	return stats
}

// stored waits until as many stops are recorded or counted as missed as happened.
func (s *server) stored(truth int64) time.Duration {
	s.t.Helper()
	var last store.Stats
	took := s.until(fmt.Sprintf("%d stops", truth), func() bool {
		last = s.stats()
		return last.Stops+last.Missed+last.Pruned >= truth
	})
	if got := last.Stops + last.Missed + last.Pruned; got != truth {
		s.t.Errorf("%d stops happened, and %d are recorded, %d missed, %d pruned", truth, last.Stops, last.Missed, last.Pruned)
	}
	return took
}

// end stops the server, and returns the most memory that it had, in bytes.
func (s *server) end() int64 {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	s.read.Wait()
	if err := s.cmd.Wait(); err != nil {
		s.t.Errorf("it ended with %v:\n%s", err, s.said.String())
	}
	usage, ok := s.cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		s.t.Fatal("no usage")
	}
	if s.raw > 0 {
		s.t.Errorf("%d bytes that no terminal should see were printed", s.raw)
	}
	return usage.Maxrss << 10
}
