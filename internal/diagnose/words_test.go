package diagnose

import (
	"testing"

	"github.com/whyrestart/whyrestart/internal/evidence"
)

// TestSignature holds that what is grouped by is that of the words that are quoted: where a
// diagnosis rests on something else, the words had no part in it.
func TestSignature(t *testing.T) {
	const refused = "dial tcp: lookup db.shop.svc on 10.96.0.10:53: no such host"
	for _, tc := range []struct {
		name              string
		e                 evidence.Evidence
		signature, target string
	}{
		{"the program's own words", exited(1, "Error", says("starting", refused)), "dns_failure||dial tcp: lookup db.shop.svc on <n>: no such host|db.shop.svc", "db.shop.svc"},
		{"a termination message", exited(1, "Error", message(`connection to server at "db" (10.0.0.5), port 5432 failed: Connection refused`), says("panic: boom")),
			"connection_refused||connection to server at <s> (<n>), port <n> failed: Connection refused|db:5432", "db:5432"},
		{"words of nobody knows whom", exited(1, "Error", probably(refused)), "dns_failure||dial tcp: lookup db.shop.svc on <n>: no such host|db.shop.svc", "db.shop.svc"},
		{"no server in it", exited(2, "Error", says("panic: boom", "", "goroutine 7 [running]:", "main.run(0x1)", "\t/app/main.go:10 +0x1d")), "panic||main.run", ""},
		{"no words", exited(1, "Error"), "", ""},
		{"words that say nothing", exited(1, "Error", says("bye")), "", ""},
		{"killed for the probe", exited(137, "Error", says(refused), event("Killing", failedLiveness, at(30))), "", ""},
		{"out of memory", exited(137, "OOMKilled", says(refused)), "", ""},
		{"deleted", exited(1, "Error", says(refused), deletedAt(at(50)), event("Killing", stopping, at(50))), "", ""},
	} {
		f := Diagnose(&tc.e)
		if d := &f.Diagnosis; d.Signature != tc.signature || d.Target != tc.target {
			t.Errorf("%s: %q, %q, want %q, %q", tc.name, d.Signature, d.Target, tc.signature, tc.target)
		}
	}
}
