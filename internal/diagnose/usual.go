package diagnose

import (
	"slices"

	"github.com/whyrestart/whyrestart/internal/record"
)

// usualOf is of how many other pods a step has to be known to say what is usual.
const usualOf = 3

// Usual says of the steps of a pod's life how long they usually take: the median over other
// pods of the same workload, whose lives are given, where at least three of them tell. How
// long a container ran is not among that: those that did not stop are not known.
func Usual(life []record.LifeStep, others [][]record.LifeStep) []record.LifeStep {
	type step struct{ code, container string }
	took := make(map[step][]float64)
	for _, o := range others {
		seen := make(map[step]bool)
		for _, s := range o {
			if k := (step{s.Step, s.Container}); s.Seconds != nil && s.Step != "stopped" && !seen[k] {
				seen[k] = true
				took[k] = append(took[k], *s.Seconds)
			}
		}
	}
	out := slices.Clone(life)
	for i := range out {
		s := &out[i]
		all := took[step{s.Step, s.Container}]
		if s.Seconds == nil || len(all) < usualOf {
			continue
		}
		slices.Sort(all)
		m := all[(len(all)-1)/2]
		s.UsualSeconds = &m
	}
	return out
}
