package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/whyrestart/whyrestart/internal/app"
)

type analyzeOptions struct {
	output  outputFlags
	filter  filterFlags
	cluster string
}

func newAnalyze(e *environment) *cobra.Command {
	o := &analyzeOptions{}
	cmd := &cobra.Command{
		Use:   "analyze PATH",
		Short: "Find the last container stops in a recorded state of a cluster, offline",
		Long: `Find the last container stops in a recorded state of a cluster: the output of
"kubectl get pods -o json" or yaml, a folder of "kubectl cluster-info dump", a support
bundle, a .tar.gz of any of these, or - for stdin. Nothing is sent anywhere.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runAnalyze(cmd.Context(), e, o, args[0]) },
	}
	o.output.add(cmd.Flags(), "wide", "json", "yaml", "jsonl", "name", jsonpathPrefix, columnsPrefix)
	o.filter.add(cmd.Flags())
	cmd.Flags().StringVar(&o.cluster, "cluster-name", "", "name of the cluster in records")
	return cmd
}

func runAnalyze(ctx context.Context, e *environment, o *analyzeOptions, path string) error {
	if err := o.output.check(); err != nil {
		return err
	}
	if err := o.filter.check(); err != nil {
		return err
	}
	doc, err := app.Analyze(ctx, o.cluster, path, e.In)
	if err != nil {
		return err
	}
	if len(o.filter.categories) == 0 && o.output.format != "" && o.output.format != "wide" {
		o.filter.all = true // programs filter for themselves
	}
	newestFirst(doc.Findings)
	doc.Findings = o.filter.keep(doc.Findings)
	return o.output.findings(e, doc, true)
}
