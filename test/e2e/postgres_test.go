//go:build e2e

package e2e

import (
	"syscall"
	"testing"
	"time"

	"github.com/whyrestart/whyrestart/internal/store/postgres/pgtest"
)

// groupDatabase is what these faults are done to, in docs/reliability.md.
const groupDatabase = "the database (PostgreSQL)"

// TestChaosPostgres does to the database of a whyrestart what can happen to one, while containers
// restart every second and whyrestart is killed in between. It is judged as TestChaos is.
func TestChaosPostgres(t *testing.T) {
	if theSuite.node == nil {
		t.Skipf("it takes the account of test/cluster: there is none in %s", stateDir())
	}
	primary := pgtest.Start(t, pgtest.Options{})
	primary.Exec(t, "postgres", "CREATE DATABASE history")
	standby := primary.Standby(t)
	k := newChaos(t, theSuite)
	k.store = pgtest.URL("history", primary, standby) + "&connect_timeout=2"
	k.program.store = k.store
	k.start()
	k.makeLoop()
	for _, f := range k.databaseFaults(primary, standby) {
		if !t.Run(f.name, func(t *testing.T) { k.play(t, f) }) && t.Context().Err() != nil {
			return
		}
	}
	t.Run("in the end", k.last)
}

func (k *chaos) databaseFaults(primary, standby *pgtest.Server) []fault {
	const cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'history' AND pid <> pg_backend_pid()"
	return []fault{
		{group: groupDatabase, name: "connections cut", run: func() (int, string) {
			n := k.times(10, 100)
			for range n {
				k.wait(k.moment(500 * time.Millisecond))
				primary.Exec(k.t, "history", cut)
			}
			return n, ""
		}},
		{group: groupDatabase, name: "server restarted", run: func() (int, string) {
			n := k.times(1, 5)
			for range n {
				primary.Stop(k.t)
				k.wait(k.moment(3 * time.Second))
				primary.Start(k.t)
				k.must(k.program.untilReady(patience), "wait until it stores again")
			}
			return n, ""
		}},
		{group: groupDatabase, name: "whyrestart killed while the database is away", run: func() (int, string) {
			n := k.times(1, 5)
			for range n {
				primary.Kill(k.t)
				k.wait(time.Second + k.moment(time.Second))
				k.must(k.program.end(syscall.SIGKILL), "kill whyrestart")
				k.must(k.program.start(), "start whyrestart without its database")
				k.wait(time.Second + k.moment(time.Second))
				primary.Start(k.t)
				k.must(k.program.untilReady(patience), "wait until it stores again")
			}
			return n, "What the killed process had in memory is recorded or counted by the next one."
		}},
		{group: groupDatabase, name: "whyrestart killed", run: func() (int, string) {
			n := k.times(5, 50)
			for range n {
				k.wait(k.moment(2 * time.Second))
				k.must(k.program.end(syscall.SIGKILL), "kill whyrestart")
				k.must(k.program.start(), "start whyrestart")
			}
			return n, ""
		}},
		{group: groupDatabase, name: "failover to a synchronous standby", run: func() (int, string) {
			primary.Kill(k.t)
			k.wait(time.Second + k.moment(time.Second))
			standby.Promote(k.t)
			k.must(k.program.untilReady(patience), "wait until it stores again")
			return 1, ""
		}},
	}
}
