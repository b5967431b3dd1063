package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/whyrestart/whyrestart/internal/app"
	"github.com/whyrestart/whyrestart/internal/pipeline"
	"github.com/whyrestart/whyrestart/internal/record"
)

type diagnoseOptions struct {
	source sourceFlags
	output outputFlags
	filter filterFlags
	failOn failOnFlag
	file   string
	since  time.Duration
}

func newDiagnose(e *environment) *cobra.Command {
	o := &diagnoseOptions{}
	cmd := &cobra.Command{
		Use:   "diagnose",
		Short: "Say what is wrong in a namespace or in the whole cluster now",
		Long: `Say what is wrong in a namespace, or in the whole cluster with -A, now: containers that
are not well and why the last run of each ended, containers that stopped in the last hour
(--since), and pods that do not start, become ready or go away. Pods of one workload that
have the same problem share a line; failures come first, then what the cluster itself
interrupted. What somebody wanted to happen is shown with --category all, and in the
formats for programs.

Exit codes: 0 something was found, 1 error, 2 nothing to report, 3 a finding that
--fail-on names.`,
		Example: `  whyrestart diagnose -n shop
  whyrestart diagnose -A --fail-on=failure
  whyrestart diagnose -A -o json
  whyrestart diagnose --file must-gather.tar.gz`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDiagnose(cmd.Context(), e, o) },
	}
	o.source.add(cmd.Flags())
	o.source.settings.add(cmd.Flags())
	o.output.add(cmd.Flags(), "wide", "json", "yaml", "jsonl", "name", jsonpathPrefix, columnsPrefix)
	o.filter.add(cmd.Flags())
	o.filter.addKind(cmd.Flags())
	o.failOn.add(cmd.Flags())
	f := cmd.Flags()
	f.StringVarP(&o.file, "file", "f", "", "recorded state of a cluster to look at, as analyze takes it; - for stdin")
	f.DurationVar(&o.since, "since", time.Hour, "also containers that are well again, if they stopped in this while")
	completeFilters(cmd)
	completeOutput(cmd, &o.output)
	return cmd
}

func runDiagnose(ctx context.Context, e *environment, o *diagnoseOptions) error {
	if err := firstError(o.output.check, o.filter.check, o.failOn.check); err != nil {
		return err
	}
	found, coverage, several, err := o.look(ctx, e)
	if err != nil {
		return err
	}
	found = app.Matters(found, app.AsOf(found, o.file != "").Add(-o.since))
	doc := app.Document(found, coverage)
	hit := o.failOn.judge(o.filter.ofContainer(doc.Findings))
	o.filter.leaveTo(&o.output)
	doc.Findings = o.filter.keep(doc.Findings)
	if err := o.output.groups(e, doc, several); err != nil && (hit == nil || !errors.Is(err, errNothing)) {
		return err
	}
	return hit
}

// look returns what is found, and whether it may be of several namespaces.
func (o *diagnoseOptions) look(ctx context.Context, e *environment) (found []pipeline.Finding, c record.Coverage, several bool, err error) {
	if o.file != "" {
		filter, err := o.source.podFilter()
		if err != nil {
			return nil, c, false, err
		}
		found, c, err = o.source.lookInto(ctx, e, o.file, filter)
		return found, c, len(o.source.namespaces) != 1, err
	}
	source, err := o.source.source(true)
	if err != nil {
		return nil, c, false, err
	}
	defer e.progress("Reading the cluster")()
	found, c, err = app.Look(ctx, source, nil, e.logger(quiet))
	return found, c, len(source.Namespaces) != 1, err
}

// podFilter selects pods of a recorded state as the flags select those of a cluster: all
// of them where no flag does.
func (f *sourceFlags) podFilter() (func(*corev1.Pod) bool, error) {
	selector, err := labels.Parse(f.selector)
	if err != nil {
		return nil, fmt.Errorf("--selector: %w", err)
	}
	if len(f.namespaces) == 0 && selector.Empty() {
		return nil, nil
	}
	return func(pod *corev1.Pod) bool {
		return (len(f.namespaces) == 0 || slices.Contains(f.namespaces, pod.Namespace)) && selector.Matches(labels.Set(pod.Labels))
	}, nil
}
