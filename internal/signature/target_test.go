package signature

import (
	"net/netip"
	"strings"
	"testing"
)

// TestTarget reads what clients of many languages say of a server that they cannot reach.
// TestNoTarget holds that the words of a sentence are no hosts: workloads that cannot reach anything
// are not one incident.
func TestNoTarget(t *testing.T) {
	for _, log := range []string{
		"fatal: connect to host failed: connection refused", "fatal: resolve host failed: Temporary failure in name resolution",
		"fatal: could not resolve host the first time: no such host", "fatal: connect to host is not possible: connection refused",
	} {
		if s := Find([]string{log}); s == nil || s.Target != "" {
			t.Errorf("%q: %+v", log, s)
		}
	}
	for log, want := range map[string]string{
		`fatal: could not resolve host "failed": no such host`: "failed",
		"fatal: connect to host is:22: connection refused":     "is:22",
		"curl: (6) Could not resolve host: db":                 "db",
	} {
		if s := Find([]string{log}); s == nil || s.Target != want {
			t.Errorf("%q: %+v, want %s", log, s, want)
		}
	}
}

func TestTarget(t *testing.T) {
	tests := []struct{ log, want string }{
		// Go
		{"dial tcp 10.0.0.5:5432: connect: connection refused", "10.0.0.5:5432"},
		{"dial tcp [fd00:10::5]:5432: connect: connection refused", "[fd00:10::5]:5432"},
		{"dial tcp [::1]:6379: connect: connection refused", "[::1]:6379"},
		{"dial tcp 10.1.0.4:51234->10.0.0.5:5432: connect: connection timed out", "10.0.0.5:5432"},
		{"read tcp 10.1.0.4:51234->10.0.0.5:5432: read: connection reset by peer", "10.0.0.5:5432"},
		{"dial tcp: lookup db.shop.svc on 10.96.0.10:53: no such host", "db.shop.svc"},
		{"lookup db: no such host", "db"},
		{"cannot start: lookup db.shop.svc.cluster.local. on 10.96.0.10:53: no such host", "db.shop.svc.cluster.local"},
		{"dial tcp: lookup db on 10.96.0.10:53: server misbehaving", "db"},
		{"dial tcp: lookup db on 10.96.0.10:53: read udp 10.244.0.7:43210->10.96.0.10:53: i/o timeout", "10.96.0.10:53"},
		{`dial tcp: lookup db on 10.96.0.10:53: dial udp 10.96.0.10:53: connect: connection refused`, "10.96.0.10:53"},
		{"dial tcp: lookup db: i/o timeout", "db"},
		{`Get "https://api.example.com/v1": dial tcp 10.0.0.5:443: connect: connection refused`, "api.example.com:443"},
		{`Get "http://api:8080/v1?token=x": dial tcp 10.0.0.5:8080: i/o timeout`, "api:8080"},
		{`Get "http://api:8080/v1": dial tcp 10.0.0.9:3128: connect: connection refused`, "10.0.0.9:3128"},
		{`Get "https://api.example.com": proxyconnect tcp: dial tcp 10.1.1.1:3128: connect: connection refused`, "10.1.1.1:3128"},
		{`Get "https://api.example.com": tls: failed to verify certificate: x509: certificate signed by unknown authority`, "api.example.com"},
		{`Get "https://10.96.0.1:443/api?timeout=32s": dial tcp 10.96.0.1:443: connect: connection refused`, "10.96.0.1:443"},
		{`Post "http://user:secret@api:8080/x": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`, "api:8080"},
		{"failed to connect to `host=db user=app database=shop`: dial error (dial tcp 10.0.0.5:5432: connect: connection refused)", "db:5432"},
		{"failed to connect to `user=app database=shop`: 10.0.0.5:5432 (db): dial error: dial tcp 10.0.0.5:5432: connect: connection refused", "db:5432"},
		{"failed to connect to `user=app database=shop`: hostname resolving error: lookup db: no such host", "db"},
		{"FATAL cannot open app:1234@tcp(db:3306)/shop: connection refused", ""},
		{"The connection to the server localhost:8080 was refused - did you specify the right host or port? connection refused", "localhost:8080"},
		{`rpc error: code = Unavailable desc = connection error: desc = "transport: Error while dialing: dial tcp 10.1.1.1:50051: connect: connection refused"`, "10.1.1.1:50051"},
		{"dial unix /var/run/docker.sock: connect: connection refused", ""},
		{"kafka: client has run out of available brokers to talk to: dial tcp: lookup kafka-0.kafka on 10.96.0.10:53: no such host", "kafka-0.kafka"},
		// gRPC of C++ and Python
		{"failed to connect to all addresses; last error: UNKNOWN: ipv4:10.0.0.5:50051: Failed to connect to remote host: Connection refused", "10.0.0.5:50051"},
		{"DNS resolution failed for cart:50051: C-ares status is not ARES_SUCCESS: could not resolve host", "cart"},
		// Java
		{"org.postgresql.util.PSQLException: Connection to db:5432 refused. Check that the hostname and port are correct.\n\tat a.B.c(D.java:1)\nCaused by: java.net.ConnectException: Connection refused\n\tat x.Y.z(Q.java:1)", "db:5432"},
		{"Caused by: java.net.UnknownHostException: db\n\tat a.B.c(D.java:1)", "db"},
		{"java.net.UnknownHostException: db: Name or service not known\n\tat a.B.c(D.java:1)", "db"},
		{"io.netty.channel.AbstractChannel$AnnotatedConnectException: Connection refused: redis/10.0.0.5:6379\n\tat a.B.c(D.java:1)", "redis:6379"},
		{"io.netty.channel.AbstractChannel$AnnotatedConnectException: finishConnect(..) failed: Connection refused: /10.0.0.5:6379\n\tat a.B.c(D.java:1)", "10.0.0.5:6379"},
		{"io.lettuce.core.RedisConnectionException: Unable to connect to redis/<unresolved>:6379\n\tat a.B.c(D.java:1)\nCaused by: java.net.ConnectException: Connection refused\n\tat x.Y.z(Q.java:1)", "redis:6379"},
		{"org.apache.http.conn.HttpHostConnectException: Connect to api:443 [api/10.0.0.1] failed: Connection refused (Connection refused)\n\tat a.B.c(D.java:1)", "api:443"},
		{"ERROR Connection to node -1 (kafka/10.0.0.9:9092) could not be established: Connection refused", "kafka:9092"},
		{"ERROR Couldn't resolve server kafka.mq:9092 from bootstrap.servers as DNS resolution failed: unknown host", "kafka.mq"},
		// Python
		{"psycopg2.OperationalError: could not connect to server: Connection refused\n\tIs the server running on host \"db\" (10.0.0.5) and accepting\n\tTCP/IP connections on port 5432?", "db:5432"},
		{`psycopg2.OperationalError: connection to server at "db" (10.0.0.5), port 5432 failed: Connection refused`, "db:5432"},
		{`connection to server at "10.0.0.5", port 5432 failed: Connection refused`, "10.0.0.5:5432"},
		{`connection to server at "db" (10.0.0.5), port 5432 failed: FATAL:  password authentication failed for user "app"`, "db:5432"},
		{`connection to server on socket "/var/run/postgresql/.s.PGSQL.5432" failed: Connection refused`, ""},
		{`could not translate host name "db" to address: Name or service not known`, "db"},
		{"redis.exceptions.ConnectionError: Error 111 connecting to redis:6379. Connection refused.", "redis:6379"},
		{"redis.exceptions.ConnectionError: Error -2 connecting to redis:6379. Name or service not known.", "redis"},
		{`pymysql.err.OperationalError: (2003, "Can't connect to MySQL server on 'db' ([Errno 111] Connection refused)")`, "db"},
		{`(2003, "Can't connect to MySQL server on 'db:3306' (111)")`, "db:3306"},
		{"requests.exceptions.ConnectionError: HTTPConnectionPool(host='api', port=8080): Max retries exceeded with url: /x (Caused by NewConnectionError('<urllib3.connection.HTTPConnection object at 0x7f1>: Failed to establish a new connection: [Errno 111] Connection refused'))", "api:8080"},
		{"ConnectionRefusedError: [Errno 111] Connect call failed ('10.0.0.5', 5432)", "10.0.0.5:5432"},
		{"aiohttp.client_exceptions.ClientConnectorError: Cannot connect to host db:443 ssl:default [Connect call failed ('10.0.0.5', 443)]: connection refused", "db:443"},
		{"pymongo.errors.ServerSelectionTimeoutError: mongo:27017: [Errno 111] Connection refused (configured timeouts: socketTimeoutMS: 20000.0ms), Timeout: 30s", "mongo:27017"},
		{"consumer: Cannot connect to amqp://guest:**@mq:5672//: [Errno 111] Connection refused.", "mq:5672"},
		{"Traceback (most recent call last):\n  File \"/app/main.py\", line 4, in work\n    s.connect((\"db\", 5432))\nConnectionRefusedError: [Errno 111] Connection refused", "db:5432"},
		// Node
		{"Error: connect ECONNREFUSED 10.0.0.5:6379\n    at TCPConnectWrap.afterConnect [as oncomplete] (node:net:1555:16)", "10.0.0.5:6379"},
		{"Error: connect ECONNREFUSED ::1:5432\n    at TCPConnectWrap.afterConnect [as oncomplete] (node:net:1555:16)", "[::1]:5432"},
		{"Error: connect ECONNREFUSED /tmp/.s.PGSQL.5432\n    at PipeConnectWrap.afterConnect [as oncomplete] (node:net:1555:16)", ""},
		{"Error: getaddrinfo ENOTFOUND db\n    at GetAddrInfoReqWrap.onlookup [as oncomplete] (node:dns:107:26)", "db"},
		{"Error: getaddrinfo EAI_AGAIN db.shop.svc\n    at GetAddrInfoReqWrap.onlookup [as oncomplete] (node:dns:107:26)", "db.shop.svc"},
		{"PrismaClientInitializationError: Can't reach database server at `db`:`5432`: connection refused", "db:5432"},
		{"Error: P1001: Can't reach database server at `db:5432`: connection refused", "db:5432"},
		{`{"level":60,"time":1700000001000,"err":{"type":"Error","message":"connect ECONNREFUSED 10.0.0.5:6379","stack":"Error: connect ECONNREFUSED 10.0.0.5:6379\n    at TCPConnectWrap.afterConnect (node:net:1:1)"},"msg":"redis"}`, "10.0.0.5:6379"},
		{"Error [ERR_TLS_CERT_ALTNAME_INVALID]: Hostname/IP does not match certificate's altnames: Host: api. is not in the cert's altnames: DNS:x", "api"},
		// Ruby, PHP, .NET, Elixir
		{"Errno::ECONNREFUSED: Connection refused - connect(2) for \"db\" port 5432", "db:5432"},
		{"Failed to open TCP connection to api:443 (getaddrinfo: Name or service not known)", "api"},
		{"SQLSTATE[HY000] [2002] php_network_getaddresses: getaddrinfo for db failed: Name or service not known", "db"},
		{"Predis\\Connection\\ConnectionException: Connection refused [tcp://redis:6379]", "redis:6379"},
		{"Unhandled exception. System.Net.Http.HttpRequestException: Connection refused (api:80)\n ---> System.Net.Sockets.SocketException (111): Connection refused\n   at A.B() in /src/a.cs:line 3", "api:80"},
		{"Npgsql.NpgsqlException (0x80004005): Failed to connect to 10.0.0.5:5432\n ---> System.Net.Sockets.SocketException (111): Connection refused\n   at A.B() in /src/a.cs:line 3", "10.0.0.5:5432"},
		{"Failed to connect to [::ffff:10.0.0.5]:5432: connection refused", "10.0.0.5:5432"},
		{"** (DBConnection.ConnectionError) tcp connect (db:5432): connection refused - :econnrefused", "db:5432"},
		// Tools and servers
		{"curl: (7) Failed to connect to api port 8080 after 0 ms: Connection refused", "api:8080"},
		{"curl: (6) Could not resolve host: api", "api"},
		{"wget: bad address 'api'", "api"},
		{"wget: can't connect to remote host (10.0.0.5): Connection refused", "10.0.0.5"},
		{"Connecting to api (api)|10.0.0.5|:80... failed: Connection refused.", "api:80"},
		{"nc: connect to db (10.0.0.5) port 5432 (tcp) failed: Connection refused", "db:5432"},
		{"ssh: connect to host git port 22: Connection refused", "git:22"},
		{`nginx: [emerg] host not found in upstream "api:8080" in /etc/nginx/conf.d/default.conf:12`, "api"},
		{"wait-for-it.sh: timeout occurred after waiting 15 seconds for db:5432", "db:5432"},
		{"2026/11/21 06:34:17 Timeout after 10s waiting on dependencies to become available: [tcp://db:5432]: timed out", "db:5432"},
		{"%3|1763707000.1|FAIL|app#producer-1| [thrd:kafka:9092/bootstrap]: kafka:9092/bootstrap: Connect to ipv4#10.0.0.9:9092 failed: Connection refused", "kafka:9092"},
		{"Failed to resolve 'kafka:9092': Name or service not known", "kafka"},
		{"error sending request for url (http://api:8080/x): error trying to connect: tcp connect error: Connection refused (os error 111)", "api:8080"},
		{"com.mysql.cj.jdbc.exceptions.CommunicationsException: Communications link failure", ""},
		{"jdbc:postgresql://db:5432/shop?user=app&password=x: Connection refused", "db:5432"},
		{`{"level":"error","msg":"connection refused","endpoint":"etcd-0.etcd:2379"}`, "etcd-0.etcd:2379"},
		{"level=error msg=\"connection refused\" addr=cache:6379", "cache:6379"},

		{"com.mongodb.MongoTimeoutException: Timed out after 30000 ms while waiting to connect. Client view of cluster state is {type=UNKNOWN, servers=[{address=mongo:27017, type=UNKNOWN, state=CONNECTING, exception={java.net.ConnectException: Connection refused}}]\n\tat a.B.c(D.java:1)", "mongo:27017"},
		{`org.springframework.web.client.ResourceAccessException: I/O error on GET request for "http://api:8080/x": Connection refused` + "\n\tat a.B.c(D.java:1)", "api:8080"},
		{"StackExchange.Redis.RedisConnectionException: It was not possible to connect to the redis server(s). UnableToConnect on redis:6379/Interactive, connection refused\n   at A.B() in /src/a.cs:line 3", "redis:6379"},
		{"Could not connect to Redis at redis:6379: Connection refused", "redis:6379"},
		{"Error: Redis connection to redis:6379 failed - connect ECONNREFUSED 10.0.0.5:6379\n    at TCPConnectWrap.afterConnect [as oncomplete] (node:net:1555:16)", "redis:6379"},
		{"com.datastax.driver.core.exceptions.NoHostAvailableException: All host(s) tried for query failed (tried: cassandra/10.0.0.5:9042 (Cannot connect: connection refused))\n\tat a.B.c(D.java:1)", "cassandra:9042"},
		{"java.sql.SQLRecoverableException: ORA-12541: Cannot connect. No listener at host db port 1521. Connection refused\n\tat a.B.c(D.java:1)", "db:1521"},
		{`com.microsoft.sqlserver.jdbc.SQLServerException: The TCP/IP connection to the host db, port 1433 has failed. Error: "Connection refused.` + "\n\tat a.B.c(D.java:1)", "db:1433"},
		{`{failed_connect,[{to_address,{"api",8080}},{inet,[inet],econnrefused}]}`, "api:8080"},
		{`connect() failed (111: Connection refused) while connecting to upstream, client: 10.1.1.1, server: _, request: "GET / HTTP/1.1", upstream: "http://10.0.0.5:8080/", host: "shop"`, "10.0.0.5:8080"},
		{`error retrieving resource lock kube-system/x: Get "https://10.96.0.1:443/apis/coordination.k8s.io/v1/leases/x?timeout=5s": dial tcp 10.96.0.1:443: connect: connection refused`, "10.96.0.1:443"},
		{"fatal: unable to access 'https://git.example.com/x.git/': Could not resolve host: git.example.com", "git.example.com"},
		{"DBI connect('database=shop;host=db','app',...) failed: could not connect to server: Connection refused", "db"},
		{"cURL error 28: Operation timed out after 5001 milliseconds with 0 bytes received for http://api/x", "api"},
		{"Error connecting to broker: dial tcp: lookup kafka: i/o timeout", "kafka"},
		{"429 Too Many Requests for url: https://api.example.com/v1/x", "api.example.com"},

		// What names nothing, or something else.
		{"ERROR: connection to client lost: broken pipe", ""},
		{"SQLSTATE[HY000] [2002] Connection refused (Connection: mysql, SQL: select 1)", ""},
		{"Unable to connect to zookeeper server within timeout: 5000: timed out", ""},
		{"Could not open a connection to SQL Server: timed out", ""},
		{"host=node-1.ec2.internal connection refused", ""},
		{"timed out waiting for caches.sync", ""},
		{"failed to connect to System.Data.SqlClient: timed out", ""},
		{"cannot connect to settings.json: connection refused", ""},
		{"connection refused", ""},
		{"cannot connect to the database: connection refused", ""},
		{"cannot connect to redis: connection refused", ""},
		{"Error: could not connect to the database", ""},
		{"Access denied for user 'app'@'10.244.0.7' (using password: YES)", ""},
		{`FATAL: no pg_hba.conf entry for host "10.244.0.7", user "app", database "shop"`, ""},
		{"request from 10.244.0.7:51234: connection refused", ""},
		{"listen tcp 10.0.0.5:8080: bind: address already in use", ""},
		{"timed out after 30s, see https://docs.example.com/timeouts", ""},
		{"timed out; for more information visit https://example.com/help", ""},
		{"open /etc/app/config.yaml: no such file or directory", ""},
		{"connect to app:hunter2@db: connection refused", "db"},
		{"connect to postgres://app:12/34@db:5432/shop: connection refused", ""},
		{"connect to postgres://app:12@34@db:5432/shop: connection refused", "db:5432"},
		{"dial tcp 0.0.0.0:8080: connect: connection refused", ""},
		{"exit status 111: connection refused at main.go:42", ""},
		{"ConnectionRefusedError: [Errno 111] Connection refused", ""},
	}
	for _, tc := range tests {
		s := Find(strings.Split(tc.log, "\n"))
		switch {
		case s == nil:
			t.Errorf("nothing in %q", tc.log)
		case s.Target != tc.want:
			t.Errorf("target %q, want %q, class %s, of\n%s", s.Target, tc.want, s.Class, tc.log)
		}
	}
}

// checkTarget holds what is true of every target: it is a host with or without a port that
// the lines have, and nothing else.
func checkTarget(t *testing.T, lines []string, target string) {
	t.Helper()
	if target == "" {
		return
	}
	if len(target) > maxTarget || strings.ContainsAny(target, "@/ \t\"'\x00\x1b") {
		t.Errorf("target %q", target)
	}
	host, port := target, ""
	if i := strings.LastIndexByte(target, ':'); i > strings.LastIndexByte(target, ']') {
		host, port = target[:i], target[i+1:]
	}
	host = strings.Trim(host, "[]")
	low := strings.ToLower(strings.Join(lines, "\n"))
	if _, err := netip.ParseAddr(host); err != nil && !strings.Contains(low, host) || !strings.Contains(low, port) {
		t.Errorf("target %q is not in %q", target, lines)
	}
}

func FuzzTarget(f *testing.F) {
	f.Add("connect to postgres://app:secret@db:5432/x: connection refused")
	f.Add("dial tcp: lookup db on 10.96.0.10:53: no such host")
	f.Add(`connection to server at "db" (10.0.0.5), port 5432 failed: Connection refused`)
	f.Add("connect ECONNREFUSED ::1:5432")
	f.Fuzz(func(t *testing.T, line string) {
		lines := strings.Split(line, "\n")
		for _, class := range []string{"connection_refused", "dns_failure"} {
			checkTarget(t, lines, target(class, lines[0], lines[1:], lines[0]))
		}
		if strings.Contains(line, "hunter2") {
			return
		}
		for _, form := range []string{"connect to postgres://app:hunter2@", "dial amqp://hunter2:hunter2@", "connect to app:hunter2@"} {
			if got := target("connection_refused", form+line, nil, ""); strings.Contains(got, "hunter2") {
				t.Errorf("%q in the target of %q", got, form+line)
			}
		}
	})
}
