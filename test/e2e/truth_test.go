//go:build e2e

package e2e

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
)

// containerKey names one container of one pod.
type containerKey struct {
	Namespace, PodUID, Pod, Container string
}

func (k containerKey) String() string {
	return fmt.Sprintf("%s/%s (%s) %s", k.Namespace, k.Pod, k.PodUID, k.Container)
}

func (k containerKey) compare(o containerKey) int {
	return cmp.Or(cmp.Compare(k.Namespace, o.Namespace), cmp.Compare(k.Pod, o.Pod),
		cmp.Compare(k.PodUID, o.PodUID), cmp.Compare(k.Container, o.Container))
}

// instance is one run of a container, as an account tells it.
type instance struct {
	// ID is the container ID without its scheme; empty for one of which only the count is known.
	ID string
	// Attempt is the kubelet's number of the instance, -1 where the account has none.
	Attempt int
	// Ended tells that the instance has ended.
	Ended bool
	// EndedAt is when, zero where the account does not say.
	EndedAt time.Time
	// NeverRan tells that the runtime made the instance, and that no process of it is known
	// to have run: it has yet to start, its start failed, or its pod was deleted before it.
	NeverRan bool
	// Gone tells that nothing more will be heard of the instance.
	Gone bool
	// ExitCode is nil where the account has none.
	ExitCode *int32
}

// open tells that an instance may still end.
func (i instance) open() bool { return !i.Ended && !i.Gone }

// truth is an account of container instances that whyrestart had no part in.
type truth interface {
	// instances returns what is known of the containers of the namespaces that match.
	instances(match func(namespace string) bool) map[containerKey][]instance
	// lines returns the account of a namespace in full, to be read by people.
	lines(namespace string) []string
}

// death is one ContainerDied of the kubelet's account.
type death struct {
	PodUID, ContainerID string
}

// verdict is what a comparison of records with the truth found.
type verdict struct {
	Ended    int // instances that ended, by the truth
	Recorded int // stops with a record of their own
	Missed   int // stops that are only counted
	Hidden   int // instances that ended, and of which the API never told anybody
	Doubled  int // records of an instance that another record has
	False    int // records of what did not end
	problems []string
}

func (v *verdict) problem(format string, args ...any) {
	v.problems = append(v.problems, fmt.Sprintf(format, args...))
}

func (v *verdict) add(o verdict) {
	v.Ended += o.Ended
	v.Recorded += o.Recorded
	v.Missed += o.Missed
	v.Hidden += o.Hidden
	v.Doubled += o.Doubled
	v.False += o.False
	v.problems = append(v.problems, o.problems...)
}

// rules are what a scenario knows of the truth that no account tells.
type rules struct {
	// startFails tells the containers none of whose instances ever ran a process: the
	// runtime reports no end of those, but the kubelet does, as StartError.
	startFails func(containerKey) bool
	// hidden tells the instances that nobody who reads the API could know of. They may be
	// recorded, and need not be.
	hidden func(containerKey, instance) bool
}

// judge compares recorded stops with the instances of the truth, container by container.
func judge(known map[containerKey][]instance, stops []record.Record, deaths []death, rules rules) verdict {
	byKey := map[containerKey][]record.Record{}
	for _, r := range stops {
		k := containerKey{r.Namespace, r.PodUID, r.Pod, r.Container}
		byKey[k] = append(byKey[k], r)
	}
	keys := map[containerKey]bool{}
	for k := range known {
		keys[k] = true
	}
	for k := range byKey {
		keys[k] = true
	}
	sorted := make([]containerKey, 0, len(keys))
	for k := range keys {
		sorted = append(sorted, k)
	}
	slices.SortFunc(sorted, containerKey.compare)

	died := map[string]bool{}
	for _, d := range deaths {
		died[d.ContainerID] = true
	}
	var v verdict
	for _, k := range sorted {
		v.add(judgeContainer(k, known[k], byKey[k], died, rules))
	}
	return v
}

func judgeContainer(k containerKey, known []instance, stops []record.Record, died map[string]bool, rules rules) verdict {
	var v verdict
	startFails := rules.startFails(k)
	hidden := func(i instance) bool { return rules.hidden(k, i) }
	byID := map[string]instance{}
	attempts := map[int]int{}
	optional := 0 // may or may not be a stop to the kubelet
	for _, i := range known {
		attempts[i.Attempt]++
		if i.ID != "" {
			byID[i.ID] = i
		}
		switch {
		case hidden(i):
			v.Hidden++
		case i.Ended, i.NeverRan && (startFails || died[i.ID]):
			v.Ended++
		case i.NeverRan:
			optional++
		}
	}

	recorded := map[string]string{} // container ID to record ID
	anonymous := 0                  // records that do not say of which instance
	for _, r := range stops {
		v.Recorded++
		v.Missed += r.MissedBefore
		if r.MissedBefore < 0 {
			v.problem("%s: record %s has missedBefore %d", k, r.ID, r.MissedBefore)
		}
		id := bareID(r.ContainerID)
		if id == "" {
			anonymous++
			continue
		}
		if other, taken := recorded[id]; taken {
			v.Doubled++
			v.problem("%s: instance %.12s is recorded twice, as %s and %s", k, id, other, r.ID)
		}
		recorded[id] = r.ID
		i, ok := byID[id]
		if !ok || i.open() && !i.NeverRan {
			v.False++
			v.problem("%s: record %s (ordinal %d) is of instance %.12s, which %s", k, r.ID, r.Ordinal, id, map[bool]string{true: "has not ended", false: "is none of this container's"}[ok])
			continue
		}
		switch {
		case hidden(i):
			// It was found after all.
			v.Hidden--
			v.Ended++
		case i.NeverRan && !startFails && !died[id]:
			// The kubelet took it for a stop after all.
			optional--
			v.Ended++
		}
		if r.ExitCode != nil && i.ExitCode != nil && *r.ExitCode != *i.ExitCode {
			v.problem("%s: record %s (ordinal %d) has exit code %d, the truth has %d", k, r.ID, r.Ordinal, *r.ExitCode, *i.ExitCode)
		}
		// Where the kubelet loses a container, it may begin to count anew.
		if r.Epoch == 0 && i.Attempt >= 0 && attempts[i.Attempt] == 1 && r.Ordinal != i.Attempt {
			v.problem("%s: record %s of instance %.12s has ordinal %d, the runtime has attempt %d", k, r.ID, id, r.Ordinal, i.Attempt)
		}
	}

	switch sum := v.Recorded + v.Missed; {
	case sum < v.Ended:
		v.problem("%s: %d instances ended, %d are recorded and %d missed: %d too few (without a record: %s)", k, v.Ended, v.Recorded, v.Missed, v.Ended-sum, without(known, recorded))
	case sum > v.Ended+v.Hidden+optional:
		v.problem("%s: %d instances ended, %d are recorded and %d missed: %d too many", k, v.Ended, v.Recorded, v.Missed, sum-v.Ended-v.Hidden-optional)
	case sum > v.Ended:
		// By their count alone: hidden ones first, then those whose start may have failed.
		v.Hidden -= min(v.Hidden, sum-v.Ended)
		v.Ended = sum
	}

	uncovered := 0
	for _, i := range known {
		if died[i.ID] && recorded[i.ID] == "" && !hidden(i) {
			uncovered++
		}
	}
	if uncovered > anonymous+v.Missed {
		v.problem("%s: the kubelet saw %d instances die that have no record, and only %d are counted", k, uncovered, anonymous+v.Missed)
	}
	return v
}

// without lists the ended instances that no record names.
func without(known []instance, recorded map[string]string) string {
	var list []string
	for _, i := range known {
		if (i.Ended || i.NeverRan) && recorded[i.ID] == "" {
			list = append(list, fmt.Sprintf("attempt %d %.12s", i.Attempt, i.ID))
		}
	}
	return strings.Join(list, ", ")
}

// bareID returns a container ID without the runtime's scheme.
func bareID(id string) string {
	if _, after, found := strings.Cut(id, "://"); found {
		return after
	}
	return id
}
