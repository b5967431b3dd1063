package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/whyrestart/whyrestart/internal/app"
	"github.com/whyrestart/whyrestart/internal/causes"
	"github.com/whyrestart/whyrestart/internal/printer"
	"github.com/whyrestart/whyrestart/internal/store"
)

// completionTime is how long a shell waits for the names of pods.
const completionTime = 3 * time.Second

// completePods completes the first argument with the names of pods of the cluster. What
// goes wrong is no completion, and nothing is said.
func completePods(ctx context.Context, s *sourceFlags, args []string) ([]string, cobra.ShellCompDirective) {
	const directive = cobra.ShellCompDirectiveNoFileComp
	if len(args) > 0 {
		return nil, directive
	}
	source, err := s.source(false)
	if err != nil {
		return nil, directive
	}
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completionTime)
	defer cancel()
	names, err := app.PodNames(ctx, source)
	if err != nil {
		return nil, directive
	}
	return names, directive
}

// completeFlag completes a flag with fixed words. Cobra refuses only flags that are not there.
func completeFlag(cmd *cobra.Command, flag string, words ...string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		cmd.PrintErrln(fmt.Errorf("complete --%s: %w", flag, err))
	}
}

// completeFilters completes the flags that choose categories.
func completeFilters(cmd *cobra.Command) {
	categories := []string{"failure", "disruption", "lifecycle"}
	completeFlag(cmd, "category", append(categories, "all")...)
	var codes []string
	for _, c := range causes.All() {
		codes = append(codes, c.Code)
	}
	if cmd.Flags().Lookup("fail-on") != nil {
		completeFlag(cmd, "fail-on", append(slices.Clone(categories), codes...)...)
	}
	if cmd.Flags().Lookup("cause") != nil {
		completeFlag(cmd, "cause", codes...)
	}
	if cmd.Flags().Lookup("kind") != nil {
		completeFlag(cmd, "kind", "stop", "stall")
	}
}

// completeOutput completes the output formats.
func completeOutput(cmd *cobra.Command, o *outputFlags) { completeFlag(cmd, "output", o.formats...) }

// completeIssues completes arguments with the IDs of issues of a history, as kubectl would,
// with what each is.
func completeIssues(ctx context.Context, path string, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	const directive = cobra.ShellCompDirectiveNoFileComp
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completionTime)
	defer cancel()
	db, err := app.OpenStore(ctx, app.StoreOptions{Location: path, ReadOnly: true})
	if err != nil {
		return nil, directive
	}
	defer func() { _ = db.Close() }() // it was only read
	issues, _, err := db.Issues(ctx, store.IssueQuery{})
	if err != nil {
		return nil, directive
	}
	prefix := ""
	if strings.HasPrefix(toComplete, issuePrefix) {
		prefix = issuePrefix
	}
	var out []string
	for i := range issues {
		in := &issues[i]
		if slices.Contains(args, in.ID) || slices.Contains(args, issuePrefix+in.ID) {
			continue
		}
		who := in.Namespace + " " + printer.IssueWorkload(in)
		if in.Container != "" {
			who += ":" + in.Container
		}
		out = append(out, prefix+in.ID+"\t"+printer.Escape(who+" "+in.Cause))
	}
	return out, directive
}
