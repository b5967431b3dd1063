package pgtest

import (
	"fmt"
	"testing"
)

// Standby starts a streaming standby of the server, and makes the server wait for it with every
// commit: what was acknowledged is on both. Its settings are those of the server.
func (s *Server) Standby(t testing.TB) *Server {
	t.Helper()
	b, err := prepare()
	need(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the last lines of the standby:\n%s", b.logTail())
		}
		b.close()
	})
	name := fmt.Sprintf("standby%d", s.named.Add(1))
	from := fmt.Sprintf("host=%s port=%s user=%s application_name=%s", s.dir, s.port, Superuser, name)
	if _, err := b.do("pg_basebackup", "--no-sync", "--checkpoint=fast", "--wal-method=stream", "--write-recovery-conf", "--dbname="+from, "--pgdata="+b.data()); err != nil {
		t.Fatalf("copy the server: %v", err)
	}
	// The last of several lines counts. A standby listens on its socket alone.
	if _, err := b.do("/bin/sh", "-c", `printf "unix_socket_directories = '%s'\nlisten_addresses = ''\nport = 5432\n" "$0" >>data/postgresql.auto.conf`, b.dir); err != nil {
		t.Fatalf("configure the standby: %v", err)
	}
	if err := b.run(); err != nil {
		t.Fatalf("start the standby: %v\n%s", err, b.logTail())
	}
	s.Exec(t, "postgres", fmt.Sprintf("ALTER SYSTEM SET synchronous_standby_names = '%s'", name))
	s.Exec(t, "postgres", "SELECT pg_reload_conf()")
	err = s.until("the standby is synchronous", func() (bool, error) {
		state, err := s.query("postgres", fmt.Sprintf("SELECT sync_state FROM pg_stat_replication WHERE application_name = '%s' AND state = 'streaming'", name))
		return state == "sync", err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Promote makes a standby a primary, and waits until it takes writes.
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	if got := s.Exec(t, "postgres", "SELECT pg_promote(true, 60)"); got != "t" {
		t.Fatalf("promote the standby: pg_promote says %q", got)
	}
}

// Alone ends the waiting for standbys: what is committed from now on is on this server alone.
func (s *Server) Alone(t testing.TB) {
	t.Helper()
	s.Exec(t, "postgres", "ALTER SYSTEM SET synchronous_standby_names = ''")
	s.Exec(t, "postgres", "SELECT pg_reload_conf()")
}
