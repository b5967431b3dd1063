package postgres

import (
	"context"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/whyrestart/whyrestart/internal/store/sqlstore"
)

// A transaction keeps what it is to write until flush sends it at once: each message to a server in
// a network costs more than what is in it. It is the sqlstore.Tx of a group.
type transaction struct {
	//nolint:containedctx // It lives as long as the call that the context belongs to.
	ctx   context.Context
	tx    pgx.Tx
	texts map[sqlstore.Statement]string
	batch pgx.Batch
	// next is the next number of a row; there are some up to limit.
	next, limit int64
	// spill queues what the owner keeps of records.
	spill func() error
	// moved is told that the records of an issue belong to another, or to none.
	moved func(from, to string)
}

// queue adds a statement to what is to be written. Its arguments stand as they are.
func (t *transaction) queue(text string, args ...any) *pgx.QueuedQuery {
	return t.batch.Queue(text, args...)
}

// flush writes what was queued.
func (t *transaction) flush() error {
	if t.batch.Len() == 0 {
		return nil
	}
	b := t.batch
	t.batch = pgx.Batch{}
	return t.tx.SendBatch(t.ctx, &b).Close()
}

// ask queues a statement that reads; its rows come with the flush.
func (t *transaction) ask(text string, args []any, row func(scan func(...any) error) error) {
	t.queue(text, args...).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			if err := row(rows.Scan); err != nil {
				return err
			}
		}
		return rows.Err()
	})
}

// numbersAtOnce is by how much the sequence grows.
const numbersAtOnce = 1000

// reserve queues that there are numbers for so many rows. Blocks need not follow each other.
func (t *transaction) reserve() {
	t.ask("SELECT nextval('whyrestart.numbers')", nil, func(scan func(...any) error) error {
		err := scan(&t.next)
		t.limit = t.next + numbersAtOnce
		return err
	})
}

// number returns a number for a row: higher than that of any earlier transaction that held the same lock.
func (t *transaction) number() (int64, error) {
	if t.next == t.limit {
		err := t.tx.QueryRow(t.ctx, "SELECT nextval('whyrestart.numbers')").Scan(&t.next)
		if err != nil {
			return 0, err
		}
		t.limit = t.next + numbersAtOnce
	}
	t.next++
	return t.next - 1, nil
}

// Query implements sqlstore.Tx.
func (t *transaction) Query(s sqlstore.Statement, args []any, row func(scan func(...any) error) error) error {
	switch s {
	case sqlstore.FirstOfIssue, sqlstore.LastOfIssue, sqlstore.FirstOfIncident, sqlstore.LastOfIncident:
		if t.spill != nil {
			if err := t.spill(); err != nil {
				return err
			}
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	return query(t.ctx, t.tx, t.texts[s], spelled(args), func(scan func(...any) error) error {
		return row(func(into ...any) error {
			err := scan(into...)
			for _, p := range into {
				if text, ok := p.(*string); ok {
					*text = unspell(*text)
				}
			}
			return err
		})
	})
}

// Exec implements sqlstore.Tx.
func (t *transaction) Exec(s sqlstore.Statement, args ...any) error {
	if t.moved != nil {
		switch s {
		case sqlstore.MoveRecords:
			t.moved(args[1].(string), args[0].(string))
		case sqlstore.ReleaseRecords:
			t.moved(args[0].(string), "")
		}
	}
	t.queue(t.texts[s], values(args)...)
	return nil
}

// Insert implements sqlstore.Tx.
func (t *transaction) Insert(s sqlstore.Statement, args ...any) (int64, error) {
	seq, err := t.number()
	if err != nil {
		return 0, err
	}
	return seq, t.Exec(s, append([]any{seq}, args...)...)
}

// values are arguments as columns take them: texts are spelled, and a truth is a number.
func values(args []any) []any {
	out := spelled(args)
	for i, a := range out {
		if b, ok := a.(bool); ok {
			out[i] = truth(b)
		}
	}
	return out
}

func truth(b bool) int16 {
	if b {
		return 1
	}
	return 0
}

// A querier is a pool of connections or a transaction.
type querier interface {
	Query(ctx context.Context, text string, args ...any) (pgx.Rows, error)
}

func query(ctx context.Context, db querier, text string, args []any, row func(scan func(...any) error) error) error {
	rows, err := db.Query(ctx, text, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// numbered spells a statement's arguments as PostgreSQL does. There is no other "?" in any.
func numbered(text string) string {
	parts := strings.Split(text, "?")
	var b strings.Builder
	b.WriteString(parts[0])
	for i, p := range parts[1:] {
		b.WriteString("$" + strconv.Itoa(i+1) + p)
	}
	return b.String()
}
