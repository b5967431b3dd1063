package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/whyrestart/whyrestart/internal/app"
	"github.com/whyrestart/whyrestart/internal/pipeline"
	"github.com/whyrestart/whyrestart/internal/record"
)

type watchOptions struct {
	source  sourceFlags
	output  outputFlags
	filter  filterFlags
	history bool
	logs    bool
	settle  time.Duration
}

func newWatch(e *environment) *cobra.Command {
	o := &watchOptions{}
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "Show container stops and stalls as they happen",
		Long: `Show container stops and stalls as they happen, each with the issue that it belongs to and
how large that has become since the watch began. Of an incident, such as a node that
rebooted, the first few are shown, and the others are counted in a line now and then.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runWatch(cmd, e, o) },
	}
	o.source.add(cmd.Flags())
	o.source.addShard(cmd.Flags())
	o.source.settings.add(cmd.Flags())
	o.output.add(cmd.Flags(), "wide", "jsonl", "json", "name")
	o.filter.add(cmd.Flags())
	o.filter.addKind(cmd.Flags())
	completeFilters(cmd)
	completeOutput(cmd, &o.output)
	f := cmd.Flags()
	f.BoolVar(&o.history, "history", false, "also show the stops that happened before the watch began")
	f.BoolVar(&o.logs, "logs", true, "read the log tail of containers that stopped, which often says why")
	f.DurationVar(&o.settle, "settle", time.Second, "how long a stop may wait for its log and owner before it is shown")
	return cmd
}

func runWatch(cmd *cobra.Command, e *environment, o *watchOptions) error {
	if err := o.output.check(); err != nil {
		return err
	}
	if err := o.filter.check(); err != nil {
		return err
	}
	source, err := o.source.source(o.logs)
	if err != nil {
		return err
	}
	several := len(source.Namespaces) != 1
	if o.output.format == "" || o.output.format == "wide" {
		return o.table(cmd.Context(), e, source, several)
	}
	show, err := o.output.stream(e, several)
	if err != nil {
		return err
	}
	return app.Watch(cmd.Context(), source, o.settle, e.logger(quiet), new(pipeline.Memory), o.filtered(show))
}

func (o *watchOptions) filtered(show func(record.Record) error) func(record.Record) error {
	return func(r record.Record) error {
		if !o.filter.match(&r) || r.Stop != nil && r.BeforeWatch && !o.history {
			return nil
		}
		return show(r)
	}
}

// table watches for a person: what many stops have in common takes a few lines of it.
func (o *watchOptions) table(ctx context.Context, e *environment, source app.Source, several bool) error {
	rows, err := o.output.rows(e, several)
	if err != nil {
		return err
	}
	ledger := new(pipeline.Memory)
	f := &folder{rows: rows, incident: ledger.Incident}
	g, gctx := errgroup.WithContext(ctx)
	watched := make(chan struct{})
	g.Go(func() error {
		defer close(watched)
		return app.Watch(gctx, source, o.settle, e.logger(quiet), ledger, o.filtered(once(f.show)))
	})
	g.Go(func() error {
		tick := time.NewTicker(foldEvery)
		defer tick.Stop()
		for {
			select {
			case <-watched:
				return f.flush(time.Now())
			case now := <-tick.C:
				if err := f.flush(now); err != nil {
					return err
				}
			}
		}
	})
	return g.Wait()
}
