package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"

	"github.com/whyrestart/whyrestart/internal/app"
	"github.com/whyrestart/whyrestart/internal/pipeline"
	"github.com/whyrestart/whyrestart/internal/printer"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

type explainOptions struct {
	source    sourceFlags
	output    outputFlags
	file      string
	store     string
	stored    bool // --store was given
	container string
	restart   int
	timeline  bool
}

func newExplain(e *environment) *cobra.Command {
	o := &explainOptions{}
	cmd := &cobra.Command{
		Use:   "explain POD | KIND/NAME | STOP-ID | ISSUE | INCIDENT",
		Short: "Say why a pod's containers stopped, why it does not start, or what an issue is",
		Long: `Say why the containers of a pod or of a workload's pods stopped, or why they do not
start, become ready or go away: the cause and how certain it is, the evidence, what was
ruled out, what could not be read, and what to do next. Commands that it names are for
you to run: it executes nothing.

Of an issue (WR-...) it also says since when, how often, on which pods, nodes and images,
where it stands, and what was changed before it began; of an incident (WI-...) what its
stops have in common, and which issues are a part of it.

It looks at the cluster, at a recorded state of one (--file, see analyze), or at the
history that serve keeps: for the ID of a stop or an issue, or the beginning of one, for a
pod that the cluster no longer has, with --restart, and where --store is given.

Exit codes: 0 explained, 1 error, 2 no stop and no stall.`,
		Example: `  whyrestart explain checkout-7d9f-x2kpl -n shop
  whyrestart explain deploy/checkout -c api --timeline
  whyrestart explain checkout-7d9f-x2kpl --restart 7
  whyrestart explain 4b8b7da0e98f
  whyrestart explain WR-4F2A1C
  whyrestart explain pod/db-0 --file cluster-dump.tar.gz`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.stored = cmd.Flags().Changed("store")
			return runExplain(cmd.Context(), e, o, args[0])
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
			if strings.HasPrefix(toComplete, "W") || strings.HasPrefix(toComplete, issuePrefix) {
				return completeIssues(cmd.Context(), o.store, args, toComplete)
			}
			return completePods(cmd.Context(), &o.source, args)
		},
	}
	o.source.add(cmd.Flags())
	o.source.settings.add(cmd.Flags())
	o.output.add(cmd.Flags(), "json", "yaml")
	completeOutput(cmd, &o.output)
	f := cmd.Flags()
	f.StringVarP(&o.container, "container", "c", "", "only this container")
	f.IntVar(&o.restart, "restart", 0, "the stop that the container's n-th restart followed; the first run of a container ends before restart 1")
	f.BoolVar(&o.timeline, "timeline", false, "also show the pod's life, step by step")
	f.StringVarP(&o.file, "file", "f", "", "recorded state of a cluster to look at, as analyze takes it; - for stdin")
	addStore(f, &o.store)
	return cmd
}

func runExplain(ctx context.Context, e *environment, o *explainOptions, what string) error {
	if err := o.check(); err != nil {
		return err
	}
	if id, sure := issueID(what); id != "" {
		err := o.explainIssue(ctx, e, id, sure)
		if sure || !errors.Is(err, app.ErrNoIssue) {
			return err
		}
	}
	seen, err := o.find(ctx, e, what)
	if err != nil {
		return err
	}
	if o.timeline {
		app.AddLife(seen.Findings)
		app.AddUsual(seen.Findings, slices.Concat(seen.Well, seen.Alike))
	}
	if o.output.format != "" {
		return o.output.findings(e, app.Document(seen.Findings, seen.Coverage), true)
	}
	if len(seen.Findings) == 0 {
		return o.healthy(e, what, seen.Well)
	}
	look, err := o.look(e)
	if err != nil {
		return err
	}
	if err := o.print(e, seen, look); err != nil {
		return err
	}
	sayMissing(e.Err, seen.Coverage.Missing)
	sayLife(e.Err, seen.Coverage.Gaps)
	return nil
}

// print explains what was found.
func (o *explainOptions) print(e *environment, seen app.Seen, look printer.ExplainOptions) error {
	full, also := app.Foremost(app.Explanations(seen.Findings))
	for i, x := range full {
		if i > 0 {
			fmt.Fprintln(e.Out)
		}
		if h := seen.History[x.Record.ID]; h != nil {
			x.History = h
		}
		if err := printer.Explain(e.Out, x, look); err != nil {
			return err
		}
	}
	return printer.Also(e.Out, also, look)
}

func (o *explainOptions) look(e *environment) (printer.ExplainOptions, error) {
	color, err := e.colored()
	return printer.ExplainOptions{Width: e.width(), Absolute: o.output.absolute, Color: color, ASCII: asciiOnly(), Now: time.Now()}, err
}

// healthy says that there is nothing to explain, and shows the pods' lives if they were
// asked for.
func (o *explainOptions) healthy(e *environment, what string, well []pipeline.Finding) error {
	fmt.Fprintf(e.Err, "%s: no stop and no stall.\n", printer.Escape(what))
	if !o.timeline {
		return errNothing
	}
	look, err := o.look(e)
	if err != nil {
		return err
	}
	app.AddLife(well)
	for i := range well {
		if err := printer.Life(e.Out, well[i].Record, look); err != nil {
			return err
		}
	}
	return errNothing
}

func (o *explainOptions) check() error {
	switch {
	case o.restart < 0:
		return fmt.Errorf("--restart=%d: want a number from 1 on", o.restart)
	case o.file != "" && o.stored:
		return errors.New("--file and --store exclude each other")
	}
	return o.output.check()
}

// find looks where the subject is most likely to be found.
func (o *explainOptions) find(ctx context.Context, e *environment, what string) (app.Seen, error) {
	switch {
	case o.file != "":
		return o.fromDump(ctx, e, what)
	case o.stored:
		return o.fromStore(ctx, what)
	}
	history := app.StoreThere(o.store)
	if history && (isID(what) || o.restart > 0) {
		seen, err := o.fromStore(ctx, what)
		if err == nil || o.restart > 0 || !errors.Is(err, app.ErrNoSubject) {
			return seen, err
		}
	}
	seen, err := o.fromCluster(ctx, e, what)
	if history && err == nil {
		o.remember(ctx, &seen)
	}
	if history && (errors.Is(err, app.ErrNoSubject) || errors.Is(err, errNoCluster)) {
		if past, perr := o.fromStore(ctx, what); perr == nil {
			return past, nil
		}
	}
	return seen, err
}

func (o *explainOptions) fromDump(ctx context.Context, e *environment, what string) (app.Seen, error) {
	of, err := o.source.podFilter()
	if err != nil {
		return app.Seen{}, err
	}
	return o.chosen(what, func(wants func(*corev1.Pod) bool) ([]pipeline.Finding, record.Coverage, error) {
		return o.source.lookInto(ctx, e, o.file, func(pod *corev1.Pod) bool {
			return wants(pod) && (of == nil || of(pod))
		})
	})
}

func (o *explainOptions) fromCluster(ctx context.Context, e *environment, what string) (app.Seen, error) {
	source, err := o.source.source(true)
	if err != nil {
		return app.Seen{}, err
	}
	defer e.progress("Reading the cluster")()
	return o.chosen(what, func(filter func(*corev1.Pod) bool) ([]pipeline.Finding, record.Coverage, error) {
		return app.Look(ctx, source, filter, e.logger(quiet))
	})
}

// chosen picks what was asked for out of what a look finds.
func (o *explainOptions) chosen(what string, look func(func(*corev1.Pod) bool) ([]pipeline.Finding, record.Coverage, error)) (app.Seen, error) {
	subject, err := app.ParseSubject(strings.TrimPrefix(what, stopPrefix))
	if err != nil {
		return app.Seen{}, err
	}
	subject.Container = o.container
	there := false
	all, coverage, err := look(func(pod *corev1.Pod) bool {
		there = there || subject.IsPod() && pod.Name == subject.Name
		return isID(what) || subject.Wants(pod) // of which pod an ID is, nobody knows
	})
	if err != nil {
		return app.Seen{}, err
	}
	seen := app.Seen{Coverage: coverage}
	if isID(what) {
		if seen.Findings = app.WithID(all, strings.TrimPrefix(what, stopPrefix)); len(seen.Findings) > 0 {
			return seen, nil
		}
	}
	about, well := subject.Of(all)
	switch {
	case len(about)+len(well) == 0 && !there:
		return seen, fmt.Errorf("%s: %w", what, app.ErrNoSubject)
	case o.restart > 0:
		f, err := app.Restart(about, o.restart)
		if err != nil {
			return seen, fmt.Errorf("%s: %w", what, err)
		}
		seen.Findings = []pipeline.Finding{f}
	default:
		seen.Findings, seen.Well = app.Newest(about), well
	}
	return seen, nil
}

func (o *explainOptions) fromStore(ctx context.Context, what string) (seen app.Seen, err error) {
	db, err := app.OpenStore(ctx, app.StoreOptions{Location: o.store, ReadOnly: true})
	if err != nil {
		return seen, err
	}
	defer func() {
		if o.timeline && err == nil {
			seen.Alike = app.Alike(ctx, db, seen.Findings)
		}
		err = errors.Join(err, db.Close())
	}()
	q := app.StoredQuery{
		Cluster:    o.source.cluster,
		Namespaces: o.source.storeNamespaces(),
		Restart:    o.restart,
	}
	if isID(what) {
		seen, err = app.StoredByID(ctx, db, strings.TrimPrefix(what, stopPrefix))
		if err == nil || !errors.Is(err, app.ErrNoSubject) {
			return seen, err
		}
	}
	if q.Subject, err = app.ParseSubject(what); err != nil {
		return seen, err
	}
	q.Subject.Container = o.container
	return app.Stored(ctx, db, q)
}

// rememberFor is how long a history may take to add to what the cluster has answered.
const rememberFor = 10 * time.Second

// remember adds what the history knows of the containers that were found in the cluster.
// A history that cannot be read is none: the cluster was asked, and has answered.
func (o *explainOptions) remember(ctx context.Context, seen *app.Seen) {
	ctx, cancel := context.WithTimeout(ctx, rememberFor)
	defer cancel()
	db, err := app.OpenStore(ctx, app.StoreOptions{Location: o.store, ReadOnly: true})
	if err != nil {
		return
	}
	seen.History = app.Remembered(ctx, db, seen.Findings)
	if gaps, err := app.StoredGaps(ctx, db, o.source.cluster, nil, time.Time{}); err == nil {
		seen.Coverage.Gaps = app.InLife(gaps, seen.Findings)
	}
	if o.timeline {
		seen.Alike = app.Alike(ctx, db, seen.Findings)
	}
	_ = db.Close() // it was only read
}

// stopPrefix is what "-o name" puts before the ID of a stop.
const stopPrefix = "stop/"

// isID tells whether an argument may be an ID or the beginning of one.
func isID(s string) bool {
	s = strings.TrimPrefix(s, stopPrefix)
	return len(s) >= store.MinPrefix && len(s) <= 24 && strings.Trim(s, "0123456789abcdef") == ""
}
