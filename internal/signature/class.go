package signature

import "strings"

// classify returns the class that a line, also given in lower case, speaks of; empty for
// none. Doubt tells that the line itself says that it did not end the program, as a retry does.
//
// Each word of the line is looked up once; only where a word may mean something is the
// line searched for the whole phrase.
func classify(text, low string) (class string, doubt bool) {
	var seen [64]string // a word that was looked up says the same again
	for i := 0; i < len(low); {
		if !letter(low[i]) {
			i++
			continue
		}
		start := i
		for i < len(low) && (word(low[i])) {
			i++
		}
		w := low[start:i]
		at := (len(w)*31 + int(w[0])*7 + int(w[len(w)-1])) % len(seen)
		if seen[at] == w {
			continue
		}
		seen[at] = w
		if c := classOf(w, low); c != "" && rank(c) > rank(class) {
			class = c
		}
	}
	if rank(class) < rank("port_in_use") && namesSetting(text, low) {
		class = "missing_setting"
	}
	if class == "" {
		return "", false
	}
	if denied(low) {
		return "", false
	}
	return class, doubtful(low)
}

func letter(c byte) bool { return c >= 'a' && c <= 'z' || c == '_' }

// rank orders classes where a line speaks of several: the one that says more wins.
func rank(class string) int {
	switch class {
	case "":
		return 0
	case "exception", "panic":
		return 1
	case "config_error", "usage", "timeout", "connection_failed":
		return 2
	case "permission_denied", "file_not_found", "auth_failed", "database_migration", "connection_lost":
		return 3
	case "missing_module", "native_crash":
		return 4
	}
	return 5
}

// denied tells lines that deny what they name.
func denied(low string) bool {
	return has(low, ": false", "=false", "(ignored)", "(ignoring)", "ignored:", "ignoring ", "no errors", "0 errors", "=0 ", "not an error", "non-fatal", "nonfatal", "harmless", "no longer ", "was resolved", "recovered from", "successfully")
}

// doubtful tells lines of programs that go on.
func doubtful(low string) bool {
	if has(low, "exceeded", "exhausted", "giving up", "gave up", "failed after", "no more retries") {
		return false
	}
	return has(low, "retry", "will try again", "trying again", "falling back", "fallback", "using default", "continuing", "skipping", "skipped", "attempt ", "reconnect", "optional", "waiting for", "deprecat")
}

func has(s string, any ...string) bool {
	for _, a := range any {
		if strings.Contains(s, a) {
			return true
		}
	}
	return false
}

func when(ok bool, class string) string {
	if ok {
		return class
	}
	return ""
}

// classOf returns what a word means in a line.
func classOf(w, low string) string {
	if c := networkClass(w, low); c != "" {
		return c
	}
	if c := systemClass(w, low); c != "" {
		return c
	}
	if c := dataClass(w, low); c != "" {
		return c
	}
	return programClass(w, low)
}

// networkClass knows what goes wrong between programs.
func networkClass(w, low string) string {
	switch w {
	case "eaddrinuse", "addrinuse":
		return "port_in_use"
	case "use":
		return when(has(low, "address already in use", "address in use", "port is already in use") ||
			strings.Contains(low, "port ") && has(low, " already in use", " is in use"), "port_in_use")
	case "allocated":
		return when(strings.Contains(low, "port is already allocated"), "port_in_use")
	case "usage":
		return when(strings.Contains(low, "only one usage of each socket address"), "port_in_use")

	case "econnrefused", "connectionrefused", "connectionrefusederror":
		return "connection_refused"
	case "refused":
		return when(has(low, "connection refused", "refused the connection", "actively refused it", "refused to connect", "connect refused"), "connection_refused")
	case "econnreset", "epipe", "connectionreset", "connectionreseterror", "brokenpipeerror", "connectionabortederror":
		return "connection_lost"
	case "reset":
		return when(has(low, "connection reset", "reset by peer"), "connection_lost")
	case "pipe":
		return when(strings.Contains(low, "broken pipe"), "connection_lost")
	case "closed":
		return when(has(low, "server closed the connection unexpectedly", "connection closed unexpectedly", "remote end closed connection"), "connection_lost")
	case "link":
		return when(strings.Contains(low, "communications link failure"), "connection_lost")
	case "ehostunreach", "enetunreach":
		return "network_unreachable"
	case "unreachable":
		return when(has(low, "network is unreachable", "host is unreachable", "host unreachable", "network unreachable"), "network_unreachable")
	case "route":
		return when(strings.Contains(low, "no route to host"), "network_unreachable")

	case "etimedout", "esockettimedout", "timeouterror", "timeoutexception", "sockettimeoutexception", "connecttimeoutexception", "connecttimeout", "readtimeout", "deadline_exceeded", "deadlineexceeded", "err_socket_timeout":
		return "timeout"
	case "timed":
		return when(strings.Contains(low, "timed out"), "timeout")
	case "deadline":
		return when(strings.Contains(low, "deadline exceeded"), "timeout")
	case "timeout":
		return when(has(low, "i/o timeout", "timeout exceeded", "timeout expired", "timeout after", "timeout waiting", "timeout while", "timeout reached", "timeout occurred", "timeout error", "timeout was reached",
			"request timeout", "handshake timeout", "operation timeout", "timeout connecting", "exceeded timeout", "exceeded while") || strings.HasSuffix(low, "timeout"), "timeout")

	case "enotfound", "eai_again", "unknownhostexception", "gaierror", "nxdomain", "eai_noname", "php_network_getaddresses":
		return "dns_failure"
	case "host":
		return when(has(low, "no such host", "could not resolve host", "could not translate host name", "unknown host", "host not found", "failed to resolve host"), "dns_failure")
	case "server":
		return when(has(low, "server misbehaving", "unknown mysql server host"), "dns_failure")
	case "resolution":
		return when(strings.Contains(low, "name resolution"), "dns_failure")
	case "name":
		return when(has(low, "name or service not known", "name does not resolve", "couldn't resolve host name"), "dns_failure")
	case "nodename":
		return when(strings.Contains(low, "nodename nor servname"), "dns_failure")
	case "lookup":
		// Go names the server that it asked after the name: what went wrong there is no more than how.
		return when(has(low, "failed to lookup address", "dns lookup failed", "dial tcp: lookup ", "dial udp: lookup "), "dns_failure")
	case "hostname":
		return when(has(low, "no address associated with hostname", "resolve hostname", "cannot resolve hostname"), "dns_failure")
	case "bad":
		return when(strings.Contains(low, "bad address '"), "dns_failure")
	case "getaddrinfo":
		return when(has(low, "getaddrinfo failed", "getaddrinfo error", "failed to getaddrinfo"), "dns_failure")

	case "x509", "certificate_verify_failed", "sslhandshakeexception", "sslerror", "sslcertverificationerror", "unable_to_verify_leaf_signature", "cert_has_expired", "depth_zero_self_signed_cert",
		"self_signed_cert_in_chain", "err_tls_cert_altname_invalid", "unknownissuer", "certpathbuilderexception", "sslexception", "ssl_error_ssl", "err_ssl_wrong_version_number":
		return "tls_error"
	case "certificate":
		return when(has(low, "certificate verify failed", "self-signed certificate", "self signed certificate", "certificate has expired", "verify the first certificate", "unknown certificate",
			"certificate is invalid", "bad certificate", "local issuer certificate", "certificate required", "certificate is not trusted", "invalid peer certificate", "certificate signed by unknown"), "tls_error")
	case "tls":
		return when(!strings.Contains(low, "timeout") && has(low, "error: tls: ", "tls: failed", "tls: first record", "tls: bad", "tls: unknown", "tls: protocol", "tls: handshake", "tls: no ", "tls: client", "tls: internal", "tls: unsupported", "tls: private key", "tls: server", "tls: expired", "tls handshake", "tls error", "tls alert"), "tls_error")
	case "ssl":
		return when(has(low, "ssl routines", "ssl handshake", "ssl error", "ssl connection could not", "[ssl: "), "tls_error")
	case "handshake":
		return when(has(low, "handshake failure", "handshake failed"), "tls_error")
	case "https":
		return when(strings.Contains(low, "http response to https client"), "tls_error")
	case "pkix":
		return "tls_error"

	case "authentication":
		return when(has(low, "authentication failed", "authentication required", "authentication failure", "authentication error", "authentication is required"), "auth_failed")
	case "authenticate":
		return when(has(low, "failed to authenticate", "could not authenticate", "unable to authenticate"), "auth_failed")
	case "credentials":
		return when(has(low, "invalid credentials", "bad credentials", "could not find default credentials", "unable to locate credentials", "wrong credentials", "no valid credential", "credentials were refused"), "auth_failed")
	case "unauthorized":
		return when(has(low, "401", "unauthorized:", ": unauthorized", "unauthorized access"), "auth_failed")
	case "forbidden":
		return when(has(low, "403 forbidden", "is forbidden: user", "forbidden: user", "code 403"), "auth_failed")
	case "login":
		return when(has(low, "login failed", "login incorrect"), "auth_failed")
	case "password":
		return when(has(low, "invalid password", "wrong password", "incorrect password", "or password is incorrect", "no password supplied"), "auth_failed")
	case "pg_hba":
		return when(strings.Contains(low, "no pg_hba.conf entry"), "auth_failed")
	case "wrongpass", "noauth", "invalidaccesskeyid", "signaturedoesnotmatch", "expiredtoken", "nocredentialproviders", "unauthenticated", "authenticationexception", "authenticationfailed", "accessdenied", "invalidclienttokenid", "unrecognizedclientexception":
		return "auth_failed"
	case "publickey":
		return when(strings.Contains(low, "permission denied (publickey"), "auth_failed")
	case "access":
		return when(has(low, "access denied for user", "access denied (using password"), "auth_failed")
	case "api":
		return when(has(low, "invalid api key", "incorrect api key"), "auth_failed")
	case "token":
		return when(has(low, "invalid token", "token expired", "token is expired", "token has expired"), "auth_failed")
	}
	return ""
}

// systemClass knows what goes wrong between a program and the machine.
func systemClass(w, low string) string {
	switch w {
	case "eacces", "eperm", "permissionerror", "unauthorizedaccessexception":
		return "permission_denied"
	case "permission":
		return when(strings.Contains(low, "permission denied") && !strings.Contains(low, "(publickey"), "permission_denied")
	case "permissiondenied":
		return when(!strings.Contains(low, "code ="), "permission_denied")
	case "permitted":
		return when(strings.Contains(low, "operation not permitted"), "permission_denied")
	case "accessdeniedexception":
		if strings.Contains(low, "java.nio") {
			return "permission_denied"
		}
		return "auth_failed"
	case "denied":
		return when(strings.Contains(low, "access to the path"), "permission_denied")

	case "filenotfounderror", "filenotfoundexception", "nosuchfileexception", "directorynotfoundexception":
		return "file_not_found"
	case "enoent":
		if strings.Contains(low, "spawn ") {
			return "command_not_found"
		}
		return "file_not_found"
	case "directory":
		if !strings.Contains(low, "no such file or directory") {
			return ""
		}
		switch {
		case has(low, "cannot open shared object file", "error loading shared library"):
			return "missing_library"
		case strings.HasPrefix(low, "exec ") || strings.HasPrefix(low, "env: ") || strings.HasPrefix(low, "/usr/bin/env: ") || has(low, "exec: ", "exec user process caused", "fork/exec ", "bad interpreter"):
			return "command_not_found"
		}
		return "file_not_found"
	case "file":
		return when(has(low, "cannot find the file", "could not find file", "file not found", "cannot find the path", "file does not exist", "can't find file", "could not find config", "cannot find config", "config file not found"), "file_not_found")
	case "jarfile":
		return when(strings.Contains(low, "unable to access jarfile"), "file_not_found")
	case "found":
		switch {
		case strings.Contains(low, "executable file not found in $path"), strings.Contains(low, "command not found"), strings.HasSuffix(low, ": not found") && shell(low):
			return "command_not_found"
		case strings.Contains(low, "required file not found"):
			return "command_not_found"
		}
	case "erofs", "readonlyfilesystem":
		return "read_only_filesystem"
	case "read":
		return when(has(low, "read-only file system", "read-only filesystem"), "read_only_filesystem")
	case "readonly":
		return when(has(low, "readonly file system", "attempt to write a readonly database"), "read_only_filesystem")
	case "watchers":
		return when(has(low, "file watchers", "inotify watch"), "inotify_limit")
	case "inotify":
		return when(has(low, "inotify watch limit", "inotify instances", "inotify_init", "inotify limit"), "inotify_limit")
	case "enospc":
		return when(!strings.Contains(low, "file watchers"), "disk_full")
	case "space":
		return when(has(low, "no space left on device", "not enough space", "no free space", "insufficient disk space", "out of disk space", "not enough disk space"), "disk_full")
	case "quota":
		return when(strings.Contains(low, "disk quota exceeded"), "disk_full")
	case "edquot", "storagefull":
		return "disk_full"
	case "full":
		return when(has(low, "disk full", "disk is full"), "disk_full")
	case "emfile", "enfile":
		return "too_many_open_files"
	case "files":
		return when(has(low, "too many open files", "too many files open"), "too_many_open_files")
	case "thread":
		return when(has(low, "unable to create native thread", "unable to create new native thread", "can't start new thread", "failed to create new os thread", "failed to spawn thread"), "too_many_threads")
	case "pthread_create":
		return when(has(low, "failed", "resource temporarily unavailable", "eagain"), "too_many_threads")
	case "format":
		return when(strings.Contains(low, "exec format error"), "exec_format")
	case "binary":
		return when(strings.Contains(low, "cannot execute binary file"), "exec_format")

	case "outofmemoryerror":
		return when(!strings.Contains(low, "native thread"), "heap_exhausted")
	case "outofmemoryexception", "memoryerror", "nomemoryerror", "bad_alloc", "enomem":
		return "heap_exhausted"
	case "heap":
		return when(has(low, "heap out of memory", "java heap space", "reached heap limit"), "heap_exhausted")
	case "overhead":
		return when(strings.Contains(low, "gc overhead limit exceeded"), "heap_exhausted")
	case "memory":
		if has(low, "perhaps out of memory", "out of memory: killed process") {
			return "child_killed"
		}
		return when(has(low, "cannot allocate memory", "allowed memory size of", "memory allocation of ", "insufficient memory for the java runtime", "failed to allocate memory", "out of memory",
			"could not allocate memory", "unable to allocate memory"), "heap_exhausted")
	case "killed":
		// What a shell and a supervisor of workers say of a child.
		return when(strings.HasPrefix(low, "killed") && len(low) < 8 || strings.Contains(low, ": line ") && strings.Contains(low, " killed "), "child_killed")
	case "sigkill":
		return when(has(low, "was sent sigkill", "terminated by signal: sigkill", "terminated by sigkill", "killed by signal: sigkill", "exited on signal 9", "signal 9 (sigkill)"), "child_killed")
	case "signal":
		return when(has(low, "exited on signal 9", "was terminated by signal 9", "exited with signal 9"), "child_killed")
	case "stackoverflowerror", "recursionerror", "systemstackerror":
		return "stack_overflow"
	case "stack":
		return when(has(low, "maximum call stack size exceeded", "has overflowed its stack", "stack overflow", "goroutine stack exceeds", "stack level too deep"), "stack_overflow")
	}
	return ""
}

// shell tells the messages of shells: "sh: 1: x: not found", "/entrypoint.sh: line 3: x: not found".
func shell(low string) bool {
	first, _, _ := strings.Cut(low, ": ")
	return strings.HasSuffix(first, "sh") || has(low, "sh: ", "sh[", ": line ", "exec: ")
}
