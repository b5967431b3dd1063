package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/whyrestart/whyrestart/internal/app"
	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/printer"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

// amendOptions are those of the commands by which a person decides about issues.
type amendOptions struct {
	output outputFlags
	store  string
	note   string
	period time.Duration
}

// amendment is such a command: what it makes of an issue, and how it says so.
type amendment struct {
	status issue.Status
	done   string
}

func newResolve(e *environment) *cobra.Command {
	return newAmend(e, amendment{issue.StatusResolved, "resolved"}, &cobra.Command{
		Use:   "resolve ISSUE...",
		Short: "Say that issues are solved",
		Long: `Say that issues are solved. They leave the list, and come back as regressed when the same
happens again: on the image that they were last seen with, or on a newer one. What pods
that still run an older image do is counted, and is no regression.`,
		Example: `  whyrestart resolve WR-4F2A1C --note "limit raised in revision 42"
  whyrestart list -n shop --cause oom_killed -o name | xargs whyrestart resolve`,
	})
}

func newMute(e *environment) *cobra.Command {
	return newAmend(e, amendment{issue.StatusMuted, "muted"}, &cobra.Command{
		Use:   "mute ISSUE...",
		Short: "Hear nothing of issues for a while",
		Long: `Hear nothing of issues for a while (--for), or until reopen. Their stops are recorded and
counted as before.`,
		Example: `  whyrestart mute WR-4F2A1C --for 24h --note "migration until tomorrow"`,
	})
}

func newArchive(e *environment) *cobra.Command {
	return newAmend(e, amendment{issue.StatusArchived, "archived"}, &cobra.Command{
		Use:   "archive ISSUE...",
		Short: "Hear nothing of issues until they escalate",
		Long: `Hear nothing of issues until they escalate: until they happen far more often than in the
day before. Their stops are recorded and counted as before.`,
		Example: `  whyrestart archive WR-4F2A1C --note "known, harmless"`,
	})
}

func newReopen(e *environment) *cobra.Command {
	return newAmend(e, amendment{issue.Open, "reopened"}, &cobra.Command{
		Use:     "reopen ISSUE...",
		Short:   "Take back what was decided of issues",
		Long:    `Take back that issues were resolved, muted or archived.`,
		Example: `  whyrestart reopen WR-4F2A1C`,
	})
}

func newAmend(e *environment, a amendment, cmd *cobra.Command) *cobra.Command {
	o := &amendOptions{}
	cmd.Args = cobra.MinimumNArgs(1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if cmd.Flags().Changed("for") && o.period <= 0 {
			return fmt.Errorf("--for=%s: want a while, such as 24h", o.period)
		}
		return runAmend(cmd.Context(), e, o, a, args)
	}
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
		return completeIssues(cmd.Context(), o.store, args, toComplete)
	}
	o.output.add(cmd.Flags(), "name", "json", "yaml")
	cmd.Flags().Lookup("output").Usage = "output format: name, json, yaml (default: what was done)"
	completeOutput(cmd, &o.output)
	f := cmd.Flags()
	f.StringVar(&o.note, "note", "", "why, for those who read it later")
	addStore(f, &o.store)
	if a.status == issue.StatusMuted {
		f.DurationVar(&o.period, "for", 0, "for how long, such as 24h (default: until reopen)")
	}
	return cmd
}

func runAmend(ctx context.Context, e *environment, o *amendOptions, a amendment, args []string) (err error) {
	if err := o.output.check(); err != nil {
		return err
	}
	// Nothing is done to any of them where one is not there.
	db, found, err := storedIssues(ctx, o.store, args)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	now := time.Now()
	doc := issue.Document{Schema: record.Schema}
	for i := range found {
		done, err := db.Amend(ctx, found[i].ID, o.action(a.status, &found[i], now))
		if err != nil {
			return err
		}
		done.State = done.At(now)
		doc.Issues = append(doc.Issues, done)
		if a.status == issue.StatusResolved && done.Open > 0 {
			// It comes back by the next one that begins, and this one has begun.
			fmt.Fprintf(e.Err, "whyrestart: %s: stalls that still last no longer show in the list: %d\n", printer.Escape(done.ID), done.Open)
		}
		if o.output.format == "" {
			fmt.Fprintf(e.Out, "issue/%s %s\n", printer.Escape(done.ID), o.said(a))
		}
	}
	if o.output.format == "" {
		return nil
	}
	return o.output.issues(e, doc)
}

// storedIssues opens a history and looks up the issues that arguments name, all of them or
// none. The caller closes the store.
func storedIssues(ctx context.Context, location string, args []string) (db store.Store, found []issue.Issue, err error) {
	if db, err = app.OpenStore(ctx, app.StoreOptions{Location: location, Existing: true}); err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, db.Close())
		}
	}()
	for _, arg := range args {
		id, _ := issueID(arg)
		if id == "" {
			id = arg
		}
		if incidentIDs.MatchString(id) {
			return db, nil, fmt.Errorf("%s is an incident; what can be done is done to its issues, which \"explain %s\" names", id, id)
		}
		i, err := app.FindIssue(ctx, db, id)
		if err != nil {
			return db, nil, err
		}
		found = append(found, i)
	}
	return db, found, nil
}

func (o *amendOptions) said(a amendment) string {
	if o.period > 0 {
		// 24h0m0s says no more than 24h.
		return a.done + " for " + strings.TrimSuffix(strings.TrimSuffix(o.period.String(), "0s"), "0m")
	}
	return a.done
}

// action is what is decided of one issue.
func (o *amendOptions) action(status issue.Status, i *issue.Issue, now time.Time) issue.Action {
	a := issue.Action{Status: status, At: now, By: userName(), Note: o.note}
	switch status {
	case issue.StatusResolved:
		a.Resolution, a.Image, a.ImageID = issue.ByPerson, newest(i.Images), newest(i.ImageIDs)
	case issue.StatusMuted:
		if o.period > 0 {
			a.Until = now.Add(o.period)
		}
	case issue.StatusArchived, issue.Open:
	}
	return a
}

// newest is the value that was seen last.
func newest(t issue.Tally) string {
	var last issue.Count
	for _, v := range t.Values {
		if last.Value == "" || v.Last.After(last.Last) {
			last = v
		}
	}
	return last.Value
}

// userName is who decides, as the system calls them; empty where it does not know.
func userName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return os.Getenv("USER")
}
