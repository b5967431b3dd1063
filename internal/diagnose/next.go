package diagnose

import (
	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

func next(e *evidence.Evidence, d *record.Diagnosis) []record.NextStep { return nil }
