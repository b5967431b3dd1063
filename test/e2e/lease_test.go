//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// othersPatience is how long a run waits for another one to end.
const othersPatience = 12 * time.Minute

// reserve makes the cluster this run's own: two runs at once would delete each other's
// namespaces and take each other's node away. It returns what gives the cluster back.
func reserve(ctx context.Context, kube kubernetes.Interface) (release func(), err error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("find a name for this run: %w", err)
	}
	held, lost := make(chan struct{}), make(chan struct{})
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "whyrestart-e2e"},
			Client:     kube.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: fmt.Sprintf("%s-%d", host, os.Getpid())},
		},
		// Longer than any scenario keeps the API server away.
		LeaseDuration:   60 * time.Second,
		RenewDeadline:   45 * time.Second,
		RetryPeriod:     2 * time.Second,
		ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) { close(held) },
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("reserve the cluster: %w", err)
	}
	// It is held beyond an interrupt, until what is on the cluster has been removed.
	hold, cancel := context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer close(lost)
		elector.Run(hold)
	}()
	release = func() { cancel(); <-lost }
	select {
	case <-held:
		return release, nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-lost:
		err = errors.New("the lease was lost at once")
	case <-time.After(othersPatience):
		err = fmt.Errorf("another run still has it after %s, says the lease default/whyrestart-e2e", othersPatience)
	}
	release()
	return nil, fmt.Errorf("reserve the cluster: %w", err)
}
