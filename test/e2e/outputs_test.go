//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
)

// onlooker is a "whyrestart watch" beside the one that serves: it has no store, and must
// see the same.
type onlooker struct {
	cmd     *exec.Cmd
	done    chan error
	stderr  *os.File
	records *records
}

func startOnlooker(p *program, dir string, changed *bell) (*onlooker, error) {
	stderr, err := os.Create(filepath.Join(dir, "watch.log"))
	if err != nil {
		return nil, fmt.Errorf("keep the log of whyrestart watch: %w", err)
	}
	// With the history it does not matter how soon it begins to watch.
	cmd := exec.Command(p.bin, "watch", "--kubeconfig", p.kubeconfig, "-A", "-o", "jsonl", "--category", "all", "--history")
	cmd.Stderr = stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("read the output of whyrestart watch: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start whyrestart watch: %w", err)
	}
	o := &onlooker{cmd: cmd, done: make(chan error, 1), stderr: stderr, records: newRecords(changed)}
	go func() {
		o.records.read(stdout)
		o.done <- cmd.Wait()
	}()
	return o, nil
}

// stop ends the watch as Ctrl-C does.
func (o *onlooker) stop() error {
	if o == nil || o.cmd == nil {
		return nil
	}
	cmd := o.cmd
	o.cmd = nil
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		return fmt.Errorf("interrupt whyrestart watch: %w", err)
	}
	select {
	case err := <-o.done:
		if err != nil {
			return fmt.Errorf("whyrestart watch did not end well, see %s: %w", o.stderr.Name(), err)
		}
		return o.stderr.Close()
	case <-time.After(patience):
		return fmt.Errorf("whyrestart watch still runs %s after it was interrupted: %w", patience, cmd.Process.Kill())
	}
}

// compareOutputs compares, before anything takes whyrestart away, what it tells in
// different ways: the records that it prints, its metrics, and those of a watch.
func (s *suite) compareOutputs(t *testing.T) {
	ours := func(namespace string) bool { return strings.HasPrefix(namespace, prefix) }
	ids := func(list []record.Record) []string {
		var out []string
		for _, r := range list {
			out = append(out, r.ID)
		}
		slices.Sort(out)
		return out
	}
	deadline := time.Now().Add(30 * time.Second)
	for {
		rung := s.changed.rung()
		served := s.records.of(record.KindStop, ours)
		watched := s.onlooker.records.of(record.KindStop, ours)
		counted, err := s.program.stopsTotal(t.Context(), ours)
		if err != nil {
			t.Errorf("read the metrics: %v", err)
		}
		same := slices.Equal(ids(served), ids(watched))
		if same && counted == len(served) {
			break
		}
		if time.Now().After(deadline) {
			if !same {
				t.Errorf("serve printed %d stops, watch %d: of serve alone %v, of watch alone %v", len(served), len(watched), only(served, watched), only(watched, served))
			}
			if counted != len(served) {
				t.Errorf("serve printed %d stops, and its metrics count %d", len(served), counted)
			}
			break
		}
		select {
		case <-rung:
		case <-time.After(time.Second):
		}
	}
	for _, c := range s.onlooker.records.complaints() {
		t.Errorf("watch: %s", c)
	}
	if err := s.onlooker.stop(); err != nil {
		t.Error(err)
	}
}

// only describes the records of a list that another one does not have.
func only(list, other []record.Record) []string {
	var out []string
	for _, r := range list {
		if !slices.ContainsFunc(other, func(o record.Record) bool { return o.ID == r.ID }) {
			out = append(out, fmt.Sprintf("%s/%s/%s ordinal %d (%s)", r.Namespace, r.Pod, r.Container, r.Ordinal, r.ID))
		}
	}
	return out
}

// stopsTotal sums the metric of stops over the namespaces that match.
func (p *program) stopsTotal(ctx context.Context, match func(namespace string) bool) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.addr+"/metrics", http.NoBody)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	sum := 0.0
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), "whyrestart_container_stops_total{")
		if !ok {
			continue
		}
		labels, value, _ := strings.Cut(rest, "} ")
		_, namespace, _ := strings.Cut(labels, `namespace="`)
		namespace, _, _ = strings.Cut(namespace, `"`)
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0, fmt.Errorf("line %q: %w", lines.Text(), err)
		}
		if match(namespace) {
			sum += n
		}
	}
	return int(sum), lines.Err()
}

// read takes whole lines only: a kill may cut the last one short.
func (r *records) read(stdout io.Reader) {
	lines := bufio.NewReader(stdout)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		if line = strings.TrimSpace(line); line != "" {
			r.take([]byte(line))
		}
	}
}
