package postgres

import (
	"fmt"
	"slices"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/shard"
	"github.com/whyrestart/whyrestart/internal/store/sqlstore"
)

// A heldRecord is a record of the batch: as it is stored, or as it will be.
type heldRecord struct {
	id   string
	week int32
	seq  int64

	record record.Record
	place  issue.Place
	// counted tells that it is counted in an issue.
	counted bool
	// Sizes of what is stored of it.
	doc, log, evidence int64
	// What is to be written: nil for as it is.
	newDoc, newLog, newEvidence []byte
	// isNew has no row yet; moved is only in another place.
	isNew, moved bool
}

// rowSize is about what a record takes beside its documents: its columns, the entries of its indexes, its
// key and its change. Measured with 8000 samples: 1.7 KB, a part of it free for the next ones.
const rowSize = 1500

func (h *heldRecord) bytes() int64 { return rowSize + h.doc + h.log + h.evidence }

// A change is an entry of the outbox.
type change struct {
	cluster string
	seq     int64
	slot    int
	week    int32
	old     bool // the record may have one already
}

// readRecords reads what the batch has and is stored already.
func (a *appender) readRecords(have map[string]*heldRecord) error {
	if len(have) == 0 {
		return nil
	}
	bySeq := make(map[int64]*heldRecord)
	docs, logs := make(map[int64][]byte), make(map[int64][]byte)
	outlines := make(map[int64]*sqlstore.Columns)
	var weeks []int32
	var seqs []int64
	for _, h := range have {
		bySeq[h.seq] = h
		weeks, seqs = append(weeks, h.week), append(seqs, h.seq)
	}
	slices.Sort(weeks)
	weeks = slices.Compact(weeks)
	a.ask(`SELECT seq, doc, issue, incident, at, kind, category, cause, cluster, namespace, pod, pod_uid, container,
		workload_kind, workload_name, node, open = 1, missed FROM whyrestart.records WHERE week = ANY($1) AND seq = ANY($2)`,
		[]any{weeks, seqs}, func(scan func(...any) error) error {
			var seq int64
			var doc []byte
			var in, incident *string
			c := new(sqlstore.Columns)
			if err := scan(append([]any{&seq, &doc, &in, &incident}, c.Pointers()...)...); err != nil {
				return err
			}
			h := bySeq[seq]
			h.counted = in != nil
			h.place = issue.Place{Issue: deref(in), Incident: deref(incident)}
			h.doc = int64(len(doc))
			docs[seq], outlines[seq] = doc, c
			return nil
		})
	a.ask("SELECT record, doc FROM whyrestart.logs WHERE week = ANY($1) AND record = ANY($2)", []any{weeks, seqs}, func(scan func(...any) error) error {
		var seq int64
		var doc []byte
		err := scan(&seq, &doc)
		logs[seq], bySeq[seq].log = doc, int64(len(doc))
		return err
	})
	a.ask("SELECT record, octet_length(doc) FROM whyrestart.evidence WHERE week = ANY($1) AND record = ANY($2)", []any{weeks, seqs}, func(scan func(...any) error) error {
		var seq, size int64
		err := scan(&seq, &size)
		bySeq[seq].evidence = size
		return err
	})
	if err := a.flush(); err != nil {
		return err
	}
	for _, h := range have {
		doc, ok := docs[h.seq]
		if !ok {
			// Its partition was dropped, and the key is what is left: it is new.
			a.queue("DELETE FROM whyrestart.keys WHERE id = $1 AND seq = $2", spell(h.id), h.seq)
			continue
		}
		var err error
		if h.record, err = a.store.codec.Decode(doc, logs[h.seq]); err != nil {
			// What is there is lost in any case; to fail here would hold up this batch, and so
			// everything after it, for ever.
			a.store.logger.WarnContext(a.ctx, "replaced a stored record that cannot be read", "id", h.id, "error", err)
			h.record = outlines[h.seq].Outline(h.id)
		}
		a.records[h.id] = h
		a.order = append(a.order, h)
	}
	return nil
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// record takes one record in, with a change where it is new or different.
func (a *appender) record(next sqlstore.Encoded) error {
	h := a.records[next.Record.ID]
	var err error
	if h == nil {
		h, err = a.add(next)
	} else {
		err = a.refine(h, next)
	}
	if err != nil || next.Evidence == nil {
		return err
	}
	h.newEvidence = a.store.codec.PackLog(next.Evidence)
	a.size(h, &h.evidence, h.newEvidence)
	return nil
}

// size keeps how large a record is, and so its cluster.
func (a *appender) size(h *heldRecord, what *int64, now []byte) {
	a.cluster(h.record.Cluster).bytes += int64(len(now)) - *what
	*what = int64(len(now))
}

func (a *appender) add(next sqlstore.Encoded) (*heldRecord, error) {
	place, err := a.group.Post(nil, issue.Place{}, &next.Record)
	if err != nil {
		return nil, err
	}
	h := &heldRecord{
		id: next.Record.ID, week: a.store.choose(sqlstore.Nanos(next.Record.When())), record: next.Record,
		place: place, counted: true, isNew: true,
	}
	if h.seq, err = a.number(); err != nil {
		return nil, err
	}
	a.records[h.id] = h
	a.order = append(a.order, h)
	h.newDoc = a.store.codec.PackRecord(next.Doc)
	a.size(h, &h.doc, h.newDoc)
	if next.Log != nil {
		h.newLog = a.store.codec.PackLog(next.Log)
		a.size(h, &h.log, h.newLog)
	}
	a.cluster(h.record.Cluster).bytes += rowSize
	a.count(&h.record, 1)
	a.changed(h, false)
	return h, nil
}

func (a *appender) count(r *record.Record, by int64) {
	var t sqlstore.Totals
	t.Count(r, by)
	c := a.cluster(r.Cluster)
	c.stops, c.stalls, c.missed = c.stops+t.Stops, c.stalls+t.Stalls, c.missed+t.Missed
}

// refine replaces a record that is stored.
func (a *appender) refine(h *heldRecord, next sqlstore.Encoded) error {
	m, err := sqlstore.Merge(h.record, next.Record)
	if err != nil || m.SameDoc && m.SameLog {
		return err
	}
	counted := &m.Old.Record
	if !h.counted {
		counted = nil // its issue could not be read
	}
	place, err := a.group.Post(counted, h.place, &m.New.Record)
	if err != nil {
		return err
	}
	if !m.SameDoc {
		size := h.bytes()
		a.cluster(h.record.Cluster).bytes -= size
		a.cluster(m.New.Record.Cluster).bytes += size
		a.count(&m.Old.Record, -1)
		a.count(&m.New.Record, 1)
	}
	h.moved = h.moved || !h.counted || place != h.place
	h.record, h.place, h.counted = m.New.Record, place, true
	if !m.SameDoc {
		h.newDoc = a.store.codec.PackRecord(m.New.Doc)
		a.size(h, &h.doc, h.newDoc)
	}
	if !m.SameLog {
		h.newLog = a.store.codec.PackLog(m.New.Log)
		a.size(h, &h.log, h.newLog)
	}
	a.changed(h, true)
	return nil
}

// changed gives a record the newest number of its outbox: above what any consumer has acknowledged,
// so that it comes again.
func (a *appender) changed(h *heldRecord, old bool) {
	c := a.cluster(h.record.Cluster)
	c.seq++
	was := a.changes[h.seq]
	a.changes[h.seq] = change{cluster: h.record.Cluster, seq: c.seq, slot: shard.Slot(h.record.Namespace), week: h.week, old: was.old || old && !h.isNew}
}

// moveRecords is told by the group that the records of an issue belong to another, or to none. Those
// that have rows are moved by a statement.
func (a *appender) moveRecords(from, to string) {
	for _, h := range a.order {
		if h.counted && h.place.Issue == from {
			h.place.Issue, h.counted = to, to != ""
		}
	}
}

// spillRecords queues what is to be written of records.
func (a *appender) spillRecords() error {
	var add rowsToAdd
	var logs, evidence docsToPut
	for _, h := range a.order {
		switch {
		case h.isNew:
			add.row(h)
		case h.newDoc != nil:
			c := sqlstore.ColumnsOf(&h.record)
			args := append(values(c.Values()), h.bytes(), nullable(h.place.Issue, h.counted), nullable(h.place.Incident, h.place.Incident != ""), h.newDoc, h.week, h.seq)
			a.queue(`UPDATE whyrestart.records SET at = $1, kind = $2, category = $3, cause = $4, cluster = $5, namespace = $6, pod = $7, pod_uid = $8,
				container = $9, workload_kind = $10, workload_name = $11, node = $12, open = $13, missed = $14, bytes = $15, issue = $16, incident = $17, doc = $18
				WHERE week = $19 AND seq = $20`, args...)
		case h.moved || h.newLog != nil || h.newEvidence != nil:
			a.queue("UPDATE whyrestart.records SET issue = $1, incident = $2, bytes = $3 WHERE week = $4 AND seq = $5",
				nullable(h.place.Issue, h.counted), nullable(h.place.Incident, h.place.Incident != ""), h.bytes(), h.week, h.seq)
		}
		logs.doc(h, h.newLog)
		evidence.doc(h, h.newEvidence)
		h.isNew, h.moved, h.newDoc, h.newLog, h.newEvidence = false, false, nil, nil, nil
	}
	add.queue(a.transaction)
	logs.queue(a.transaction, "logs")
	evidence.queue(a.transaction, "evidence")
	return nil
}

func nullable(s string, valid bool) *string {
	if !valid {
		return nil
	}
	return &s
}

// rowsToAdd are the columns of new rows, which are added by one statement.
type rowsToAdd struct {
	weeks                                                            []int32
	seqs, ats, missed, bytes                                         []int64
	ids, kinds, categories, causes, clusters, namespaces, pods, uids []string
	containers, workloadKinds, workloads, nodes, issues              []string
	incidents                                                        []*string
	opens                                                            []int16
	docs                                                             [][]byte
}

func (r *rowsToAdd) row(h *heldRecord) {
	c := sqlstore.ColumnsOf(&h.record)
	r.weeks, r.seqs, r.ids = append(r.weeks, h.week), append(r.seqs, h.seq), append(r.ids, spell(h.id))
	r.ats, r.kinds, r.categories, r.causes = append(r.ats, c.At), append(r.kinds, spell(c.Kind)), append(r.categories, spell(c.Category)), append(r.causes, spell(c.Cause))
	r.clusters, r.namespaces = append(r.clusters, spell(c.Cluster)), append(r.namespaces, spell(c.Namespace))
	r.pods, r.uids, r.containers = append(r.pods, spell(c.Pod)), append(r.uids, spell(c.PodUID)), append(r.containers, spell(c.Container))
	r.workloadKinds, r.workloads, r.nodes = append(r.workloadKinds, spell(c.WorkloadKind)), append(r.workloads, spell(c.Workload)), append(r.nodes, spell(c.Node))
	r.opens, r.missed, r.bytes = append(r.opens, truth(c.Open)), append(r.missed, c.Missed), append(r.bytes, h.bytes())
	r.issues, r.incidents, r.docs = append(r.issues, h.place.Issue), append(r.incidents, nullable(h.place.Incident, h.place.Incident != "")), append(r.docs, h.newDoc)
}

func (r *rowsToAdd) queue(t *transaction) {
	if len(r.seqs) == 0 {
		return
	}
	t.queue("INSERT INTO whyrestart.keys (id, week, seq) SELECT * FROM unnest($1::text[], $2::integer[], $3::bigint[])", r.ids, r.weeks, r.seqs)
	t.queue(`INSERT INTO whyrestart.records (week, seq, id, at, kind, category, cause, cluster, namespace, pod, pod_uid, container,
			workload_kind, workload_name, node, open, missed, bytes, issue, incident, doc)
		SELECT * FROM unnest($1::integer[], $2::bigint[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[],
			$11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::smallint[], $17::bigint[], $18::bigint[], $19::text[], $20::text[], $21::bytea[])`,
		r.weeks, r.seqs, r.ids, r.ats, r.kinds, r.categories, r.causes, r.clusters, r.namespaces, r.pods,
		r.uids, r.containers, r.workloadKinds, r.workloads, r.nodes, r.opens, r.missed, r.bytes, r.issues, r.incidents, r.docs)
}

// docsToPut are the logs or the evidence of records.
type docsToPut struct {
	weeks []int32
	seqs  []int64
	docs  [][]byte
}

func (d *docsToPut) doc(h *heldRecord, doc []byte) {
	if doc != nil {
		d.weeks, d.seqs, d.docs = append(d.weeks, h.week), append(d.seqs, h.seq), append(d.docs, doc)
	}
}

func (d *docsToPut) queue(t *transaction, table string) {
	if len(d.seqs) == 0 {
		return
	}
	t.queue(fmt.Sprintf(`INSERT INTO whyrestart.%s (week, record, doc) SELECT * FROM unnest($1::integer[], $2::bigint[], $3::bytea[])
		ON CONFLICT (week, record) DO UPDATE SET doc = excluded.doc`, table), d.weeks, d.seqs, d.docs)
}

func (a *appender) writeChanges() {
	var clusters []string
	var seqs, ats, records, old []int64
	var slots []int16
	var weeks []int32
	for _, h := range a.order {
		c, ok := a.changes[h.seq]
		if !ok {
			continue
		}
		if c.old {
			old = append(old, h.seq)
		}
		clusters, seqs, ats, records = append(clusters, spell(c.cluster)), append(seqs, c.seq), append(ats, sqlstore.Nanos(a.now)), append(records, h.seq)
		slots, weeks = append(slots, int16(c.slot)), append(weeks, c.week)
	}
	if len(old) > 0 {
		a.queue("DELETE FROM whyrestart.changes WHERE record = ANY($1)", old)
	}
	if len(seqs) > 0 {
		a.queue(`INSERT INTO whyrestart.changes (cluster, seq, slot, at, week, record)
			SELECT * FROM unnest($1::text[], $2::bigint[], $3::smallint[], $4::bigint[], $5::integer[], $6::bigint[])`, clusters, seqs, slots, ats, weeks, records)
	}
}
