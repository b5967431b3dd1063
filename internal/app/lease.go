package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/whyrestart/whyrestart/internal/shard"
)

// LeaderElection says how several processes agree on the one that records and tells. The defaults and
// the words are those of the components of Kubernetes.
type LeaderElection struct {
	// Enabled tells that there may be several.
	Enabled bool
	// LeaseDuration is how long the others wait for a leader that says nothing, RenewDeadline
	// how long a leader tries to renew before it ceases to lead, and RetryPeriod how often
	// either is tried.
	LeaseDuration, RenewDeadline, RetryPeriod time.Duration
	// ResourceName and ResourceNamespace are those of the Lease.
	ResourceName, ResourceNamespace string
}

// leaseName is that of the Lease of a shard.
func leaseName(name string, s shard.Shard) string {
	if s.Whole() {
		return name
	}
	return fmt.Sprintf("%s-%d-of-%d", name, s.Index, s.Of)
}

// lease is a Lease that this process wants to hold. It knows by this process's own monotonic
// clock whether it does: others count from when they saw a renewal, which is not before it was asked
// for here.
type lease struct {
	resourcelock.Interface
	options LeaderElection
	logger  *slog.Logger

	mu      sync.Mutex
	renewed time.Time // when the last renewal that succeeded was asked for; zero if it is not held
	holder  string    // as the server said last
}

// newLease prepares a Lease, and checks what this process may do with it.
func newLease(ctx context.Context, s Source, o LeaderElection, sh shard.Shard, logger *slog.Logger) (*lease, error) {
	if o.ResourceName == "" || o.ResourceNamespace == "" {
		return nil, errors.New("--leader-elect: the Lease needs a name and a namespace (--leader-elect-resource-name, --leader-elect-resource-namespace)")
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("leader election: the name of this host: %w", err)
	}
	config := rest.CopyConfig(s.Config)
	config.UserAgent = userAgent(s) + "/leader-election"
	// As the components of Kubernetes do: one request that hangs leaves time for another.
	config.Timeout = o.RenewDeadline / 2
	leases, err := coordinationclient.NewForConfig(config)
	if err != nil {
		return nil, errors.New("leader election: the client configuration is not valid")
	}
	name := leaseName(o.ResourceName, sh)
	if err := mayHold(ctx, config, name, o.ResourceNamespace); err != nil {
		return nil, err
	}
	return &lease{
		Interface: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: o.ResourceNamespace, Name: name},
			Client:     leases,
			LockConfig: resourcelock.ResourceLockConfig{Identity: host + "_" + string(uuid.NewUUID())},
		},
		options: o, logger: logger,
	}, nil
}

// mayHold asks the server whether this process may use the Lease: to learn at the moment of a takeover
// that it may not would be too late. A server that does not answer that is not believed to refuse.
func mayHold(ctx context.Context, config *rest.Config, name, namespace string) error {
	client, err := authorizationclient.NewForConfig(config)
	if err != nil {
		return errors.New("leader election: the client configuration is not valid")
	}
	for _, verb := range []string{"get", "create", "update"} {
		a := authorizationv1.ResourceAttributes{Verb: verb, Group: "coordination.k8s.io", Resource: "leases", Namespace: namespace, Name: name}
		if verb == "create" {
			a.Name = "" // which the server does not know then
		}
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &a}}
		answer, err := client.SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		if err == nil && !answer.Status.Allowed {
			return fmt.Errorf("--leader-elect: no permission to %s leases (coordination.k8s.io) in namespace %s; "+
				"a Role there must allow get, create and update of them, or run one replica without --leader-elect", verb, namespace)
		}
	}
	return nil
}

// errNotHeld is what giving a Lease back ends with that another one holds.
var errNotHeld = errors.New("another one holds the Lease")

// Get implements resourcelock.Interface.
func (l *lease) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	r, raw, err := l.Interface.Get(ctx)
	if err == nil {
		l.mu.Lock()
		l.holder = r.HolderIdentity
		l.mu.Unlock()
	}
	return r, raw, err
}

// Create implements resourcelock.Interface.
func (l *lease) Create(ctx context.Context, r resourcelock.LeaderElectionRecord) error {
	asked := time.Now()
	return l.wrote(r, asked, l.Interface.Create(ctx, r))
}

// Update implements resourcelock.Interface.
func (l *lease) Update(ctx context.Context, r resourcelock.LeaderElectionRecord) error {
	asked := time.Now()
	if r.HolderIdentity == "" {
		// It is another's as soon as the server has this, which is before the answer comes.
		l.release()
		// client-go gives back what it believes to hold, and one that was frozen believes that of the
		// Lease that is another's by now (tools/leaderelection, tryRelease).
		l.mu.Lock()
		holder := l.holder
		l.mu.Unlock()
		if holder != l.Identity() {
			return errNotHeld
		}
	}
	return l.wrote(r, asked, l.Interface.Update(ctx, r))
}

func (l *lease) wrote(r resourcelock.LeaderElectionRecord, asked time.Time, err error) error {
	if err == nil && r.HolderIdentity == l.Identity() {
		l.mu.Lock()
		l.renewed, l.holder = asked, r.HolderIdentity
		l.mu.Unlock()
	}
	if apierrors.IsForbidden(err) {
		l.logger.Error("cannot hold the Lease: no permission", "lease", l.Describe())
	}
	return err
}

func (l *lease) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.renewed = time.Time{}
}

// age is how long ago it was renewed; false where it is not held.
func (l *lease) age() (time.Duration, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Since(l.renewed), !l.renewed.IsZero()
}

// held tells that nobody else can hold it at this moment.
func (l *lease) held() bool {
	age, ok := l.age()
	return ok && age < l.options.LeaseDuration
}

// hold returns a context that ends when the Lease may soon be another's: when it was given up, or
// not renewed for RenewDeadline. client-go's own comes later, after an attempt to give it back that
// may take as long again.
func (l *lease) hold(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		for {
			age, ok := l.age()
			if !ok || age >= l.options.RenewDeadline {
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(min(l.options.RenewDeadline-age, l.options.RetryPeriod/4)):
			}
		}
	}()
	return ctx, cancel
}

// elect waits until this process leads, calls lead, and gives the Lease back when that has
// returned. The context of lead ends when ctx does and when the Lease is lost.
func (l *lease) elect(ctx context.Context, lead func(context.Context) error) error {
	running, release := context.WithCancel(context.WithoutCancel(ctx))
	defer release()
	started := make(chan struct{}, 1)
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock:            l,
		LeaseDuration:   l.options.LeaseDuration,
		RenewDeadline:   l.options.RenewDeadline,
		RetryPeriod:     l.options.RetryPeriod,
		ReleaseOnCancel: true,
		Name:            l.Describe(),
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) { started <- struct{}{} },
			OnStoppedLeading: func() {},
			OnNewLeader: func(identity string) {
				if identity != "" && identity != l.Identity() {
					l.logger.Info("another replica leads", "leader", identity, "lease", l.Describe())
				}
			},
		},
	})
	if err != nil {
		return fmt.Errorf("--leader-elect: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		elector.Run(running)
	}()
	defer func() {
		release()
		<-ended
		l.release()
	}()
	select {
	case <-ctx.Done():
		return nil
	case <-ended:
		return nil // it led for a moment and lost it
	case <-started:
	}
	holding, cancel := l.hold(ctx)
	defer cancel()
	return lead(holding)
}
