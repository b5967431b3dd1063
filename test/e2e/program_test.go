//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/whyrestart/whyrestart/internal/record"
)

// program is the whyrestart under test. It may be stopped and started again on the
// same store.
type program struct {
	bin, kubeconfig, store, addr string
	stderr                       *os.File
	records                      *records
	// args are given to "serve" beside the usual ones.
	args []string

	cmd  *exec.Cmd // nil while it does not run
	done chan error
	away []absence
}

// absence is a stretch of time in which whyrestart did not run.
type absence struct{ from, to time.Time }

func newProgram(ctx context.Context, dir, kubeconfig string, records *records) (*program, error) {
	p := &program{bin: os.Getenv("WHYRESTART_BIN"), kubeconfig: kubeconfig, store: filepath.Join(dir, "whyrestart.db"), records: records}
	if p.bin == "" {
		p.bin = filepath.Join(dir, "whyrestart")
		root, err := repository()
		if err != nil {
			return nil, err
		}
		if err := build(ctx, root, p.bin, "./cmd/whyrestart"); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("find a free port: %w", err)
	}
	p.addr = l.Addr().String()
	if err := l.Close(); err != nil {
		return nil, fmt.Errorf("free the port: %w", err)
	}
	if p.stderr, err = os.Create(filepath.Join(dir, "whyrestart.log")); err != nil {
		return nil, fmt.Errorf("keep whyrestart's log: %w", err)
	}
	return p, nil
}

// start runs whyrestart and returns once it watches. It outlives ctx.
func (p *program) start(ctx context.Context) error {
	cmd := exec.Command(p.bin, append([]string{"serve", "--kubeconfig", p.kubeconfig, "--store", p.store, "--listen", p.addr}, p.args...)...)
	cmd.Stderr = p.stderr
	// The signals of a terminal are for the test, which then stops whyrestart.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("read whyrestart's output: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start whyrestart: %w", err)
	}
	p.cmd, p.done = cmd, make(chan error, 1)
	done := p.done
	go func() {
		p.records.read(stdout)
		done <- cmd.Wait()
	}()
	err = wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		select {
		case err := <-done:
			done <- err
			return false, fmt.Errorf("it ended: %w", errors.Join(err, errors.New(p.lastWords())))
		default:
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.addr+"/readyz", http.NoBody)
		if err != nil {
			return false, err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return false, nil //nolint:nilerr // it does not listen yet
		}
		return resp.StatusCode == http.StatusOK, resp.Body.Close()
	})
	if err != nil {
		return fmt.Errorf("wait until whyrestart is ready: %w", err)
	}
	if n := len(p.away); n > 0 {
		p.away[n-1].to = time.Now()
	}
	return nil
}

// untold lists the absences that the gaps of the coverage do not tell of.
func (p *program) untold(gaps []record.Gap) []string {
	var list []string
	for _, a := range p.away {
		told := slices.ContainsFunc(gaps, func(g record.Gap) bool {
			// It was gone a little later than it was told to, and ready a little after it began to see.
			return g.From.Before(a.to) && g.To.After(a.from) && g.To.Sub(g.From) > a.to.Sub(a.from)/2
		})
		if !told && !a.to.IsZero() {
			list = append(list, fmt.Sprintf("whyrestart did not run from %s to %s, and none of its gaps says so: %v", a.from.Format(time.TimeOnly), a.to.Format(time.TimeOnly), gaps))
		}
	}
	return list
}

// terminate stops whyrestart as Kubernetes would, and expects it to end well.
func (p *program) terminate(ctx context.Context) error {
	if p.cmd == nil {
		return nil
	}
	if err := p.end(ctx, syscall.SIGTERM); err != nil {
		return fmt.Errorf("whyrestart did not end well after SIGTERM: %w: %s", err, p.lastWords())
	}
	return nil
}

// kill ends whyrestart as a lack of memory would.
func (p *program) kill(ctx context.Context) error {
	err := p.end(ctx, syscall.SIGKILL)
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return nil
	}
	return fmt.Errorf("whyrestart ended otherwise than by SIGKILL: %w", err)
}

func (p *program) end(ctx context.Context, signal syscall.Signal) error {
	cmd := p.cmd
	if cmd == nil {
		return errors.New("it does not run")
	}
	p.cmd = nil
	p.away = append(p.away, absence{from: time.Now()})
	if err := cmd.Process.Signal(signal); err != nil {
		return fmt.Errorf("send %s: %w", signal, err)
	}
	select {
	case err := <-p.done:
		return err
	case <-time.After(patience):
		err := fmt.Errorf("it still runs %s after %s", patience, signal)
		return errors.Join(err, cmd.Process.Kill())
	case <-ctx.Done():
		return errors.Join(ctx.Err(), cmd.Process.Kill())
	}
}

// list returns what the store holds, by whyrestart's own command.
func (p *program) list(ctx context.Context) (record.Document, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, p.bin, "list", "--ungrouped", "-A", "--store", p.store, "-o", "json", "--category", "all")
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return record.Document{}, fmt.Errorf("whyrestart list: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	var doc record.Document
	if err := json.Unmarshal(stdout.Bytes(), &doc); err != nil {
		return doc, fmt.Errorf("whyrestart list printed no document: %w", err)
	}
	if doc.Schema != record.Schema {
		return doc, fmt.Errorf("whyrestart list printed the schema %q, not %q", doc.Schema, record.Schema)
	}
	return doc, nil
}

// lastWords returns the end of whyrestart's log.
func (p *program) lastWords() string {
	data, err := os.ReadFile(p.stderr.Name())
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-2000):])
}
