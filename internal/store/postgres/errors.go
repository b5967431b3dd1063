package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whyrestart/whyrestart/internal/store"
)

// code is the SQLSTATE of an error, empty where the server said none.
func code(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// passes tells that the same call may succeed later: the server is away, restarts, is a standby,
// has no room or no connection left, or another transaction was in the way. Where the server said
// nothing, the connection is what failed.
// https://www.postgresql.org/docs/current/errcodes-appendix.html
func passes(err error) bool {
	c := code(err)
	switch {
	case c == "":
		return broken(err)
	case strings.HasPrefix(c, "08"), // connections
		strings.HasPrefix(c, "53"),               // resources: the disk, memory, connections
		strings.HasPrefix(c, "58"),               // errors of the system, such as of a disk
		strings.HasPrefix(c, "57P"),              // a shutdown, a crash, a start
		c == "57014",                             // too slow, by a limit of the server
		c == "25006",                             // a standby
		c == "25P02", c == "25P03", c == "25P04", // a transaction that was given up
		c == "40001", c == "40P01", c == "40003", // another transaction was in the way
		c == "55P03", c == "55006", c == "72000": // a lock; an object in use
		return true
	}
	// Passwords change, and who was let in once will be again.
	return strings.HasPrefix(c, "28") && isConnect(err)
}

func isConnect(err error) bool {
	_, ok := errors.AsType[*pgconn.ConnectError](err)
	return ok
}

// broken tells that a connection failed, or none was to be had in time.
func broken(err error) bool {
	for _, known := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, context.DeadlineExceeded, pgx.ErrTxClosed, pgx.ErrTxCommitRollback, errUnknown} {
		if errors.Is(err, known) {
			return true
		}
	}
	if _, ok := errors.AsType[net.Error](err); ok || isConnect(err) || pgconn.Timeout(err) || pgconn.SafeToRetry(err) {
		return true
	}
	// The driver has no names for these.
	return strings.HasSuffix(err.Error(), "conn closed") || strings.HasSuffix(err.Error(), "conn busy")
}

// failed wraps what a call failed with; nil stays nil.
func (s *Store) failed(ctx context.Context, attempt string, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		// Whatever it failed with, it was told to end.
		return fmt.Errorf("%s: %w", attempt, ctx.Err())
	case errors.Is(err, store.ErrFenced), errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrAmbiguous):
		return fmt.Errorf("%s: %w", attempt, err)
	case errors.Is(err, errBusy):
		return fmt.Errorf("%s: %w: %w", attempt, store.ErrUnavailable, err)
	case passes(err):
		if c := code(err); c == "25006" || strings.HasPrefix(c, "57P") || c == "" && (pgconn.Timeout(err) || errors.Is(err, context.DeadlineExceeded)) {
			// The other connections lead to the same server, which became a standby, ends, or hangs: each of
			// them would cost as long again.
			s.pool.Reset()
		}
		return fmt.Errorf("%s: %w: %w", attempt, store.ErrUnavailable, plain(err))
	}
	return fmt.Errorf("%s: %w", attempt, plain(err))
}

// plain is an error of connecting without the settings that it was attempted with.
func plain(err error) error {
	if e, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		if inner := errors.Unwrap(e); inner != nil {
			return &connectError{inner}
		}
		return errors.New("connect: it failed")
	}
	return err
}

// connectError says in one line how it went with each server.
type connectError struct{ error }

func (e *connectError) Error() string {
	return "connect: " + strings.Join(strings.FieldsFunc(e.error.Error(), func(r rune) bool { return r == '\n' }), "; ")
}

func (e *connectError) Unwrap() error { return e.error }

// openError is failed of opening: who is refused by name or password is told so for good.
func openError(ctx context.Context, attempt string, err error) error {
	c := code(err)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", attempt, ctx.Err())
	case strings.HasPrefix(c, "28"):
		return fmt.Errorf("%s: the server refuses this user or password: %w", attempt, plain(err))
	case c == "3D000":
		return fmt.Errorf("%s: there is no such database; create it first: %w", attempt, plain(err))
	case c == "42501":
		return fmt.Errorf("%s: this user may not do what is needed; it has to own the schema whyrestart (CREATE SCHEMA whyrestart AUTHORIZATION its name): %w", attempt, plain(err))
	case passes(err):
		return fmt.Errorf("%s: %w: %w", attempt, store.ErrUnavailable, plain(err))
	}
	return fmt.Errorf("%s: %w", attempt, plain(err))
}

// again tells that a transaction failed for what another did at the same time, and may be tried
// anew at once.
func (s *Store) again(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	switch code(err) {
	case "40001", "40P01", "23505":
		return true
	case "23514", "42P01":
		// A partition was dropped since it was seen.
		s.forget()
		return true
	}
	if errors.Is(err, errUnknown) {
		s.forget()
		return true
	}
	return false
}
