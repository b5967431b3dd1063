//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strings"

	"github.com/whyrestart/whyrestart/internal/record"
)

// judge compares what was recorded with what was planted.
func (k *soak) judge() {
	k.t.Helper()
	k.judgeRecords()
}

// judgeRecords complains about every record of a failure that nobody planted.
func (k *soak) judgeRecords() {
	k.t.Helper()
	for _, c := range k.records.complaints() {
		k.t.Error(c)
	}
	list := slices.Concat(k.records.of(record.KindStop, soaking), k.records.of(record.KindStall, soaking))
	count := map[record.Category]int{}
	told := map[string]int{}
	for _, r := range list {
		count[r.Category]++
		if r.Category != record.Failure {
			continue
		}
		i := slices.IndexFunc(k.planted, func(p *plant) bool { return p.about(&r) })
		if i >= 0 {
			told[k.planted[i].String()]++
			continue
		}
		k.t.Errorf("nobody planted this: %s", evidenceOf(&r))
	}
	k.say("%d records: %v; of the planted: %v", len(list), count, told)
}

// evidenceOf says in a few lines what a record is and why.
func evidenceOf(r *record.Record) string {
	var b strings.Builder
	workload := "no workload"
	if r.Workload != nil {
		workload = r.Workload.Kind + "/" + r.Workload.Name
	}
	fmt.Fprintf(&b, "%s %s of %s/%s/%s (%s): %s: %s", r.Kind, r.ID, r.Namespace, r.Pod, r.Container, workload, answerOf(*r), r.Diagnosis.Summary)
	for _, e := range r.Diagnosis.Evidence {
		fmt.Fprintf(&b, "\n    %+v", e)
	}
	return b.String()
}
