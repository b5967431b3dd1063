package cli

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/whyrestart/whyrestart/internal/app"
	"github.com/whyrestart/whyrestart/internal/demo"
	"github.com/whyrestart/whyrestart/internal/dump"
	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
)

type demoOptions struct {
	output outputFlags
	speed  float64
}

func newDemo(e *environment) *cobra.Command {
	o := &demoOptions{}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Play the built-in recording of a real cluster, as watch would show it",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return runDemo(cmd.Context(), e, o) },
	}
	o.output.add(cmd.Flags(), "wide", "jsonl")
	cmd.Flags().Float64Var(&o.speed, "speed", 20, "how much faster than it happened; 0 means at once")
	return cmd
}

func runDemo(ctx context.Context, e *environment, o *demoOptions) error {
	if err := o.output.check(); err != nil {
		return err
	}
	if o.speed < 0 {
		return fmt.Errorf("--speed=%g: want a positive number, or 0", o.speed)
	}
	show, err := o.output.stream(e, true)
	if err != nil {
		return err
	}
	fmt.Fprintln(e.Err, demo.About)
	pace := pacer{speed: o.speed}
	cov, err := app.ReplayStream(ctx, "the built-in recording", bytes.NewReader(demo.Recording()),
		func(ev dump.Event) error { return pace.wait(ctx, demo.When(ev.Object)) },
		counted(show))
	if err != nil {
		return err
	}
	fmt.Fprintf(e.Err, "\n%d stops of %d pods, %d of them only counted.\n", cov.Stops+cov.Missed, cov.Pods, cov.Missed)
	return nil
}

// counted tells records their issues before they are shown, as watch does.
func counted(show func(record.Record) error) func(record.Record) error {
	issues := issue.NewMemory(0)
	return func(r record.Record) error {
		if _, err := issues.Post(r); err != nil {
			return err
		}
		r.Issue = issues.Ref(r.ID, r.ObservedAt)
		return show(r)
	}
}

// pacer makes the events of a recording come in the rhythm in which they happened.
type pacer struct {
	speed float64
	last  time.Time
}

// longestWait keeps the pauses of a recording from looking like the end of it.
const longestWait = 2 * time.Second

func (p *pacer) wait(ctx context.Context, at time.Time) error {
	if p.speed == 0 || at.IsZero() {
		return ctx.Err()
	}
	d := time.Duration(float64(at.Sub(p.last)) / p.speed)
	first := p.last.IsZero()
	if at.After(p.last) {
		p.last = at
	}
	if first || d <= 0 {
		return ctx.Err()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(min(d, longestWait)):
		return nil
	}
}
