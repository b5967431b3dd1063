package app

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/whyrestart/whyrestart/internal/dump"
	"github.com/whyrestart/whyrestart/internal/extract"
	"github.com/whyrestart/whyrestart/internal/pipeline"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/redact"
)

// Replay finds the stops in recorded watch events and calls show for each, in order.
// The first error of show ends it.
func Replay(ctx context.Context, cluster string, files []string, stdin io.Reader, show func(record.Record) error) (record.Coverage, error) {
	return replay(ctx, cluster, show, func(handle func(dump.Event) error) ([]record.Missing, error) {
		return dump.ReplayFiles(ctx, files, stdin, dump.Limits{}, handle)
	})
}

// ReplayStream is Replay for one stream; before is called with each event first.
func ReplayStream(ctx context.Context, name string, r io.Reader, before func(dump.Event) error, show func(record.Record) error) (record.Coverage, error) {
	return replay(ctx, "", show, func(handle func(dump.Event) error) ([]record.Missing, error) {
		return dump.ReadWatch(ctx, name, r, dump.Limits{}, func(ev dump.Event) error {
			if err := before(ev); err != nil {
				return err
			}
			return handle(ev)
		})
	})
}

func replay(ctx context.Context, cluster string, show func(record.Record) error, read func(func(dump.Event) error) ([]record.Missing, error)) (record.Coverage, error) {
	redactor, err := redact.New(redact.Options{})
	if err != nil {
		return record.Coverage{}, err
	}
	objects := dump.NewObjects()
	events := &dumpEvents{objects: objects}
	shown := make(map[string]record.Record) // by ID: one that comes again replaces the earlier one
	var failed error
	off := &pipeline.Offline{
		Context: ctx,
		Engine:  pipeline.NewEngine(cluster, redactor),
		Owners:  objects,
		Events:  events,
		AsOf:    events.asOf,
		Emit: func(f pipeline.Finding) {
			shown[f.Record.ID] = record.Record{Stop: f.Record.Stop}
			if failed == nil {
				failed = show(f.Record)
			}
		},
	}
	missing, err := read(func(ev dump.Event) error {
		objects.Apply(ev)
		ev.Deliver(off, "")
		if about, ok := ev.Object.(*corev1.Event); ok && ev.Type != dump.Deleted {
			events.saw(about)
			off.Late(string(about.InvolvedObject.UID))
		}
		return failed
	})
	return coverage(off, slices.Collect(maps.Values(shown)), missing), err
}

// Analyze finds the last stops, and the stalls, in a recorded state of a cluster: a file,
// a folder, an archive, or "-" for stdin.
func Analyze(ctx context.Context, cluster, path string, stdin io.Reader) (record.Document, error) {
	found, coverage, err := LookInto(ctx, cluster, path, stdin, nil)
	return document(found, coverage), err
}

// document makes the one document that is printed of findings.
func document(found []pipeline.Finding, coverage record.Coverage) record.Document {
	doc := record.Document{Schema: record.Schema, Coverage: coverage}
	for i := range found {
		doc.Findings = append(doc.Findings, found[i].Record)
	}
	return doc
}

// LookInto finds in a recorded state of a cluster what Look finds in a live one.
func LookInto(ctx context.Context, cluster, path string, stdin io.Reader, filter func(*corev1.Pod) bool) ([]pipeline.Finding, record.Coverage, error) {
	redactor, err := redact.New(redact.Options{})
	if err != nil {
		return nil, record.Coverage{}, err
	}
	d, err := dump.ReadDump(ctx, path, stdin, dump.Limits{})
	if err != nil {
		return nil, record.Coverage{}, err
	}
	events := &dumpEvents{objects: d.Objects}
	for _, ev := range dump.All[*corev1.Event](d.Objects) {
		events.saw(ev)
	}
	var found []pipeline.Finding
	off := &pipeline.Offline{
		Context: ctx,
		Engine:  pipeline.NewEngine(cluster, redactor),
		Owners:  d.Objects,
		Events:  events,
		AsOf:    events.asOf,
		Logs:    d.Objects,
		Filter:  filter,
		Emit:    func(f pipeline.Finding) { found = append(found, f) },
	}
	d.Objects.Replace(off, "")
	return found, Coverage(off, found, d.Missing), nil
}

// dumpEvents reads events from what was recorded. A recording without any event was
// made without them, which says nothing of what happened.
type dumpEvents struct {
	objects *dump.Objects
	any     bool
	latest  time.Time
}

func (d *dumpEvents) saw(ev *corev1.Event) {
	d.any = true
	if t := extract.EventTime(ev); t.After(d.latest) {
		d.latest = t
	}
}

// asOf is about when the recording was made: the newest event in it.
func (d *dumpEvents) asOf() time.Time { return d.latest }

// Events implements pipeline.EventReader.
func (d *dumpEvents) Events(_ context.Context, _, uid string) ([]*corev1.Event, error) {
	if !d.any {
		return nil, errors.New("no events were recorded")
	}
	return d.objects.EventsAbout(types.UID(uid)), nil
}
