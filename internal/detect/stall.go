package detect

import (
	"time"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
)

// Symptom is something in a pod that keeps it or one of its containers from going on.
type Symptom struct {
	// Type and Name are those of the container, empty for a symptom of the pod.
	Type  record.ContainerType
	Name  string
	Class evidence.Class
	// Since is when it began as the API tells it, zero where the API does not.
	Since time.Time
	// Grace is how long it may last before it counts: every pod that starts has symptoms.
	Grace time.Duration
	// Sum changes whenever the symptom says something else.
	Sum uint64
}

// Symptoms returns what the pod shows, the pod's own first.
func Symptoms(p *Pod) []Symptom {
	if p.Rejected {
		return []Symptom{{Class: evidence.Rejected}}
	}
	return nil
}

// Episode is one symptom of one pod from its begin to its end.
type Episode struct {
	record.StallKey // Cause holds the class, and the begin where the API tells it
	Namespace, Pod  string
	Class           evidence.Class
	// Begin is Since, or when it was first seen; End is zero while it lasts.
	Begin, End time.Time
	// Opened tells that it was found to be a stall, and is recorded.
	Opened bool
}

// Stalls follows the symptoms of pods over time. It has no clock: every call says what
// time it is. It is not safe for concurrent use.
type Stalls struct{}

// NewStalls returns Stalls that know no pod; cluster names the keys.
func NewStalls(cluster string) *Stalls { return &Stalls{} }

// Seed continues an episode that an earlier run recorded and that had not ended.
func (s *Stalls) Seed(e Episode) {}

// Observe takes what a pod shows, and returns the opened episodes that ended by it.
func (s *Stalls) Observe(p *Pod, now time.Time) (ended []Episode) { return nil }

// Gone takes that a pod is no more.
func (s *Stalls) Gone(uid string, now time.Time) (ended []Episode) { return nil }

// Due returns the episodes to diagnose now: whose grace is over and that were not judged
// since they last changed, or whose last judgement asked to come again.
func (s *Stalls) Due(now time.Time) []Episode { return nil }

// Judge takes what a diagnosis said: found opens the episode, else it comes again after a while.
func (s *Stalls) Judge(key record.StallKey, found bool, now time.Time) {}

// Wanted tells whether the whole of the pod has to be kept for a coming diagnosis.
func (s *Stalls) Wanted(uid string) bool { return false }

// Seeded returns the seeded episodes of a namespace (of all, if empty) whose pods were not observed.
func (s *Stalls) Seeded(namespace string) []Episode { return nil }
