package sqlstore

import (
	"bytes"
	"cmp"
	"fmt"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

// An Encoded is a record with its JSON, and that of its log and evidence where there are any.
type Encoded struct {
	Record             record.Record
	Doc, Log, Evidence []byte
}

// EncodeBatch encodes the records of a batch with their evidence.
func EncodeBatch(b store.Batch) ([]Encoded, error) {
	out := make([]Encoded, 0, len(b.Records))
	for _, r := range b.Records {
		if r.ID == "" {
			return nil, fmt.Errorf("a %s of pod %s/%s has no ID", cmp.Or(string(r.Kind), "record"), r.Namespace, r.Pod)
		}
		encoded, err := encode(r)
		if err != nil {
			return nil, fmt.Errorf("encode record %s: %w", r.ID, err)
		}
		if ev, ok := b.Evidence[r.ID]; ok {
			if encoded.Evidence, err = Marshal(ev); err != nil {
				return nil, fmt.Errorf("encode the evidence of record %s: %w", r.ID, err)
			}
		}
		out = append(out, encoded)
	}
	return out, nil
}

func encode(r record.Record) (Encoded, error) {
	doc, err := MarshalRecord(r)
	if err != nil {
		return Encoded{}, err
	}
	out := Encoded{Record: r, Doc: doc}
	if r.Log != nil {
		if out.Log, err = Marshal(r.Log); err != nil {
			return Encoded{}, err
		}
	}
	return out, nil
}

// A Merged is what a stored record becomes when a newer version of it arrives.
type Merged struct {
	Old, New         Encoded
	SameDoc, SameLog bool
}

// Merge refines a stored record by a newer one.
func Merge(stored, next record.Record) (Merged, error) {
	old, err := encode(stored)
	if err != nil {
		return Merged{}, err
	}
	merged, err := encode(record.Refine(stored, next))
	if err != nil {
		return Merged{}, err
	}
	return Merged{Old: old, New: merged, SameDoc: bytes.Equal(old.Doc, merged.Doc), SameLog: bytes.Equal(old.Log, merged.Log)}, nil
}

// Columns are what a row repeats of a record, for queries to filter and order by.
type Columns struct {
	At                     int64
	Kind, Category, Cause  string
	Cluster, Namespace     string
	Pod, PodUID, Container string
	WorkloadKind, Workload string
	Node                   string
	Open                   bool
	// Missed is how many stops are only counted before it; negative where nobody has looked.
	Missed int64
}

// ColumnsOf returns those of a record.
func ColumnsOf(r *record.Record) Columns {
	var w record.Workload
	if r.Workload != nil {
		w = *r.Workload
	}
	return Columns{
		At: Nanos(r.When()), Kind: string(r.Kind), Category: string(r.Category), Cause: r.Diagnosis.Cause,
		Cluster: r.Cluster, Namespace: r.Namespace, Pod: r.Pod, PodUID: r.PodUID, Container: r.Container,
		WorkloadKind: w.Kind, Workload: w.Name, Node: r.Node, Open: r.Stall != nil && r.End.IsZero(), Missed: MissedOf(r),
	}
}

// Values are the columns in the order of the fields.
func (c *Columns) Values() []any {
	return []any{
		c.At, c.Kind, c.Category, c.Cause, c.Cluster, c.Namespace, c.Pod, c.PodUID, c.Container,
		c.WorkloadKind, c.Workload, c.Node, c.Open, c.Missed,
	}
}

// Pointers are where a row of them is scanned into.
func (c *Columns) Pointers() []any {
	return []any{
		&c.At, &c.Kind, &c.Category, &c.Cause, &c.Cluster, &c.Namespace, &c.Pod, &c.PodUID, &c.Container,
		&c.WorkloadKind, &c.Workload, &c.Node, &c.Open, &c.Missed,
	}
}

// Outline is what the columns tell of a record whose document cannot be read: as what it
// was counted.
func (c *Columns) Outline(id string) record.Record {
	r := record.Record{
		ID: id, Kind: record.Kind(c.Kind), Category: record.Category(c.Category), Cluster: c.Cluster, Namespace: c.Namespace,
		Pod: c.Pod, PodUID: c.PodUID, Container: c.Container, Node: c.Node,
	}
	r.Diagnosis.Cause = c.Cause
	if w := (record.Workload{Kind: c.WorkloadKind, Name: c.Workload}); w != (record.Workload{}) {
		r.Workload = &w
	}
	if r.Kind != record.KindStall {
		r.Stop = &record.Stop{FinishedAt: FromNanos(c.At), MissedBefore: int(max(0, c.Missed))}
		return r
	}
	r.Stall = &record.Stall{Begin: FromNanos(c.At)}
	if !c.Open {
		r.End = r.Begin
	}
	return r
}

// Totals are what records add to those of their store.
type Totals struct{ Stops, Stalls, Missed int64 }

// Count adds a record, or takes it out by -1.
func (t *Totals) Count(r *record.Record, by int64) {
	if r.Kind == record.KindStall {
		t.Stalls += by
		return
	}
	t.Stops += by
	t.Missed += by * MissedOf(r)
}

// MissedOf is how many stops are only counted before a record.
func MissedOf(r *record.Record) int64 {
	if r.Stop == nil {
		return 0
	}
	return int64(r.MissedBefore)
}
