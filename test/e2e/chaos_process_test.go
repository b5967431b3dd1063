//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

const (
	groupProcess = "the process"
	groupServer  = "the API server and etcd"
	groupNetwork = "the network (toxiproxy)"
	groupDisk    = "the disk"
	groupFile    = "the store's file"
	groupOutput  = "standard output"
)

func (k *chaos) processFaults() []fault {
	return []fault{
		{group: groupProcess, name: "SIGTERM and SIGINT", run: func() (int, string) {
			n := k.times(3, 8)
			for range n {
				s := syscall.SIGTERM
				if k.random.IntN(2) == 0 {
					s = syscall.SIGINT
				}
				k.wait(k.moment(1500 * time.Millisecond))
				k.must(k.program.end(s), "stop whyrestart")
				k.start()
			}
			return n, ""
		}},
		{group: groupProcess, name: "a second signal, or SIGKILL, while it shuts down", run: func() (int, string) {
			n := k.times(3, 8)
			for i := range n {
				k.wait(k.moment(1500 * time.Millisecond))
				k.must(k.program.signal(syscall.SIGTERM), "stop whyrestart")
				k.wait(k.moment(60 * time.Millisecond))
				k.must(k.program.signal([]syscall.Signal{syscall.SIGTERM, syscall.SIGKILL, syscall.SIGINT}[i%3]), "stop whyrestart again")
				if err := k.program.ended(patience); err != nil && !errors.As(err, new(*exec.ExitError)) {
					k.t.Fatal(err)
				}
				k.start()
			}
			return n, ""
		}},
		{group: groupProcess, name: "kill -9 while it makes a new store", run: k.killNew},
		{group: groupProcess, name: "SIGSTOP, and the watch cannot be resumed (410)", run: func() (int, string) {
			// The cache of an API server that was restarted begins where it started.
			n := 1
			for range n {
				k.must(k.program.signal(syscall.SIGSTOP), "freeze whyrestart")
				k.wait(k.during(2*time.Second, 5*time.Second))
				k.do("compact-etcd")
				k.do("restart-apiserver")
				k.wait(2 * time.Second)
				k.do("compact-etcd")
				k.must(k.program.signal(syscall.SIGCONT), "thaw whyrestart")
			}
			return n, "etcd is compacted and the API server restarted meanwhile, so that what was asked for last does not exist any more."
		}},
		{group: groupProcess, name: "SIGSTOP for longer than the watch cache keeps", long: true, run: func() (int, string) {
			k.must(k.program.signal(syscall.SIGSTOP), "freeze whyrestart")
			k.wait(90 * time.Second)
			k.do("compact-etcd")
			k.must(k.program.signal(syscall.SIGCONT), "thaw whyrestart")
			k.wait(3 * time.Second)
			return 1, "90 s, and etcd is compacted meanwhile; the API server keeps the events of about 75 s. Where the sockets take what it sends in that time, it is all there afterwards, and nothing is missed."
		}},
		{group: groupProcess, name: "out of memory, killed by the kernel", run: k.outOfMemory},
	}
}

// killing is the last fault: it takes what is left of the time.
func (k *chaos) killing() []fault {
	return []fault{{group: groupProcess, name: "kill -9 at random moments", run: func() (int, string) {
		kills := 0
		for kills < k.times(25, killsAtLeast) || time.Since(k.began) < k.lasts {
			if k.only != nil && kills >= k.times(25, killsAtLeast) {
				break
			}
			k.wait(k.lifetime())
			k.must(k.program.end(syscall.SIGKILL), "kill whyrestart")
			kills++
			if kills%5 == 0 {
				if problem := integrityAfterKill(k.store, k.dir); problem != "" {
					k.t.Errorf("after kill %d the store is damaged: %s", kills, problem)
				}
			}
			if k.random.IntN(8) == 0 {
				k.wait(k.moment(2 * time.Second)) // away for longer
			}
			k.must(k.program.start(), "start whyrestart")
			if kills%5 == 0 {
				k.must(k.program.untilReady(patience), "wait for whyrestart")
			}
		}
		return kills, "From 0 to 2.5 s after its start, one in three within its first 300 ms; the files are checked after each fifth kill, before anybody else opens them."
	}}}
}

// lifetime is how long whyrestart may live: one in three times it is not ready yet.
func (k *chaos) lifetime() time.Duration {
	if k.random.IntN(3) == 0 {
		return k.moment(300 * time.Millisecond)
	}
	return k.moment(2500 * time.Millisecond)
}

// killNew kills a whyrestart beside the other one while it makes the tables of a new
// store, and holds that the next one can go on with what it left.
func (k *chaos) killNew() (int, string) {
	n := k.times(4, 12)
	for i := range n {
		store := filepath.Join(k.dir, fmt.Sprintf("new-%d", i), "whyrestart.db")
		ctx := k.ctx
		cmd := exec.CommandContext(ctx, k.program.bin, "serve", "--kubeconfig", k.program.kubeconfig, "--store", store, "--listen", "127.0.0.1:0")
		k.must(cmd.Start(), "start another whyrestart")
		k.wait(30*time.Millisecond + k.moment(120*time.Millisecond))
		k.must(cmd.Process.Kill(), "kill it")
		_ = cmd.Wait() // it was killed
		if _, err := os.Stat(store); err != nil {
			continue // it had not come so far
		}
		if problem := integrityAfterKill(store, k.dir); problem != "" {
			k.t.Errorf("a new store is damaged: %s", problem)
		}
		// Its own command, which opens it to write.
		again := exec.CommandContext(ctx, k.program.bin, "serve", "--kubeconfig", k.program.kubeconfig, "--store", store, "--listen", "127.0.0.1:0")
		again.Stderr = k.program.stderr
		k.must(again.Start(), "start it again")
		k.wait(400 * time.Millisecond)
		k.must(again.Process.Signal(syscall.SIGTERM), "stop it")
		if err := again.Wait(); err != nil {
			k.t.Errorf("a whyrestart that was killed while it made its store does not start any more: %v: %s", err, k.program.lastWords())
		}
		k.must(os.RemoveAll(filepath.Dir(store)), "remove the store")
	}
	return n, "30 to 150 ms after the start, in a whyrestart of its own; the next one has to go on with what is there. The stops are those of the other one meanwhile."
}

// outOfMemory runs whyrestart with less memory than it needs.
func (k *chaos) outOfMemory() (int, string) {
	const group = "/sys/fs/cgroup/memory/whyrestart-chaos"
	if err := os.Mkdir(group, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		k.t.Skipf("there is no memory cgroup of version 1 to be made: %v", err)
	}
	defer func() {
		if err := os.Remove(group); err != nil {
			k.t.Errorf("remove the cgroup: %v", err)
		}
	}()
	n, killed := k.times(1, 3), 0
	limit := 14 << 20
	for range n {
		k.terminate()
		k.must(os.WriteFile(filepath.Join(group, "memory.limit_in_bytes"), []byte(strconv.Itoa(limit)), 0), "limit the memory")
		k.program.wrap = []string{"sh", "-c", `echo $$ >` + group + `/cgroup.procs; exec "$@"`, "sh"}
		err := k.program.start()
		k.program.wrap = nil
		k.must(err, "start whyrestart with little memory")
		err = k.program.ended(6 * time.Second)
		exit := (*exec.ExitError)(nil)
		switch {
		case errors.As(err, &exit):
			killed++
			if status, ok := exit.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
				k.t.Errorf("with %d bytes of memory it ended otherwise than by the kernel: %v: %s", limit, err, k.program.lastWords())
			}
		default:
			limit = limit * 3 / 4 // it lives with that
			k.must(k.program.end(syscall.SIGTERM), "stop whyrestart")
		}
		k.start()
	}
	if killed == 0 {
		k.t.Errorf("the kernel never killed it, down to %d bytes", limit)
	}
	return killed, fmt.Sprintf("A memory cgroup of %d MiB; then without one.", limit>>20)
}
