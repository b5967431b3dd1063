package pipeline

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

const (
	// pendingBytes bounds roughly the memory of what waits to be stored; see Options.MaxPending for
	// what a full queue means.
	pendingBytes = 48 << 20
	// storeStep and storeBytes bound what one transaction stores: encoded, a batch costs memory
	// once more.
	storeStep  = 1000
	storeBytes = 6 << 20
)

// compactFrom is from how many bytes on what waits is compacted where it grows.
const compactFrom = 2 * pendingBytes

// pendingQueue is what waits to be stored, and how much that is.
type pendingQueue struct {
	store.Batch
	// counted are those of Marks up to which records they belong: a mark is stored with the last
	// record that it accounts for. One that is stored before loses that record in a crash, one
	// that is stored after it counts the record as missed as well.
	counted []int
	// whole are ranges of records that one mark accounts for, and that are stored together.
	whole [][2]int
	bytes int
}

// put appends a record.
func (q *pendingQueue) put(r record.Record) {
	q.Records = append(q.Records, r)
	q.bytes += weighRecord(&r)
}

// mark appends the marks of the newest n records.
func (q *pendingQueue) mark(n int, marks []record.Mark) {
	to := len(q.Records)
	if n > 1 {
		q.whole = append(q.whole, [2]int{to - n, to})
	}
	for _, m := range marks {
		q.Marks, q.counted = append(q.Marks, m), append(q.counted, to)
	}
}

// explain appends or replaces the evidence of a record.
func (q *pendingQueue) explain(id string, e evidence.Evidence) {
	if old, ok := q.Evidence[id]; ok {
		q.bytes -= weighEvidence(&old)
	}
	q.Evidence[id] = e
	q.bytes += weighEvidence(&e)
}

// compact keeps of the records with one ID the newest, in the place of the first.
func (q *pendingQueue) compact() {
	// before[i] is how many of the first i stay.
	before := make([]int, len(q.Records)+1)
	seen := make(map[string]bool, len(q.Records))
	for i := range q.Records {
		before[i+1] = before[i]
		if id := q.Records[i].ID; !seen[id] {
			seen[id] = true
			before[i+1]++
		}
	}
	q.Records = newest(q.Records)
	for i, n := range q.counted {
		q.counted[i] = before[n]
	}
	for i, w := range q.whole {
		q.whole[i] = [2]int{before[w[0]], before[w[1]]}
	}
	q.weigh()
}

func (q *pendingQueue) weigh() {
	q.bytes = 0
	for i := range q.Records {
		q.bytes += weighRecord(&q.Records[i])
	}
	for _, e := range q.Evidence {
		q.bytes += weighEvidence(&e)
	}
}

// take removes what one transaction is to store from the front: all, or some of the records with
// their evidence and marks. What tells that everything was seen up to a time goes with the
// last of them.
func (q *pendingQueue) take(empty store.Batch) (part store.Batch, all bool) {
	n, bytes := 0, 0
	for n < len(q.Records) && n < storeStep && bytes < storeBytes {
		r := &q.Records[n]
		bytes += weighRecord(r)
		if e, ok := q.Evidence[r.ID]; ok {
			bytes += weighEvidence(&e)
		}
		n++
	}
	for _, w := range q.whole {
		if w[0] < n && n < w[1] {
			n = w[1]
		}
	}
	if n == len(q.Records) {
		part = q.Batch
		*q = pendingQueue{Batch: empty}
		return part, true
	}
	part = empty
	part.Records = slices.Clone(q.Records[:n])
	clear(q.Records[:n]) // what is stored is not to be held by what is not
	q.Records = q.Records[n:]
	for i := range part.Records {
		id := part.Records[i].ID
		if e, ok := q.Evidence[id]; ok {
			part.Evidence[id] = e
			delete(q.Evidence, id)
		}
	}
	marks := 0
	for marks < len(q.counted) && q.counted[marks] <= n {
		marks++
	}
	part.Marks, q.Marks, q.counted = slices.Clone(q.Marks[:marks]), q.Marks[marks:], q.counted[marks:]
	for i := range q.counted {
		q.counted[i] -= n
	}
	var whole [][2]int
	for _, w := range q.whole {
		if w[0] >= n {
			whole = append(whole, [2]int{w[0] - n, w[1] - n})
		}
	}
	q.whole = whole
	q.weigh()
	return part, false
}

// has returns the IDs of the records that wait.
func (q *pendingQueue) has() map[string]bool {
	ids := make(map[string]bool, len(q.Records))
	for i := range q.Records {
		ids[q.Records[i].ID] = true
	}
	return ids
}

// back returns what could not be stored to the front.
func (q *pendingQueue) back(b store.Batch) {
	n := len(b.Records)
	for i := range q.counted {
		q.counted[i] += n
	}
	for i := range q.whole {
		q.whole[i][0], q.whole[i][1] = q.whole[i][0]+n, q.whole[i][1]+n
	}
	if n > 1 && len(b.Marks) > 0 {
		q.whole = append([][2]int{{0, n}}, q.whole...)
	}
	counted := make([]int, len(b.Marks), len(b.Marks)+len(q.counted))
	for i := range counted {
		counted[i] = n
	}
	q.counted = append(counted, q.counted...)
	q.Records = append(b.Records, q.Records...)
	q.Marks = append(b.Marks, q.Marks...)
	q.Forget = append(b.Forget, q.Forget...)
	q.Gaps = append(b.Gaps, q.Gaps...)
	q.Observed = append(b.Observed, q.Observed...)
	for id, e := range b.Evidence {
		if _, ok := q.Evidence[id]; !ok {
			q.Evidence[id] = e
		}
	}
	for k, v := range b.Scopes {
		if _, ok := q.Scopes[k]; !ok {
			q.Scopes[k] = v
		}
	}
	q.weigh()
}

// weighRecord and weighEvidence are roughly how much memory a value holds: what is small is
// taken for the same everywhere, what a cluster can make large is counted.
func weighRecord(r *record.Record) int {
	n := 1500
	if r.Stop != nil {
		n += 300 + len(r.Message)
	}
	if r.Log != nil {
		n += weighLines(r.Log.Lines)
	}
	d := &r.Diagnosis
	n += len(d.Summary)
	for i := range d.Evidence {
		n += 250 + len(d.Evidence[i].Value)
	}
	n += 150 * (len(d.RuledOut) + len(d.Alternatives) + len(d.Missing) + len(d.Next) + len(d.Advice))
	for i := range r.Changes {
		n += 300 + len(r.Changes[i].Text) + 200*len(r.Changes[i].Fields)
	}
	return n
}

func weighEvidence(e *evidence.Evidence) int {
	n := 3000 + len(e.Pod.Message) + 80*(len(e.Pod.Labels)+len(e.Pod.NodeSelector)+len(e.Pod.Tolerations)+len(e.Pod.Volumes)+len(e.Pod.Conditions)) + 1500*len(e.Others)
	for i := range e.Events {
		n += 250 + len(e.Events[i].Message)
	}
	if e.Log != nil {
		n += weighLines(e.Log.Lines)
	}
	if e.Node != nil {
		for i := range e.Node.Events {
			n += 250 + len(e.Node.Events[i].Message)
		}
	}
	if e.Owner != nil {
		for i := range e.Owner.Events {
			n += 250 + len(e.Owner.Events[i].Message)
		}
	}
	return n + 400*len(e.Claims) + 200*len(e.Missing) + 300*len(e.Changes)
}

// weighPod is roughly how much memory a decoded pod holds: a few times its size on the wire.
func weighPod(pod *corev1.Pod) int {
	if pod == nil {
		return 0
	}
	return 3 * pod.Size()
}

func weighLines(lines []string) int {
	n := 0
	for _, l := range lines {
		n += 16 + len(l)
	}
	return n
}
