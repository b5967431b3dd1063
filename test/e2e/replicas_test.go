//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store/postgres/pgtest"
)

const (
	// The times of the election in this test: those of a cluster are five times as long.
	replicasLease, replicasRenew, replicasRetry = 3 * time.Second, 2 * time.Second, 500 * time.Millisecond
)

// TestReplicas runs three replicas on one history, takes the leader away in every way there is, and holds
// that each container that ended meanwhile was recorded and printed, once, and that no gap is told.
// The test is the kubelet: it writes the statuses, and so knows how often each container ended.
func TestReplicas(t *testing.T) {
	rounds := 1
	if os.Getenv("CHAOS_FOR") != "" {
		rounds = 5
	}
	play := func(t *testing.T, store string) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute+time.Duration(rounds)*2*time.Minute)
		defer cancel()
		f, err := newCrew(ctx, t, theSuite.kube, theSuite.program.bin, theSuite.program.kubeconfig, store)
		if err != nil {
			t.Fatal(err)
		}
		f.play(ctx, rounds)
	}
	t.Run("SQLite", func(t *testing.T) { play(t, filepath.Join(t.TempDir(), "replicas.db")) })
	t.Run("PostgreSQL", func(t *testing.T) { play(t, pgtest.NewDatabase(t)) })
}

// groupReplicas is what these faults are done to, in docs/reliability.md.
const groupReplicas = "the leader of three replicas"

// crew is the replicas, and the pods that they watch.
type crew struct {
	space   string
	t       *testing.T
	dir     string
	store   string
	bin     string
	all     []*replica
	kubelet *puppets
}

// replica is one whyrestart, which reaches the API server through a line of its own.
type replica struct {
	name string
	addr string
	args []string
	log  *os.File
	line *line

	cmd  *exec.Cmd
	done chan struct{}

	mu      sync.Mutex
	printed map[string]int // by ID
}

func newCrew(ctx context.Context, t *testing.T, kube kubernetes.Interface, bin, kubeconfig, store string) (*crew, error) {
	c := &crew{t: t, dir: t.TempDir(), bin: bin, store: store}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "whyrestart-replicas-", Labels: map[string]string{"whyrestart.test/suite": "e2e"}}}
	ns, err := kube.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	c.space = ns.Name
	t.Cleanup(func() {
		last, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := kube.CoreV1().Namespaces().Delete(last, c.space, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	for _, name := range []string{"a", "b", "c"} {
		r, err := c.newReplica(name, kubeconfig)
		if err != nil {
			return nil, err
		}
		c.all = append(c.all, r)
	}
	c.kubelet = &puppets{pods: kube.CoreV1().Pods(c.space), ended: make(map[string]int)}
	return c, nil
}

func (c *crew) newReplica(name, kubeconfig string) (*replica, error) {
	raw, err := clientcmd.LoadFromFile(kubeconfig)
	if err != nil {
		return nil, err
	}
	r := &replica{name: name, printed: make(map[string]int)}
	for _, cluster := range raw.Clusters {
		host := strings.TrimPrefix(cluster.Server, "https://")
		if r.line, err = openLine(host); err != nil {
			return nil, err
		}
		c.t.Cleanup(r.line.close)
		if cluster.TLSServerName == "" && !cluster.InsecureSkipTLSVerify {
			if cluster.TLSServerName, _, err = net.SplitHostPort(host); err != nil {
				return nil, err
			}
		}
		cluster.Server = "https://" + r.line.address()
	}
	file := filepath.Join(c.dir, name+".kubeconfig")
	if err := clientcmd.WriteToFile(*raw, file); err != nil {
		return nil, err
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r.addr = free.Addr().String()
	if err := free.Close(); err != nil {
		return nil, err
	}
	if r.log, err = os.Create(filepath.Join(c.dir, name+".log")); err != nil {
		return nil, err
	}
	r.args = []string{
		"serve", "--kubeconfig", file, "--store", c.store, "--listen", r.addr, "--namespace", c.space, "--logs=false",
		"--settle", "500ms", "--cluster-name", "replicas",
		"--leader-elect", "--leader-elect-resource-namespace", c.space, "--leader-elect-lease-duration", replicasLease.String(),
		"--leader-elect-renew-deadline", replicasRenew.String(), "--leader-elect-retry-period", replicasRetry.String(),
	}
	return r, nil
}

func (r *replica) start(bin string) error {
	cmd := exec.Command(bin, r.args...)
	cmd.Stderr = r.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	r.cmd, r.done = cmd, done
	go func() {
		defer close(done)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<24)
		for lines.Scan() {
			var rec record.Record
			if json.Unmarshal(lines.Bytes(), &rec) == nil { // a kill cuts the last line
				r.mu.Lock()
				r.printed[rec.ID]++
				r.mu.Unlock()
			}
		}
		_ = cmd.Wait() // how it ended is told by its log
	}()
	return nil
}

// role is what it says of itself; nothing where it does not answer.
func (r *replica) role() string {
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.addr+"/readyz", http.NoBody)
	if err != nil {
		return ""
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(body))
}

// leader waits for one that leads and is not among some, and that all others that run follow.
func (c *crew) leader(ctx context.Context, not ...*replica) *replica {
	c.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for time.Now().Before(deadline) && ctx.Err() == nil {
	next:
		for _, r := range c.all {
			for _, n := range not {
				if r == n {
					continue next
				}
			}
			if r.role() == "ok (leader)" {
				return r
			}
		}
		c.pause(ctx, 20*time.Millisecond)
	}
	for _, r := range c.all {
		c.t.Logf("%s says %q", r.name, r.role())
	}
	c.fatal("nobody leads")
	return nil
}

func (c *crew) follows(ctx context.Context, r *replica) {
	c.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); c.pause(ctx, 20*time.Millisecond) {
		if r.role() == "ok (follower)" {
			return
		}
	}
	c.fatal("%s does not follow: %q", r.name, r.role())
}

func (c *crew) pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (c *crew) fatal(format string, args ...any) {
	c.t.Helper()
	for _, r := range c.all {
		words, err := os.ReadFile(r.log.Name())
		c.t.Logf("%s: %v\n%s", r.name, err, words[max(0, len(words)-6000):])
	}
	c.t.Fatalf(format, args...)
}

func (c *crew) play(ctx context.Context, rounds int) {
	for _, r := range c.all {
		if err := r.start(c.bin); err != nil {
			c.t.Fatal(err)
		}
	}
	first := c.leader(ctx)
	for _, r := range c.all {
		if r != first {
			c.follows(ctx, r)
		}
	}
	stop := c.kubelet.run(ctx, 6)
	c.pause(ctx, 2*time.Second)
	const soon = replicasRetry*6/5 + 5*time.Second // what a busy machine takes on top
	frozen := replicasLease
	if strings.Contains(c.store, "://") {
		// It may be frozen in a transaction: the server gives that up after 10 seconds, and then another
		// one can claim the history.
		frozen = max(frozen, 10*time.Second)
	}
	faults := []struct {
		name string
		// within is how long it may take until another one leads.
		within time.Duration
		strike func(*replica) (heal func())
	}{
		{"killed", replicasLease + soon, func(r *replica) func() {
			_ = r.cmd.Process.Kill()
			<-r.done
			return func() { c.must(r.start(c.bin)) }
		}},
		{"frozen", frozen + soon, func(r *replica) func() {
			c.freeze(r)
			return func() { _ = r.cmd.Process.Signal(syscall.SIGCONT) }
		}},
		{"cut off from the API server", replicasLease + soon, func(r *replica) func() {
			r.line.hold(true)
			return func() { r.line.hold(false) }
		}},
		{"told to stop", soon, func(r *replica) func() {
			_ = r.cmd.Process.Signal(syscall.SIGTERM)
			<-r.done
			return func() { c.must(r.start(c.bin)) }
		}},
	}
	longest := make(map[string]time.Duration)
	for range rounds {
		for _, fault := range faults {
			was := c.leader(ctx)
			before := c.kubelet.total()
			began := time.Now()
			heal := fault.strike(was)
			next := c.leader(ctx, was)
			took := time.Since(began)
			c.pause(ctx, time.Second)
			heal()
			c.follows(ctx, was)
			c.pause(ctx, time.Second)
			c.t.Logf("the leader was %s: %s led after %s; %d containers ended meanwhile", fault.name, next.name, took.Round(10*time.Millisecond), c.kubelet.total()-before)
			if took > fault.within {
				c.t.Errorf("the leader was %s: another one led after %s, want %s", fault.name, took, fault.within)
			}
			longest[fault.name] = max(longest[fault.name], took)
		}
	}
	stop()
	c.pause(ctx, 2*time.Second)
	for _, r := range c.all {
		_ = r.cmd.Process.Signal(syscall.SIGTERM)
	}
	for _, r := range c.all {
		<-r.done
	}
	row := c.judge(ctx)
	var took []string
	for _, fault := range faults {
		row.Tries += rounds
		took = append(took, fmt.Sprintf("%s %.1f s", fault.name, longest[fault.name].Seconds()))
	}
	row.Note = fmt.Sprintf("A lease of %s, tried for every %s. Until another one led it took at most: %s. The stops are written by the test, as no kubelet runs these pods.",
		replicasLease, replicasRetry, strings.Join(took, ", "))
	reportFault(row)
}

// freeze stops a replica while it holds no lock of SQLite: nobody can take that from it.
func (c *crew) freeze(r *replica) {
	c.t.Helper()
	for range 100 {
		_ = r.cmd.Process.Signal(syscall.SIGSTOP)
		time.Sleep(10 * time.Millisecond)
		if strings.Contains(c.store, "://") {
			return
		}
		db, err := sql.Open("sqlite", c.store+"?_txlock=immediate&_pragma=busy_timeout(0)")
		c.must(err)
		tx, err := db.Begin()
		if err == nil {
			err = tx.Rollback()
		}
		if cerr := db.Close(); err == nil && cerr == nil {
			return
		}
		_ = r.cmd.Process.Signal(syscall.SIGCONT)
		time.Sleep(10 * time.Millisecond)
	}
	c.fatal("it holds the lock all the time")
}

func (c *crew) must(err error) {
	c.t.Helper()
	if err != nil {
		c.fatal("%v", err)
	}
}

// judge compares what is stored and printed with what the kubelet knows.
func (c *crew) judge(ctx context.Context) faultRow {
	row := faultRow{Group: groupReplicas, Fault: "killed, frozen and let go, cut off, and stopped (SQLite)"}
	if strings.Contains(c.store, "://") {
		row.Fault = "killed, frozen and let go, cut off, and stopped (PostgreSQL)"
	}
	doc, err := (&program{bin: c.bin, store: c.store}).list(ctx)
	c.must(err)
	recorded, missed := make(map[string]int), make(map[string]int)
	ids := make(map[string]bool)
	for i := range doc.Findings {
		r := &doc.Findings[i]
		if r.Kind != record.KindStop || r.Namespace != c.space {
			continue
		}
		if ids[r.ID] {
			c.t.Errorf("%s is stored twice", r.ID)
			row.Doubled++
		}
		ids[r.ID] = true
		recorded[r.PodUID]++
		missed[r.PodUID] += r.MissedBefore
		told := 0
		for _, rep := range c.all {
			rep.mu.Lock()
			told += rep.printed[r.ID]
			rep.mu.Unlock()
		}
		if told == 0 {
			c.t.Errorf("%s of %s is stored and was never printed", r.ID, r.Pod)
			row.Lost++
		}
	}
	for _, rep := range c.all {
		for id := range rep.printed {
			if !ids[id] {
				c.t.Errorf("%s printed %s, which is not stored", rep.name, id)
			}
		}
	}
	for uid, n := range c.kubelet.ended {
		row.Happened += n
		row.Recorded += recorded[uid]
		row.Missed += missed[uid]
		if recorded[uid] != n {
			c.t.Errorf("pod %s: %d containers ended, %d recorded and %d counted as missed", uid, n, recorded[uid], missed[uid])
		}
	}
	c.t.Logf("%d ended: %d recorded, %d missed; %d gaps", row.Happened, row.Recorded, row.Missed, len(doc.Coverage.Gaps))
	for _, g := range doc.Coverage.Gaps {
		if g.Kind == record.GapWatch || g.Kind == "" {
			c.t.Errorf("a gap is told: %s to %s: %s", g.From.Format(time.TimeOnly), g.To.Format(time.TimeOnly), g.Why)
		}
	}
	if c.t.Failed() {
		row.Failed = true
		c.fatal("see what they said")
	}
	return row
}

// puppets are pods that no kubelet runs: their statuses are written here.
type puppets struct {
	pods corev1client.PodInterface

	mu    sync.Mutex
	ended map[string]int // by UID
}

func (p *puppets) total() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, c := range p.ended {
		n += c
	}
	return n
}

// run lets containers of n pods restart about every second until the function that it returns is called.
func (p *puppets) run(ctx context.Context, n int) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(i)))
			for life := 0; ctx.Err() == nil; life++ {
				p.live(ctx, fmt.Sprintf("puppet-%d-%d", i, life), random, 4+3*i)
			}
		})
	}
	return func() { cancel(); all.Wait() }
}

// live makes a pod, lets its container end about a number of times, and deletes it.
func (p *puppets) live(ctx context.Context, name string, random *rand.Rand, times int) {
	always := context.WithoutCancel(ctx) // what was begun is finished, so that what is known is true
	pod, err := p.pods.Create(always, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PodSpec{
			SchedulerName: "nobody", TerminationGracePeriodSeconds: new(int64),
			Containers: []corev1.Container{{Name: "main", Image: "none.test/none"}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
		return
	}
	write := func(s corev1.ContainerStatus) bool {
		s.Name, s.Image = "main", "none.test/none"
		pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{s}}
		updated, err := p.pods.UpdateStatus(always, pod, metav1.UpdateOptions{})
		if err == nil {
			pod = updated
		}
		return err == nil
	}
	rest := func(d time.Duration) {
		select {
		case <-ctx.Done():
		case <-time.After(d/2 + time.Duration(random.Int64N(int64(d)))):
		}
	}
	id := func(n int) string { return fmt.Sprintf("containerd://%s-%d", pod.UID, n) }
	var last *corev1.ContainerStateTerminated
	running := false
	for n := 0; n < times && ctx.Err() == nil; n++ {
		begin := metav1.Now()
		s := corev1.ContainerStatus{RestartCount: int32(n), ContainerID: id(n)}
		s.State.Running = &corev1.ContainerStateRunning{StartedAt: begin}
		s.LastTerminationState.Terminated = last
		if !write(s) {
			return
		}
		running = true
		rest(600 * time.Millisecond)
		if n == times-1 {
			break // it is deleted while it runs
		}
		last = &corev1.ContainerStateTerminated{ExitCode: int32(1 + n%100), Reason: "Error", ContainerID: id(n), StartedAt: begin, FinishedAt: metav1.Now()}
		running = false
		if random.IntN(3) > 0 { // else the next one is seen to run already
			s.State = corev1.ContainerState{Terminated: last}
			s.LastTerminationState = corev1.ContainerState{}
			if !write(s) {
				return
			}
		}
		p.end(pod)
		rest(200 * time.Millisecond)
	}
	if last != nil && !running {
		// Whatever was written last shows the end: of one that was not, the next start does.
		s := corev1.ContainerStatus{RestartCount: int32(0), ContainerID: last.ContainerID}
		fmt.Sscanf(last.ContainerID[strings.LastIndex(last.ContainerID, "-")+1:], "%d", &s.RestartCount)
		s.State.Terminated = last
		if !write(s) {
			return
		}
	}
	if err := p.pods.Delete(always, name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)}); err == nil && running {
		p.end(pod)
	}
}

func (p *puppets) end(pod *corev1.Pod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended[string(pod.UID)]++
}

// line is a way to the API server that can be held: what is on it waits, and nobody is told.
type line struct {
	listener net.Listener
	to       string
	held     atomic.Bool
	ctx      context.Context //nolint:containedctx // of what it carries
	stop     context.CancelFunc
}

func openLine(to string) (*line, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &line{listener: listener, to: to}
	l.ctx, l.stop = context.WithCancel(context.Background())
	go func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			go l.carry(from)
		}
	}()
	return l, nil
}

func (l *line) address() string { return l.listener.Addr().String() }

func (l *line) hold(yes bool) { l.held.Store(yes) }

func (l *line) close() {
	l.stop()
	_ = l.listener.Close()
}

func (l *line) carry(from net.Conn) {
	defer from.Close()
	to, err := new(net.Dialer).DialContext(l.ctx, "tcp", l.to)
	if err != nil {
		return
	}
	defer to.Close()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{from, to}, {to, from}} {
		both.Go(func() {
			defer way[0].Close()
			defer way[1].Close()
			l.copy(way[1], way[0])
		})
	}
	both.Wait()
}

func (l *line) copy(to io.Writer, from io.Reader) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		for l.held.Load() && l.ctx.Err() == nil {
			time.Sleep(10 * time.Millisecond)
		}
		if n > 0 {
			if _, werr := to.Write(buf[:n]); werr != nil {
				err = errors.Join(err, werr)
			}
		}
		if err != nil {
			return
		}
	}
}
