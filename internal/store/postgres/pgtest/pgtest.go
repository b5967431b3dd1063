// Package pgtest runs real PostgreSQL servers for tests: on a Unix socket alone, in a
// folder of their own, never as root, and gone when the test is, also where the test
// process was killed. It needs a PostgreSQL that is installed; a test without one is
// skipped, but fails where CI is set to true, so that CI cannot skip it unseen.
package pgtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// shared is the server of the test binary.
type shared struct {
	mu     sync.Mutex
	server *Server
	// err is why there is none.
	err error
	// runs tells that Run stops it.
	runs bool
}

//nolint:gochecknoglobals // one server for a test binary, whatever test is the first to need it
var common shared

// Run runs the tests with one server for all of them, started by the first that asks for a
// database, and returns the exit code for os.Exit. TestMain of a package with several tests
// calls it; without it, each test has a server of its own.
func Run(m *testing.M) int {
	common.mu.Lock()
	common.runs = true
	common.mu.Unlock()
	code := m.Run()
	common.mu.Lock()
	defer common.mu.Unlock()
	if common.server != nil {
		common.server.close()
	}
	return code
}

// NewDatabase returns the URL of an empty database, which is dropped when the test ends.
func NewDatabase(t testing.TB) string {
	t.Helper()
	return Shared(t).NewDatabase(t)
}

// Shared returns the server that the tests of a binary have in common. Who stops, kills or
// freezes one starts one with Start.
func Shared(t testing.TB) *Server {
	t.Helper()
	common.mu.Lock()
	defer common.mu.Unlock()
	if !common.runs {
		return Start(t, Options{})
	}
	if common.server == nil && common.err == nil {
		common.server, common.err = start(Options{})
	}
	need(t, common.err)
	return common.server
}

// Start starts a server, and stops it when the test ends.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	s, err := start(o)
	need(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the last lines of the PostgreSQL server:\n%s", s.logTail())
		}
		s.close()
	})
	return s
}

// errNone is that there is no PostgreSQL on this machine.
var errNone = errors.New("there is no PostgreSQL server on this machine (Debian: apt-get install --no-install-recommends postgresql)")

// need ends the test where err says that there is no server for it.
func need(t testing.TB, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if errors.Is(err, errNone) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	t.Fatal(err)
}

// programs are what a folder of PostgreSQL's has to have.
func programs() []string { return []string{"postgres", "initdb", "pg_basebackup", "psql"} }

// binaries returns the folder with PostgreSQL's programs: the one that the PATH leads to, else
// the newest where distributions put them.
func binaries() (string, error) {
	var dirs []string
	if p, err := exec.LookPath("postgres"); err == nil {
		// Debian has links and wrappers on the PATH; the programs are where the server is.
		if real, err := filepath.EvalSymlinks(p); err == nil {
			dirs = append(dirs, filepath.Dir(real))
		}
	}
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin", "/usr/local/opt/postgresql*/bin", "/usr/local/pgsql/bin"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return "", fmt.Errorf("look for PostgreSQL: %w", err)
		}
		slices.SortFunc(found, func(a, b string) int { return version(b) - version(a) })
		dirs = append(dirs, found...)
	}
	for _, dir := range dirs {
		if !slices.ContainsFunc(programs(), func(name string) bool {
			_, err := exec.LookPath(filepath.Join(dir, name))
			return err != nil
		}) {
			return dir, nil
		}
	}
	return "", errNone
}

// version is the number in the name of a folder, such as 15 in /usr/lib/postgresql/15/bin.
func version(dir string) int {
	digits := strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, dir)
	n, err := strconv.Atoi(digits)
	if err != nil {
		return 0
	}
	return n
}
