package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Superuser is the role that may do everything, without a password.
const Superuser = "postgres"

// patience is how long a server may take to start or to stop.
const patience = time.Minute

// Options say how a server runs.
type Options struct {
	// Durable keeps fsync on, for tests about crashes of the machine. What a process wrote
	// survives its kill -9 without it.
	Durable bool
	// Settings are lines of postgresql.conf, by name.
	Settings map[string]string
	// Access are the lines of pg_hba.conf; nil for everyone without a password.
	Access []string
	// TCP also listens on the loopback address, at a free port, for what Unix sockets do not
	// have: TLS, and whatever stands between a client and a server.
	TCP bool
}

// Server is a PostgreSQL server. Its methods fail the test that they are called for.
type Server struct {
	bin    string
	dir    string
	owner  *syscall.Credential
	cmd    *exec.Cmd
	exited chan struct{}
	// guard is a process that cleans up if this one cannot; it waits for the end of hold.
	guard *exec.Cmd
	hold  io.Closer
	named atomic.Int64
	// port is that of the loopback address, and part of the socket's name.
	port string
}

// start makes a server and starts it.
func start(o Options) (*Server, error) {
	s, err := prepare()
	if err != nil {
		return nil, err
	}
	err = s.initialize(o)
	if err == nil {
		err = s.run()
	}
	if err != nil {
		err = fmt.Errorf("start PostgreSQL: %w\n%s", err, s.logTail())
		s.close()
		return nil, err
	}
	return s, nil
}

// prepare makes the folder of a server, and starts what will remove it.
func prepare() (*Server, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, port: "5432"}
	if s.owner, err = unprivileged(); err != nil {
		return nil, err
	}
	// Not t.TempDir: the name of a Unix socket has about a hundred bytes at most, and another
	// user has to reach the folder.
	if s.dir, err = os.MkdirTemp("/tmp", "pgtest"); err != nil {
		return nil, fmt.Errorf("make the folder of the server: %w", err)
	}
	if s.owner != nil {
		if err := os.Chown(s.dir, int(s.owner.Uid), int(s.owner.Gid)); err != nil {
			return nil, errors.Join(fmt.Errorf("give the folder of the server away: %w", err), os.RemoveAll(s.dir))
		}
	}
	if err := s.watch(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	return s, nil
}

// unprivileged returns whom the server runs as; nil for who runs the test. PostgreSQL
// refuses to run as root.
func unprivileged() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("read the ids of user %s: %w", name, err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid), NoSetGroups: false}, nil
	}
	return nil, errors.New("PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody")
}

// script is the guard: when its input ends, as it does when the test process is gone in
// whatever way, it thaws and kills what runs in the folder, and removes it.
const script = `cat >/dev/null
if [ -s frozen ]; then kill -CONT $(cat frozen) 2>/dev/null; fi
if [ -s data/postmaster.pid ]; then kill -KILL $(head -n 1 data/postmaster.pid) 2>/dev/null; fi
cd / && rm -rf "$0"`

func (s *Server) watch() error {
	// The guard outlives every test on purpose.
	s.guard = s.command(context.Background(), "/bin/sh", "-c", script, s.dir)
	in, err := s.guard.StdinPipe()
	if err != nil {
		return fmt.Errorf("watch over the server: %w", err)
	}
	s.hold = in
	if err := s.guard.Start(); err != nil {
		return fmt.Errorf("watch over the server: %w", err)
	}
	return nil
}

// command prepares a program to run in the folder of the server, as its owner, and beyond
// the reach of a Ctrl-C at this terminal.
func (s *Server) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	if !filepath.IsAbs(program) {
		program = filepath.Join(s.bin, program)
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + s.bin + ":/usr/bin:/bin", "LC_ALL=C", "HOME=" + s.dir, "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner, Setpgid: true}
	return cmd
}

// do runs a program to its end.
func (s *Server) do(program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := s.command(ctx, program, args...)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: %w: %s", filepath.Base(program), err, strings.TrimSpace(stderr.String()))
	}
	return out.String(), nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) initialize(o Options) error {
	if _, err := s.do("initdb", "--no-sync", "--auth=trust", "--username="+Superuser, "--encoding=UTF8", "--locale=C", "--pgdata="+s.data()); err != nil {
		return err
	}
	settings := map[string]string{
		"listen_addresses":        "",
		"unix_socket_directories": s.dir,
		"shared_buffers":          "16MB",
		"max_connections":         "100",
		"log_min_messages":        "warning",
		// A restart after a kill -9 need not wait for a checkpoint of gigabytes.
		"max_wal_size": "128MB",
	}
	if !o.Durable {
		settings["fsync"] = "off"
		settings["full_page_writes"] = "off"
	}
	if o.TCP {
		port, err := freePort()
		if err != nil {
			return err
		}
		s.port = port
		settings["listen_addresses"], settings["port"] = "127.0.0.1", port
	}
	maps.Copy(settings, o.Settings)
	var conf strings.Builder
	for name, value := range settings {
		fmt.Fprintf(&conf, "%s = '%s'\n", name, strings.ReplaceAll(value, "'", "''"))
	}
	if err := s.write("data/postgresql.auto.conf", conf.String()); err != nil {
		return err
	}
	if o.Access == nil {
		return nil
	}
	// The superuser of the test comes in whatever the test says of others.
	lines := append([]string{"local all " + Superuser + " trust", "local replication " + Superuser + " trust"}, o.Access...)
	return s.write("data/pg_hba.conf", strings.Join(lines, "\n")+"\n")
}

func freePort() (string, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, errors.Join(err, l.Close())
}

// write writes a file of the server's.
func (s *Server) write(name, content string) error {
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		return fmt.Errorf("write a file of the server: %w", err)
	}
	if s.owner != nil {
		if err := os.Chown(path, int(s.owner.Uid), int(s.owner.Gid)); err != nil {
			return fmt.Errorf("write a file of the server: %w", err)
		}
	}
	return nil
}

var errEnded = errors.New("the server ended")

// run starts the server and waits until it answers.
func (s *Server) run() error {
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the log of the server: %w", err)
	}
	defer log.Close()
	cmd := s.command(context.Background(), "postgres", "-D", s.data())
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("run the server: %w", err)
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		// How it ended stands in its log.
		_ = cmd.Wait()
	}()
	s.cmd, s.exited = cmd, exited
	return s.until("the server answers", func() (bool, error) {
		select {
		case <-exited:
			return false, errEnded
		default:
		}
		_, err := s.query("postgres", "SELECT 1")
		return err == nil, nil
	})
}

// until waits until done says so.
func (s *Server) until(what string, done func() (bool, error)) error {
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		ok, err := done()
		if err != nil {
			return fmt.Errorf("wait until %s: %w", what, err)
		}
		if ok {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("wait until %s: not within %v", what, patience)
		}
	}
}

func (s *Server) query(database, sql string) (string, error) {
	out, err := s.do("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", s.dir, "-p", s.port, "-U", Superuser, "-d", database, "-c", sql)
	return strings.TrimSpace(out), err
}

// close stops the server at once and removes all of it.
func (s *Server) close() {
	if s.cmd != nil {
		s.kill()
	}
	// Both are of no interest: what is left is a folder in /tmp.
	_ = s.hold.Close()
	_ = s.guard.Wait()
}

// logTail returns the last lines that the server wrote.
func (s *Server) logTail() string {
	all, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(all)), "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}

// Host is the folder of the server's socket, which stands for a host in URLs and settings.
func (s *Server) Host() string { return s.dir }

// Address is where a server with Options.TCP listens.
func (s *Server) Address() string { return net.JoinHostPort("127.0.0.1", s.port) }

// URL is that of a database of this server, for the superuser.
func (s *Server) URL(database string) string { return URL(database, s) }

// URL is that of a database which one of several servers has. Whoever connects tries them in
// their order, and takes the one that can be written to.
func URL(database string, servers ...*Server) string {
	hosts, ports := make([]string, 0, len(servers)), make([]string, 0, len(servers))
	for _, s := range servers {
		hosts, ports = append(hosts, s.dir), append(ports, s.port)
	}
	q := url.Values{"host": {strings.Join(hosts, ",")}, "port": {strings.Join(ports, ",")}}
	if len(servers) > 1 {
		q.Set("target_session_attrs", "read-write")
	}
	u := url.URL{Scheme: "postgres", User: url.User(Superuser), Path: "/" + database, RawQuery: q.Encode()}
	return u.String()
}

// NewDatabase returns the URL of an empty database, which is dropped when the test ends.
func (s *Server) NewDatabase(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test_%d", s.named.Add(1))
	s.Exec(t, "postgres", "CREATE DATABASE "+name)
	t.Cleanup(func() {
		// A server that the test has killed keeps it; its folder goes as a whole.
		if s.Running() {
			_, _ = s.query("postgres", "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
		}
	})
	return s.URL(name)
}

// Exec runs SQL in a database as the superuser, and returns what psql prints: a row a line,
// columns with | between them.
func (s *Server) Exec(t testing.TB, database, sql string) string {
	t.Helper()
	out, err := s.query(database, sql)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Running tells whether the server's process is there, frozen or not.
func (s *Server) Running() bool {
	if s.cmd == nil {
		return false
	}
	select {
	case <-s.exited:
		return false
	default:
		return true
	}
}

// Stop stops the server in an orderly way; who is connected is cut off.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	// SIGINT is the "fast" shutdown.
	if err := s.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatalf("stop the server: %v", err)
	}
	select {
	case <-s.exited:
	case <-time.After(patience):
		t.Fatalf("the server did not stop within %v\n%s", patience, s.logTail())
	}
}

// Start starts the server again after Stop or Kill, and waits until it answers.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	err := s.run()
	// A process that was killed holds the shared memory until the kernel has ended it, and a server
	// does not start beside it.
	for end := time.Now().Add(patience); errors.Is(err, errEnded) && time.Now().Before(end); err = s.run() {
		time.Sleep(100 * time.Millisecond)
	}
	if err != nil {
		t.Fatalf("start the server again: %v\n%s", err, s.logTail())
	}
}

// Kill ends all processes of the server at the same moment, as the loss of its machine does.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	if !s.Running() {
		t.Fatal("kill the server: it does not run")
	}
	s.kill()
}

func (s *Server) kill() {
	// Frozen first, so that none of them sees another die.
	for _, p := range s.freeze() {
		_ = syscall.Kill(p, syscall.SIGKILL)
	}
	_ = s.cmd.Process.Kill()
	<-s.exited
	_ = os.Remove(filepath.Join(s.dir, "frozen"))
}

// Freeze stops all processes of the server without ending them: connections stay open and
// nothing answers.
func (s *Server) Freeze(t testing.TB) {
	t.Helper()
	if len(s.freeze()) < 2 {
		t.Fatal("freeze the server: its processes were not found")
	}
}

func (s *Server) freeze() []int {
	if !s.Running() {
		return nil
	}
	// The one that makes processes first; so there are no new ones afterwards.
	main := s.cmd.Process.Pid
	_ = syscall.Kill(main, syscall.SIGSTOP)
	pids := append([]int{main}, children(main)...)
	text := make([]string, 0, len(pids))
	for _, p := range pids {
		text = append(text, strconv.Itoa(p))
		_ = syscall.Kill(p, syscall.SIGSTOP)
	}
	_ = s.write("frozen", strings.Join(text, "\n")+"\n")
	return pids
}

// Thaw lets a frozen server go on.
func (s *Server) Thaw(t testing.TB) {
	t.Helper()
	main := s.cmd.Process.Pid
	pids := append(children(main), main)
	for _, p := range pids {
		if err := syscall.Kill(p, syscall.SIGCONT); err != nil && p == main {
			t.Fatalf("thaw the server: %v", err)
		}
	}
	_ = os.Remove(filepath.Join(s.dir, "frozen"))
}

// children returns the processes that a process started: the server's, which put themselves
// into groups of their own.
func children(parent int) []int {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil
	}
	var pids []int
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		// "pid (name) state ppid ...", where the name may have brackets and blanks.
		_, rest, ok := strings.Cut(string(b[max(0, bytes.LastIndexByte(b, ')')):]), ") ")
		fields := strings.Fields(rest)
		if !ok || len(fields) < 2 || fields[1] != strconv.Itoa(parent) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids
}

// Own gives a file or folder to the user that the server runs as.
func (s *Server) Own(t testing.TB, path string) {
	t.Helper()
	if s.owner == nil {
		return
	}
	if err := os.Chown(path, int(s.owner.Uid), int(s.owner.Gid)); err != nil {
		t.Fatal(err)
	}
}
