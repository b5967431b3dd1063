package cli

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/whyrestart/whyrestart/internal/app"
	"github.com/whyrestart/whyrestart/internal/causes"
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
	if cmd.Flags().Lookup("fail-on") != nil {
		words := slices.Clone(categories)
		for _, c := range causes.All() {
			words = append(words, c.Code)
		}
		completeFlag(cmd, "fail-on", words...)
	}
	if cmd.Flags().Lookup("kind") != nil {
		completeFlag(cmd, "kind", "stop", "stall")
	}
}

// completeOutput completes the output formats.
func completeOutput(cmd *cobra.Command, o *outputFlags) { completeFlag(cmd, "output", o.formats...) }
