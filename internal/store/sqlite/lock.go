package sqlite

import (
	"errors"
	"fmt"
	"os"
)

// Lock is how a process that goes on writing to a file keeps others from doing so.
type Lock int

// NoLock is for who reads, or writes a word and goes: SQLite's own locks are enough. An Exclusive lock
// is refused where there is any other, a Shared one where there is an exclusive one. The kernel
// releases a lock when the process ends, however it does.
const (
	NoLock Lock = iota
	Shared
	Exclusive
)

// errLocked is what a lock is refused with.
var errLocked = errors.New("another whyrestart server has it open; stop that one first, or give this one a --store of its own " +
	"(to run several replicas, give each of them --leader-elect)")

// lock takes a lock on a file beside the history. It is not on the history itself: to close any
// descriptor of that gives up the locks that SQLite holds on it (fcntl(2), "record locks are
// automatically released").
func lock(path string, l Lock) (*os.File, error) {
	if l == NoLock {
		return nil, nil
	}
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock beside it: %w", err)
	}
	if err := flock(f, l == Exclusive); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
