package diagnose

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/whyrestart/whyrestart/internal/record"
)

func TestUsual(t *testing.T) {
	step := func(code, container string, seconds float64) record.LifeStep {
		return record.LifeStep{Step: code, Container: container, Seconds: &seconds}
	}
	other := func(pull float64) []record.LifeStep {
		return []record.LifeStep{step("scheduled", "", 0), step("image_pulled", "api", pull), step("image_pulled", "api", 900), step("stopped", "api", 60), {Step: "ready"}}
	}
	life := []record.LifeStep{step("scheduled", "", 3), step("image_pulled", "api", 40), step("image_pulled", "mesh", 4), step("stopped", "api", 7), step("ready", "", 1), {Step: "created"}}
	usual := func(others ...[]record.LifeStep) []*float64 {
		var out []*float64
		for _, s := range Usual(life, others) {
			out = append(out, s.UsualSeconds)
		}
		return out
	}
	zero, two := 0.0, 2.0
	if diff := cmp.Diff([]*float64{&zero, &two, nil, nil, nil, nil}, usual(other(3), other(2), other(1))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(make([]*float64, len(life)), usual(other(3), other(2))); diff != "" {
		t.Errorf("of two pods (-want +got):\n%s", diff)
	}
	for _, s := range life {
		if s.UsualSeconds != nil {
			t.Errorf("%s was written to", s.Step)
		}
	}
}
