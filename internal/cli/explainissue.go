package cli

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/app"
	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/pipeline"
	"github.com/whyrestart/whyrestart/internal/printer"
	"github.com/whyrestart/whyrestart/internal/record"
)

// What "-o name" puts before the ID of an issue, and what may stand before that of an incident.
const (
	issuePrefix    = "issue/"
	incidentPrefix = "incident/"
)

// IDs of issues and incidents, with the least that tells one from a word.
var (
	issueIDs    = regexp.MustCompile(`^(?i:W[RI]-[0-9A-F]{4,24})$`)
	incidentIDs = regexp.MustCompile(`^(?i:WI-)`)
)

// issueID returns the ID of an issue or an incident that an argument is, and whether it is
// nothing else for sure: the name of a pod has no upper case.
func issueID(what string) (id string, sure bool) {
	if id, ok := strings.CutPrefix(what, issuePrefix); ok {
		if !strings.HasPrefix(strings.ToUpper(id), "WR-") {
			id = "WR-" + id
		}
		return id, true
	}
	if id, ok := strings.CutPrefix(what, incidentPrefix); ok {
		if !incidentIDs.MatchString(id) {
			id = "WI-" + id
		}
		return id, true
	}
	if strings.HasPrefix(what, "WR-") || strings.HasPrefix(what, "WI-") {
		return what, true
	}
	if issueIDs.MatchString(what) {
		return what, false
	}
	return "", false
}

// explainIssue explains an issue or an incident from wherever it is kept.
func (o *explainOptions) explainIssue(ctx context.Context, e *environment, id string, sure bool) error {
	if sure {
		for _, f := range []struct {
			name  string
			given bool
		}{{"restart", o.restart > 0}, {"container", o.container != ""}, {"timeline", o.timeline}} {
			if f.given {
				return fmt.Errorf("%s: --%s is about a pod or a workload", id, f.name)
			}
		}
	}
	from := "cluster"
	if o.file != "" {
		from = "file"
	} else if o.stored || app.StoreThere(o.store) {
		from = "store"
	}
	if from == "store" {
		return o.issueOfStore(ctx, e, id)
	}
	if from == "cluster" && !sure {
		return app.ErrNoIssue // most likely a pod: no need to read the whole cluster for that
	}
	found, coverage, err := o.everything(ctx, e)
	if err != nil {
		return err
	}
	asOf := app.AsOf(found, from == "file")
	if incidentIDs.MatchString(id) {
		seen, err := app.GroupedIncident(found, coverage, id, asOf)
		if err != nil {
			return err
		}
		return o.printIncident(e, seen)
	}
	seen, err := app.GroupedIssue(found, coverage, id, asOf)
	if err != nil {
		return err
	}
	return o.printIssue(e, seen)
}

func (o *explainOptions) issueOfStore(ctx context.Context, e *environment, id string) (err error) {
	db, err := app.OpenStore(ctx, app.StoreOptions{Location: o.store, ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if incidentIDs.MatchString(id) {
		seen, err := app.StoredIncident(ctx, db, id, time.Now())
		if err != nil {
			return err
		}
		return o.printIncident(e, seen)
	}
	seen, err := app.StoredIssue(ctx, db, id, time.Now())
	if err != nil {
		return err
	}
	return o.printIssue(e, seen)
}

// everything looks at all that the flags select of a cluster, or of a recorded state: which
// of it an issue is made of is only known then.
func (o *explainOptions) everything(ctx context.Context, e *environment) ([]pipeline.Finding, record.Coverage, error) {
	if o.file != "" {
		of, err := o.source.podFilter()
		if err != nil {
			return nil, record.Coverage{}, err
		}
		return o.source.lookInto(ctx, e, o.file, of)
	}
	source, err := o.source.source(true)
	if err != nil {
		return nil, record.Coverage{}, err
	}
	defer e.progress("Reading the cluster")()
	return app.Look(ctx, source, nil, e.logger(quiet))
}

func (o *explainOptions) printIssue(e *environment, seen app.SeenIssue) error {
	if o.output.format != "" {
		return o.output.issues(e, issue.Document{
			Schema: record.Schema, Issues: []issue.Issue{seen.Issue}, Incidents: seen.Incidents,
			Findings: app.Records(seen.Newest.Findings), Coverage: seen.Newest.Coverage,
		})
	}
	look, err := o.look(e)
	if err != nil {
		return err
	}
	if err := printer.ExplainIssue(e.Out, printer.IssueExplanation{
		Issue: seen.Issue, Incidents: seen.Incidents, AsOf: seen.AsOf, Explained: len(seen.Newest.Findings) > 0,
	}, look); err != nil {
		return err
	}
	if len(seen.Newest.Findings) == 0 {
		fmt.Fprintln(e.Err, "Its records are not kept any more.")
		return nil
	}
	for i := range seen.Newest.Findings { // the issue has said it
		r := &seen.Newest.Findings[i].Record
		r.Issue = nil
		if len(seen.Issue.Changes) > 0 {
			r.Changes = nil
		}
	}
	fmt.Fprintln(e.Out)
	if err := o.print(e, seen.Newest, look); err != nil {
		return err
	}
	sayMissing(e.Err, seen.Newest.Coverage.Missing)
	sayLife(e.Err, seen.Newest.Coverage.Gaps)
	return nil
}

func (o *explainOptions) printIncident(e *environment, seen app.SeenIncident) error {
	if o.output.format != "" {
		return o.output.issues(e, issue.Document{
			Schema: record.Schema, Issues: seen.Members, Incidents: []issue.Incident{seen.Incident}, Findings: seen.Records, Coverage: seen.Coverage,
		})
	}
	look, err := o.look(e)
	if err != nil {
		return err
	}
	if err := printer.ExplainIncident(e.Out, printer.IncidentExplanation{
		Incident: seen.Incident, Members: seen.Members, Facts: seen.Facts, Changes: seen.Changes,
	}, look); err != nil {
		return err
	}
	sayMissing(e.Err, seen.Coverage.Missing)
	return nil
}
