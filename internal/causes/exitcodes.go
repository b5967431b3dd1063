package causes

import (
	"fmt"
	"strconv"
	"strings"
)

// exitCodes are the codes that mean something by convention.
func exitCodes() []Reason {
	code := func(n int, also []string, meaning, not string, causes ...string) Reason {
		return Reason{Kind: KindExitCode, Name: strconv.Itoa(n), Also: also, Meaning: meaning, Not: not, Causes: causes, Check: []string{checkLog}}
	}
	signal := func(n int, name, meaning, not string, causes ...string) Reason {
		r := code(128+n, []string{name, strings.TrimPrefix(name, "SIG")}, fmt.Sprintf("128 + %d: ended by %s. %s", n, name, meaning), not, causes...)
		r.Check = []string{checkEvents, checkLog}
		return r
	}
	return []Reason{
		code(0, nil, "Success.", "With restart policy Always it is a loop all the same. With OOMKilled a child was killed, and the main process ended well. A program that obeys SIGTERM after a probe's kill may end with 0.", "completed", "app_completed", "liveness_probe"),
		code(1, nil, "A general error: an exception in Python, Node, Java or Ruby that nobody caught, or what the program chose.", "It says nothing by itself: the log decides.", "app_exit"),
		code(2, nil, "A Go panic, a wrong command line (Go's flag package, argparse, many tools), or misuse of a shell.", "", "app_exit", "liveness_probe"),
		code(101, nil, "A Rust panic.", "", "app_exit"),
		code(126, nil, "A shell found the command and could not execute it; Docker's permission error.", "A program can choose it. With containerd a command that cannot be executed directly is 128 with StartError.", "command_not_executable", "app_exit"),
		code(127, nil, "A shell did not find the command, or the loader did not find a shared library.", "A program can choose it. With containerd a missing command of the spec is 128 with StartError, not 127.", "command_not_found", "app_exit"),
		code(128, nil, "containerd's placeholder where the process could not be started (StartError); also a shell's exit with an invalid argument.", "No signal 0 was sent.", "start_error", "command_not_found", "command_not_executable", "app_exit"),
		signal(1, "SIGHUP", "The terminal or the parent went away, or a reload signal that the program does not handle.", "", "app_exit"),
		signal(2, "SIGINT", "An interrupt; the stop signal of some images.", "", "app_exit", "pod_deleted"),
		signal(3, "SIGQUIT", "Quit with a dump; the stop signal of nginx and php-fpm.", "", "app_signal", "pod_deleted"),
		signal(4, "SIGILL", "An instruction that the CPU does not have: built for a newer processor.", "", "app_signal"),
		signal(5, "SIGTRAP", "A trap of a runtime or debugger.", "", "app_signal"),
		signal(6, "SIGABRT", "The program aborted: a failed assertion, a corrupted heap, an uncaught C++ exception, the heap limit of Node or .NET.", "With heap words in the log it is the program's own limit, no out-of-memory kill by the kernel.", "app_signal"),
		signal(7, "SIGBUS", "Memory that is not there: a truncated mapped file, a full /dev/shm or tmpfs, huge pages.", "", "app_signal"),
		signal(8, "SIGFPE", "Division by zero or overflow in integers.", "", "app_signal"),
		signal(9, "SIGKILL", "Killed; the program could do nothing about it.", "It does not mean out of memory: that is the reason OOMKilled. The kubelet kills so after a grace period (probe, deletion, eviction), kubelet and runtime invent 137 where no status is known, and a program can exit with 137 itself.",
			"oom_killed", "liveness_probe", "startup_probe", "grace_period_exceeded", "node_pressure_eviction", "status_unknown", "restart_all_containers", "sigkill_unattributed"),
		signal(11, "SIGSEGV", "An invalid memory access in native code.", "", "app_signal"),
		signal(13, "SIGPIPE", "Nobody reads what it wrote.", "", "app_signal"),
		signal(15, "SIGTERM", "Asked to end, and it did.", "It is not always a clean stop that can be ignored: a liveness probe's kill ends so too. A JVM always gives 143 on SIGTERM.", "pod_deleted", "liveness_probe", "sidecar_stopped", "eviction_api", "sigterm_unattributed"),
		signal(24, "SIGXCPU", "Its limit of CPU time is reached (ulimit).", "CPU limits of the pod throttle, they never kill.", "app_signal"),
		signal(25, "SIGXFSZ", "Its limit of file size is reached (ulimit).", "", "app_signal"),
		signal(31, "SIGSYS", "A system call that the seccomp profile forbids.", "", "app_signal"),
		code(255, []string{"-1"}, "exit(-1); a fatal line of klog; containerd's placeholder for a lost status (reason Unknown); runc that failed at the very start (log: exec format error); cri-o that lost the exit file.", "It is not out of range, and not one cause.", "app_exit", "runtime_restarted", "exec_format_error", "status_unknown"),
		{Kind: KindExitCode, Name: "3221225477", Also: []string{"0xC0000005", "-1073741819"}, Meaning: "Windows: access violation.", Causes: []string{"app_exit"}, Check: []string{checkLog}},
		{Kind: KindExitCode, Name: "3221225786", Also: []string{"0xC000013A", "-1073741510"}, Meaning: "Windows: ended by Ctrl-C or Ctrl-Break, as at an orderly stop.", Causes: []string{"pod_deleted", "app_exit"}, Check: []string{checkLog}},
	}
}

// anyExitCode explains a number that has no entry of its own.
func anyExitCode(s string) (Reason, bool) {
	n, err := strconv.ParseInt(fold(s), 0, 64)
	if err != nil || n < 0 || n > 1<<32-1 {
		return Reason{}, false
	}
	r := Reason{Kind: KindExitCode, Name: strconv.FormatInt(n, 10), Causes: []string{"app_exit"}, Check: []string{checkLog}}
	switch {
	case n >= 64 && n <= 78:
		r.Meaning = "The program chose it; by sysexits.h: " + sysexits(int(n)) + "."
	case n > 128 && n <= 192:
		r.Meaning = fmt.Sprintf("128 + %d: ended by signal %d, or chosen by the program.", n-128, n-128)
		r.Causes = []string{"app_signal", "app_exit"}
	case n < 256:
		r.Meaning = "The program chose it; no convention says what it means. Its documentation or its log does."
	case n >= 0xC0000000:
		r.Meaning = fmt.Sprintf("Windows status 0x%X.", n)
	default:
		r.Meaning = "No exit code of Linux, which end at 255; on Windows the program chose it."
	}
	return r, true
}

func sysexits(n int) string {
	return [...]string{"wrong usage", "wrong input data", "no input", "unknown user", "unknown host", "service unavailable", "internal error", "operating system error", "a system file is missing", "cannot create output",
		"input or output error", "temporary failure", "protocol error", "permission denied", "wrong configuration"}[n-64]
}
