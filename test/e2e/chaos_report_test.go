//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// faultRow is a row of docs/reliability.md: one kind of fault, and what became of the
// stops that happened meanwhile.
type faultRow struct {
	// Group is what the fault is done to, such as "the process"; rows of one group stand together.
	Group string
	Fault string
	Tries int
	// Happened is how many container instances ended during the fault, by an account that
	// whyrestart has no part in. Each of them is Recorded on its own, counted as Missed,
	// or Unseen: its pod was deleted while nobody watched, within a gap that is stated.
	Happened, Recorded, Missed, Unseen int
	// Doubled are instances with two records, Lost are records that are stored and were not
	// printed as they are stored.
	Doubled, Lost int
	// LongestGap is the longest stated gap of the watch.
	LongestGap time.Duration
	Note       string
	Failed     bool
}

// faults are the rows of this run.
var faults struct {
	sync.Mutex
	rows []faultRow
	seed uint64
	form string
}

// reportFault adds a row to docs/reliability.md. Any test of the package may call it, also
// for a fault that has no row of its own in TestChaos, such as those of replicas.
func reportFault(r faultRow) {
	faults.Lock()
	defer faults.Unlock()
	faults.rows = append(faults.rows, r)
	fmt.Printf("fault: %s: %s: %d tries, %d happened = %d recorded + %d missed + %d unseen; %d doubled, %d lost; longest gap %s; %s\n",
		r.Group, r.Fault, r.Tries, r.Happened, r.Recorded, r.Missed, r.Unseen, r.Doubled, r.Lost, r.LongestGap.Round(100*time.Millisecond), r.Note)
}

// writeFaults writes docs/reliability.md where the environment asks for it.
func writeFaults(version string) error {
	file := os.Getenv("WHYRESTART_CHAOS_REPORT")
	faults.Lock()
	defer faults.Unlock()
	if file == "" || len(faults.rows) == 0 {
		return nil
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, reliabilityHead, faults.form, version, faults.seed)
	b.WriteString("| fault | tries | stops that happened | recorded in full | counted as missed | unseen, in a stated gap | doubled | printed lines lost | longest gap |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|---|\n")
	var groups []string
	for i := range faults.rows {
		if g := faults.rows[i].Group; !strings.Contains("\x00"+strings.Join(groups, "\x00")+"\x00", "\x00"+g+"\x00") {
			groups = append(groups, g)
		}
	}
	var sum faultRow
	var notes []string
	for _, g := range groups {
		fmt.Fprintf(&b, "| **%s** | | | | | | | | |\n", g)
		for i := range faults.rows {
			r := &faults.rows[i]
			if r.Group != g {
				continue
			}
			mark := ""
			if r.Note != "" {
				notes = append(notes, r.Note)
				mark = fmt.Sprintf(" [%d]", len(notes))
			}
			if r.Failed {
				mark += " **FAILED**"
			}
			gap := ""
			if r.LongestGap > 0 {
				gap = r.LongestGap.Round(100 * time.Millisecond).String()
			}
			fmt.Fprintf(&b, "| %s%s | %d | %d | %d | %d | %d | %d | %d | %s |\n", r.Fault, mark, r.Tries, r.Happened, r.Recorded, r.Missed, r.Unseen, r.Doubled, r.Lost, gap)
			sum.Tries += r.Tries
			sum.Happened += r.Happened
			sum.Recorded += r.Recorded
			sum.Missed += r.Missed
			sum.Unseen += r.Unseen
			sum.Doubled += r.Doubled
			sum.Lost += r.Lost
		}
	}
	fmt.Fprintf(&b, "| all | %d | %d | %d | %d | %d | %d | %d | |\n\n", sum.Tries, sum.Happened, sum.Recorded, sum.Missed, sum.Unseen, sum.Doubled, sum.Lost)
	for i, n := range notes {
		fmt.Fprintf(&b, "%d. %s\n", i+1, n)
	}
	b.WriteString(reliabilityTail)
	return os.WriteFile(file, b.Bytes(), 0o644)
}

const reliabilityHead = `# Reliability

Written by ` + "`make chaos`" + `: %s of faults on a real cluster (Kubernetes %s), seed %d (` + "`CHAOS_SEED`" + ` makes the same choices again).

## What is promised

- Every container stop is recorded once. Where the API no longer showed one when whyrestart could look again, it is counted: the
  next record of the container says how many were missed before it (` + "`missedBefore`" + `), and between which times.
- No stop is recorded twice, whatever was killed in between: identity and order are decided by container ID and restart count against marks
  that are stored in one transaction with the records.
- Every record that is stored is printed at least once, with the same ` + "`id`" + ` each time; the last line of an id is what is stored.
- When nothing was seen, a [gap](coverage.md) says so, with its bounds. A pod that is deleted within a gap takes with it what nobody saw of it:
  the API keeps nothing of a deleted pod. That is the one thing that cannot be counted, and the column "unseen" is how often it was so.

## How it is measured

Containers restart about every second throughout: plain pods, pods with a sidecar and with init containers, a StatefulSet and a Deployment whose
pods are deleted now and then. One of them exits with a code that follows from which of its instances it is, which a file in its pod
counts. What really happened is the account that [test/cluster](../test/cluster/README.md) keeps of containerd's own events. After each fault:

- each instance that ended by that account is recorded by its container ID, or covered by a ` + "`missedBefore`" + `; ordinals have no hole and no overlap;
- no container ID and no ordinal has two records, and each recorded exit code and ordinal is that of the account;
- what ` + "`whyrestart list`" + ` has is what was printed last of the same id;
- ` + "`PRAGMA integrity_check`" + ` is ok, also on a copy of the files right after a kill;
- ` + "`/readyz`" + ` answers 200 again, and there is a gap for each time that whyrestart did not run.

`

const reliabilityTail = `
## What this suite cannot do

- Clocks of processes cannot be stepped here. The [model](../test/model/doc.go) steps them; times that a node's clock got wrong never decide what
  a stop is or how many there were (identity goes before times).
- A loss of power. The kernel keeps what was written when a process is killed; that commits wait for the disk
  (` + "`synchronous=FULL`" + `) is tested by failing ` + "`fsync`" + `, not by pulling a plug.
- Many more interleavings than fit into minutes: the [model](../test/model/doc.go) plays the same pipeline and store against a simulated
  cluster, and [a store's own tests](../internal/store/sqlite) kill its process and fill its disk.
- Databases that speak the protocol of PostgreSQL and are not it: see [PostgreSQL](postgresql.md) for what was run.

## What follows for running it

- Run it under something that starts it again (a Deployment, systemd). It ends with an error, rather than go on without effect, where the
  API server does not answer at its start, where nobody reads its output any more, and where its store's file was taken away.
- Read its output with something that lasts, or from a file: what a reader leaves in a pipe when it dies is gone with it.
- A disk that fills or fails does not end it. ` + "`/readyz`" + ` answers 503 and says why; 20,000 records wait in memory, and are stored later.
- A damaged store is refused and left as it is. Restore a backup, or keep what ` + "`sqlite3 FILE .recover`" + ` reads of it; or move it away together with its
  -wal and -shm: then a new history begins, and only what restart counts still tell of the time before is known.
`
