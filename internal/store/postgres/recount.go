package postgres

import (
	"context"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/store/sqlstore"
)

// recount counts records that belong to no issue, because theirs could not be read and was removed:
// some in each transaction, the oldest first, as if they were stored now.
func (p *pruner) recount(ctx context.Context) error {
	for n := pruneStep; n == pruneStep; {
		err := p.step(ctx, "count records anew whose issue was lost", func(ctx context.Context, tx *transaction) error {
			at, clusters, err := choose(ctx, tx, "SELECT week, seq, cluster FROM whyrestart.records WHERE issue IS NULL ORDER BY at, seq LIMIT $1", pruneStep)
			if n = len(at.seqs); err != nil || n == 0 {
				return err
			}
			tx.lock(clusters)
			return p.count(ctx, tx, at)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *pruner) count(ctx context.Context, tx *transaction, at rowsAt) error {
	docs, logs := make(map[int64][]byte), make(map[int64][]byte)
	into := func(of map[int64][]byte) func(scan func(...any) error) error {
		return func(scan func(...any) error) error {
			var seq int64
			var doc []byte
			err := scan(&seq, &doc)
			of[seq] = doc
			return err
		}
	}
	// Under the lock: a writer may have counted some since.
	tx.ask("SELECT seq, doc FROM whyrestart.records WHERE week = ANY($1) AND seq = ANY($2) AND issue IS NULL", []any{at.weeks, at.seqs}, into(docs))
	tx.ask("SELECT record, doc FROM whyrestart.logs WHERE week = ANY($1) AND record = ANY($2)", []any{at.weeks, at.seqs}, into(logs))
	if err := tx.flush(); err != nil {
		return err
	}
	group := sqlstore.NewGroup(ctx, tx, p.store.codec, p.store.logger)
	for n, seq := range at.seqs {
		doc, ok := docs[seq]
		if !ok {
			continue
		}
		var place issue.Place
		r, err := p.store.codec.Decode(doc, logs[seq])
		if err != nil {
			// It belongs nowhere until its stop is seen again.
			p.store.logger.WarnContext(ctx, "a stored record cannot be counted in an issue", "error", err)
		} else if place, err = group.Post(nil, issue.Place{}, &r); err != nil {
			return err
		}
		tx.queue("UPDATE whyrestart.records SET issue = $1, incident = $2 WHERE week = $3 AND seq = $4",
			place.Issue, nullable(place.Incident, place.Incident != ""), at.weeks[n], seq)
	}
	return group.Flush()
}
