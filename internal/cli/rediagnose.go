package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"github.com/whyrestart/whyrestart/internal/app"
	"github.com/whyrestart/whyrestart/internal/printer"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

type rediagnoseOptions struct {
	output     outputFlags
	store      string
	cluster    string
	namespaces []string
	since      time.Duration
	dryRun     bool
}

func newRediagnose(e *environment) *cobra.Command {
	o := &rediagnoseOptions{}
	cmd := &cobra.Command{
		Use:   "rediagnose",
		Short: "Diagnose the history again, with the rules of this version",
		Long: `Diagnose the history that serve keeps again, with the rules of this version, from the
evidence that was kept of each stop and stall. What comes out different replaces what is
stored, and is shown: what it said, and what it says now. Nothing is read from a cluster.

A server may run meanwhile. Records of which no evidence was kept stay as they are.

Exit codes: 0 something changed, 1 error, 2 nothing changed.`,
		Example: `  whyrestart rediagnose --dry-run
  whyrestart rediagnose --since 168h`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runRediagnose(cmd.Context(), e, o) },
	}
	o.output.add(cmd.Flags(), "jsonl", "name")
	completeOutput(cmd, &o.output)
	f := cmd.Flags()
	addStore(f, &o.store)
	f.BoolVar(&o.dryRun, "dry-run", false, "only show what would change")
	f.DurationVar(&o.since, "since", 0, "only what is of the last while, such as 168h")
	f.StringSliceVarP(&o.namespaces, "namespace", "n", nil, "only these namespaces (default: all)")
	f.StringVar(&o.cluster, "cluster-name", "", "only the cluster of this name")
	return cmd
}

func runRediagnose(ctx context.Context, e *environment, o *rediagnoseOptions) (err error) {
	if err := o.output.check(); err != nil {
		return err
	}
	// There is nothing to diagnose in a history that opening it would make.
	if !app.StoreThere(o.store) {
		return fmt.Errorf("no history to diagnose again: %w", &fs.PathError{Op: "stat", Path: o.store, Err: fs.ErrNotExist})
	}
	db, err := app.OpenStore(ctx, app.StoreOptions{Location: o.store, ReadOnly: o.dryRun, Existing: !o.dryRun})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	q := store.Query{Cluster: o.cluster, Namespaces: o.namespaces}
	if o.since > 0 {
		q.Since = time.Now().Add(-o.since)
	}
	reworded := 0
	sum, err := app.Rediagnose(ctx, db, q, o.dryRun, func(was, is record.Record) error {
		switch {
		case o.output.format == "jsonl":
			return printer.JSONLine(e.Out, is)
		case o.output.format == "name":
			return printer.Name(e.Out, is)
		case printer.Verdict(&was) == printer.Verdict(&is):
			reworded++
			return nil
		}
		return o.show(e, &was, &is)
	})
	if err != nil {
		return err
	}
	did := "changed"
	if o.dryRun {
		did = "would change"
	}
	fmt.Fprintf(e.Err, "%d diagnosed again by rules %s, %d %s", sum.Looked, app.RulesVersion, sum.Changed, did)
	if reworded > 0 {
		fmt.Fprintf(e.Err, " (%d in words or evidence alone)", reworded)
	}
	if sum.Without > 0 {
		fmt.Fprintf(e.Err, ", %d without evidence left as they were", sum.Without)
	}
	fmt.Fprintln(e.Err, ".")
	if sum.Changed == 0 {
		return errNothing
	}
	return nil
}

// show writes what changed in one record.
func (o *rediagnoseOptions) show(e *environment, was, is *record.Record) error {
	when := "at an unknown time"
	switch t := is.When(); {
	case t.IsZero():
	case o.output.absolute:
		when = t.UTC().Format(time.RFC3339)
	default:
		when = printer.Duration(time.Since(t)) + " ago"
	}
	who := is.Namespace + "/" + is.Pod
	if is.Container != "" {
		who += ", container " + is.Container
	}
	if is.Stop != nil {
		who += fmt.Sprintf(", stop %d", is.Ordinal+1)
	}
	_, err := fmt.Fprintf(e.Out, "%s, %s: %s -> %s\n", printer.Escape(who), when, printer.Verdict(was), printer.Verdict(is))
	return err
}
