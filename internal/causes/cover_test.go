package causes_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/whyrestart/whyrestart/internal/causes"
)

// sources parses a package's files without its tests and without those of the given names.
func sources(t *testing.T, dir string, but ...string) []*ast.File {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("find the sources of %s: %v", dir, err)
	}
	var files []*ast.File
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") || slices.Contains(but, filepath.Base(path)) {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return files
}

func literal(e ast.Expr) (string, bool) {
	l, ok := e.(*ast.BasicLit)
	if !ok || l.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(l.Value)
	return s, err == nil
}

// said is what the rules say in one place: a cause, a detail or both.
type said struct{ cause, detail string }

// collect finds what is assigned to fields named cause and detail.
func collect(files []*ast.File) []said {
	var out []said
	fieldName := func(e ast.Expr) string {
		switch e := e.(type) {
		case *ast.SelectorExpr:
			return strings.ToLower(e.Sel.Name)
		case *ast.Ident:
			return strings.ToLower(e.Name)
		}
		return ""
	}
	set := func(s *said, name string, value ast.Expr) {
		v, ok := literal(value)
		switch {
		case !ok:
		case name == "cause":
			s.cause = v
		case name == "detail":
			s.detail = v
		}
	}
	structs := make(map[string]*ast.StructType)
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			if t, ok := n.(*ast.TypeSpec); ok {
				if st, ok := t.Type.(*ast.StructType); ok {
					structs[t.Name.Name] = st
				}
			}
			return true
		})
	}
	for _, f := range files {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && returnsDetail(fn) {
				out = append(out, returned(fn)...)
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			var s said
			switch n := n.(type) {
			case *ast.CallExpr:
				if sel, ok := n.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == "found" && len(n.Args) > 0 {
					set(&s, "detail", n.Args[0])
				}
			case *ast.AssignStmt:
				for i, l := range n.Lhs {
					if len(n.Rhs) == len(n.Lhs) {
						set(&s, fieldName(l), n.Rhs[i])
					}
				}
			case *ast.CompositeLit:
				for _, e := range n.Elts {
					if kv, ok := e.(*ast.KeyValueExpr); ok {
						set(&s, fieldName(kv.Key), kv.Value)
					}
				}
				out = append(out, rows(n, structs, set)...)
			}
			if s != (said{}) {
				out = append(out, s)
			}
			return true
		})
	}
	return out
}

// rows reads a table whose rows are structs without the names of their fields.
func rows(table *ast.CompositeLit, structs map[string]*ast.StructType, set func(*said, string, ast.Expr)) []said {
	array, ok := table.Type.(*ast.ArrayType)
	if !ok {
		return nil
	}
	st, ok := array.Elt.(*ast.StructType)
	if id, named := array.Elt.(*ast.Ident); named {
		st, ok = structs[id.Name], structs[id.Name] != nil
	}
	if !ok {
		return nil
	}
	var names []string
	for _, f := range st.Fields.List {
		for _, n := range f.Names {
			names = append(names, n.Name)
		}
		if len(f.Names) == 0 {
			names = append(names, "")
		}
	}
	var out []said
	for _, e := range table.Elts {
		row, ok := e.(*ast.CompositeLit)
		if !ok {
			continue
		}
		var s said
		for i, v := range row.Elts {
			if i < len(names) {
				set(&s, names[i], v)
			}
		}
		if s != (said{}) {
			out = append(out, s)
		}
	}
	return out
}

// returnsDetail tells functions whose first result is a detail.
func returnsDetail(fn *ast.FuncDecl) bool {
	results := fn.Type.Results
	if results == nil || len(results.List) == 0 {
		return false
	}
	first := results.List[0]
	if id, ok := first.Type.(*ast.Ident); !ok || id.Name != "string" {
		return false
	}
	return strings.HasSuffix(fn.Name.Name, "Detail") || len(first.Names) > 0 && first.Names[0].Name == "detail"
}

func returned(fn *ast.FuncDecl) []said {
	var out []said
	ast.Inspect(fn, func(n ast.Node) bool {
		if r, ok := n.(*ast.ReturnStmt); ok && len(r.Results) > 0 {
			if s, ok := literal(r.Results[0]); ok && s != "" {
				out = append(out, said{detail: s})
			}
		}
		return true
	})
	return out
}

// TestCoversRules checks that what the rules say is in the catalog.
func TestCoversRules(t *testing.T) {
	files := sources(t, "../diagnose")
	all := causes.All()
	isCause := func(s string) bool {
		return slices.ContainsFunc(all, func(c causes.Cause) bool { return c.Code == s })
	}
	isDetail := func(s string) bool {
		return slices.ContainsFunc(all, func(c causes.Cause) bool {
			return slices.ContainsFunc(c.Details, func(d causes.Detail) bool { return d.Code == s })
		})
	}
	found := collect(files)
	if len(found) < 150 {
		t.Fatalf("found %d causes and details in the rules: they are written in another way now", len(found))
	}
	const cause, detail = "volume_mount_failed", "csi_driver_missing"
	for _, want := range []said{{cause: cause}, {detail: detail}, {"image_registry_unreachable", "proxy"}, {detail: "webhook_denied"}, {detail: "rollout"}, {detail: "refused"}} {
		if !slices.Contains(found, want) {
			t.Errorf("did not find %v in the rules: they are written in another way now", want)
		}
	}
	for _, s := range found {
		switch {
		case s.cause != "" && !isCause(s.cause):
			t.Errorf("the rules say cause %q, which the catalog does not have", s.cause)
		case s.cause != "" && s.detail != "" && !causes.Known(s.cause, s.detail):
			t.Errorf("the rules say %s with detail %q, which the catalog does not have", s.cause, s.detail)
		case s.cause == "" && !isDetail(s.detail):
			t.Errorf("the rules say detail %q, which no cause in the catalog has", s.detail)
		}
	}

	// Tables and functions that return details: whatever looks like a code and is none has
	// to be named here.
	other := strings.Fields(`missing_ insufficient_ pvc_ http_ http_5
		manifest_unknown name_unknown blob_unknown insufficient_scope`)
	for _, f := range sources(t, "../diagnose", "life.go") { // which names the steps of a pod's life
		ast.Inspect(f, func(n ast.Node) bool {
			e, ok := n.(ast.Expr)
			if !ok {
				return true
			}
			s, ok := literal(e)
			if !ok || !snake.MatchString(strings.TrimSuffix(s, "_")) || !strings.Contains(s, "_") || slices.Contains(other, s) {
				return true
			}
			if !isCause(s) && !isDetail(s) && !slices.ContainsFunc(causes.Advice(), func(d causes.Detail) bool { return d.Code == s }) {
				t.Errorf("the rules name %q, which is no cause, detail or advice in the catalog", s)
			}
			return true
		})
	}
}

// TestCoversAdvice checks that all advice is in the catalog, and nothing else.
func TestCoversAdvice(t *testing.T) {
	var codes []string
	for _, f := range sources(t, "../diagnose") {
		ast.Inspect(f, func(n ast.Node) bool {
			lit, ok := n.(*ast.CompositeLit)
			if !ok {
				return true
			}
			for _, e := range lit.Elts {
				kv, ok := e.(*ast.KeyValueExpr)
				if !ok {
					continue
				}
				if id, ok := kv.Key.(*ast.Ident); ok && id.Name == "Code" {
					if s, ok := literal(kv.Value); ok {
						codes = append(codes, s)
					}
				}
			}
			return true
		})
	}
	for _, a := range causes.Advice() {
		if !slices.Contains(codes, a.Code) {
			t.Errorf("no rule gives the advice %s", a.Code)
		}
	}
	for _, c := range codes {
		if !slices.ContainsFunc(causes.Advice(), func(d causes.Detail) bool { return d.Code == c }) {
			t.Errorf("the advice %s is not in the catalog", c)
		}
	}
}

// TestCoversSignatures checks that the classes of last words are those of the catalog.
func TestCoversSignatures(t *testing.T) {
	found := make(map[string]bool)
	class := func(e ast.Expr) {
		if s, ok := literal(e); ok && s != "" {
			found[s] = true
		}
	}
	for _, f := range sources(t, "../signature") {
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			returnsClass := strings.HasSuffix(fn.Name.Name, "Class") || fn.Name.Name == "classOf"
			ast.Inspect(fn, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.CallExpr:
					if id, ok := n.Fun.(*ast.Ident); ok && id.Name == "when" {
						class(n.Args[1])
					}
				case *ast.ReturnStmt:
					if returnsClass && len(n.Results) == 1 {
						class(n.Results[0])
					}
				case *ast.KeyValueExpr:
					if id, ok := n.Key.(*ast.Ident); ok && (id.Name == "general" || id.Name == "Class") {
						class(n.Value)
					}
				case *ast.AssignStmt:
					for i, l := range n.Lhs {
						if s, ok := l.(*ast.SelectorExpr); ok && (s.Sel.Name == "general" || s.Sel.Name == "Class") && len(n.Lhs) == len(n.Rhs) {
							class(n.Rhs[i])
						}
					}
				}
				return true
			})
		}
	}
	if len(found) < 20 {
		t.Fatalf("found %d classes: they are written in another way now", len(found))
	}
	for _, d := range causes.Classes() {
		if !found[d.Code] {
			t.Errorf("no last words give %s", d.Code)
		}
		delete(found, d.Code)
	}
	for c := range found {
		t.Errorf("last words can be %s, which the catalog does not have", c)
	}
}
