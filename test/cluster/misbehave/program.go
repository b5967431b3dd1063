package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// program is the state that verbs leave for later: how to answer a SIGTERM and
// how to answer a probe.
type program struct {
	started time.Time
	onTerm  atomic.Pointer[func()]
	held    [][]byte

	// The server reads these while the script still changes them.
	readyFrom atomic.Int64 // nanoseconds after started
	failure   atomic.Pointer[failure]
}

// failure is what the server does to a probe from some time on.
type failure struct {
	after  time.Duration
	status int // 0: does not answer
}

func newProgram() *program {
	p := &program{started: time.Now()}
	p.setOnTerm(func() { os.Exit(0) })
	return p
}

func (p *program) setOnTerm(f func()) { p.onTerm.Store(&f) }

// obeySignals runs beside the script for as long as the program lives. Its
// being there also keeps the Go runtime from taking a script that waits for
// ever for a deadlock.
func (p *program) obeySignals() {
	terms := make(chan os.Signal, 1)
	signal.Notify(terms, syscall.SIGTERM)
	for range terms {
		(*p.onTerm.Load())()
	}
}

func (p *program) print(args arguments)  { fmt.Println(args.text(0)) }
func (p *program) stderr(args arguments) { fmt.Fprintln(os.Stderr, args.text(0)) }

func (p *program) lines(args arguments) {
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for i := range args.number(0) {
		fmt.Fprintf(out, "line %d\n", i+1)
	}
}

func (p *program) bytes(args arguments) {
	io.CopyN(os.Stdout, repeat('x'), int64(args.number(0)))
}

func (p *program) controlChars(arguments) {
	fmt.Print("\x1b[31mred\x1b[0m \x1b]0;title\x07 overwritten\rcarriage return \x00 \xff\xfe \x1b[2J\u202ereversed\n")
}

func (p *program) termMessage(args arguments) {
	if err := os.WriteFile("/dev/termination-log", []byte(args.text(0)), 0o644); err != nil {
		fail(err)
	}
}

func (p *program) write(args arguments) {
	file, err := os.Create(args.text(0))
	if err != nil {
		fail(err)
	}
	defer file.Close()
	if _, err := io.CopyN(file, repeat('x'), int64(args.number(1))); err != nil {
		fail(err)
	}
}

func (p *program) sleep(args arguments) { time.Sleep(args.duration(0)) }

func (p *program) forever(arguments) {
	for {
		time.Sleep(time.Hour)
	}
}

func (p *program) ignoreTerm(arguments)    { p.setOnTerm(func() {}) }
func (p *program) termExit(args arguments) { p.setOnTerm(func() { os.Exit(args.number(0)) }) }

func (p *program) termAfter(args arguments) {
	p.setOnTerm(func() {
		time.Sleep(args.duration(0))
		os.Exit(0)
	})
}

func (p *program) exit(args arguments) { os.Exit(args.number(0)) }

func (p *program) panic(arguments) {
	var settings map[string]string
	settings["mode"] = "strict"
}

func (p *program) signal(args arguments) {
	number, _ := parseSignal(args.text(0))
	// The kernel does not deliver to process 1 what would kill it, and the Go
	// runtime turns several signals into an exit with 2.
	if os.Getpid() != 1 && number == syscall.SIGKILL {
		syscall.Kill(os.Getpid(), number)
		time.Sleep(time.Second)
	}
	os.Exit(128 + int(number))
}

func (p *program) oom(arguments) {
	const chunk = 1 << 20
	var held [][]byte
	for {
		// Memory counts when it is touched, not when it is asked for.
		held = append(held, bytes.Repeat([]byte{1}, chunk))
	}
}

func (p *program) hold(args arguments) {
	p.held = append(p.held, bytes.Repeat([]byte{1}, args.number(0)))
}

func (p *program) childOOM(arguments) {
	self, err := os.Executable()
	if err != nil {
		fail(err)
	}
	child := exec.Command(self, "oom")
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	if err := child.Run(); err != nil {
		fmt.Fprintf(os.Stderr, "worker: %v\n", err)
	}
}

func (p *program) listen(args arguments) {
	listener, err := net.Listen("tcp", args.text(0))
	if err != nil {
		fail(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", p.answer)
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, r *http.Request) {
		if time.Since(p.started) < time.Duration(p.readyFrom.Load()) {
			http.Error(w, "warming up", http.StatusServiceUnavailable)
			return
		}
		p.answer(w, r)
	})
	go http.Serve(listener, mux)
}

func (p *program) grpcUnhealthy(args arguments) {
	listener, err := net.Listen("tcp", args.text(0))
	if err != nil {
		fail(err)
	}
	service := health.NewServer()
	service.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
	server := grpc.NewServer()
	healthpb.RegisterHealthServer(server, service)
	go server.Serve(listener)
}

func (p *program) answer(w http.ResponseWriter, r *http.Request) {
	f := p.failure.Load()
	switch {
	case f == nil || time.Since(p.started) < f.after:
		fmt.Fprintln(w, "ok")
	case f.status == 0:
		<-r.Context().Done()
	default:
		http.Error(w, "the database does not answer", f.status)
	}
}

func (p *program) readyAfter(args arguments) { p.readyFrom.Store(int64(args.duration(0))) }

func (p *program) failAfter(args arguments) {
	p.failure.Store(&failure{args.duration(0), http.StatusInternalServerError})
}

func (p *program) statusAfter(args arguments) {
	p.failure.Store(&failure{args.duration(0), args.number(1)})
}

func (p *program) hangAfter(args arguments) { p.failure.Store(&failure{after: args.duration(0)}) }

func (p *program) dial(args arguments) {
	conn, err := net.Dial("tcp", args.text(0))
	if err != nil {
		fail(err)
	}
	conn.Close()
}

func (p *program) open(args arguments) {
	file, err := os.Open(args.text(0))
	if err != nil {
		fail(err)
	}
	file.Close()
}

// create makes an empty file and reports whether it is new.
func (p *program) create(name string) bool {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL, 0o644)
	if os.IsExist(err) {
		return false
	}
	if err != nil {
		fail(err)
	}
	file.Close()
	return true
}

func (p *program) exitOnRun(args arguments) {
	if p.countRun(args.text(0)) == args.number(1) {
		os.Exit(args.number(2))
	}
}

func (p *program) exitUntilRun(args arguments) {
	if p.countRun(args.text(0)) < args.number(1) {
		os.Exit(args.number(2))
	}
}

// countRun adds a byte to the file and returns how many there are.
func (p *program) countRun(name string) int {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		fail(err)
	}
	defer file.Close()
	if _, err := file.WriteString("x"); err != nil {
		fail(err)
	}
	info, err := file.Stat()
	if err != nil {
		fail(err)
	}
	return int(info.Size())
}

func fail(err error) {
	fmt.Fprintf(os.Stderr, "fatal: %v\n", err)
	os.Exit(1)
}

// repeat is an endless reader of one byte.
type repeat byte

func (r repeat) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(r)
	}
	return len(p), nil
}

// parseSignal reads KILL, SIGKILL or 9.
func parseSignal(name string) (syscall.Signal, error) {
	if number, err := strconv.Atoi(name); err == nil && number > 0 && number < 65 {
		return syscall.Signal(number), nil
	}
	numbers := map[string]syscall.Signal{
		"HUP": syscall.SIGHUP, "INT": syscall.SIGINT, "QUIT": syscall.SIGQUIT, "ILL": syscall.SIGILL,
		"TRAP": syscall.SIGTRAP, "ABRT": syscall.SIGABRT, "BUS": syscall.SIGBUS, "FPE": syscall.SIGFPE,
		"KILL": syscall.SIGKILL, "USR1": syscall.SIGUSR1, "SEGV": syscall.SIGSEGV, "USR2": syscall.SIGUSR2,
		"PIPE": syscall.SIGPIPE, "ALRM": syscall.SIGALRM, "TERM": syscall.SIGTERM, "XCPU": syscall.SIGXCPU,
	}
	if number, ok := numbers[strings.TrimPrefix(name, "SIG")]; ok {
		return number, nil
	}
	return 0, fmt.Errorf("no signal is called %q", name)
}
