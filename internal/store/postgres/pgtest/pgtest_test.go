package pgtest

import (
	"context"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestMain(m *testing.M) { os.Exit(Run(m)) }

func TestDatabasesAreApart(t *testing.T) {
	a, b := NewDatabase(t), NewDatabase(t)
	if a == b {
		t.Fatalf("two databases have one URL: %s", a)
	}
	s := Shared(t)
	s.Exec(t, name(t, a), "CREATE TABLE t (x int)")
	if got := s.Exec(t, name(t, b), "SELECT count(*) FROM pg_tables WHERE tablename = 't'"); got != "0" {
		t.Errorf("the table of one database is in the other")
	}
	if got := s.Exec(t, "postgres", "SELECT current_setting('listen_addresses') || current_setting('fsync')"); got != "off" {
		t.Errorf("addresses and fsync are %q, want none and off", got)
	}
}

// name returns the database of a URL.
func name(t *testing.T, location string) string {
	t.Helper()
	u, err := url.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(u.Path, "/")
}

func TestKillKeepsWhatWasCommitted(t *testing.T) {
	s := Start(t, Options{Durable: true})
	s.Exec(t, "postgres", "CREATE TABLE t AS SELECT 42 AS x")
	s.Kill(t)
	if s.Running() {
		t.Fatal("it runs after a kill")
	}
	s.Start(t)
	if got := s.Exec(t, "postgres", "SELECT x FROM t"); got != "42" {
		t.Errorf("after a kill: %q", got)
	}
	s.Stop(t)
	s.Start(t)
	if got := s.Exec(t, "postgres", "SELECT x FROM t"); got != "42" {
		t.Errorf("after a stop: %q", got)
	}
}

func TestStandbyHasEveryCommit(t *testing.T) {
	primary := Start(t, Options{})
	primary.Exec(t, "postgres", "CREATE TABLE t (x int)")
	standby := primary.Standby(t)
	for range 3 {
		primary.Exec(t, "postgres", "INSERT INTO t VALUES (1)")
	}
	primary.Kill(t)
	standby.Promote(t)
	standby.Exec(t, "postgres", "INSERT INTO t VALUES (1)")
	if got := standby.Exec(t, "postgres", "SELECT count(*) FROM t"); got != "4" {
		t.Errorf("the standby has %s rows, want 4", got)
	}
}

func TestAddress(t *testing.T) {
	s := Start(t, Options{TCP: true, Access: []string{"host all all 127.0.0.1/32 scram-sha-256"}})
	s.Exec(t, "postgres", "CREATE ROLE app LOGIN PASSWORD 'right'")
	_, port, ok := strings.Cut(s.Address(), ":")
	if !ok {
		t.Fatalf("the address is %q", s.Address())
	}
	for password, want := range map[string]bool{"right": true, "wrong": false} {
		cmd := s.command(t.Context(), "psql", "-X", "-h", "127.0.0.1", "-p", port, "-U", "app", "-c", "SELECT 1", "postgres")
		cmd.Env = append(cmd.Env, "PGPASSWORD="+password)
		if out, err := cmd.CombinedOutput(); (err == nil) != want {
			t.Errorf("with the %s password: %v: %s", password, err, out)
		}
	}
}

func TestFreeze(t *testing.T) {
	s := Start(t, Options{})
	s.Freeze(t)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := s.command(ctx, "psql", "-X", "-h", s.dir, "-p", s.port, "-U", Superuser, "-c", "SELECT 1", "postgres").Run(); ctx.Err() == nil {
		t.Errorf("a frozen server answered: %v", err)
	}
	s.Thaw(t)
	s.Exec(t, "postgres", "SELECT 1")
}

// A test process that is killed leaves neither a server nor its folder.
func TestNothingIsLeftOfAKilledTest(t *testing.T) {
	const helper = "WHYRESTART_PGTEST_HELPER"
	if os.Getenv(helper) != "" {
		s := Start(t, Options{})
		s.Freeze(t)
		os.Stdout.WriteString("folder " + s.dir + "\n")
		if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		select {}
	}
	if _, err := binaries(); err != nil {
		need(t, err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestNothingIsLeftOfAKilledTest$")
	cmd.Env = append(os.Environ(), helper+"=1")
	out, err := cmd.Output()
	if err == nil {
		t.Fatalf("the helper was not killed: %s", out)
	}
	_, dir, ok := strings.Cut(strings.TrimSpace(string(out)), "folder ")
	if !ok {
		t.Fatalf("the helper said %q", out)
	}
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(dir); os.IsNotExist(err) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%s is still there", dir)
		}
	}
}
