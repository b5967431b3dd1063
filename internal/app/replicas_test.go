package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/whyrestart/whyrestart/internal/metrics"
	"github.com/whyrestart/whyrestart/internal/shard"
	"github.com/whyrestart/whyrestart/internal/store"
)

// memoryLock is a Lease that several replicas ask for.
type memoryLock struct {
	*memoryLease
	identity string
}

type memoryLease struct {
	mu     sync.Mutex
	record *resourcelock.LeaderElectionRecord
}

func (l memoryLock) Get(context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.record == nil {
		return nil, nil, apierrors.NewNotFound(schema.GroupResource{Resource: "leases"}, "whyrestart")
	}
	r := *l.record
	raw, err := json.Marshal(r)
	return &r, raw, err
}

func (l memoryLock) Create(ctx context.Context, r resourcelock.LeaderElectionRecord) error {
	return l.Update(ctx, r)
}

func (l memoryLock) Update(_ context.Context, r resourcelock.LeaderElectionRecord) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.record = &r
	return nil
}

func (memoryLock) RecordEvent(string) {}
func (l memoryLock) Identity() string { return l.identity }
func (memoryLock) Describe() string   { return "default/whyrestart" }
func (l memoryLock) holder() (id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.record != nil {
		id = l.record.HolderIdentity
	}
	return id
}

// claims is a history that can only be claimed.
type claims struct {
	store.Store
	claim func(context.Context) (int64, error)
}

func (c claims) Claim(ctx context.Context, _ string, _ shard.Shard) (int64, error) {
	return c.claim(ctx)
}

func replicaOf(name string, l *memoryLease, db store.Store) *replica {
	election := LeaderElection{Enabled: true, LeaseDuration: 15 * time.Second, RenewDeadline: 10 * time.Second, RetryPeriod: 2 * time.Second}
	logger := slog.New(slog.DiscardHandler)
	return &replica{
		o:      ServeOptions{Source: Source{Cluster: "prod"}, LeaderElection: election, Logger: logger},
		leader: metrics.NewLeadership(prometheus.NewRegistry(), name),
		lease:  &lease{Interface: memoryLock{l, name}, options: election, logger: logger},
		shared: db, ending: make(chan struct{}),
	}
}

// A replica goes on following, whatever way the history is away when it would lead.
func TestCampaignOutlivesOutages(t *testing.T) {
	for name, away := range map[string]error{
		"away":  fmt.Errorf("claim: %w", store.ErrUnavailable),
		"hangs": fmt.Errorf("append: %w", context.DeadlineExceeded),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
				defer cancel()
				tries := 0
				p := replicaOf("a", new(memoryLease), claims{claim: func(context.Context) (int64, error) {
					tries++
					return 0, away
				}})
				if err := p.campaign(ctx); err != nil || ctx.Err() == nil {
					t.Errorf("it ended by itself: %v", err)
				}
				if tries < 10 {
					t.Errorf("it tried %d times in ten minutes", tries)
				}
			})
		})
	}
}

// A replica that cannot reach the history does not keep the Lease from one that can.
func TestCampaignGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		l := new(memoryLease)
		done := errors.New("it was claimed")
		cut := replicaOf("cut", l, claims{claim: func(context.Context) (int64, error) { return 0, store.ErrUnavailable }})
		well := replicaOf("well", l, claims{claim: func(context.Context) (int64, error) { return 0, done }})
		var group sync.WaitGroup
		defer group.Wait()
		group.Go(func() { _ = cut.campaign(ctx) })
		time.Sleep(time.Second)
		if holder := (memoryLock{memoryLease: l}).holder(); holder != "cut" {
			t.Fatalf("%q has the Lease", holder)
		}
		began, claimed := time.Now(), make(chan error, 1)
		group.Go(func() { claimed <- well.campaign(ctx) })
		select {
		case err := <-claimed:
			if !errors.Is(err, done) {
				t.Errorf("it ended with %v", err)
			}
			if took := time.Since(began); took > time.Minute {
				t.Errorf("it had to wait %s", took)
			}
		case <-time.After(10 * time.Minute):
			t.Error("the one that can reach the history never got the Lease")
		}
		cancel()
	})
}

// A process that was frozen between getting the Lease and claiming the history does not claim it.
func TestClaimNeedsTheLease(t *testing.T) {
	p := replicaOf("a", new(memoryLease), nil)
	err := p.leadWith(t.Context(), claims{claim: func(context.Context) (int64, error) {
		t.Error("it was claimed")
		return 0, errors.New("claimed")
	}}, time.Now())
	if !errors.Is(err, errNotLeading) {
		t.Error(err)
	}
}
