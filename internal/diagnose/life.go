package diagnose

import (
	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// Life tells the pod's life as far as the evidence shows it, in order of time.
func Life(e *evidence.Evidence) []record.LifeStep {
	return nil
}
