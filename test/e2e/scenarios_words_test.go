//go:build e2e

package e2e

import (
	corev1 "k8s.io/api/core/v1"
)

// wordScenarios are programs that say why they end, each in the words of its kind.
func wordScenarios() []scenario {
	const main = "app/main"
	says := func(name, truth, detail string, c corev1.Container) provocation {
		return provocation{name: name, truth: []claim{failure(main, truth, "app_exit", detail, fair), unheard(main)}, pods: one("app", c), stops: 2}
	}
	prints := func(code, text string) corev1.Container {
		return misbehave("main", "print", "starting", "sleep", "1s", "stderr", text, "exit", code)
	}
	list := []provocation{
		says("port-in-use", "listens twice on one port", "port_in_use", misbehave("main", "sleep", "1s", "listen", ":8081", "listen", ":8081", "forever")),
		says("connection-refused", "connects where nobody listens", "connection_refused", misbehave("main", "sleep", "1s", "dial", "127.0.0.1:1")),
		says("dns-failure", "connects to a name, and there is no DNS", "dns_failure", misbehave("main", "sleep", "1s", "dial", "orders.example:80")),
		says("file-not-found", "opens a file that does not exist", "file_not_found", misbehave("main", "sleep", "1s", "open", "/etc/app/config.yaml")),
		says("permission-denied", "writes to / without the right to", "permission_denied", with(misbehave("main", "sleep", "1s", "write", "/data", "1"), func(c *corev1.Container) {
			user := int64(1000)
			c.SecurityContext = &corev1.SecurityContext{RunAsUser: &user}
		})),
		says("read-only-filesystem", "writes to a root file system that is read-only", "read_only_filesystem", with(misbehave("main", "sleep", "1s", "write", "/data", "1"), func(c *corev1.Container) {
			c.SecurityContext = &corev1.SecurityContext{ReadOnlyRootFilesystem: yes()}
		})),
		says("unknown-flag", "a Go program is given a flag that it does not know", "usage", prints("2", "flag provided but not defined: -verbos\nUsage of /app:\n  -verbose\n    \tsay more")),
		says("unknown-verb", "an argument that the program does not know; it exits with 64", "usage|", misbehave("main", "serve")),
		says("missing-setting", "an environment variable is not set", "missing_setting", prints("1", "fatal: required environment variable DATABASE_URL is not set")),
		says("python-exception", "a Python program does not catch an exception", "exception", prints("1",
			"Traceback (most recent call last):\n  File \"/app/main.py\", line 12, in <module>\n    main()\n  File \"/app/main.py\", line 7, in main\n    total = sum(prices) / len(prices)\nZeroDivisionError: division by zero")),
		says("java-exception", "a Java program does not catch an exception", "exception", prints("1",
			"Exception in thread \"main\" java.lang.IllegalStateException: the cart is empty\n\tat com.example.shop.Cart.total(Cart.java:41)\n\tat com.example.shop.Main.main(Main.java:12)")),
		says("java-heap", "the heap of a Java program is exhausted", "heap_exhausted", prints("3",
			"java.lang.OutOfMemoryError: Java heap space\nTerminating due to java.lang.OutOfMemoryError: Java heap space")),
		says("tls-error", "a certificate of an unknown authority", "tls_error", prints("1", "fatal: Get \"https://orders.example/\": tls: failed to verify certificate: x509: certificate signed by unknown authority")),
		says("auth-failed", "the database does not accept the password", "auth_failed", prints("1", "FATAL: password authentication failed for user \"shop\" (SQLSTATE 28P01)")),
		says("timeout", "the database does not answer in time", "timeout", prints("1", "fatal: connect to the database: dial tcp 10.0.0.9:5432: i/o timeout")),
		says("leader-election-lost", "a controller loses its lease", "leader_election_lost", prints("1",
			"I1121 07:00:01.000000       1 leaderelection.go:297] failed to renew lease shop/controller: context deadline exceeded\nE1121 07:00:01.000100       1 main.go:88] \"problem running manager\" err=\"leader election lost\"")),
		{
			name: "missing-library", truth: []claim{
				failure(main, "the loader does not find a library; it exits with 127", "app_exit|command_not_found", "missing_library", fair),
				failure(main, "the same, and its log was lost", "command_not_found", "*", likely).only(logLost).maybe(),
			}, stops: 2,
			pods: one("app", prints("127", "/app/server: error while loading shared libraries: libssl.so.3: cannot open shared object file: No such file or directory")),
		},
		{
			name: "node-heap", truth: []claim{failure(main, "the heap of a Node.js program is exhausted; it exits with 134", "app_signal|app_exit", "SIGABRT|heap_exhausted", fair)}, stops: 2,
			pods: one("app", misbehave("main", "sleep", "1s", "stderr", "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory", "signal", "ABRT")),
		},
		{
			name: "disk-full", truth: []claim{failure(main, "writes 8 MiB to a tmpfs of 1 MiB", "app_exit", "disk_full", fair), unheard(main)}, stops: 2,
			pods: []*corev1.Pod{mounted(newPod("app", misbehave("main", "sleep", "1s", "write", "/full/file", "8388608")), corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{
				Medium: corev1.StorageMediumMemory, SizeLimit: size("1Mi"),
			}}, corev1.VolumeMount{Name: "full", MountPath: "/full"})},
		},
		{
			name: "own-143", truth: []claim{failure(main, "exits with 143 by itself", "sigterm_unattributed", "", untold)}, stops: 2,
			pods: one("app", misbehave("main", "sleep", "1s", "exit", "143")),
		},
	}
	return provocations(list...)
}

// unheard is a program that ends and whose last words were lost.
func unheard(of string) claim {
	return failure(of, "it ends by itself, and its log was lost", "app_exit", "", likely).only(logLost).maybe()
}

// startScenarios are containers that cannot be started as they are written down.
func startScenarios() []scenario {
	const main = "app/main"
	script := func(content string) provocation {
		mode := int32(0o755)
		return provocation{
			before: func(s *space) { s.configMap("scripts", map[string]string{"run": content}) }, stops: 2,
			pods: []*corev1.Pod{mounted(newPod("app", command("main", "/scripts/run")), corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
				LocalObjectReference: corev1.LocalObjectReference{Name: "scripts"}, DefaultMode: &mode,
			}}, corev1.VolumeMount{Name: "scripts", MountPath: "/scripts"})},
		}
	}
	return provocations(
		with(script("echo hello\n"), func(p *provocation) {
			p.name, p.truth = "exec-format", []claim{failure(main, "the command is a script without #!", "exec_format_error", "*", fair), unheard(main)}
		}),
		with(script("#!/no/such/interpreter\necho hello\n"), func(p *provocation) {
			p.name, p.truth = "interpreter-missing", []claim{failure(main, "the command is a script whose interpreter does not exist", "command_not_found|exec_format_error|start_error", "*", fair), unheard(main)}
		}),
		provocation{
			name: "command-not-in-path", truth: []claim{failure(main, "a command that is nowhere in the PATH", "command_not_found", "", proven)},
			pods: one("app", command("main", "no-such-program")), stops: 2, neverRuns: []string{"main"},
		},
		provocation{
			name: "command-is-directory", truth: []claim{failure(main, "the command is a folder", "command_not_executable|start_error", "*", proven)},
			pods: one("app", command("main", "/tmp")), stops: 2, neverRuns: []string{"main"},
		},
		provocation{
			name: "working-directory", truth: []claim{failure(main, "the working directory is a file", "start_error", "*", proven)},
			pods: one("app", with(command("main", "/bin/true"), func(c *corev1.Container) { c.WorkingDir = "/etc/passwd" })), stops: 2, neverRuns: []string{"main"},
		},
		provocation{
			name: "subpath-over-directory", truth: []claim{failure(main, "a file is mounted over a folder by subPath", "start_error", "*", proven)},
			before: func(s *space) { s.configMap("settings", map[string]string{"app.conf": "a=b"}) }, stops: 2, neverRuns: []string{"main"},
			pods: []*corev1.Pod{mounted(newPod("app", command("main", "/bin/true")), corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
				LocalObjectReference: corev1.LocalObjectReference{Name: "settings"},
			}}, corev1.VolumeMount{Name: "settings", MountPath: "/bin", SubPath: "app.conf"})},
		},
		provocation{
			name: "subpath-leaves-volume", truth: []claim{
				completedWell("app/setup", "exits with 0, as it should"),
				stalled(main, "the subPath is a link that leads out of the volume", "container_create_failed", "*", fair),
			},
			pods: []*corev1.Pod{withInit(newPod("app", with(steady("main"), func(c *corev1.Container) {
				c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "scratch", MountPath: "/in", SubPath: "out"})
			})), shell("setup", "ln -s /etc "+scratch+"/out"))},
		},
	)
}
