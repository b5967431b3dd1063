package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/whyrestart/whyrestart/internal/app"
	"github.com/whyrestart/whyrestart/internal/printer"
	"github.com/whyrestart/whyrestart/internal/record"
)

type coverageOptions struct {
	source sourceFlags
	output outputFlags
	from   string
	store  string
	since  time.Duration
	// named tells that a cluster was named.
	named bool
}

func newCoverage(e *environment) *cobra.Command {
	o := &coverageOptions{source: sourceFlags{everything: true}}
	cmd := &cobra.Command{
		Use:   "coverage",
		Short: "Say what was seen, and what was not",
		Long: `Say since when the cluster is watched, and what is not known of that time: when nothing was
seen, how many stops are only counted and where, what the API server refuses and what that
hides, when events or the store were not available, and who was not told yet.

It reads the history that serve keeps, or, where there is none, what a single look at the
cluster can know.

Exit codes: 0 done, 1 error, 2 the history knows nothing of what is asked for.`,
		Example: `  whyrestart coverage
  whyrestart coverage --since 168h -n shop
  whyrestart coverage -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.named = cmd.Flags().Changed("cluster-name")
			return runCoverage(cmd.Context(), e, o)
		},
	}
	o.source.add(cmd.Flags())
	o.output.add(cmd.Flags(), "wide", "json", "yaml")
	completeOutput(cmd, &o.output)
	f := cmd.Flags()
	f.Lookup("namespace").Usage = "only these namespaces (default: all)"
	f.Lookup("exclude-namespace").Hidden = true
	f.BoolVarP(&o.source.all, "all-namespaces", "A", false, "all namespaces, which is the default here")
	f.StringVar(&o.from, "source", "auto", "where from: store, cluster, or auto (the store if there is one)")
	addStore(f, &o.store)
	f.DurationVar(&o.since, "since", 24*time.Hour, "the last while, such as 2h; 0 is all of the history")
	completeFlag(cmd, "source", "auto", "store", "cluster")
	return cmd
}

func (o *coverageOptions) check() error {
	switch {
	case o.since < 0:
		return fmt.Errorf("--since=%s: want a while from now back, such as 24h", o.since)
	case o.from != "auto" && o.from != "store" && o.from != "cluster":
		return fmt.Errorf("--source=%s: want auto, store or cluster", o.from)
	}
	return nil
}

func runCoverage(ctx context.Context, e *environment, o *coverageOptions) error {
	if err := firstError(o.output.check, o.check); err != nil {
		return err
	}
	if o.from == "auto" {
		o.from = "store"
		if !app.StoreThere(o.store) {
			o.from = "cluster"
		}
	}
	if o.from == "store" && o.source.selector != "" {
		return errors.New("--selector: the history keeps no labels of pods; see --source=cluster")
	}
	var s record.Sight
	var err error
	if o.from == "store" {
		s, err = o.stored(ctx)
	} else {
		s, err = o.looked(ctx, e)
	}
	if err != nil {
		return err
	}
	done, err := forPrograms(&o.output, e.Out, record.SightDocument{Schema: record.Schema, Coverage: s}, []record.Sight{s}, nil)
	if !done {
		err = o.show(e, s)
	}
	if err == nil && o.from == "store" && len(s.Scopes) == 0 {
		return errNothing
	}
	return err
}

func (o *coverageOptions) show(e *environment, s record.Sight) error {
	color, err := e.colored()
	if err != nil {
		return err
	}
	return printer.Sight(e.Out, s, printer.SightOptions{
		ExplainOptions: printer.ExplainOptions{Width: e.width(), Absolute: o.output.absolute, Color: color, ASCII: asciiOnly(), Now: s.Until},
		All:            o.output.format == "wide",
	})
}

func (o *coverageOptions) stored(ctx context.Context) (s record.Sight, err error) {
	db, err := app.OpenStore(ctx, app.StoreOptions{Location: o.store, ReadOnly: true})
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	q := app.SightQuery{Namespaces: o.source.namespaces, Now: time.Now()}
	if o.named {
		q.Cluster = &o.source.cluster
	}
	if o.since > 0 {
		q.Since = q.Now.Add(-o.since)
	}
	return app.StoredSight(ctx, db, q)
}

func (o *coverageOptions) looked(ctx context.Context, e *environment) (record.Sight, error) {
	source, err := o.source.source(false)
	if err != nil {
		return record.Sight{}, err
	}
	defer e.progress("Reading the cluster")()
	found, c, err := app.Look(ctx, source, nil, e.logger(quiet))
	return app.LookSight(found, c, time.Now()), err
}
