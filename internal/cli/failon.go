package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/whyrestart/whyrestart/internal/causes"
	"github.com/whyrestart/whyrestart/internal/record"
)

// failOnFlag makes an exit code of what was found, for scripts and pipelines.
type failOnFlag struct{ wanted []string }

func (f *failOnFlag) add(flags *pflag.FlagSet) {
	flags.StringSliceVar(&f.wanted, "fail-on", nil, "exit with 3 if there is a finding of one of these: failure, disruption, lifecycle, or a cause")
}

func (f *failOnFlag) check() error {
	for _, w := range f.wanted {
		switch record.Category(w) {
		case record.Failure, record.Disruption, record.Lifecycle:
			continue
		}
		if err := knownCause("--fail-on", w); err != nil {
			return err
		}
	}
	return nil
}

// knownCause refuses what is no cause, and names the nearest one.
func knownCause(flag, w string) error {
	if causes.Known(w, "") {
		return nil
	}
	hint := ""
	for _, near := range causes.Nearest(w) {
		if causes.Known(near, "") {
			hint = "; did you mean " + near + "?"
			break
		}
	}
	want := "a cause such as oom_killed"
	if flag == "--fail-on" {
		want = "failure, disruption, lifecycle or " + want
	}
	return fmt.Errorf("%s=%s: want %s (see codes)%s", flag, w, want, hint)
}

// failedOn ends a command that found what it was told to fail on.
type failedOn struct {
	what  []string
	count int
}

func (f failedOn) Error() string {
	noun := "findings"
	if f.count == 1 {
		noun = "finding"
	}
	return fmt.Sprintf("%d %s of %s", f.count, noun, strings.Join(f.what, ", "))
}

// judge returns failedOn if a record is one that was not to be found. It looks at all of
// them, whatever of them is shown.
func (f *failOnFlag) judge(records []record.Record) error {
	var hit failedOn
	for i := range records {
		r := &records[i]
		for _, w := range f.wanted {
			if w == string(r.Category) || w == r.Diagnosis.Cause {
				hit.count++
				if !slices.Contains(hit.what, w) {
					hit.what = append(hit.what, w)
				}
				break
			}
		}
	}
	if hit.count == 0 {
		return nil
	}
	return hit
}
