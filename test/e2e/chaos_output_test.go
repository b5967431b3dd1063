//go:build e2e

package e2e

import (
	"io"
	"os"
	"sync"
	"syscall"
	"time"
)

// hose is a reader that can be slowed down, stopped and closed.
type hose struct {
	from io.Reader

	mu    sync.Mutex
	pause time.Duration // after each read
	most  int           // bytes a read, 0 for any
	shut  chan struct{} // reads wait until it is closed, nil for no wait
}

func (h *hose) Read(p []byte) (int, error) {
	h.mu.Lock()
	pause, most, shut := h.pause, h.most, h.shut
	h.mu.Unlock()
	if shut != nil {
		<-shut
	}
	if most > 0 && len(p) > most {
		p = p[:most]
	}
	n, err := h.from.Read(p)
	if pause > 0 {
		time.Sleep(pause)
	}
	return n, err
}

// slow sets how it reads from now on.
func (h *hose) slow(most int, pause time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.most, h.pause = most, pause
}

// stop lets no read begin until the returned function is called.
func (h *hose) stop() (resume func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := make(chan struct{})
	h.shut = c
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.shut = nil
		close(c)
	}
}

func (k *chaos) outputFaults() []fault {
	// hosed starts whyrestart with an output that is read through a hose.
	hosed := func() *hose {
		h := &hose{}
		k.terminate()
		k.program.through = func(r io.Reader) io.Reader { h.from = r; return h }
		k.start()
		k.program.through = nil
		return h
	}
	return []fault{
		{group: groupOutput, name: "the reader is slow", long: true, run: func() (int, string) {
			h := hosed()
			h.slow(512, 100*time.Millisecond)
			k.wait(k.during(5*time.Second, 12*time.Second))
			h.slow(0, 0)
			return 1, "5 KB/s; the outbox in the store keeps what was not taken yet."
		}},
		{group: groupOutput, name: "the reader stops for a while, and whyrestart is killed meanwhile", run: func() (int, string) {
			n := k.times(1, 2)
			for i := range n {
				h := hosed()
				resume := h.stop()
				k.wait(k.during(4*time.Second, 8*time.Second))
				if i%2 == 0 {
					k.must(k.program.signal(syscall.SIGKILL), "kill whyrestart")
				}
				resume()
				if i%2 == 0 {
					k.must(k.program.end(syscall.SIGKILL), "kill whyrestart")
					k.start()
				}
			}
			return n, "Recording goes on: only the printing waits. What was not acknowledged is printed by the next one."
		}},
		{group: groupOutput, name: "the reader goes away (EPIPE)", run: func() (int, string) {
			n := k.times(1, 4)
			for range n {
				k.terminate()
				k.start()
				k.wait(k.moment(1500 * time.Millisecond))
				// What is in the pipe when its reader goes is lost to anybody: the kernel took it.
				k.must(k.program.signal(syscall.SIGSTOP), "freeze whyrestart")
				k.drain(k.program.stdout)
				k.must(k.program.stdout.Close(), "close the pipe")
				k.must(k.program.signal(syscall.SIGCONT), "thaw whyrestart")
				err := k.program.ended(30 * time.Second)
				if k.program.runs() {
					k.t.Errorf("it still runs 30 s after nobody reads its output any more: %v", err)
				} else if err == nil {
					k.t.Error("it ended without an error although nobody reads its output any more")
				}
				if k.program.runs() {
					k.must(k.program.end(syscall.SIGKILL), "kill whyrestart")
				}
				k.start()
			}
			return n, "whyrestart ends with an error, and prints what was not acknowledged when it is started again. What a reader leaves in the pipe when it dies is gone with it."
		}},
	}
}

// drain waits until the pipe is empty; its writer is frozen.
func (k *chaos) drain(*os.File) {
	k.t.Helper()
	// The goroutine that reads takes all there is within moments.
	k.wait(500 * time.Millisecond)
}
