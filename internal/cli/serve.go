package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/whyrestart/whyrestart/internal/app"
)

type serveOptions struct {
	source      sourceFlags
	store       string
	listen      string
	retainFor   time.Duration
	retainBytes string
	retainEach  int
	settle      time.Duration
	logs        bool
	orDemo      bool
	elect       app.LeaderElection
}

func newServe(e *environment) *cobra.Command {
	o := &serveOptions{source: sourceFlags{everything: true}}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Watch a cluster and keep the record of its container stops",
		Long: `Watch a cluster, store every container stop, and print each as a line of JSON.

A record that is printed again with the same id replaces the earlier one. After a
restart, what was stored and not printed yet is printed first.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runServe(cmd, e, o) },
	}
	o.source.add(cmd.Flags())
	o.source.addShard(cmd.Flags())
	o.source.settings.add(cmd.Flags())
	f := cmd.Flags()
	addStore(f, &o.store)
	f.StringVar(&o.listen, "listen", "127.0.0.1:8080", "address of /metrics, /healthz, /readyz and /api/v1/coverage")
	f.DurationVar(&o.retainFor, "retention", 90*24*time.Hour, "remove records that are older; 0 keeps them")
	f.StringVar(&o.retainBytes, "retention-size", "10Gi", "remove the oldest records beyond this size; 0 keeps them")
	f.IntVar(&o.retainEach, "retention-per-issue", 10_000, "remove the oldest records of an issue that has more, whose counts stay; 0 keeps them")
	f.DurationVar(&o.settle, "settle", 3*time.Second, "how long a stop may wait for its log and owner before it is printed")
	f.BoolVar(&o.logs, "logs", true, "capture the log tail of containers that stopped, redacted")
	o.addElection(f)
	f.BoolVar(&o.orDemo, "or-demo", false, "where there is no cluster, play the built-in recording of one")
	return cmd
}

// addElection adds the flags of leader election, which are those of the components of Kubernetes.
func (o *serveOptions) addElection(f *pflag.FlagSet) {
	e := &o.elect
	f.BoolVar(&e.Enabled, "leader-elect", false, "be one of several replicas: one of them records and tells, the others watch and take over from it")
	f.DurationVar(&e.LeaseDuration, "leader-elect-lease-duration", 15*time.Second, "how long the others wait for a leader that says nothing")
	f.DurationVar(&e.RenewDeadline, "leader-elect-renew-deadline", 10*time.Second, "how long a leader tries to renew the lease before it follows; less than the duration")
	f.DurationVar(&e.RetryPeriod, "leader-elect-retry-period", 2*time.Second, "how often the lease is renewed or asked for")
	f.StringVar(&e.ResourceName, "leader-elect-resource-name", "whyrestart", "name of the Lease; that of a shard has the shard added to it")
	f.StringVar(&e.ResourceNamespace, "leader-elect-resource-namespace", "", "namespace of the Lease (default: that of the pod, else of the context)")
}

// jitter is by how much client-go's elections lengthen a period at most (tools/leaderelection).
const jitter = 1.2

// election checks those flags, and finds the namespace where none is given.
func (o *serveOptions) election() error {
	e := &o.elect
	if !e.Enabled {
		return nil
	}
	switch {
	case e.LeaseDuration < time.Second:
		return errors.New("--leader-elect-lease-duration: want a second at least")
	case e.RetryPeriod <= 0:
		return errors.New("--leader-elect-retry-period: want more than 0")
	case e.LeaseDuration <= e.RenewDeadline:
		return errors.New("--leader-elect-renew-deadline: it must be less than --leader-elect-lease-duration, so that a leader stops before another begins")
	case float64(e.RenewDeadline) <= jitter*float64(e.RetryPeriod):
		return errors.New("--leader-elect-retry-period: it must be less than 5/6 of --leader-elect-renew-deadline, so that a renewal is tried more than once")
	}
	if e.ResourceNamespace == "" {
		ns, _, err := o.source.config.ToRawKubeConfigLoader().Namespace()
		if err != nil {
			return fmt.Errorf("load the kubeconfig: %w", err)
		}
		e.ResourceNamespace = ns
	}
	return nil
}

func runServe(cmd *cobra.Command, e *environment, o *serveOptions) error {
	source, err := o.source.source(o.logs)
	if errors.Is(err, errNoCluster) && o.orDemo {
		fmt.Fprintln(e.Err, "There is no kubeconfig, so there is no cluster to serve: here is the recording of a real one instead.")
		return runDemo(cmd.Context(), e, &demoOptions{speed: 20})
	}
	if err != nil {
		return err
	}
	bytes, err := resource.ParseQuantity(o.retainBytes)
	if err != nil {
		return fmt.Errorf("--retention-size: %w", err)
	}
	if o.retainEach < 0 {
		return errors.New("--retention-per-issue: it cannot be negative")
	}
	if err := o.election(); err != nil {
		return err
	}
	return app.Serve(cmd.Context(), app.ServeOptions{
		Source:         source,
		Store:          o.store,
		Listen:         o.listen,
		RetainFor:      o.retainFor,
		RetainBytes:    bytes.Value(),
		RetainPerIssue: o.retainEach,
		Settle:         o.settle,
		LeaderElection: o.elect,
		Stdout:         e.Out,
		Logger:         e.logger(slog.LevelInfo),
	})
}
