// Package cli is the command line: it parses flags into typed options, calls the
// program behind a command, and maps what comes back to exit codes. One file a command.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/whyrestart/whyrestart/internal/app"
	"github.com/whyrestart/whyrestart/internal/kube"
	"github.com/whyrestart/whyrestart/internal/printer"
	"github.com/whyrestart/whyrestart/internal/version"
)

// Exit codes of every command.
const (
	exitDone    = 0
	exitError   = 1
	exitNothing = 2
	exitFailOn  = 3
)

// errNothing ends a command that found nothing to report.
var errNothing = errors.New("nothing to report")

// Streams are what a command talks to.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// environment is what all commands share.
type environment struct {
	Streams
	name  string // how usage names the program
	color string
	debug bool
}

// Main runs the command line in args, of which the first names the program, and
// returns the exit code.
func Main(ctx context.Context, args []string, s Streams) int {
	e := &environment{Streams: s, name: programName(args[0])}
	root := newRoot(e)
	root.SetArgs(args[1:])
	err := root.ExecuteContext(ctx)
	var hit failedOn
	switch {
	case err == nil, errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return exitDone // an interrupt is how a person ends a command that does not end
	case errors.Is(err, errNothing):
		return exitNothing
	case errors.As(err, &hit):
		fmt.Fprintf(s.Err, "whyrestart: --fail-on: %s\n", printer.Escape(app.HideURLs(hit.Error())))
		return exitFailOn
	default:
		fmt.Fprintf(s.Err, "whyrestart: %s\n", printer.Escape(app.HideURLs(err.Error())))
		return exitError
	}
}

// programName is what usage shows: kubectl runs plugins as kubectl-why_restart.
func programName(arg0 string) string {
	if base := filepath.Base(arg0); strings.HasPrefix(base, "kubectl-") {
		return "kubectl " + strings.ReplaceAll(strings.TrimPrefix(base, "kubectl-"), "_", "-")
	}
	return "whyrestart"
}

func newRoot(e *environment) *cobra.Command {
	root := &cobra.Command{
		Use:   "whyrestart",
		Short: "Record every container stop of a cluster, and say why",
		Long: `whyrestart watches a Kubernetes cluster, records every container stop exactly once,
and says why it happened, with evidence from the API. It only ever reads.

Exit codes: 0 done, 1 error, 2 nothing to report, 3 a finding that --fail-on names.`,
		Version:       version.Current(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: e.name},
	}
	root.SetIn(e.In)
	root.SetOut(e.Out)
	root.SetErr(e.Err)
	root.PersistentFlags().StringVar(&e.color, "color", "auto", "colour in tables: auto, always or never (auto respects NO_COLOR)")
	root.PersistentFlags().BoolVar(&e.debug, "debug", false, "log more, to stderr")
	root.AddCommand(
		newServe(e), newWatch(e), newList(e), newExplain(e), newDiagnose(e), newLogs(e), newCoverage(e),
		newResolve(e), newMute(e), newArchive(e), newReopen(e),
		newReplay(e), newAnalyze(e), newCapture(e), newRediagnose(e), newDemo(e), newCodes(e), newVersion(e),
	)
	return root
}

// logger writes to stderr; what client-go has to say goes there too.
func (e *environment) logger(level slog.Level) *slog.Logger {
	if e.debug {
		level = slog.LevelDebug
	}
	l := slog.New(slog.NewTextHandler(e.Err, &slog.HandlerOptions{Level: level, ReplaceAttr: hideURLs}))
	kube.RouteKlog(l)
	return l
}

// hideURLs keeps the URLs of databases out of logs.
func hideURLs(_ []string, a slog.Attr) slog.Attr {
	switch v := a.Value.Any().(type) {
	case string:
		a.Value = slog.StringValue(app.HideURLs(v))
	case error:
		a.Value = slog.StringValue(app.HideURLs(v.Error()))
	}
	return a
}

// colored tells whether tables are to be coloured.
func (e *environment) colored() (bool, error) {
	switch e.color {
	case "always":
		return true, nil
	case "never":
		return false, nil
	case "auto":
		f, ok := e.Out.(*os.File)
		return ok && os.Getenv("NO_COLOR") == "" && term.IsTerminal(int(f.Fd())), nil
	}
	return false, fmt.Errorf("--color=%s: want auto, always or never", e.color)
}

// firstError asks each check in turn.
func firstError(checks ...func() error) error {
	for _, check := range checks {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}
