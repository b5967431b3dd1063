package cli

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/whyrestart/whyrestart/internal/app"
	"github.com/whyrestart/whyrestart/internal/record"
)

type watchOptions struct {
	source  sourceFlags
	config  configFlags
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
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return runWatch(cmd, e, o) },
	}
	o.source.add(cmd.Flags())
	o.config.add(cmd.Flags())
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
	settings, err := o.config.load()
	if err != nil {
		return err
	}
	source.Merge = settings.Merge
	show, err := o.output.stream(e, len(source.Namespaces) != 1)
	if err != nil {
		return err
	}
	return app.Watch(cmd.Context(), source, o.settle, e.logger(quiet), func(r record.Record) error {
		if !o.filter.match(&r) || r.Stop != nil && r.BeforeWatch && !o.history {
			return nil
		}
		return show(r)
	})
}
