package causes

// Classes returns the classes of last words: what package signature finds in a log, and
// the details of app_exit.
func Classes() []Detail {
	return []Detail{
		{"panic", "a Go or Rust program panicked, or Go's runtime ended it with a fatal error"},
		{"exception", "an exception that nobody caught ended the program"},
		{"fatal_error", "the program logged a fatal error that fits no other class; the quoted line says what"},
		{"port_in_use", "it could not listen because the address and port are taken: by another process or container of the pod, by the host with hostNetwork, or by an earlier process of its own"},
		{"connection_refused", "a server that it needs refused the connection: nothing listens at that address and port"},
		{"connection_lost", "a connection that it needs was cut by the other side or on the way"},
		{"connection_failed", "it could not connect to a server that it needs; the log does not say why"},
		{"too_many_connections", "a server that it needs accepts no more connections"},
		{"rate_limited", "a server that it needs refuses more requests for now"},
		{"network_unreachable", "there is no route to an address that it needs"},
		{"timeout", "something that it needs did not answer in time"},
		{"dns_failure", "a host name could not be resolved"},
		{"tls_error", "TLS failed: a certificate is not trusted, expired or for another name, or one side does not speak TLS"},
		{"auth_failed", "a server refused its credentials, or its identity may not do what it asked for"},
		{"permission_denied", "the system or the database did not let it: file permissions, a privileged port, a missing capability"},
		{"file_not_found", "a file or directory that it needs does not exist in the container"},
		{"missing_setting", "a setting or environment variable that it needs is not set"},
		{"missing_library", "a shared library, or a version of it, is not in the image"},
		{"missing_module", "a module, package, class or assembly is not in the image, or not on its search path"},
		{"read_only_filesystem", "it wrote to a file system that is mounted read-only"},
		{"disk_full", "a disk, volume or quota is full"},
		{"locked", "something that it needs for itself is held by another process: a lock file, a data directory, a row"},
		{"data_corrupted", "what it has stored is damaged"},
		{"data_incompatible", "what it has stored was written by a version that this one cannot read"},
		{"kernel_setting", "a setting of the node's kernel is too low for it"},
		{"heap_exhausted", "it ran out of memory within its own limit (heap size, memory_limit, address space); the kernel did not kill it"},
		{"stack_overflow", "its stack overflowed, mostly by endless recursion"},
		{"too_many_open_files", "it reached the limit of open files"},
		{"too_many_threads", "it could not start a thread: the limit of processes of the pod, the node or the user is reached"},
		{"inotify_limit", "the node's limit of inotify watches or instances is reached, which all pods of the node share"},
		{"child_killed", "a child process was killed by SIGKILL, often for lack of memory"},
		{"leader_election_lost", "it could not renew its lease in time and ended itself: the API server, etcd, the network or the node was slow"},
		{"usage", "its command line has a flag or argument that it does not know, or lacks one"},
		{"config_error", "its configuration cannot be read or is not valid"},
		{"assertion", "an assertion in the program failed"},
		{"native_crash", "native code crashed: a segmentation fault, a corrupted heap, or a sanitizer's report"},
		{"exec_format", "it started a file that is no program for this machine"},
		{"command_not_found", "it, or its start script, called a command that is not in the image"},
		{"deadlock", "all of its threads waited for each other, or the database broke a deadlock"},
		{"database_schema", "a database, table or column that it needs does not exist"},
		{"database_migration", "a migration of the database failed"},
	}
}

// Advice returns what the evidence may show to be set up badly, whatever ended the container.
func Advice() []Detail {
	return []Detail{
		{"no_startup_probe", "the liveness probe kills the container while it starts, and there is no startup probe"},
		{"probe_shared", "the liveness and the readiness probe ask the same: a busy program is killed in place of being spared"},
		{"short_timeout", "the probe's timeout is too short for a program under load"},
		{"liveness_checks_dependency", "the liveness probe fails for all replicas at once: it seems to check something outside of them"},
		{"node_overloaded", "probes of several pods of the node time out at once: the node is short of CPU or disk throughput"},
		{"exec_probe_memory", "the probe's command runs in the memory of the container and was killed there"},
		{"ignores_sigterm", "the program does not end on SIGTERM and is killed at the end of the grace period"},
		{"long_pre_stop", "the preStop hook takes most of the grace period"},
		{"no_memory_limit", "the container has no memory limit, so that it can take all of the node's"},
		{"limit_too_low", "the memory limit is below what the program needs"},
		{"memory_fills", "the container runs out of memory again and again, each time after the same long time or sooner: something fills its memory steadily"},
		{"heap_limit", "the runtime's own heap limit is reached before the container's memory limit, or is above it"},
		{"exit_zero_loop", "the program ends with exit code 0 again and again: it is no service"},
	}
}
