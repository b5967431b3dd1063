package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/whyrestart/whyrestart/internal/record"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		merges     bool
	}{
		{"no rules", "issues: {}\n", false},
		{"empty list", "issues:\n  merge: []\n", false},
		{"a rule", "issues:\n  merge:\n  - namespace: shop\n    kind: Job\n    workload: import-.*\n    into: import\n", true},
		{"every field, comments, JSON", `# why
{"issues": {"merge": [{"namespace": "shop-.*", "kind": "Job", "workload": "(.*)-[0-9]+", "container": "main", "into": "$1"}]}}`, true},
		{"anchors", "issues:\n  merge:\n  - &a {kind: Job, workload: a.*, into: a}\n  - *a\n", true},
	} {
		c, err := Parse([]byte(tt.text))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if (c.Merge != nil) != tt.merges {
			t.Errorf("%s: rules %v", tt.name, c.Merge)
		}
	}
}

func TestParseWhatIsWrong(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", "it is empty"},
		{"only a comment", "# nothing\n", "it is empty"},
		{"no YAML", "issues: [", "line 1: did not find expected"},
		{"unknown section", "issues: {}\nnotify: {}\n", "line 2: there is no field notify here"},
		{"unknown field", "issues:\n  merge:\n  - kind: Job\n    name: x\n    into: y\n", "line 4: there is no field name here"},
		{"a text for a list", "issues:\n  merge: all\n", "line 2: cannot unmarshal !!str `all` into a list"},
		{"a text for a mapping", "issues: all\n", "line 1: cannot unmarshal !!str `all` into a mapping of fields"},
		{"a text for a rule", "issues:\n  merge:\n  - all\n", "line 3: cannot unmarshal !!str `all` into a mapping of fields"},
		{"same key twice", "issues: {}\nissues: {}\n", `mapping key "issues" already defined at line 1`},
		{"second document", "issues: {}\n---\nissues: {}\n", "line 2: there is a second document"},
		{"no group", "issues:\n  merge:\n  - kind: Job\n    into: a\n  - kind: Job\n    into: ' '\n", "line 5: issues.merge[1]: into: the name of the group is blank"},
		{"group left out", "issues:\n  merge:\n  - kind: Job\n", "line 3: issues.merge[0]: into: the name of the group is missing"},
		{"everything", "issues:\n  merge:\n  - into: all\n", "line 3: issues.merge[0]: it matches everything"},
		{"null rule", "issues:\n  merge:\n  - kind: Job\n    into: a\n  -\n", "line 5: issues.merge[1]: it matches everything"},
		{"too many rules", "issues:\n  merge:\n" + strings.Repeat("  - {kind: Job, into: a}\n", 201), "issues.merge: 201 merge rules, at most 200 are taken"},
		{"bad pattern", "issues:\n  merge:\n  - workload: a(\n    into: a\n", "line 3: issues.merge[0]: workload: error parsing regexp: missing closing ): `a(`"},
		{"a group that there is not", "issues:\n  merge:\n  - workload: a-.*\n    into: $1\n", "line 3: issues.merge[0]: into: $1 is no group of workload"},
		{"too large", strings.Repeat("#", maxBytes+1), "it is larger than 1024 KiB"},
	} {
		c, err := Parse([]byte(tt.text))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
		if c != nil {
			t.Errorf("%s: a configuration comes with the error", tt.name)
		}
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yaml")
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "c.yaml") {
		t.Errorf("no file: %v", err)
	}
	if err := os.WriteFile(path, []byte("issue: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), path+": line 1: there is no field issue here") {
		t.Errorf("unknown field: %v", err)
	}
	if err := os.WriteFile(path, []byte("issues: {merge: [{kind: Job, into: jobs}]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := Load(path); err != nil || c.Merge == nil {
		t.Errorf("got %v, %v", c, err)
	}
	if _, err := Load(t.TempDir()); err == nil {
		t.Error("a folder is no error")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("issues:\n  merge:\n  - &a {kind: Job, workload: (.*)-[0-9]+, into: $1}\n  - *a\n"))
	f.Add([]byte("issues: &x {merge: *x}"))
	f.Add([]byte("{issues: {merge: [{kind: Job, <<: {into: y}}]}}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse(data)
		if (c == nil) == (err == nil) {
			t.Errorf("%v, %v", c, err)
		}
	})
}

// The example of the manual does what it says.
func TestManual(t *testing.T) {
	text, err := os.ReadFile("../../docs/issues.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(text), "```yaml\nissues:")
	example, _, closed := strings.Cut(after, "```")
	if !ok || !closed {
		t.Fatal("docs/issues.md has no example")
	}
	c, err := Parse([]byte("issues:" + example))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ namespace, kind, name, want string }{
		{"shop", "Job", "import-8271", "import"},
		{"shop", "Job", "import-8272x", ""},
		{"cart", "Job", "import-8271", ""},
		{"tenants-eu", "Deployment", "checkout-acme", "checkout"},
		{"tenants-eu", "Deployment", "checkout-zenith", "checkout"},
		{"tenants-eu", "StatefulSet", "cart-acme", "cart"},
		{"tenants-eu", "Deployment", "checkout", ""},
	} {
		r := record.Record{Namespace: tt.namespace, Workload: &record.Workload{Kind: tt.kind, Name: tt.name}}
		if got := c.Merge.Group(&r); got != tt.want {
			t.Errorf("%s %s/%s is in the group %q, not %q", tt.kind, tt.namespace, tt.name, got, tt.want)
		}
	}
}
