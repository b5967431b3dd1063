package cli

import (
	"fmt"
	"slices"

	"github.com/spf13/pflag"

	"github.com/whyrestart/whyrestart/internal/record"
)

// filterFlags narrow down which records are shown. Everything is recorded in any case.
type filterFlags struct {
	container  string
	categories []string
	kind       string
	all        bool
}

// addKind adds the flag that tells stops from stalls.
func (f *filterFlags) addKind(flags *pflag.FlagSet) {
	flags.StringVar(&f.kind, "kind", "", "only stops or only stalls: stop, stall (default both)")
}

// shownByDefault leaves out what somebody wanted to happen.
func shownByDefault() []record.Category { return []record.Category{record.Failure, record.Disruption} }

func (f *filterFlags) add(flags *pflag.FlagSet) {
	flags.StringVarP(&f.container, "container", "c", "", "only this container")
	flags.StringSliceVar(&f.categories, "category", nil, "only these categories: failure, disruption, lifecycle, or all (default failure,disruption)")
}

func (f *filterFlags) check() error {
	switch record.Kind(f.kind) {
	case "", record.KindStop, record.KindStall:
	default:
		return fmt.Errorf("--kind=%s: want stop or stall", f.kind)
	}
	for _, c := range f.categories {
		switch c {
		case "all":
			f.all = true
		case string(record.Failure), string(record.Disruption), string(record.Lifecycle):
		default:
			return fmt.Errorf("--category=%s: want failure, disruption, lifecycle or all", c)
		}
	}
	return nil
}

// leaveTo shows everything in formats for programs, which filter for themselves, where no
// flag says otherwise.
func (f *filterFlags) leaveTo(o *outputFlags) {
	if len(f.categories) == 0 && o.format != "" && o.format != "wide" {
		f.all = true
	}
}

// wanted returns the categories to show; none means all of them.
func (f *filterFlags) wanted() []record.Category {
	if f.all {
		return nil
	}
	if len(f.categories) == 0 {
		return shownByDefault()
	}
	out := make([]record.Category, len(f.categories))
	for i, c := range f.categories {
		out[i] = record.Category(c)
	}
	return out
}

func (f *filterFlags) match(r *record.Record) bool {
	if f.container != "" && r.Container != f.container || f.kind != "" && record.Kind(f.kind) != r.Kind {
		return false
	}
	wanted := f.wanted()
	return wanted == nil || slices.Contains(wanted, r.Category)
}

// keep returns the records that match.
func (f *filterFlags) keep(records []record.Record) []record.Record {
	return slices.DeleteFunc(records, func(r record.Record) bool { return !f.match(&r) })
}

// ofContainer returns the records of the wanted container, whatever their categories.
func (f *filterFlags) ofContainer(records []record.Record) []record.Record {
	if f.container == "" {
		return records
	}
	var out []record.Record
	for _, r := range records {
		if r.Container == f.container {
			out = append(out, r)
		}
	}
	return out
}
