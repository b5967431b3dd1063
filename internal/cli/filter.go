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
	all        bool
}

// shownByDefault leaves out what somebody wanted to happen.
func shownByDefault() []record.Category { return []record.Category{record.Failure, record.Disruption} }

func (f *filterFlags) add(flags *pflag.FlagSet) {
	flags.StringVarP(&f.container, "container", "c", "", "only this container")
	flags.StringSliceVar(&f.categories, "category", nil, "only these categories: failure, disruption, lifecycle, or all (default failure,disruption)")
}

func (f *filterFlags) check() error {
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
	if f.container != "" && r.Container != f.container {
		return false
	}
	wanted := f.wanted()
	return wanted == nil || slices.Contains(wanted, r.Category)
}

// keep returns the records that match.
func (f *filterFlags) keep(records []record.Record) []record.Record {
	return slices.DeleteFunc(records, func(r record.Record) bool { return !f.match(&r) })
}
