//go:build e2e

package e2e

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	_ "modernc.org/sqlite" // for its PRAGMA integrity_check
)

// victim is the whyrestart that the faults are done to.
type victim struct {
	*program
	// wrap begins the command line of the next start, to run it under something else; its
	// last word is followed by whyrestart's own command line.
	wrap []string
	// env is added to the environment of the next start.
	env []string
	// through returns what the output of the next start is read through.
	through func(io.Reader) io.Reader
	// stdout is the end of the pipe that is read.
	stdout *os.File
}

func newVictim(k *chaos) (*victim, error) {
	p, err := newProgram(k.ctx, k.dir, k.suite.program.kubeconfig, k.records)
	if err != nil {
		return nil, err
	}
	p.store = k.store
	return &victim{program: p}, nil
}

// start runs whyrestart, and does not wait for anything.
func (v *victim) start() error {
	args := append([]string{}, v.wrap...)
	args = append(args, v.bin, "serve", "--kubeconfig", v.kubeconfig, "--store", v.store, "--listen", v.addr)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stderr = v.stderr
	cmd.Env = append(os.Environ(), v.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make a pipe: %w", err)
	}
	cmd.Stdout = w
	err = cmd.Start()
	if cerr := w.Close(); err != nil || cerr != nil {
		return fmt.Errorf("start whyrestart: %w", errors.Join(err, cerr, r.Close()))
	}
	var out io.Reader = r
	if v.through != nil {
		out = v.through(r)
	}
	v.cmd, v.stdout, v.done = cmd, r, make(chan error, 1)
	done := v.done
	read := make(chan struct{})
	go func() {
		v.records.read(out)
		close(read)
	}()
	go func() {
		err := cmd.Wait()
		<-read
		_ = r.Close()
		done <- err
	}()
	return nil
}

// runs tells that it was started and not ended since; it may have ended by itself.
func (v *victim) runs() bool { return v.cmd != nil }

// untilReady waits until it watches and stores.
func (v *victim) untilReady(most time.Duration) error {
	deadline := time.Now().Add(most)
	for {
		why := v.ready()
		if why == "" {
			break
		}
		select {
		case err := <-v.done:
			v.cmd = nil
			return fmt.Errorf("it ended by itself: %w: %s", err, v.lastWords())
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("it is not ready after %s: %s: %s", most, why, v.lastWords())
		}
	}
	if n := len(v.away); n > 0 && v.away[n-1].to.IsZero() {
		v.away[n-1].to = time.Now()
	}
	return nil
}

// ready says what /readyz answers, nothing where it is ready.
func (v *victim) ready() string {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+v.addr+"/readyz", http.NoBody)
	if err != nil {
		return err.Error()
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	if resp.StatusCode == http.StatusOK {
		return ""
	}
	return strings.TrimSpace(string(body))
}

// signal sends one without waiting for anything.
func (v *victim) signal(s syscall.Signal) error {
	if err := v.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %s: %w", s, err)
	}
	return nil
}

// end sends a signal that ends it. Where that is not SIGKILL, it has to end well.
func (v *victim) end(s syscall.Signal) error {
	if err := v.signal(s); err != nil {
		return err
	}
	err := v.ended(patience)
	if exit := (*exec.ExitError)(nil); s == syscall.SIGKILL && errors.As(err, &exit) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("after %s: %w: %s", s, err, v.lastWords())
	}
	return nil
}

// ended waits until it has ended, and returns how it did.
func (v *victim) ended(most time.Duration) error {
	select {
	case err := <-v.done:
		v.cmd = nil
		if n := len(v.away); n == 0 || !v.away[n-1].to.IsZero() {
			v.away = append(v.away, absence{from: time.Now()})
		}
		return err
	case <-time.After(most):
		return fmt.Errorf("it still runs after %s", most)
	}
}

// integrity checks a copy of a store, as it lies there now, and says what is wrong with it.
func integrity(store, dir string) string {
	if strings.HasPrefix(store, "postgres://") {
		return "" // its pages are for the server to check
	}
	to, err := os.MkdirTemp(dir, "check-")
	if err != nil {
		return err.Error()
	}
	defer os.RemoveAll(to)
	// The file is written while it is copied: the log first, whose end may then be missing,
	// would be a state that never was. With whyrestart running SQLite's own backup is taken.
	copied := filepath.Join(to, "store.db")
	db, err := sql.Open("sqlite", store)
	if err != nil {
		return err.Error()
	}
	_, err = db.Exec("VACUUM INTO ?", copied)
	if err = errors.Join(err, db.Close()); err != nil {
		// VACUUM reads every page: damage shows here.
		return err.Error()
	}
	return checkCopy(copied)
}

// integrityAfterKill checks the files that a whyrestart left that does not run any more, and
// leaves them as they are.
func integrityAfterKill(store, dir string) string {
	to, err := os.MkdirTemp(dir, "check-")
	if err != nil {
		return err.Error()
	}
	defer os.RemoveAll(to)
	for _, end := range []string{"", "-wal", "-journal"} {
		data, err := os.ReadFile(store + end)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(to, "store.db"+end), data, 0o600)
		}
		if err != nil {
			return err.Error()
		}
	}
	return checkCopy(filepath.Join(to, "store.db"))
}

func checkCopy(file string) string {
	db, err := sql.Open("sqlite", file)
	if err != nil {
		return err.Error()
	}
	defer db.Close()
	var result string
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&result); err != nil {
		return err.Error()
	}
	if result != "ok" {
		return result
	}
	return ""
}
