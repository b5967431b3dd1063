//go:build e2e

package e2e

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/whyrestart/whyrestart/internal/record"
)

// crashes is how many stops of a container that ends again and again a scenario waits for.
const crashes = 3

// loop is a container that ends by itself, is started again, and ends in the same way.
type loop struct {
	name      string
	container corev1.Container
	want      expect
	// is what is true of every stop of it.
	is claim
	// starts is false where no process of the container ever runs.
	starts bool
}

// exitScenarios are the ways in which a container's own program ends.
func exitScenarios() []scenario {
	failing := func(code int32) expect {
		return expect{exit: code, reason: "Error", typ: record.App, category: record.Failure, restarts: yes()}
	}
	with := func(e expect, change func(*expect)) expect { change(&e); return e }
	logged := func(e *expect) { e.line, e.hasLog = attempt, true }
	const main = "loop/main"

	var loops []loop
	for _, code := range []int32{1, 2, 3, 42, 255} {
		loops = append(loops, loop{
			name: fmt.Sprintf("exit-%d", code), is: crashing(main, fmt.Sprintf("exits with %d, and says nothing", code)), starts: true,
			// Two seconds' run leaves time to read the log before the next instance ends.
			container: counted("main", fmt.Sprintf("sleep 2; exit %d", code)),
			want:      with(failing(code), logged),
		})
	}
	loops = append(loops,
		loop{
			name: "exit-0-loop", is: failure(main, "exits with 0, again and again", "app_completed", "", fair), starts: true, container: counted("main", "sleep 2; exit 0"),
			want: with(expect{exit: 0, reason: "Completed", typ: record.App, restarts: yes()}, logged),
		},
		loop{
			name: "exit-at-once", is: crashing(main, "exits with 7 as soon as it runs"), starts: true, container: counted("main", "exit 7"),
			want: with(failing(7), func(e *expect) { e.line = attempt }),
		},
		loop{name: "go-panic", is: failure(main, "a Go program panics", "app_exit", "panic", fair), starts: true, container: misbehave("main", "sleep", "2s", "stderr", "about to panic", "panic"), want: with(failing(2), func(e *expect) { e.says, e.hasLog = "panic: assignment to entry in nil map", true })},
		// The runtime reports the same of a program that chose 137 as of one that was killed.
		loop{
			name: "own-137", is: failure(main, "exits with 137 by itself", "sigkill_unattributed", "", untold), starts: true, container: counted("main", "sleep 2; exit 137"),
			want: with(failing(137), logged),
		},
		loop{name: "sigsegv", is: failure(main, "exits with 139", "app_signal", "SIGSEGV", likely), starts: true, container: misbehave("main", "signal", "SEGV"), want: failing(139)},
		loop{name: "sigabrt", is: failure(main, "exits with 134", "app_signal", "SIGABRT", likely), starts: true, container: misbehave("main", "signal", "ABRT"), want: failing(134)},
		loop{
			name: "command-not-found", is: failure(main, "the command does not exist in the image", "command_not_found", "", proven), container: command("main", "/no/such/program"),
			want: with(failing(128), func(e *expect) { e.reason, e.message = "StartError", "no such file or directory" }),
		},
		loop{
			name: "command-not-executable", is: failure(main, "the command is a file without the right to execute it", "command_not_executable", "", proven), container: command("main", "/etc/hosts"),
			want: with(failing(128), func(e *expect) { e.reason, e.message = "StartError", "permission denied" }),
		},
		loop{
			name: "shell-command-not-found", is: failure(main, "a shell is to run a command that does not exist", "command_not_found", "*", fair), starts: true, container: shell("main", "sleep 1; no-such-program"),
			want: failing(127),
		},
		loop{
			name: "oom", is: failure(main, "allocates more than its limit of 32 MiB", "oom_killed", "container_limit", fair), starts: true, container: limited(misbehave("main", "oom"), "32Mi"),
			want: with(failing(137), func(e *expect) { e.reason = "OOMKilled" }),
		},
		loop{
			name: "oom-of-child", is: failure(main, "a child allocates more than the limit; then the program exits with 9", "oom_killed", "child_process", fair), starts: true, container: limited(misbehave("main", "child-oom", "sleep", "1s", "exit", "9"), "32Mi"),
			want: with(failing(9), func(e *expect) { e.reason = "OOMKilled" }),
		},
		loop{
			name: "termination-message", is: failure(main, "exits with 5, and says that the disk is full in its termination message", "app_exit", "disk_full|", fair), starts: true, container: misbehave("main", "term-message", "the disk is full", "sleep", "1s", "exit", "5"),
			want: with(failing(5), func(e *expect) { e.message = "the disk is full" }),
		},
	)

	var all []scenario
	for _, l := range loops {
		truth := []claim{l.is}
		if l.is.cause == "app_exit" && l.is.detail != "" {
			truth = append(truth, unheard(l.is.of)) // the detail is in the log alone
		}
		all = append(all, scenario{name: l.name, truth: truth, run: func(s *space) {
			s.startFails[l.container.Name] = !l.starts
			s.create(newPod("loop", l.container))
			list := s.untilStops("loop", l.container.Name, crashes)
			s.check(list, l.want)
		}})
	}
	return all
}

// command returns a container that runs a program of the image, if it can.
func command(name string, argv ...string) corev1.Container {
	c := shell(name, "")
	c.Command = argv
	return c
}
