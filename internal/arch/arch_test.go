package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/whyrestart/whyrestart"

// layer orders the packages: a package imports packages of lower layers, and of its
// own where the rules below say so.
type layer int

const (
	// core are values in, values out: the standard library and each other.
	core layer = iota
	// facts turn API objects into the core's values.
	facts
	// flow moves them, and declares what it needs of the outside.
	flow
	// adapter is the outside: a cluster, a file, a database, a page. Adapters do not know
	// each other.
	adapter
	// program wires all of it.
	program
)

func (l layer) String() string {
	return [...]string{"L0 (core)", "L1 (facts)", "L2 (flow)", "L3 (adapter)", "the program"}[l]
}

// layers names the packages below internal that are not adapters. What is not named
// here is one.
var layers = map[string]layer{
	"record": core, "evidence": core, "diagnose": core, "signature": core, "redact": core, "causes": core, "version": core, "shard": core,
	"detect": facts, "detect/kubelettest": facts, "extract": facts, "issue": facts, "slim": facts,
	"pipeline": flow, "store": flow, "store/sqlstore": flow, "store/storetest": flow, "notify": flow, "notify/notifytest": flow,
	"app": program, "cli": program,
}

// rule forbids a dependency, and says why.
type rule struct {
	// applies chooses the packages that the rule is about.
	applies func(pkg string, l layer) bool
	// forbids chooses what they must not import; direct rules look at their own
	// imports, the others at everything that is linked with them.
	forbids func(dep string) bool
	direct  bool
	why     string
}

func rules() []rule {
	upTo := func(top layer) func(string, layer) bool { return func(_ string, l layer) bool { return l <= top } }
	return []rule{
		{
			// One exception: panicparse reads Go's traces, as signature would have to do
			// itself; it turns text into values, and opens no file as it is used there.
			applies: func(pkg string, l layer) bool { return l <= core && pkg != "signature" }, direct: true,
			forbids: func(dep string) bool { return !isStandard(dep) && !isInternal(dep) },
			why:     "the core imports the standard library alone: it diagnoses old records with new rules, anywhere, and the same bytes give the same bytes",
		},
		{
			applies: func(pkg string, _ layer) bool { return pkg == "signature" }, direct: true,
			forbids: func(dep string) bool {
				return !isStandard(dep) && !isInternal(dep) && dep != "github.com/maruel/panicparse/v2/stack"
			},
			why: "signature is of the core; panicparse's stack package is all that it may import beside the standard library",
		},
		{
			applies: upTo(core), direct: true,
			forbids: func(dep string) bool {
				return slices.Contains([]string{"os", "os/exec", "net", "net/http", "database/sql", "log", "log/slog", "math/rand", "math/rand/v2"}, dep)
			},
			why: "the core takes values and returns values: no files, network, log or chance",
		},
		{
			applies: func(_ string, l layer) bool { return l == facts }, direct: true,
			forbids: func(dep string) bool {
				return !isStandard(dep) && !isInternal(dep) && !under(dep, "k8s.io/api") && !under(dep, "k8s.io/apimachinery") &&
					!under(dep, "google.golang.org/protobuf/encoding/protowire")
			},
			why: "L1 knows the API's types and nothing that talks to a cluster",
		},
		{
			applies: upTo(flow),
			forbids: isClient,
			why:     "whatever works on a live cluster has to work on a dump: only adapters talk to a cluster",
		},
		{
			applies: func(pkg string, l layer) bool { return l == adapter && pkg != "kube" && !under(pkg, "kube") },
			forbids: isClient,
			why:     "internal/kube is the only adapter that talks to a cluster; add to it, or let internal/app wire the two",
		},
		{
			applies: func(string, layer) bool { return true },
			forbids: func(dep string) bool {
				return under(dep, "github.com/mattn/go-sqlite3") || under(dep, "sigs.k8s.io/controller-runtime") || under(dep, "k8s.io/kubernetes")
			},
			why: "go-sqlite3 needs cgo, controller-runtime keeps whole pods and loses counts, and k8s.io/kubernetes is no library",
		},
	}
}

func isClient(dep string) bool {
	return under(dep, "k8s.io/client-go") || under(dep, "k8s.io/cli-runtime")
}

// under tells whether pkg is prefix or in a folder of it.
func under(pkg, prefix string) bool {
	return pkg == prefix || strings.HasPrefix(pkg, prefix+"/")
}

func isInternal(dep string) bool { return under(dep, module) }

func isStandard(dep string) bool {
	first, _, _ := strings.Cut(dep, "/")
	return !strings.Contains(first, ".")
}

// goPackage is what "go list" says of a package.
type goPackage struct {
	ImportPath string
	Name       string
	Doc        string
	Imports    []string
	Deps       []string
	GoFiles    []string
}

// list returns the packages of this module that have code beside tests.
func list(t *testing.T) []goPackage {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Name,Doc,Imports,Deps,GoFiles", module+"/...")
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("list the packages: %v\n%s", err, stderr.Bytes())
	}
	var all []goPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("read what go list said: %v", err)
		}
		if isInternal(p.ImportPath) && len(p.GoFiles) > 0 {
			all = append(all, p)
		}
	}
}

// place returns a package's path below internal, and its layer.
func place(importPath string) (string, layer) {
	rest, ok := strings.CutPrefix(importPath, module+"/internal/")
	if !ok {
		return strings.TrimPrefix(importPath, module+"/"), program
	}
	if l, ok := layers[rest]; ok {
		return rest, l
	}
	if first, _, _ := strings.Cut(rest, "/"); layers[first] == program {
		return rest, program
	}
	return rest, adapter
}

// TestImports checks that imports go downward only.
func TestImports(t *testing.T) {
	for _, p := range list(t) {
		pkg, l := place(p.ImportPath)
		for _, r := range rules() {
			deps := p.Deps
			if r.direct {
				deps = p.Imports
			}
			if !r.applies(pkg, l) {
				continue
			}
			// One import brings many: the first tells enough.
			if i := slices.IndexFunc(deps, r.forbids); i >= 0 {
				t.Errorf("%s is of %v and depends on %s: %s", pkg, l, deps[i], r.why)
			}
		}
		for _, dep := range p.Imports {
			if why := wrongWay(pkg, l, dep); why != "" {
				t.Errorf("%s is of %v and imports %s: %s", pkg, l, dep, why)
			}
		}
	}
}

// wrongWay tells why an import of this module goes the wrong way, or nothing.
func wrongWay(pkg string, l layer, dep string) string {
	if !isInternal(dep) {
		return ""
	}
	to, other := place(dep)
	switch {
	case strings.HasSuffix(path.Base(to), "test"):
		return "that is a package for tests"
	case other > l:
		return fmt.Sprintf("that is of %v, and imports go downward only", other)
	case l == adapter && other == adapter && !family(pkg, to):
		return "adapters do not know each other: declare an interface where it is used, and let internal/app wire the two"
	}
	return ""
}

// family tells that one adapter is a part of the other.
func family(a, b string) bool { return under(a, b) || under(b, a) }

// TestPackageComments checks that each package says what it is for.
func TestPackageComments(t *testing.T) {
	for _, p := range list(t) {
		want := "Package " + p.Name + " "
		if p.Name == "main" {
			want = "Command "
			if !strings.HasPrefix(p.Doc, want) && p.Doc != "" {
				want = "" // a program may also begin with its own name
			}
		}
		if p.Doc == "" || !strings.HasPrefix(p.Doc, want) {
			t.Errorf("%s has no package comment that begins with %q: it says what the package promises", p.ImportPath, want)
		}
	}
}

// TestRules checks the rules themselves, on imports that must and must not be.
func TestRules(t *testing.T) {
	tests := []struct {
		pkg, dep string
		wrong    bool
	}{
		{"internal/record", module + "/internal/detect", true},
		{"internal/detect", module + "/internal/record", false},
		{"internal/pipeline", module + "/internal/store", false},
		{"internal/pipeline", module + "/internal/dump", true},
		{"internal/dump", module + "/internal/pipeline", false},
		{"internal/dump", module + "/internal/kube", true},
		{"internal/notify/webhook", module + "/internal/notify", false},
		{"internal/notify/webhook", module + "/internal/notify/notifytest", true},
		{"internal/kube/token", module + "/internal/kube", false},
		{"internal/cli", module + "/internal/app", false},
		{"internal/app/serve", module + "/internal/kube", false},
		{"internal/kube", module + "/internal/app", true},
		{"cmd/whyrestart", module + "/internal/cli", false},
	}
	for _, tt := range tests {
		pkg, l := place(module + "/" + tt.pkg)
		if why := wrongWay(pkg, l, tt.dep); (why != "") != tt.wrong {
			t.Errorf("%s imports %s: %q", tt.pkg, tt.dep, why)
		}
	}
}
