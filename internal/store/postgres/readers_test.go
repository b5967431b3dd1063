package postgres

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/postgres/pgtest"
	"github.com/whyrestart/whyrestart/internal/store/storetest"
)

// However many read, and however long it takes, what happened is stored.
func TestReadersLeaveRoom(t *testing.T) {
	s := openTest(t, Options{URL: pgtest.NewDatabase(t), Now: storetest.Epoch})
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	reads := make(chan struct{}, 100)
	for range 2 * s.pool.Config().MaxConns {
		group.Go(func() {
			_ = s.read(ctx, "read", func(ctx context.Context, _ *transaction) error {
				reads <- struct{}{}
				<-ctx.Done()
				return ctx.Err()
			})
		})
	}
	for range cap(s.reading) {
		<-reads
	}
	within, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	if err := s.Append(within, store.Batch{Records: []record.Record{storetest.Sample(1)}}); err != nil {
		t.Errorf("while others read: %v", err)
	}
}

// Who waits for others that read does not wait for ever, and may try again.
func TestReadersWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Store{reading: make(chan struct{})}
		began := time.Now()
		if err := s.one(t.Context(), "read", "", nil, nil); !errors.Is(err, store.ErrUnavailable) || time.Since(began) != patience {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}
