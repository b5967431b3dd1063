package pipeline

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

func emptyBatch() store.Batch {
	return store.Batch{Scopes: map[string]store.Scope{}, Evidence: map[string]evidence.Evidence{}}
}

// Whatever is queued, refined, compacted, taken in parts and put back: every record comes out, each
// mark in the part in which the last of its records is stored and no earlier, and what tells
// that everything was seen with the last part.
func TestPendingQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := pendingQueue{Batch: emptyBatch()}
		large := strings.Repeat("x", rapid.IntRange(0, 200_000).Draw(t, "message"))
		next, marked := 0, make(map[string][]string) // the records of each mark
		stored, evidenced := make(map[string]bool), make(map[string]bool)
		wanted, ended := make(map[string]bool), false
		check := func(part store.Batch, all bool) {
			for _, r := range part.Records {
				stored[r.ID] = true
			}
			for id := range part.Evidence {
				if !stored[id] {
					t.Errorf("evidence of %s before its record", id)
				}
				evidenced[id] = true
			}
			for _, m := range part.Marks {
				for _, id := range marked[m.PodUID] {
					if !stored[id] {
						t.Errorf("mark %s before its record %s", m.PodUID, id)
					}
				}
				delete(marked, m.PodUID)
			}
			for uid, ids := range marked {
				if stored[ids[0]] {
					t.Errorf("mark %s after its records", uid)
				}
			}
			if len(part.Forget) > 0 && !all {
				t.Error("a pod is forgotten before all of what waits is stored")
			}
			ended = all
		}
		stop := func(id string) record.Record {
			return record.Record{ID: id, Kind: record.KindStop, Stop: &record.Stop{Message: large}}
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				for range rapid.SampledFrom([]int{1, 5, 600}).Draw(t, "pods") {
					uid := fmt.Sprintf("pod-%d", next)
					n := rapid.IntRange(1, 3).Draw(t, "stops")
					for range n {
						id := fmt.Sprintf("id-%d", next)
						next++
						wanted[id] = true
						q.put(stop(id))
						q.explain(id, evidence.Evidence{})
						marked[uid] = append(marked[uid], id)
					}
					q.mark(n, []record.Mark{{ContainerKey: record.ContainerKey{PodUID: uid}}})
				}
			},
			"refine": func(t *rapid.T) {
				if next == 0 {
					t.Skip("nothing yet")
				}
				id := fmt.Sprintf("id-%d", rapid.IntRange(0, next-1).Draw(t, "which"))
				q.put(stop(id))
				q.explain(id, evidence.Evidence{})
			},
			"forget":  func(*rapid.T) { q.Forget = append(q.Forget, "gone") },
			"compact": func(*rapid.T) { q.compact() },
			"take":    func(*rapid.T) { check(q.take(emptyBatch())) },
			"fail": func(*rapid.T) {
				part, _ := q.take(emptyBatch())
				q.back(part)
			},
		})
		for ended = false; !ended; {
			check(q.take(emptyBatch()))
		}
		if len(q.Records)+len(q.Marks)+len(q.Evidence)+len(marked) > 0 || q.bytes != 0 {
			t.Errorf("left: %d records, %d marks, %d of evidence, %d bytes; %d marks lost", len(q.Records), len(q.Marks), len(q.Evidence), q.bytes, len(marked))
		}
		for id := range wanted {
			if !stored[id] || !evidenced[id] {
				t.Errorf("%s is lost", id)
			}
		}
	})
}

// A part is bounded in bytes as well as in number.
func TestPendingQueueParts(t *testing.T) {
	q := pendingQueue{Batch: emptyBatch()}
	for n := range 3 * storeStep {
		q.put(record.Record{ID: fmt.Sprint(n), Stop: &record.Stop{}})
	}
	if part, all := q.take(emptyBatch()); len(part.Records) != storeStep || all {
		t.Errorf("a part has %d records", len(part.Records))
	}
	large := strings.Repeat("x", storeBytes/10)
	q = pendingQueue{Batch: emptyBatch()}
	for n := range 100 {
		q.put(record.Record{ID: fmt.Sprint(n), Stop: &record.Stop{Message: large}})
	}
	if part, all := q.take(emptyBatch()); len(part.Records) > 10 || all {
		t.Errorf("a part has %d large records", len(part.Records))
	}
}
