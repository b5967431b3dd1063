package evidence_test

import (
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
	"sigs.k8s.io/randfill"

	"github.com/whyrestart/whyrestart/internal/evidence"
)

var update = flag.Bool("update", false, "write the list of fields")

// TestRoundTrip holds that nothing is lost in a store or a bundle.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var e evidence.Evidence
		randfill.NewWithSeed(rapid.Int64().Draw(t, "seed")).NilChance(0.3).NumElements(0, 3).Funcs(
			func(at *time.Time, c randfill.Continue) {
				*at = time.Unix(c.Int63n(4e9), 0).UTC()
				if c.Bool() {
					*at = time.Time{}
				}
			},
		).Fill(&e)
		b, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		var back evidence.Evidence
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(e, back, cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("-before +after:\n%s", d)
		}
		again, err := json.Marshal(back)
		if err != nil || string(again) != string(b) {
			t.Fatalf("another JSON the second time: %v\n%s\n%s", err, b, again)
		}
	})
}

// TestLaterFields reads what a later version wrote.
func TestLaterFields(t *testing.T) {
	var e evidence.Evidence
	err := json.Unmarshal([]byte(`{"version":"evidence/v1","pod":{"name":"p","weather":{"sun":true}},"moon":[1]}`), &e)
	if err != nil || e.Version != evidence.Version || e.Pod.Name != "p" {
		t.Errorf("%+v, %v", e, err)
	}
}

// TestEmptyIsSmall holds that what is not there takes no room: evidence is kept for every stop.
func TestEmptyIsSmall(t *testing.T) {
	b, err := json.Marshal(evidence.Evidence{Version: evidence.Version})
	if want := `{"version":"evidence/v1","pod":{"namespace":"","name":"","uid":""}}`; err != nil || string(b) != want {
		t.Errorf("%s, %v, want %s", b, err, want)
	}
}

// TestFieldsStay holds the names of the JSON form: evidence of years ago is diagnosed
// with the rules of today. A field may be added, with -update; none goes or changes.
func TestFieldsStay(t *testing.T) {
	const path = "testdata/fields.txt"
	got := fields(t, reflect.TypeFor[evidence.Evidence](), "", map[reflect.Type]bool{})
	slices.Sort(got)
	if *update {
		if err := os.WriteFile(path, []byte(strings.Join(got, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, f := range got {
		have[f] = true
	}
	for _, f := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		if !have[f] {
			t.Errorf("the field %q is gone, or is of another type", f)
		}
	}
}

// fields lists the JSON fields of a type and of those in it, with their types.
func fields(t *testing.T, typ reflect.Type, path string, above map[reflect.Type]bool) []string {
	for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
		typ = typ.Elem()
	}
	if typ.Kind() != reflect.Struct || typ == reflect.TypeFor[time.Time]() || above[typ] {
		return nil
	}
	above[typ] = true
	defer delete(above, typ)
	camel := regexp.MustCompile(`^[a-z][a-zA-Z0-9]*$`)
	var out []string
	seen := map[string]bool{}
	for f := range typ.Fields() {
		if f.Anonymous {
			out = append(out, fields(t, f.Type, path, above)...)
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !camel.MatchString(name) || seen[name] {
			t.Errorf("%s.%s has the JSON name %q", typ, f.Name, name)
		}
		seen[name] = true
		out = append(out, path+name+" "+strings.ReplaceAll(f.Type.String(), "*", ""))
		out = append(out, fields(t, f.Type, path+name+".", above)...)
	}
	return out
}
