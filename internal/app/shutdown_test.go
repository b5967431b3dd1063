package app

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// A watch that waits for room while the history is away does not keep serve from ending.
func TestEndsWhileTheWatchWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		room := make(chan struct{}) // as of a Runtime, which has room for all when it is told to end
		began := time.Now()
		time.AfterFunc(time.Minute, cancel)
		err := watchAndStore(ctx,
			func(ctx context.Context) error { <-ctx.Done(); close(room); return nil },
			func(context.Context) error { <-room; return nil },
			func(ctx context.Context) error { <-ctx.Done(); return nil })
		if err != nil {
			t.Error(err)
		}
		if took := time.Since(began) - time.Minute; took != showTimeout {
			t.Errorf("it ended after %s", took)
		}
	})
}

// What a watch shows last, when it is to end, is stored.
func TestStoresWhatIsShownLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		shown := false
		time.AfterFunc(time.Minute, cancel)
		err := watchAndStore(ctx,
			func(ctx context.Context) error {
				<-ctx.Done()
				if !shown {
					t.Error("it was told to end before the watch")
				}
				return nil
			},
			func(ctx context.Context) error { <-ctx.Done(); time.Sleep(time.Second); shown = true; return nil })
		if err != nil {
			t.Error(err)
		}
	})
}
