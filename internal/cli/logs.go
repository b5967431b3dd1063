package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/whyrestart/whyrestart/internal/app"
	"github.com/whyrestart/whyrestart/internal/printer"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

type logsOptions struct {
	source    sourceFlags
	store     string
	container string
	restart   int
}

func newLogs(e *environment) *cobra.Command {
	o := &logsOptions{}
	cmd := &cobra.Command{
		Use:   "logs ID | POD",
		Short: "Show the captured log tail of a container that stopped",
		Long: `Show the log tail that serve captured when a container stopped: of the stop with this
ID (or the beginning of one), or of the last stop of a pod.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runLogs(cmd.Context(), e, o, args[0]) },
	}
	o.source.add(cmd.Flags())
	f := cmd.Flags()
	addStore(f, &o.store)
	f.StringVarP(&o.container, "container", "c", "", "container of the pod")
	f.IntVar(&o.restart, "restart", 0, "the pod's n-th stop, counted from 1 (default: the last)")
	return cmd
}

func runLogs(ctx context.Context, e *environment, o *logsOptions, what string) (err error) {
	db, err := app.OpenStore(ctx, app.StoreOptions{Location: o.store, ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	r, err := o.find(ctx, db, strings.TrimPrefix(what, "pod/"))
	if err != nil {
		return err
	}
	fmt.Fprintf(e.Err, "%s/%s, container %s, stop %d: %s\n", r.Namespace, printer.Escape(r.Pod), printer.Escape(r.Container), r.Ordinal+1, printer.Outcome(&r))
	switch l := r.Log; {
	case l == nil:
		return fmt.Errorf("no log was captured for stop %s", r.ID)
	case len(l.Lines) == 0 && l.Missing != "":
		return fmt.Errorf("no log was captured for stop %s: %s", r.ID, l.Missing)
	default:
		if l.Truncated {
			fmt.Fprintln(e.Err, "(earlier lines were left out)")
		}
		if l.Instance != record.LogProven {
			fmt.Fprintln(e.Err, "(probably this instance's log: another restart during the read cannot be excluded)")
		}
		for _, line := range l.Lines {
			if _, err := fmt.Fprintln(e.Out, printer.Escape(line)); err != nil {
				return err
			}
		}
		return nil
	}
}

// find takes an ID, then the name of a pod.
func (o *logsOptions) find(ctx context.Context, db store.Reader, what string) (record.Record, error) {
	r, err := db.Get(ctx, strings.TrimPrefix(what, "stop/"))
	if err == nil && r.Stop != nil {
		return r, nil
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return r, err
	}
	found, _, err := db.List(ctx, store.Query{
		Cluster:    o.source.cluster,
		Namespaces: o.source.storeNamespaces(),
		Pod:        what,
		Container:  o.container,
		Kind:       record.KindStop,
	})
	if err != nil {
		return r, err
	}
	for i := range found {
		if o.restart == 0 || found[i].Ordinal == o.restart-1 {
			return db.Get(ctx, found[i].ID)
		}
	}
	return r, fmt.Errorf("no stop of a pod, and none with an ID, %q in %s", what, app.StoreName(o.store))
}
