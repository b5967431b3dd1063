package app

import (
	"bytes"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/whyrestart/whyrestart/internal/dump"
	"github.com/whyrestart/whyrestart/internal/redact"
)

// What a bundle leaves out is nothing that a finding is made of.
func TestBundleGivesTheSameFindings(t *testing.T) {
	redactor, err := redact.New(redact.Options{})
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../dump/testdata/recordings/*.dump.tar.gz")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			found, coverage, err := LookInto(t.Context(), "", file, nil, nil)
			if err != nil || len(found) == 0 {
				t.Fatalf("%d findings, %v", len(found), err)
			}
			want := Document(found, coverage)
			d, err := dump.ReadDump(t.Context(), file, nil, dump.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			c := dump.Contents{Objects: dump.All[dump.Object](d.Objects), Logs: d.Objects.Logs(), Missing: d.Missing}
			if err := dump.WriteBundle(&b, c, redactor, time.Unix(1700000000, 0)); err != nil {
				t.Fatal(err)
			}
			found, coverage, err = LookInto(t.Context(), "", "-", &b, nil)
			if err != nil {
				t.Fatal(err)
			}
			got := Document(found, coverage)
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("findings (-recording +bundle):\n%s", d)
			}
		})
	}
}
