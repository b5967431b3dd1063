//go:build e2e

package e2e

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/whyrestart/whyrestart/internal/record"
)

// records holds what whyrestart printed: of every id the newest record.
type records struct {
	changed *bell

	mu       sync.Mutex
	byID     map[string]record.Record
	lines    map[string][]string // by namespace, every line that was printed
	problems []string
}

func newRecords(changed *bell) *records {
	return &records{changed: changed, byID: map[string]record.Record{}, lines: map[string][]string{}}
}

// take adds one line of output.
func (r *records) take(line []byte) {
	defer r.changed.ring()
	r.mu.Lock()
	defer r.mu.Unlock()
	var rec record.Record
	if err := json.Unmarshal(line, &rec); err != nil {
		r.problems = append(r.problems, fmt.Sprintf("whyrestart printed what is no record: %q: %v", line, err))
		return
	}
	if rec.ID == "" || rec.Kind != record.KindStop && rec.Kind != record.KindStall || rec.Kind == record.KindStop && rec.Stop == nil {
		r.problems = append(r.problems, fmt.Sprintf("whyrestart printed a record without what each has: %s", line))
		return
	}
	r.lines[rec.Namespace] = append(r.lines[rec.Namespace], string(line))
	if old, again := r.byID[rec.ID]; again {
		if why := contradicts(old, rec); why != "" {
			r.problems = append(r.problems, fmt.Sprintf("record %s of %s/%s came again with another %s: %s", rec.ID, rec.Namespace, rec.Pod, why, line))
		}
	}
	r.byID[rec.ID] = rec
}

// contradicts names what a later record of one id must not change.
func contradicts(old, again record.Record) string {
	switch {
	case old.Kind != again.Kind:
		return "kind"
	case old.PodUID != again.PodUID || old.Container != again.Container || old.ContainerType != again.ContainerType:
		return "container"
	case old.Kind != record.KindStop:
		return ""
	case old.Epoch != again.Epoch || old.Ordinal != again.Ordinal:
		return "ordinal"
	case old.MissedBefore != again.MissedBefore:
		return "missedBefore"
	case old.ContainerID != "" && again.ContainerID != old.ContainerID:
		return "containerID"
	}
	return ""
}

// of returns the newest records of a kind in the namespaces that match, in the order of
// pod, container and instance.
func (r *records) of(kind record.Kind, match func(namespace string) bool) []record.Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []record.Record
	for _, rec := range r.byID {
		if rec.Kind == kind && match(rec.Namespace) {
			out = append(out, rec)
		}
	}
	sortRecords(out)
	return out
}

func sortRecords(list []record.Record) {
	slices.SortFunc(list, func(a, b record.Record) int {
		if c := cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Pod, b.Pod), cmp.Compare(a.PodUID, b.PodUID), cmp.Compare(a.Container, b.Container)); c != 0 || a.Stop == nil || b.Stop == nil {
			return c
		}
		return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Ordinal, b.Ordinal))
	})
}

func (r *records) printed(namespace string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.lines[namespace])
}

// complaints returns what was wrong with single lines.
func (r *records) complaints() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.problems)
}

// get returns the newest record of an id.
func (r *records) get(id string) (record.Record, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec, ok := r.byID[id]
	return rec, ok
}
