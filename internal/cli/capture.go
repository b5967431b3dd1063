package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/whyrestart/whyrestart/internal/app"
	"github.com/whyrestart/whyrestart/internal/printer"
)

type captureOptions struct {
	source sourceFlags
	file   string
	logs   bool
	force  bool
}

func newCapture(e *environment) *cobra.Command {
	o := &captureOptions{}
	cmd := &cobra.Command{
		Use:   "capture [POD | KIND/NAME]",
		Short: "Write what a cluster shows now to an archive without secrets, for analyze",
		Long: `Write what a cluster shows now to a .tar.gz that analyze, explain and diagnose read, for a
bug report or for later: pods, their events, controllers, claims, nodes, and the ends of
the logs of containers that stopped or are not ready (--logs=false leaves them out). With
a pod or a workload, only what its explanation may rest on.

Values of environment variables and of headers, and applied configurations, are always
replaced, and what looks like a secret in any other text; Secrets and ConfigMaps are never
read. Names stay. Look into the archive before you send it to somebody.`,
		Example: `  whyrestart capture -n shop
  whyrestart capture deploy/checkout -n shop -f checkout.tar.gz
  whyrestart capture -A -f - | ssh host whyrestart analyze -`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runCapture(cmd.Context(), e, o, args) },
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return completePods(cmd.Context(), &o.source, args)
		},
	}
	o.source.add(cmd.Flags())
	f := cmd.Flags()
	f.StringVarP(&o.file, "file", "f", "", "file to write, or - for stdout (default whyrestart-capture-TIME.tar.gz)")
	f.BoolVar(&o.logs, "logs", true, "with the ends of logs")
	f.BoolVar(&o.force, "force", false, "replace the file if it exists")
	return cmd
}

func runCapture(ctx context.Context, e *environment, o *captureOptions, args []string) error {
	source, err := o.source.source(o.logs)
	if err != nil {
		return err
	}
	options := app.CaptureOptions{Source: source}
	if len(args) > 0 {
		s, err := app.ParseSubject(args[0])
		if err != nil {
			return err
		}
		options.Subject = &s
	}
	if o.file == "" {
		o.file = "whyrestart-capture-" + time.Now().UTC().Format("20060102T150405Z") + ".tar.gz"
	}
	var got app.Captured
	write := func(w io.Writer) error {
		defer e.progress("Reading the cluster")()
		got, err = app.Capture(ctx, options, w)
		return err
	}
	if o.file == "-" {
		if terminalWidth(e.Out) > 0 {
			return errors.New("--file=-: an archive is nothing for a terminal")
		}
		err = write(e.Out)
	} else {
		err = writeFile(o.file, o.force, write)
	}
	if err != nil {
		return err
	}
	sayCaptured(e.Err, o, got)
	return nil
}

// sayCaptured tells a person what went in, and what did not.
func sayCaptured(w io.Writer, o *captureOptions, c app.Captured) {
	name := "The archive"
	if o.file != "-" {
		name = printer.Escape(o.file)
	}
	fmt.Fprintf(w, "%s holds %s, %s, %s, %s and %s.\n", name,
		plural(c.Pods, "pod"), plural(c.Events, "event"), plural(c.Nodes, "node"), plural(c.Others, "other object"), plural(c.Logs, "log"))
	if c.NoLogs > 0 {
		fmt.Fprintf(w, "whyrestart: left out: %s that the API does not have any more\n", plural(c.NoLogs, "log"))
	}
	if !o.logs {
		fmt.Fprintln(w, "whyrestart: left out: logs (--logs=false)")
	}
	for _, m := range c.Missing {
		fmt.Fprintf(w, "whyrestart: left out: %s: %s\n", printer.Escape(m.What), printer.Escape(m.Why))
	}
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// writeFile makes a file that only its owner may read, or none at all. It replaces one
// only by force, and then at the very end.
func writeFile(path string, force bool, write func(io.Writer) error) (err error) {
	if _, err := os.Lstat(path); !force && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s exists; --force replaces it", path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".whyrestart-capture-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			f.Close()
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
