package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/whyrestart/whyrestart/internal/app"
)

type analyzeOptions struct {
	output outputFlags
	filter filterFlags
	failOn failOnFlag
	source sourceFlags
}

func newAnalyze(e *environment) *cobra.Command {
	o := &analyzeOptions{}
	cmd := &cobra.Command{
		Use:   "analyze PATH",
		Short: "Find the last container stops and the stalls in a recorded state of a cluster, offline",
		Long: `Find the last container stops, and the pods that do not start, become ready or go away,
in a recorded state of a cluster. PATH is a file, a folder, or - for stdin, with any of:

  the output of "kubectl get ... -o json" or yaml, of pods alone or with events, nodes,
    replicasets and more (a List, or several documents)
  a folder of "kubectl cluster-info dump --output-directory"
  a support bundle of Troubleshoot
  a must-gather of OpenShift
  a bundle of "whyrestart capture"
  a .tar or .tar.gz of any of these, or a file compressed by gzip

What is beside the pods is used: events, nodes, owners and logs. Nothing is sent anywhere.

Exit codes: 0 something was found, 1 error, 2 nothing to report, 3 a finding that
--fail-on names.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runAnalyze(cmd.Context(), e, o, args[0]) },
	}
	o.output.add(cmd.Flags(), "wide", "json", "yaml", "jsonl", "name", jsonpathPrefix, columnsPrefix)
	o.filter.add(cmd.Flags())
	o.filter.addKind(cmd.Flags())
	o.failOn.add(cmd.Flags())
	completeFilters(cmd)
	completeOutput(cmd, &o.output)
	cmd.Flags().StringVar(&o.source.cluster, "cluster-name", "", "name of the cluster in records")
	o.source.settings.add(cmd.Flags())
	return cmd
}

func runAnalyze(ctx context.Context, e *environment, o *analyzeOptions, path string) error {
	if err := firstError(o.output.check, o.filter.check, o.failOn.check); err != nil {
		return err
	}
	found, coverage, err := o.source.lookInto(ctx, e, path, nil)
	if err != nil {
		return err
	}
	o.output.asOf = app.AsOf(found, true)
	doc := app.Document(found, coverage)
	o.filter.leaveTo(&o.output)
	hit := o.failOn.judge(o.filter.ofContainer(doc.Findings))
	newestFirst(doc.Findings)
	doc.Findings = o.filter.keep(doc.Findings)
	if err := o.output.findings(e, doc, true); err != nil && (hit == nil || !errors.Is(err, errNothing)) {
		return err
	}
	return hit
}
