//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func (k *chaos) diskFaults() []fault {
	failing := func(name, calls, how, note string) fault {
		return fault{group: groupDisk, name: name, long: strings.Contains(how, "EIO") && name[:5] == "every" && calls == "pwrite64" || strings.Contains(how, "when"), run: func() (int, string) {
			n := k.times(1, 2)
			for range n {
				stop := k.trace(calls, how)
				if !strings.Contains(how, "when") {
					k.untilUnready()
				}
				k.wait(k.during(2*time.Second, 4*time.Second))
				stop()
				k.must(k.program.untilReady(patience), "wait for whyrestart")
			}
			return n, note
		}}
	}
	return []fault{
		{group: groupDisk, name: "full, and freed", run: func() (int, string) {
			n := k.times(1, 2)
			for range n {
				free := k.fill()
				k.untilUnready()
				k.wait(k.during(3*time.Second, 10*time.Second))
				free()
				k.must(k.program.untilReady(patience), "wait for whyrestart")
			}
			return n, "The store lies on a file system of its own, which a file beside it fills. /readyz has to say so, and what is seen meanwhile waits in memory."
		}},
		{group: groupDisk, name: "full when whyrestart is killed and started", run: func() (int, string) {
			free := k.fill()
			k.untilUnready()
			k.must(k.program.end(syscall.SIGKILL), "kill whyrestart")
			k.must(k.program.start(), "start whyrestart")
			err := k.program.ended(k.during(2*time.Second, 5*time.Second))
			how := "It ends with an error: " + fmt.Sprint(err)
			if k.program.runs() {
				how = "It waits."
			}
			free()
			k.t.Log(how)
			if !k.program.runs() {
				k.must(k.program.start(), "start whyrestart")
			}
			k.must(k.program.untilReady(patience), "wait for whyrestart")
			return 1, ""
		}},
		{group: groupDisk, name: "read-only when whyrestart starts", run: func() (int, string) {
			k.terminate()
			disk := filepath.Dir(filepath.Dir(k.store))
			k.must(syscall.Mount("", disk, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""), "make the disk read-only")
			said := k.refused(k.store)
			k.wait(1500 * time.Millisecond)
			k.must(syscall.Mount("", disk, "", syscall.MS_REMOUNT, ""), "make the disk writable")
			if !strings.Contains(said, "cannot be written") && !strings.Contains(said, "read-only") && !strings.Contains(said, "cannot be opened") {
				k.t.Errorf("it does not say that the disk is read-only: %s", said)
			}
			k.start()
			return 1, "It ends with one sentence that says so."
		}},
		failing("every fsync fails (EIO)", "fsync,fdatasync", "error=EIO", "By strace, in the running process, as below."),
		failing("one fsync in three fails (EIO)", "fsync,fdatasync", "error=EIO:when=2+3", ""),
		failing("every write fails (EIO)", "pwrite64", "error=EIO", ""),
		failing("becomes read-only (EROFS)", "pwrite64,fsync,fdatasync,ftruncate", "error=EROFS", "What a file system answers that was remounted read-only after an error."),
		{group: groupFile, name: "damaged or foreign", run: k.corrupt},
		{group: groupFile, name: "moved away under it, and put back", run: func() (int, string) {
			n := k.times(1, 3)
			for range n {
				k.wait(k.moment(1500 * time.Millisecond))
				k.must(os.Rename(k.store, k.store+".away"), "move the store away")
				err := k.program.ended(30 * time.Second)
				if k.program.runs() || err == nil {
					k.t.Fatalf("it goes on with a file that is not there any more: %v", err)
				}
				if said := k.program.lastWords(); !strings.Contains(said, "deleted, moved or replaced") {
					k.t.Errorf("it does not say that its file is gone: %s", said)
				}
				k.must(os.Rename(k.store+".away", k.store), "put the store back")
				k.must(k.program.start(), "start whyrestart")
			}
			return n, "whyrestart ends and says so before it stores anything more. A start without the file begins a new history: what was in the old one is then not known."
		}},
	}
}

// untilUnready waits until whyrestart says that it cannot store, and holds that it does not end.
func (k *chaos) untilUnready() {
	k.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); k.program.ready() == ""; k.wait(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			k.t.Error("whyrestart was ready for 30 s, although it could not store")
			return
		}
	}
	if why := k.program.ready(); why != "" && !strings.Contains(why, "store") {
		k.t.Logf("it says: %s", why)
	}
	if err := k.program.ended(10 * time.Millisecond); !k.program.runs() {
		k.t.Errorf("it ended by itself: %v: %s", err, k.program.lastWords())
		k.must(k.program.start(), "start whyrestart")
	}
}

// fill fills the disk of the store to the last byte, and returns what frees it.
func (k *chaos) fill() (free func()) {
	k.t.Helper()
	name := filepath.Join(filepath.Dir(filepath.Dir(k.store)), "beside")
	f, err := os.Create(name)
	k.must(err, "create a file beside the store")
	block := make([]byte, 1<<20)
	for len(block) > 0 {
		_, err := f.Write(block)
		switch {
		case errors.Is(err, syscall.ENOSPC):
			block = block[:len(block)/2]
		case err != nil:
			k.t.Fatalf("fill the disk: %v", err)
		}
	}
	k.must(f.Close(), "close the file beside the store")
	return func() { k.must(os.Remove(name), "free the disk") }
}

// trace lets system calls of whyrestart fail until stop is called.
func (k *chaos) trace(calls, how string) (stop func()) {
	k.t.Helper()
	path, err := exec.LookPath("strace")
	if err != nil {
		k.t.Skip("strace is not installed")
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(context.WithoutCancel(k.ctx), path, "-f", "-qq", "-o", "/dev/null", "-p", fmt.Sprint(k.program.cmd.Process.Pid),
		"-e", "trace="+calls, "-e", "inject="+calls+":"+how)
	cmd.Stderr = &stderr
	k.must(cmd.Start(), "trace whyrestart")
	k.wait(300 * time.Millisecond)
	return func() {
		k.must(cmd.Process.Signal(syscall.SIGTERM), "stop strace")
		if err := cmd.Wait(); err != nil && stderr.Len() > 0 && !errors.As(err, new(*exec.ExitError)) {
			k.t.Errorf("strace: %v: %s", err, stderr.String())
		}
		if strings.Contains(stderr.String(), "ptrace") {
			k.t.Errorf("strace: %s", stderr.String())
		}
	}
}

// refused starts a whyrestart beside the other one on a store that it cannot use, and
// returns what it says.
func (k *chaos) refused(store string) string {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.ctx, 20*time.Second)
	defer cancel()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, k.program.bin, "serve", "--kubeconfig", k.suite.program.kubeconfig, "--store", store, "--listen", "127.0.0.1:0")
	cmd.Stderr = &stderr
	err := cmd.Run()
	said := strings.TrimSpace(stderr.String())
	if err == nil || ctx.Err() != nil {
		k.t.Errorf("it took the store %s: %v: %s", store, err, said)
	}
	if strings.Count(said, "\n") > 0 || strings.Contains(said, "panic") {
		k.t.Errorf("it does not say in one line why it refuses the store: %s", said)
	}
	k.t.Log(said)
	return said
}

// corrupt damages copies of the store, each of which has to be refused and left as it is.
func (k *chaos) corrupt() (int, string) {
	k.terminate()
	data, err := os.ReadFile(k.store)
	k.must(err, "read the store")
	k.start()
	const page = 4096
	scribble := func(from, to int) func([]byte) []byte {
		return func(d []byte) []byte {
			for i := from; i < min(to, len(d)); i++ {
				d[i] ^= byte(0x5a + i)
			}
			return d
		}
	}
	middle := len(data) / page / 2 * page
	cases := []struct {
		name  string
		wants string // what the sentence has to have
		harm  func([]byte) []byte
	}{
		{"header overwritten", "move the file away", scribble(0, 100)},
		{"pages in the middle overwritten", ".recover", scribble(middle, middle+8*page)},
		{"the first page behind its header", "", scribble(100, page)},
		{"cut in the middle of a page", ".recover", func(d []byte) []byte { return d[:middle+page/3] }},
		{"cut to a third", ".recover", func(d []byte) []byte { return d[:len(d)/3/page*page] }},
		{"another program's words", "move the file away", func([]byte) []byte { return bytes.Repeat([]byte("not a history\n"), 1000) }},
	}
	for i, c := range cases {
		store := filepath.Join(k.dir, fmt.Sprintf("corrupt-%d", i), "whyrestart.db")
		k.must(os.MkdirAll(filepath.Dir(store), 0o755), "make a folder")
		harmed := c.harm(bytes.Clone(data))
		k.must(os.WriteFile(store, harmed, 0o600), "write a damaged store")
		said := k.refused(store)
		if !strings.Contains(said, c.wants) {
			k.t.Errorf("%s: it does not say what to do (%s): %s", c.name, c.wants, said)
		}
		after, err := os.ReadFile(store)
		k.must(err, "read the damaged store")
		if !bytes.Equal(after, harmed) {
			k.t.Errorf("%s: the file was changed although it was refused", c.name)
		}
	}
	return len(cases), "Header, pages, length, another program's: each is refused with one sentence that says what to do, and left as it is. The stops are those that another whyrestart recorded meanwhile."
}
