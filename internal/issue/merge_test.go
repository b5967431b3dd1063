package issue_test

import (
	"strings"
	"testing"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
)

func TestCompileErrors(t *testing.T) {
	for _, tc := range []struct {
		rule issue.Rule
		err  string
	}{
		{issue.Rule{}, "matches everything"},
		{issue.Rule{Into: "x"}, "matches everything"},
		{issue.Rule{Workload: "a"}, "into: the name of the group is missing"},
		{issue.Rule{Workload: "(", Into: "x"}, "workload: error parsing regexp"},
		{issue.Rule{Namespace: "a)(b", Into: "x"}, "namespace: error parsing regexp"},
		{issue.Rule{Workload: "(?i", Into: "x"}, "workload: error parsing regexp"},
		{issue.Rule{Workload: strings.Repeat("a", 1001), Into: "x"}, "1001 bytes"},
		{issue.Rule{Workload: "a", Into: strings.Repeat("a", 257)}, "257 bytes"},
		{issue.Rule{Workload: "build-.*", Into: "build-$1"}, `$1 is no group of workload "build-.*"`},
		{issue.Rule{Workload: "(build)-.*", Into: "$1_x"}, "$1_x is no group"},
		{issue.Rule{Workload: "(build)-.*", Into: "$1_x"}, "write ${1}"},
		{issue.Rule{Workload: "(?P<name>build)-.*", Into: "${nam}"}, "${nam} is no group"},
		{issue.Rule{Workload: "(build)-.*", Into: "$1$"}, "names no group"},
		{issue.Rule{Kind: "Job", Into: "$1"}, "which has no pattern"},
	} {
		_, err := issue.Compile([]issue.Rule{{Kind: "Job", Into: "fine"}, tc.rule})
		if err == nil || !strings.Contains(err.Error(), tc.err) || !strings.HasPrefix(err.Error(), "merge rule 2: ") {
			t.Errorf("%+v: error %v, want %q", tc.rule, err, tc.err)
		}
	}
	if _, err := issue.Compile(make([]issue.Rule, 201)); err == nil {
		t.Error("201 rules are taken")
	}
}

func TestGroupOfRules(t *testing.T) {
	of := func(kind, name string, f ...func(*record.Record)) record.Record {
		r := stop("1", t0, f...)
		r.Workload, r.Pod = &record.Workload{Kind: kind, Name: name}, name
		return r
	}
	rules, err := issue.Compile([]issue.Rule{
		{Kind: "job", Workload: `(?P<name>[a-z]+)-[0-9a-f]{6}`, Into: "ci-${name}"},
		{Workload: `(\w+)-(\w+)-\d+`, Namespace: "shop|data", Into: "$2 of $1, $$5"},
		{Container: "istio-proxy", Into: "mesh$$"},
	})
	if err != nil {
		t.Fatal(err)
	}
	bare := of("", "build-0123ab")
	bare.Workload = nil
	for _, tc := range []struct {
		name   string
		record record.Record
		want   string
	}{
		{"the first that matches", of("Job", "build-0123ab"), "ci-build"},
		{"only the whole name", of("Job", "build-0123ab-x"), ""},
		{"a bare pod is no job", bare, ""},
		{"two groups", of("Deployment", "web-blue-7"), "blue of web, $5"},
		{"another namespace", of("Deployment", "web-blue-7", func(r *record.Record) { r.Namespace = "shops" }), ""},
		{"by the container", of("Deployment", "api", func(r *record.Record) { r.Container = "istio-proxy" }), "mesh$"},
		{"the annotation goes first", of("Job", "build-0123ab", func(r *record.Record) { r.Group = "mine" }), "mine"},
	} {
		if got := rules.Group(&tc.record); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
	r := of("Job", "build-0123ab")
	if got := (*issue.Rules)(nil).Group(&r); got != "" {
		t.Errorf("no rules: %q", got)
	}
	a, b := of("Job", "build-0123ab"), of("Job", "build-ffffff")
	a.Group, b.Group = rules.Group(&a), rules.Group(&b)
	if ka, kb := issue.KeyOf(&a), issue.KeyOf(&b); ka.Fingerprint() != kb.Fingerprint() {
		t.Error("two jobs of one group have two fingerprints")
	}
}

func FuzzRule(f *testing.F) {
	f.Add("build-.*", "x", "build-1")
	f.Add("(a)|(b)", "$1$2", "b")
	f.Add("(?P<n>.*)", "${n}-$$", "web")
	f.Fuzz(func(t *testing.T, pattern, into, name string) {
		rules, err := issue.Compile([]issue.Rule{{Workload: pattern, Kind: "Deployment", Into: into}})
		if err != nil {
			return
		}
		r := stop("1", t0)
		r.Workload = &record.Workload{Kind: "Deployment", Name: name}
		if g := rules.Group(&r); len(g) > 256 {
			t.Errorf("a group of %d bytes", len(g))
		}
	})
}
