package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/shard"
	"github.com/whyrestart/whyrestart/internal/store"
)

const (
	// stewardEvery is how often the issues are looked through, for the first time after
	// stewardFirst: by then what there is in the cluster was listed.
	stewardEvery = time.Minute
	stewardFirst = 5 * time.Second
	// lookedAtOnce bounds the issues whose workload is read then, those first that were not
	// looked at for longest; readPause is between two of them: what explains a stop goes first.
	lookedAtOnce = 50
	readPause    = 200 * time.Millisecond
	// issuesAlive is how long an issue may be silent and not be resolved by that (issue.State).
	issuesAlive = 14 * 24 * time.Hour
	// issuesRead bounds the issues that are looked through.
	issuesRead = 10_000
	// goneAgain is how long a workload has to be gone: one that is replaced is gone for a moment.
	goneAgain = time.Minute
)

// WorkloadReader reads the object that a workload names.
type WorkloadReader interface {
	// Workload returns it as it is now or was seconds ago, nil for a kind that is not one of
	// Kubernetes' own. Absence is as in ClusterReader.
	Workload(ctx context.Context, namespace string, w record.Workload) (metav1.Object, error)
}

// IssueKeeper is the part of a store.Store that a Steward works on.
type IssueKeeper interface {
	Issues(ctx context.Context, q store.IssueQuery) ([]issue.Issue, string, error)
	Issue(ctx context.Context, id string) (issue.Issue, error)
	Get(ctx context.Context, id string) (record.Record, error)
	Amend(ctx context.Context, id string, a issue.Action) (issue.Issue, error)
	Observations(ctx context.Context, cluster, object string, since time.Time) ([]record.Observation, error)
	Append(ctx context.Context, b store.Batch) error
}

// IssueClass is what issues are counted by.
type IssueClass struct {
	Category record.Category
	State    issue.State
}

// Steward resolves failure issues whose reason is gone before silence would: because their
// workload was deleted, or because all of its pods run another image and have, without a
// stop, for long enough. It decides by what the API shows, and keeps what it has to
// remember in the store, so that nothing is lost when it is started again.
type Steward struct {
	Cluster   string
	Store     IssueKeeper
	Workloads WorkloadReader
	// Shard is what of the cluster is looked after and counted; the rest is another's.
	Shard shard.Shard
	// Term is that in which Shard was claimed (see store.Batch); 0 where it was not.
	Term int64
	// Watches tells whether the pods of a namespace are watched, and Selector which of them: of
	// others nobody knows that they did not stop. An empty Selector is all of them.
	Watches  func(namespace string) bool
	Selector string
	// Ready returns nil while nothing that stops can go unseen.
	Ready func() error
	// Count is told how many issues of the last two weeks there are; those that are not among
	// them are none.
	Count  func(map[IssueClass]int)
	Logger *slog.Logger
	Now    func() time.Time

	// looks holds what is known of the issues that it looks after, by ID.
	looks map[string]look
	// refused are the kinds of workloads of which it was said that they cannot be read.
	refused map[string]bool
}

// look is when the workload of an issue was read last, and since when it is gone.
type look struct {
	at   time.Time
	gone time.Time
}

// Run looks after the issues until ctx ends, or another process has claimed the history. What else
// fails is tried again.
func (s *Steward) Run(ctx context.Context) error {
	wait, said := stewardFirst, false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		wait = stewardEvery
		err := s.round(ctx)
		switch {
		case err == nil:
			said = false
		case errors.Is(err, store.ErrFenced):
			return fmt.Errorf("look after the issues: %w", err)
		case ctx.Err() != nil, errors.Is(err, store.ErrUnavailable):
			// A store that is away is away for all; who opened it says so.
		case !said:
			said = true
			s.Logger.Error("cannot look after the issues; will try again", "err", err)
		}
	}
}

// round counts the issues, and looks at some of those that could be resolved.
func (s *Steward) round(ctx context.Context) error {
	tended, err := s.tended(ctx)
	if err != nil {
		return err
	}
	if s.Ready() != nil {
		return nil //nolint:nilerr // While it is so, that something did not stop cannot be told.
	}
	for i, id := range tended[:min(len(tended), lookedAtOnce)] {
		if i > 0 {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(readPause):
			}
		}
		is, err := s.Store.Issue(ctx, id)
		switch {
		case errors.Is(err, store.ErrNotFound):
			continue
		case err != nil:
			return fmt.Errorf("read issue %s: %w", id, err)
		case is.ID != id || !s.tends(&is, s.Now()):
			continue
		}
		if err := s.look(ctx, &is); err != nil {
			return err
		}
	}
	return nil
}

// tended returns the IDs of the issues to look after, those first that were not looked at for
// longest, and counts all.
func (s *Steward) tended(ctx context.Context) ([]string, error) {
	now := s.Now()
	var tended []string
	counts := make(map[IssueClass]int)
	looks := make(map[string]look)
	q := store.IssueQuery{Cluster: s.Cluster, Since: now.Add(-issuesAlive)}
	for read := 0; read < issuesRead; {
		found, next, err := s.Store.Issues(ctx, q)
		if err != nil {
			return nil, fmt.Errorf("list the issues: %w", err)
		}
		for i := range found {
			is := &found[i]
			if is.Cluster != s.Cluster || !s.Shard.Contains(is.Namespace) {
				continue // without a name, all were asked for
			}
			counts[IssueClass{is.Category, is.At(now)}]++
			if s.tends(is, now) {
				tended = append(tended, is.ID)
				looks[is.ID] = s.looks[is.ID]
			}
		}
		if read += len(found); next == "" {
			break
		}
		q.Cursor = next
	}
	s.looks = looks
	s.Count(counts)
	// Among those of one time, the one seen last comes first, as they were listed.
	slices.SortStableFunc(tended, func(a, b string) int { return looks[a].at.Compare(looks[b].at) })
	return tended, nil
}

// tends tells whether the issue is one to look after: a failure that goes on, of one
// workload, whose pods are watched.
func (s *Steward) tends(is *issue.Issue, now time.Time) bool {
	return is.Category == record.Failure && is.At(now).Active() && is.Workload.Name != "" && is.Group == "" && s.Watches(is.Namespace)
}

// look reads the workload of an issue, and resolves it if that shows it.
func (s *Steward) look(ctx context.Context, is *issue.Issue) error {
	of, err := s.Workloads.Workload(ctx, is.Namespace, is.Workload)
	now := s.Now()
	seen := look{at: now, gone: s.looks[is.ID].gone}
	defer func() { s.looks[is.ID] = seen }()
	if apierrors.IsNotFound(err) {
		if seen.gone.IsZero() {
			seen.gone = now
		}
		if now.Sub(seen.gone) < goneAgain {
			return nil
		}
		return s.deleted(ctx, is, seen.gone)
	}
	seen.gone = time.Time{}
	switch {
	case apierrors.IsForbidden(err):
		s.cannotRead(is.Workload.Kind, err)
		return nil
	case err != nil, of == nil: // or it may be read the next time
		return nil
	}
	return s.exists(ctx, is, of)
}

func (s *Steward) cannotRead(kind string, err error) {
	if s.refused[kind] {
		return
	}
	if s.refused == nil {
		s.refused = make(map[string]bool)
	}
	s.refused[kind] = true
	s.Logger.Warn("cannot read workloads; their issues are resolved when they fall silent", "kind", kind, "err", err)
}

// deleted resolves an issue whose workload is gone. That it once was there has to be
// known: a workload of an operator's kind, of which the issue has but the name, may be
// called like one of Kubernetes' own. And it must have been going on: what failed for good
// is cleaned away, by a Job's TTL or by who started it, and is not solved by that.
func (s *Steward) deleted(ctx context.Context, is *issue.Issue, since time.Time) error {
	known, err := s.observed(ctx, is)
	if err != nil {
		return err
	}
	w := is.Workload
	pod := w.Kind == "Pod" && slices.ContainsFunc(is.Pods.Values, func(c issue.Count) bool { return c.Value == w.Name })
	if !pod && known[fieldUID].Value == "" || known[fieldEnds].Value != "" {
		return nil
	}
	if w.Kind == "Pod" || w.Kind == "Job" {
		last, err := s.Store.Get(ctx, is.Newest)
		switch {
		case errors.Is(err, store.ErrNotFound):
			return nil
		case err != nil:
			return fmt.Errorf("read the newest record of issue %s: %w", is.ID, err)
		case last.Kind == record.KindStop && (last.WillRestart == nil || !*last.WillRestart):
			return nil
		}
	}
	return s.resolve(ctx, is, since, issue.Action{
		Resolution: issue.ByDeletion, // of the image that was seen last
		Note:       fmt.Sprintf("%s does not exist any more; it was found gone at %s", objectOf(is), since.UTC().Format(time.RFC3339)),
	})
}

// exists notes what a workload is like, and resolves an issue that its image did away with.
func (s *Steward) exists(ctx context.Context, is *issue.Issue, of metav1.Object) error {
	known, err := s.observed(ctx, is)
	if err != nil {
		return err
	}
	now := s.Now().UTC()
	var news []record.Observation
	note := func(field, value string) record.Observation {
		if o := known[field]; o.Value == value {
			return o
		}
		o := record.Observation{Object: objectOf(is), Field: field, Value: value, Time: now}
		news = append(news, o)
		return o
	}
	note(fieldUID, string(of.GetUID()))
	if ends(of) {
		note(fieldEnds, "true")
	}
	image, all := imageOf(of, is.Container, s.selects)
	since := time.Time{}
	if image != "" && all {
		since = note(fieldImage(is.Container), image).Time
	}
	if len(news) > 0 {
		if err := s.Store.Append(ctx, store.Batch{Cluster: s.Cluster, Shard: s.Shard, Term: s.Term, Observed: news}); err != nil {
			return fmt.Errorf("remember what %s is like: %w", objectOf(is), err)
		}
	}
	if since.IsZero() || !replaced(is, image, since, now) || !succeeded(of, since) {
		return nil
	}
	return s.resolve(ctx, is, since, issue.Action{
		Resolution: issue.ByImage, Image: image,
		Note: fmt.Sprintf("all pods of %s run %s since %s", objectOf(is), image, since.UTC().Format(time.RFC3339)),
	})
}

// selects tells whether pods with these labels are watched.
func (s *Steward) selects(of map[string]string) bool {
	selector, err := labels.Parse(s.Selector)
	return err == nil && selector.Matches(labels.Set(of))
}

// observed returns what was last observed of the workload of an issue, by field.
func (s *Steward) observed(ctx context.Context, is *issue.Issue) (map[string]record.Observation, error) {
	list, err := s.Store.Observations(ctx, s.Cluster, objectOf(is), s.Now())
	if err != nil {
		return nil, fmt.Errorf("read what was known of %s: %w", objectOf(is), err)
	}
	known := make(map[string]record.Observation, len(list))
	for _, o := range list {
		known[o.Field] = o
	}
	return known, nil
}

// resolve resolves an issue since a time, unless it changed since it was listed. It is not resolved
// since now: a stop of before now may be on its way still, or have been while nobody watched,
// and is a regression all the same.
//
// To amend carries no term, as an action is refused where more was counted than its Count
// (issue.ErrChanged): one that was decided before its process was frozen does not hide what
// another one has recorded since.
func (s *Steward) resolve(ctx context.Context, is *issue.Issue, since time.Time, a issue.Action) error {
	current, err := s.Store.Issue(ctx, is.ID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil // another issue has absorbed it, or its records have gone to others
	case err != nil:
		return fmt.Errorf("read issue %s again: %w", is.ID, err)
	case current.ID != is.ID || !current.At(s.Now()).Active() || current.Count != is.Count || current.Open != is.Open || !current.Last.Equal(is.Last):
		return nil
	}
	if is.Seen.After(since) {
		since = is.Seen // what was counted is no regression
	}
	a.Status, a.At, a.Count = issue.StatusResolved, since.UTC(), is.Count
	switch _, err := s.Store.Amend(ctx, is.ID, a); {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, issue.ErrChanged): // as above
		return nil
	case err != nil:
		return fmt.Errorf("resolve issue %s: %w", is.ID, err)
	}
	delete(s.looks, is.ID)
	s.Logger.Info("resolved an issue", "issue", is.ID, "by", string(a.Resolution), "why", a.Note)
	return nil
}
