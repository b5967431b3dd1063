package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/whyrestart/whyrestart/internal/issue"

	"github.com/whyrestart/whyrestart/internal/store/sqlstore"
)

const (
	// groupStep is how many records of an earlier version one transaction counts in their
	// issues: an append may have to wait for it.
	groupStep = 200
	// groupStepAtStart is the same while nobody waits.
	groupStepAtStart = 2000
	// groupAtStart is how many of them are counted before the store is open, a second or two of
	// work; the others are counted beside what else goes on.
	groupAtStart = 10_000
	// groupRetry is how long after an error, such as of a full disk, it goes on.
	groupRetry = 10 * time.Second
)

// fillSome counts records in their issues, and once that is done looks at which missed others.
func (s *Store) fillSome(ctx context.Context, limit int) (int, error) {
	n, err := s.groupSome(ctx, limit)
	if n > 0 || err != nil {
		return n, err
	}
	return s.lookSome(ctx, limit)
}

// group counts the records that a version without issues stored, the oldest first, as if
// this one had stored them. Each step is a transaction, and what is left is read from the
// records, so that it goes on where a kill ended it.
func (s *Store) group(ctx context.Context, atStart int) error {
	for left := atStart; left > 0; {
		n, err := s.fillSome(ctx, min(left, groupStepAtStart))
		if err != nil || n == 0 {
			return err
		}
		left -= n
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	s.stopGrouping = func() {
		cancel()
		<-done
	}
	go func() {
		defer close(done)
		s.groupRest(ctx, atStart)
	}()
	return nil
}

func (s *Store) groupRest(ctx context.Context, total int) {
	began := time.Now()
	for {
		n, err := s.fillSome(ctx, groupStep)
		total += n
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.writer.logger.WarnContext(ctx, "cannot count the records of an earlier version in their issues at the moment", "error", err)
			select {
			case <-ctx.Done():
				return
			case <-time.After(groupRetry):
			}
		case n == 0:
			s.writer.logger.InfoContext(ctx, "counted the records of an earlier version in their issues", "records", total, "took", time.Since(began))
			return
		}
	}
}

const ungrouped = `
	SELECT r.seq, r.doc, l.doc FROM records r INDEXED BY records_issue LEFT JOIN logs l ON l.record = r.seq
	WHERE r.issue IS NULL ORDER BY r.at, r.seq LIMIT ?`

func (s *Store) groupSome(ctx context.Context, limit int) (int, error) {
	type left struct {
		seq      int64
		doc, log []byte
	}
	var some []left
	err := s.writer.transact(ctx, func(tx *sql.Tx) error {
		err := query(ctx, tx, ungrouped, []any{limit}, func(scan func(...any) error) error {
			var l left
			err := scan(&l.seq, &l.doc, &l.log)
			some = append(some, l)
			return err
		})
		if err != nil {
			return err
		}
		p := placer{transaction: transaction{ctx: ctx, tx: tx, writer: s.writer}}
		p.group = sqlstore.NewGroup(ctx, &p.transaction, s.writer.codec, s.writer.logger)
		for _, l := range some {
			if err := p.place(l.seq, l.doc, l.log); err != nil {
				return err
			}
		}
		return p.group.Flush()
	})
	if err != nil {
		return 0, fmt.Errorf("count stored records in their issues: %w", err)
	}
	return len(some), nil
}

// A placer counts records of an earlier version in one transaction.
type placer struct {
	transaction
	group *sqlstore.Group
}

// place counts one record.
func (p *placer) place(seq int64, doc, log []byte) error {
	var at issue.Place
	r, err := p.writer.codec.Decode(doc, log)
	if err != nil {
		// It belongs nowhere until its stop is seen again.
		p.writer.logger.WarnContext(p.ctx, "a stored record cannot be counted in an issue", "error", err)
	} else if at, err = p.group.Post(nil, issue.Place{}, &r); err != nil {
		return err
	}
	_, err = p.exec(placeRecord, at.Issue, optional(at.Incident), seq)
	return err
}
