package causes

// Sentences that several causes share.
const (
	checkLog      = "kubectl logs -n NAMESPACE POD -c CONTAINER --previous"
	checkDescribe = "kubectl describe pod -n NAMESPACE POD"
	checkNode     = "kubectl describe node NODE"
	checkEvents   = "kubectl get events -n NAMESPACE --field-selector involvedObject.name=POD --sort-by=.lastTimestamp"
	checkYAML     = "kubectl get pod -n NAMESPACE POD -o yaml"
	checkTop      = "kubectl top pod -n NAMESPACE POD --containers"
)

// programCauses are stops that the program or its image brought about.
func programCauses() []Cause {
	return []Cause{
		{
			Code: "app_exit", Category: "failure", Title: "The program ended itself with an error",
			Meaning: "The main process of the container exited with a code other than 0. Nobody outside of it is known to have asked it to.",
			Details: Classes(),
			Proof: []string{
				"confirmed: the runtime reports an exit code that is no signal's, and no Killing event falls into the instance's lifetime although events were read",
				"likely: events were not read or may be lost, or the code is that of a signal (such as 143) which a program can also choose itself",
				"The detail comes from the last words (termination message or log tail). It refines the cause and is a quotation, not a proof: the log can be of another instance unless it is marked as proven.",
			},
			Check: []string{checkLog, "kubectl get pod -n NAMESPACE POD -o jsonpath='{.status.containerStatuses[*].lastState.terminated}'", "Compare with the last rollout: kubectl rollout history -n NAMESPACE KIND/NAME"},
			Fix: []string{
				"Fix what the quoted line says; a restart does not.",
				"If only pods of the newest revision fail, roll back: kubectl rollout undo -n NAMESPACE KIND/NAME",
				"If all replicas fail at the same time, look for what they share: a dependency, a ConfigMap or Secret, a certificate.",
				"Set terminationMessagePolicy: FallbackToLogsOnError, so that the status keeps the last words.",
			},
		},
		{
			Code: "app_completed", Category: "failure", Title: "The program finished, and is started again",
			Meaning: "The main process exited with code 0 in a container that its restart policy starts again. It did not crash: it has nothing more to do. Kubernetes backs off as after a crash and shows CrashLoopBackOff.",
			Proof:   []string{"confirmed: reason Completed, exit code 0, restart policy Always, no Killing event in the instance's lifetime", "A liveness probe's kill can also end in exit code 0: then the Killing event says so, and the cause is liveness_probe."},
			Check:   []string{"kubectl get pod -n NAMESPACE POD -o jsonpath='{.spec.containers[*].command} {.spec.containers[*].args}'", checkLog},
			Fix:     []string{"Run the program in the foreground (no daemon mode, no shell that only starts it in the background).", "If it is meant to end, make it a Job or CronJob.", "An interactive shell ends at once without stdin: give it a command."},
		},
		{
			Code: "app_signal", Category: "failure", Title: "The program crashed with a signal",
			Meaning: "The kernel ended the main process for what it did itself: an invalid memory access, an abort, an illegal instruction. The exit code is 128 and the signal's number.",
			Details: []Detail{
				{"SIGSEGV", "invalid memory access (exit code 139)"},
				{"SIGABRT", "the program called abort: failed assertion, corrupted heap, uncaught C++ exception, heap limit of Node or .NET (134)"},
				{"SIGBUS", "access to memory that is not there: a truncated mapped file, a full /dev/shm (135)"},
				{"SIGFPE", "division by zero or overflow in integer arithmetic (136)"},
				{"SIGILL", "an instruction that the CPU does not have: built for a newer processor (132)"},
				{"SIGSYS", "a system call that the seccomp profile forbids (159)"},
				{"SIGTRAP", "a trap of a debugger or an assertion of a runtime (133)"},
				{"SIGQUIT", "asked to quit with a dump (131)"},
				{"SIGPIPE", "it wrote to a pipe or socket that nobody reads (141)"},
				{"SIGXCPU", "its limit of CPU time is reached (152)"},
				{"SIGXFSZ", "its limit of file size is reached (153)"},
			},
			Open:  true,
			Proof: []string{"confirmed: the runtime itself names the signal, as cri-o does with reason seccomp killed", "likely: the exit code is that of a signal which only the program's own fault brings, and no Killing event is there. A program can also choose the number itself."},
			Check: []string{checkLog, "kubectl get node NODE -o jsonpath='{.status.nodeInfo.architecture} {.metadata.labels}'", "On the node: dmesg or journalctl -k for a line with segfault or traps, and coredumpctl"},
			Fix:   []string{"SIGABRT with a heap message: raise the runtime's own heap limit, or find the leak.", "SIGILL: build for the processors that the nodes have, or choose nodes by label.", "SIGBUS: give /dev/shm more room with an emptyDir of medium Memory.", "SIGSEGV: get a core dump and the versions of native libraries; look at what changed in the image."},
		},
		{
			Code: "command_not_found", Category: "failure", Title: "The command is not in the image",
			Meaning: "The container's command, or the interpreter that it names, does not exist in the image, so that no process of the program ever ran; or a shell in the container did not find what it was to run (exit code 127).",
			Details: []Detail{{"interpreter", "the file exists, and the interpreter or loader that it asks for does not (shebang line, glibc on an image with musl, Windows line ends)"}, {"missing_library", "the loader ended with 127 because a shared library is missing"}},
			Proof:   []string{"confirmed: the runtime's start message says so (reason StartError or RunContainerError)", "likely: exit code 127 and a shell's or loader's words in the log; a program can choose 127 itself"},
			Check:   []string{checkYAML, checkLog, "Does a volume hide the directory of the command? Compare volumeMounts with the command's path."},
			Fix:     []string{"A whole command line in one string of command: is one name to the kernel. Split it, or use [sh, -c, ...].", "Use the path as it is in the image; distroless images have no shell.", "Convert the script to Unix line ends; install the interpreter."},
		},
		{
			Code: "command_not_executable", Category: "failure", Title: "The command cannot be executed",
			Meaning: "The container's command exists and cannot be executed: no execute bit, a directory, a file that its user may not read, or a file system mounted with noexec.",
			Proof:   []string{"confirmed: the runtime's start message says permission denied or is a directory", "likely: exit code 126, which shells give for this and a program can choose too"},
			Check:   []string{checkYAML, checkLog},
			Fix:     []string{"chmod +x in the image; for a script from a ConfigMap set defaultMode: 0755, or call it through its interpreter.", "Compare runAsUser with the file's owner."},
		},
		{
			Code: "exec_format_error", Category: "failure", Title: "The command is no program for this node",
			Meaning: "The kernel could not execute the file: it is for another CPU architecture, or a script without a shebang line (or with a byte order mark or Windows line ends before it).",
			Proof:   []string{"confirmed: the runtime's message says exec format error", "likely: the log of an instance that ended with 255 or 1 has exec /path: exec format error as its only line, which runc prints after it has reported success"},
			Check:   []string{"kubectl get node NODE -o jsonpath='{.status.nodeInfo.architecture}'", "docker buildx imagetools inspect IMAGE", checkLog},
			Fix:     []string{"Build for all architectures of the nodes, or choose nodes with nodeSelector kubernetes.io/arch.", "Begin scripts with #!/bin/sh."},
		},
		{
			Code: "start_error", Category: "failure", Title: "The runtime could not start the container",
			Meaning: "The container was created and its process could not be started, so that the program never ran. Exit code 128 and a start time of 1970 are the runtime's placeholders.",
			Details: []Detail{
				{"bad_working_dir", "the working directory does not exist, or the user may not enter it"},
				{"mount_failed", "a volume cannot be mounted at its place, mostly a file on a directory or the reverse (subPath)"},
				{"user_not_found", "the user or group of runAsUser or USER is not in the image's passwd or group file"},
				{"no_command", "neither the image nor the pod names a command"},
				{"security_profile", "an AppArmor, seccomp, SELinux or capability setting cannot be applied on the node"},
				{"cgroup", "the node could not set up the container's cgroup"},
				{"disk_full", "a disk or a quota of the node is full"},
				{"timeout", "the runtime did not start the container in time"},
			},
			Proof: []string{"confirmed: terminated reason StartError (containerd), ContainerCannotRun (cri-dockerd), or waiting reason RunContainerError, with the runtime's message"},
			Check: []string{checkDescribe, "kubectl get pod -n NAMESPACE POD -o jsonpath='{.status.containerStatuses[*].lastState.terminated.message}'", checkNode},
			Fix:   []string{"Correct what the message names in the pod's template.", "Where other pods of the node fail alike, drain the node and look at its runtime."},
		},
		{
			Code: "oom_killed", Category: "failure", Title: "The kernel killed it for lack of memory",
			Meaning: "The runtime reports that the kernel's out-of-memory killer killed a process of this container. Which limit was reached is a second question, and so is whether that process was the main one.",
			Details: []Detail{
				{"container_limit", "the container's own memory limit was reached"},
				{"pod_limit", "the limit of the whole pod was reached; the largest process was killed, which may not be the culprit"},
				{"node", "the node ran out of memory; the container may have been within its limits"},
				{"child_process", "a child or a probe's command was killed, and the main process ended otherwise (the exit code is not 137)"},
				{"level_unknown", "the API does not tell which limit was reached"},
			},
			Proof: []string{
				"confirmed: terminated reason OOMKilled, and exit code 137 for the end of the main process",
				"The detail container_limit needs a memory limit of the container that is the smallest on the way; node needs a SystemOOM event of the node and no limit that explains it.",
				"137 alone proves nothing: that is sigkill_unattributed. Memory errors inside of the program (Java heap space, JavaScript heap out of memory) are app_exit or app_signal with heap_exhausted.",
			},
			Check: []string{"kubectl get pod -n NAMESPACE POD -o jsonpath='{.spec.containers[*].resources} {.spec.resources}'", checkTop, "kubectl get events -A --field-selector involvedObject.kind=Node,reason=SystemOOM", checkNode},
			Fix: []string{
				"container_limit: raise the limit over the observed peak, or bound the program (heap size, workers, caches) below the limit. tmpfs volumes count too.",
				"pod_limit: look at all containers of the pod.",
				"node: set requests near to real use and limits for the big pods, and reserve memory for the system.",
				"child_process: lower the number of workers, or let probes do less.",
			},
		},
	}
}
