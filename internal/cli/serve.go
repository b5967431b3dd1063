package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"
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
	f.BoolVar(&o.orDemo, "or-demo", false, "where there is no cluster, play the built-in recording of one")
	return cmd
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
	return app.Serve(cmd.Context(), app.ServeOptions{
		Source:         source,
		Store:          o.store,
		Listen:         o.listen,
		RetainFor:      o.retainFor,
		RetainBytes:    bytes.Value(),
		RetainPerIssue: o.retainEach,
		Settle:         o.settle,
		Stdout:         e.Out,
		Logger:         e.logger(slog.LevelInfo),
	})
}
