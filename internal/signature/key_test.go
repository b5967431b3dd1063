package signature

import (
	"strings"
	"testing"
)

// TestKeyStays holds that the same failure has the same key in every pod and at every time:
// each list is one failure, as several pods tell it.
func TestKeyStays(t *testing.T) {
	for name, logs := range map[string][]string{
		"address and port of the client": {
			"read tcp 10.1.2.3:41234->10.0.0.5:5432: read: connection reset by peer", "read tcp 10.99.0.7:33333->10.0.3.77:5432: read: connection reset by peer",
			"read tcp [fd00::a:1]:41234->[fd00::5]:5432: read: connection reset by peer"},
		"address of the server":        {"dial tcp 10.1.2.3:5432: connect: connection refused", "dial tcp 10.99.0.7:5432: connect: connection refused"},
		"address of IPv6":              {"dial tcp [fe80::a00:27ff:fe4e:66a1]:5432: connect: connection refused", "dial tcp [fd00:beef::dead]:5432: connect: connection refused"},
		"a port that the system chose": {"dial tcp 127.0.0.1:34567: connect: connection refused", "dial tcp 127.0.0.1:60999: connect: connection refused"},
		"time":                         {"2026-11-21T06:34:17.123Z ERROR dial: connection refused", "2026-11-22T16:04:01.9Z ERROR dial: connection refused"},
		"times in the text": {
			"connection refused since 2026-11-21T06:34:17.123Z", "connection refused since 2026-12-01T16:04:01+02:00", "connection refused since 2026-12-01 16:04:01.5",
			"connection refused since Sat, 21 Nov 2026 09:37:37", "connection refused since Mon Jan  2 15:04:05 2026", "connection refused since 21/Nov/2026:06:34:17 -0500", "connection refused since 11/21/2026 9:37:37 PM"},
		"quoted": {`open "/data/a": permission denied`, `open "/data/b c": permission denied`},
		"uuid": {
			"job 550e8400-e29b-41d4-a716-446655440000 connection refused", "job 6ba7b810-9dad-11d1-80b4-00c04fd430c8 connection refused", "job 55084000-1234-4123-8123-446655440000 connection refused",
			"job abcdefab-abcd-4bcd-abcd-abcdefabcdef connection refused"},
		"hexadecimal": {"object 0xc00012a000 no space left on device", "object 0xc0deadbeef no space left on device"},
		"ids":         {"trace 4bf92f3577b34da6a3ce929d0e0e4736: connection refused", "trace 12345678901234567890123456789012: connection refused", "trace 7f: connection refused"},
		"durations":   {"request timed out after 1m30s", "request timed out after 10m30.5s", "request timed out after 1h23m45.678901s", "request timed out after 350ms", "request timed out after 12.5µs", "request timed out after 100000ms", "request timed out after 0s"},
		"numbers":     {"order 5: connection refused", "order 1234567: connection refused", "order 12,345: connection refused", "order 1.5: connection refused"},
		"lists":       {"brokers 1, 2, 3: connection refused", "brokers 1: connection refused"},
		"pods of a Deployment": {
			"api-7d9f8b6c5d-x2k4j: connection refused", "api-7d9f8b6c5d-bcdfg: connection refused", "api-66785dd4c9-27kzq: connection refused", "api-5d4f-xkcd2: connection refused", "api-98765-22222: connection refused"},
		"pods of a StatefulSet": {"dial tcp: lookup web-0.web on 10.96.0.10:53: no such host", "dial tcp: lookup web-12.web on 10.96.0.10:53: no such host"},
		"pods of a Job":         {"migrate-x2k4j: connection refused", "migrate-bcdfg: connection refused", "migrate-99999: connection refused"},
		"nodes of clouds": {
			"node gke-prod-default-pool-3f9b4c1d-x7kq: connection refused", "node gke-prod-default-pool-a1b2c3d4-bcdf: connection refused"},
		"nodes of AWS":        {"node ip-10-0-3-17.ec2.internal: connection refused", "node ip-10-120-33-7.ec2.internal: connection refused"},
		"nodes of Azure":      {"node aks-nodepool1-12345678-vmss000003: connection refused", "node aks-nodepool1-87654321-vmss00000a: connection refused"},
		"temporary files":     {"open /tmp/tmpab12cd: no space left on device", "open /tmp/tmpabcdefgh: no space left on device", "open /tmp/build-1234: no space left on device", "open /tmp/tmp.AbCdEfGhIj: no space left on device"},
		"temporary elsewhere": {"open /data/tmpabcdefgh/x: no space left on device", "open /data/tmpx8y_2abc/x: no space left on device", "open /data/tmp12345678/x: no space left on device"},
		"goroutines": {
			"panic: boom\n\ngoroutine 1 [running]:\nmain.run(0x1)\n\t/app/main.go:10 +0x1d", "panic: boom\n\ngoroutine 4711 [running]:\nmain.run(0xc000123456)\n\t/app/main.go:12 +0x2e"},
		"closures":          {"panic: boom\n\ngoroutine 1 [running]:\nmain.run.func1(0x1)\n\t/app/main.go:10 +0x1d", "panic: boom\n\ngoroutine 1 [running]:\nmain.run.func12(0x1)\n\t/app/main.go:10 +0x1d"},
		"objects of Java":   {"connection refused by com.acme.Pool@1b2c3d4e closed", "connection refused by com.acme.Pool@beefcafe closed", "connection refused by com.acme.Pool@5e91993f closed"},
		"objects of Python": {"connection refused by <shop.Cart object at 0x7f12ab> closed", "connection refused by <shop.Cart object at 0x7fdeadbeef00> closed"},
		"threads":           {"[http-nio-8080-exec-1] connection refused in pool-2-thread-3", "[http-nio-8080-exec-12] connection refused in pool-1-thread-17"},
		"proxies of Spring": {"java.lang.IllegalStateException: x\n\tat com.acme.Foo$$EnhancerBySpringCGLIB$$a1b2c3d4.run(<generated>)", "java.lang.IllegalStateException: x\n\tat com.acme.Foo$$EnhancerBySpringCGLIB$$12345678.run(<generated>)"},
	} {
		t.Run(name, func(t *testing.T) {
			want := ""
			for _, log := range logs {
				s := Find(strings.Split(log, "\n"))
				switch {
				case s == nil:
					t.Fatalf("nothing in %q", log)
				case want == "":
					want = s.Key
				case s.Key != want:
					t.Errorf("key %q, want %q, of %q", s.Key, want, log)
				}
			}
		})
	}
}

// TestKeyDiffers holds that different failures have different keys.
func TestKeyDiffers(t *testing.T) {
	seen := map[string]string{}
	for _, log := range []string{
		"open /etc/a.yaml: no such file or directory",
		"open /etc/b.yaml: no such file or directory",
		"open /etc/a.yaml: permission denied",
		"dial tcp 10.0.0.5:5432: connect: connection refused",
		"dial tcp 10.0.0.5:6379: connect: connection refused",
		"dial tcp 10.0.0.5:5432: i/o timeout",
		"dial tcp: lookup db on 10.96.0.10:53: no such host",
		"dial tcp: lookup redis on 10.96.0.10:53: no such host",
		`psycopg2.OperationalError: connection to server at "db" (10.0.0.5), port 5432 failed: Connection refused`,
		`psycopg2.OperationalError: connection to server at "audit" (10.0.0.6), port 5432 failed: Connection refused`,
		`rpc error: code = Unavailable desc = "transport: Error while dialing: dial tcp: lookup cart: no such host"`,
		`rpc error: code = Unavailable desc = "transport: Error while dialing: dial tcp: lookup stock: no such host"`,
		`required key "DATABASE_URL" missing value: is required`,
		`required key "REDIS_URL" missing value: is required`,
		"panic: boom\n\ngoroutine 1 [running]:\nmain.run(0x1)\n\t/app/main.go:10 +0x1d",
		"panic: boom\n\ngoroutine 1 [running]:\nmain.stop(0x1)\n\t/app/main.go:10 +0x1d",
		"java.lang.NullPointerException: x\n\tat com.acme.Base64Decoder.run(A.java:1)",
		"java.lang.NullPointerException: x\n\tat com.acme.Base64Encoder.run(A.java:1)",
		"java.lang.IllegalStateException: x\n\tat com.acme.Base64Encoder.run(A.java:1)",
		"java.lang.NullPointerException: x\n\tat com.acme.Cart.run(A.java:1)",
	} {
		s := Find(strings.Split(log, "\n"))
		if s == nil {
			t.Fatalf("nothing in %q", log)
		}
		if other, taken := seen[s.Key]; taken {
			t.Errorf("one key %q of\n%s\n%s", s.Key, log, other)
		}
		seen[s.Key] = log
	}
}

// TestKeyHasNo holds that a key has none of what tells pods and moments apart, wherever in
// a line it stands.
func TestKeyHasNo(t *testing.T) {
	forms := []string{"connection refused by %", "% connection refused", "connection refused (%)", "connection refused: id=%, gave up", "connection refused [%]: x", "connection refused/%/x"}
	for _, value := range []string{
		"10.244.3.17", "10.244.3.17:43210", "fd00:10:244::1f", "550e8400-e29b-41d4-a716-446655440000", "4bf92f3577b34da6", "1763707000", "1763707000123", "2026-11-21T06:34:17.123456789Z",
		"1h23m45s", "3.14ms", "0xc000123456", "7d9f8b6c5d-x2k4j", "66785dd4c9-bcdfg", "3f9b4c1d-x7kq",
	} {
		for _, form := range forms {
			s := Find([]string{strings.Replace(form, "%", value, 1)})
			if s == nil {
				t.Errorf("nothing in %q", strings.Replace(form, "%", value, 1))
				continue
			}
			for _, part := range strings.FieldsFunc(value, func(r rune) bool { return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789", r) }) {
				if len(part) > 2 && strings.Contains(s.Key, part) {
					t.Errorf("%q of %q is in the key %q", part, value, s.Key)
				}
			}
		}
	}
}
