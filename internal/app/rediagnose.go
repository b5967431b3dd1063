package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/whyrestart/whyrestart/internal/diagnose"
	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/pipeline"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

// Rediagnosis sums up what Rediagnose did.
type Rediagnosis struct {
	// Looked is how many records were diagnosed anew, Changed how many came out different,
	// Without how many have no evidence that can be diagnosed from.
	Looked, Changed, Without int
}

// Rediagnose diagnoses the records that q selects anew, from the evidence that was kept
// of each, and calls show for each that the rules of this version explain differently,
// the newest first. They replace what is stored, with the same ID, unless dryRun is
// set. The first error of show ends it.
func Rediagnose(ctx context.Context, s store.Store, q store.Query, dryRun bool, show func(was, is record.Record) error) (Rediagnosis, error) {
	var sum Rediagnosis
	q.Cursor = ""
	for {
		// A page is read before anything of it is replaced: its place does not move by that.
		page, next, err := s.List(ctx, q)
		if err != nil {
			return sum, err
		}
		batch := store.Batch{}
		for _, was := range page {
			e, err := s.Evidence(ctx, was.ID)
			switch {
			case err == nil && e.Version == evidence.Version:
			case err == nil, errors.Is(err, store.ErrNotFound): // or it is in a form that these rules do not read
				sum.Without++
				continue
			default:
				return sum, err
			}
			sum.Looked++
			if e.Log != nil { // a list has no logs, and the evidence is stored without its lines
				full, err := s.Get(ctx, was.ID)
				if err != nil {
					return sum, err
				}
				e = pipeline.WithLog(e, full.Log)
			}
			is, ok := again(was, &e)
			if !ok {
				continue
			}
			sum.Changed++
			if err := show(was, is); err != nil {
				return sum, err
			}
			batch.Records = append(batch.Records, is)
		}
		if len(batch.Records) > 0 && !dryRun {
			if err := s.Append(ctx, batch); err != nil {
				return sum, fmt.Errorf("replace %d records: %w", len(batch.Records), err)
			}
		}
		if next == "" {
			return sum, nil
		}
		q.Cursor = next
	}
}

// again diagnoses a record anew, and tells whether that says anything else. What the
// rules only say by another version's number is no change.
func again(was record.Record, e *evidence.Evidence) (record.Record, bool) {
	is := was.Clone()
	var f diagnose.Finding
	switch {
	case was.Stall != nil:
		var found bool
		if f, found = pipeline.DiagnoseStall(e); !found {
			return is, false // that it was one is not taken back
		}
	case e.Stop == nil:
		return is, false // evidence that a stop cannot be diagnosed from
	default:
		f = diagnose.Diagnose(e)
	}
	is.Category, is.Diagnosis, is.WillRestart = f.Category, f.Diagnosis, f.WillRestart
	compared := is
	compared.Diagnosis.RulesVersion = was.Diagnosis.RulesVersion
	return is, !sameJSON(was, compared)
}

// sameJSON compares two records as they are stored, where a nil and an empty list are one.
func sameJSON(a, b record.Record) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}
