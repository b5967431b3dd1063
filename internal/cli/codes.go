package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/whyrestart/whyrestart/internal/causes"
	"github.com/whyrestart/whyrestart/internal/printer"
)

type codesOptions struct {
	format string
}

func newCodes(e *environment) *cobra.Command {
	o := &codesOptions{}
	cmd := &cobra.Command{
		Use:   "codes [WORD...]",
		Short: "Say what an exit code, a reason or a cause means",
		Long: `Say what an exit code, a reason of Kubernetes, a cause or a detail means: how it is
proven, what to check and what usually fixes it. It needs no cluster. Upper and lower case
are the same, and "exit 137", 137 and SIGKILL too.

Without a word it lists all causes and exit codes; with -o wide, all it knows.`,
		Example: `  whyrestart codes
  whyrestart codes 137
  whyrestart codes OOMKilled CrashLoopBackOff
  whyrestart codes oom_killed -o json`,
		RunE: func(_ *cobra.Command, args []string) error { return runCodes(e, o, args) },
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return codeNames(), cobra.ShellCompDirectiveNoFileComp
		},
	}
	cmd.Flags().StringVarP(&o.format, "output", "o", "", "output format: "+strings.Join(codeFormats(), ", ")+" (default: text)")
	return cmd
}

func codeFormats() []string { return []string{"wide", "json", "yaml", "name"} }

func runCodes(e *environment, o *codesOptions, args []string) error {
	if o.format != "" && !slices.Contains(codeFormats(), o.format) {
		return fmt.Errorf("--output=%s: want one of %s", o.format, strings.Join(codeFormats(), ", "))
	}
	color, err := e.colored()
	if err != nil {
		return err
	}
	entries, err := codesFor(args, o.format != "")
	if err != nil {
		return err
	}
	look := printer.CodesOptions{Width: e.width(), Color: color}
	switch {
	case o.format == "json":
		return printer.CodesJSON(e.Out, entries)
	case o.format == "yaml":
		return printer.CodesYAML(e.Out, entries)
	case o.format == "name":
		for i := range entries {
			if _, err := fmt.Fprintln(e.Out, entries[i].Name()); err != nil {
				return err
			}
		}
		return nil
	case len(args) == 0:
		return printer.CodesList(e.Out, entries, look)
	}
	return printer.Codes(e.Out, entries, look)
}

// codesFor finds what the words mean. Without words it is everything, or the causes and
// exit codes alone.
func codesFor(words []string, everything bool) ([]causes.Entry, error) {
	if len(words) == 0 {
		return allCodes(everything), nil
	}
	// "exit 137" are two words to a shell, and one to a person.
	if together := causes.Lookup(strings.Join(words, " ")); len(words) > 1 && len(together) > 0 {
		return together, nil
	}
	var out []causes.Entry
	for _, w := range words {
		found := causes.Lookup(w)
		if len(found) == 0 {
			return nil, unknownCode(w)
		}
		out = append(out, found...)
	}
	return out, nil
}

func unknownCode(word string) error {
	if near := causes.Nearest(word); len(near) > 0 {
		return fmt.Errorf("no exit code, reason or cause is called %q; did you mean %s?", word, strings.Join(near, ", "))
	}
	return fmt.Errorf("no exit code, reason or cause is called %q; without a word, codes lists what there is", word)
}

func allCodes(everything bool) []causes.Entry {
	var out []causes.Entry
	all := causes.All()
	for i := range all {
		out = append(out, causes.Entry{Kind: causes.KindCause, Cause: &all[i]})
	}
	reasons := causes.Reasons()
	for i := range reasons {
		if everything || reasons[i].Kind == causes.KindExitCode {
			out = append(out, causes.Entry{Kind: reasons[i].Kind, Reason: &reasons[i]})
		}
	}
	if everything {
		for _, a := range causes.Advice() {
			out = append(out, causes.Entry{Kind: causes.KindAdvice, Detail: &a})
		}
	}
	return out
}

func codeNames() []string {
	var names []string
	all := allCodes(true)
	for i := range all {
		names = append(names, all[i].Name())
	}
	slices.Sort(names)
	return slices.Compact(names)
}
