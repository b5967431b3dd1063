package diagnose

import (
	"github.com/whyrestart/whyrestart/internal/evidence"
)

// Stalled explains a stall. It returns false where the evidence does not show that
// anything is wrong, or not yet: a pod that is being started is no finding.
func Stalled(e *evidence.Evidence) (Finding, bool) {
	if e.Stall.Class == evidence.Rejected {
		return Rejected(e), true
	}
	return Finding{}, false
}
