package issue_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
)

// FuzzPost counts records that anybody may have written, in a store and in a Memory: the counts
// are those of the records, everything is bounded, and both say the same.
func FuzzPost(f *testing.F) {
	huge := strings.Repeat("\x00é", 200)
	add := func(records ...record.Record) {
		b, err := json.Marshal(records)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	add(stop("1", t0), stop("2", t0), stall("3", t0, time.Time{}), stall("3", t0, t0.Add(hour)))
	add(record.Record{}, record.Record{ID: "1"}, record.Record{ID: "1", Kind: record.KindStop}, record.Record{ID: "2", Kind: record.KindStall})
	add(stop("1", time.Unix(0, 0), needs("timeout", huge)), stop("2", time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)), stop("3", time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC)))
	add(stop("1", t0, func(r *record.Record) {
		r.Namespace, r.Pod, r.Container, r.Node, r.Image, r.ImageID, r.Cluster, r.Group, r.Revision = huge, huge, huge, huge, huge, huge, huge, huge, huge
		r.Workload = &record.Workload{Kind: huge, Name: huge}
		r.Diagnosis = record.Diagnosis{Cause: huge, Detail: huge, Confidence: record.Confidence(huge), Summary: huge, Signature: huge}
		r.Category = record.Category(huge)
		for range 12 {
			c := record.Change{Kind: huge, Object: huge, Text: huge, By: huge}
			for range 12 {
				c.Fields = append(c.Fields, record.FieldChange{Field: huge, Old: huge, New: huge})
			}
			r.Changes = append(r.Changes, c)
		}
	}))
	add(stop("1", t0, func(r *record.Record) {
		r.MissedBefore, r.RanSeconds, r.MissedAfter, r.MissedUntil = 1<<62, new(int64), time.Unix(1, 0), t0.Add(1e6*hour)
		*r.RanSeconds = 1 << 62
	}), stop("2", t0, func(r *record.Record) {
		r.MissedBefore, r.RanSeconds = -5, new(int64)
		*r.RanSeconds = -1 << 62
	}))
	add(stop("1", t0, disrupted("runtime_restarted", "")), stop("2", t0.Add(hour), disrupted("runtime_restarted", "")), stop("1", t0.Add(2*hour), disrupted("runtime_restarted", "")))
	f.Fuzz(func(t *testing.T, doc []byte) {
		var records []record.Record
		if json.Unmarshal(doc, &records) != nil || len(records) > 50 {
			return
		}
		l, m := newLedger(), issue.NewMemory(0)
		var stops int64
		for n, r := range records {
			if r.ID == "" {
				r.ID = fmt.Sprint("record ", n)
			}
			if e, ok := l.records[r.ID]; ok && (e.record.Stop == nil) != (r.Stop == nil) {
				continue // an ID is of a stop or of a stall
			}
			place, err := l.post(r)
			if err != nil {
				t.Fatal(err)
			}
			other, err := m.Post(r)
			if err != nil {
				t.Fatal(err)
			}
			if place != other {
				t.Fatalf("record %s: in %v, and in memory in %v", r.ID, place, other)
			}
		}
		stops = int64(len(l.records))
		now := t0.Add(hour)
		for _, i := range l.all() {
			stops -= i.Count
			doc := l.issues[i.ID]
			if len(doc) > 1<<20 || !utf8.ValidString(doc) {
				t.Errorf("issue %s: %d bytes", i.ID, len(doc))
			}
			i.At(now)
			mem, ok := m.Issue(i.ID, now)
			a, errA := json.Marshal(i)
			b, errB := json.Marshal(mem)
			if !ok || errA != nil || errB != nil {
				t.Fatalf("issue %s: in memory %v, %v, %v", i.ID, ok, errA, errB)
			}
			if diff := cmp.Diff(string(a), string(b)); diff != "" {
				t.Errorf("issue %s (-store +memory):\n%s", i.ID, diff)
			}
			i.Trend(now, day, 24)
		}
		if stops != 0 {
			t.Errorf("%d records are not counted", stops)
		}
		for id, doc := range l.incidents {
			if len(doc) > 1<<20 {
				t.Errorf("incident %s: %d bytes", id, len(doc))
			}
		}
		m.Issues(now)
		m.Incidents()
	})
}
