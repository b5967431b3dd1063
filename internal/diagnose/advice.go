package diagnose

import (
	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

func advise(e *evidence.Evidence, d *record.Diagnosis) []record.Advice { return nil }
