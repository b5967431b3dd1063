//go:build e2e

package e2e

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/whyrestart/whyrestart/internal/record"
)

// tally is what became of the stops of a stretch of time.
type tally struct {
	Happened, Recorded, Missed, Unseen int
	Doubled, Lost                      int
	Longest                            time.Duration
	gaps                               int
	problems                           []string
}

func (v *tally) problem(format string, args ...any) {
	v.problems = append(v.problems, fmt.Sprintf(format, args...))
}

// settle waits until everything that ended in a stretch of time is recorded or counted, and
// complains about what is not.
func (k *chaos) settle(from, to time.Time) tally {
	k.t.Helper()
	began := time.Now()
	deadline := began.Add(45 * time.Second)
	var v tally
	var waited []string // the last problem that went away
	for {
		rung := k.changed.rung()
		v = k.judge(from, to)
		if len(v.problems) == 0 || time.Now().After(deadline) {
			break
		}
		waited = v.problems[:1]
		select {
		case <-rung:
		case <-time.After(time.Second):
		case <-k.ctx.Done():
			k.t.Fatal(k.ctx.Err())
		}
		k.wait(300 * time.Millisecond)
	}
	for i, p := range v.problems {
		if i == 20 {
			k.t.Errorf("and %d more", len(v.problems)-i)
			break
		}
		k.t.Error(p)
	}
	told := time.Now()
	printed := map[string]bool{} // was printed as it is stored
	for {
		lost, doc := k.unprinted(to, printed)
		v.Lost, v.gaps = len(lost), len(doc.Coverage.Gaps)
		for _, g := range doc.Coverage.Gaps {
			if g.From.Before(to) && g.To.After(from) && (g.Kind == "" || g.Kind == record.GapWatch) {
				v.Longest = max(v.Longest, g.To.Sub(g.From))
			}
		}
		if len(lost) == 0 {
			break
		}
		waited = lost[:1]
		if time.Now().After(deadline) {
			for _, p := range lost[:min(5, len(lost))] {
				k.t.Error(p)
			}
			break
		}
		k.wait(500 * time.Millisecond)
	}
	if len(waited) > 0 {
		k.t.Logf("settled after %s and %s more; until then: %s", told.Sub(began).Round(100*time.Millisecond), time.Since(told).Round(100*time.Millisecond), waited[0])
	}
	return v
}

// unprinted lists the records that were seen until a time, are stored, and were not printed
// as they are stored. It adds to printed those that were.
func (k *chaos) unprinted(until time.Time, printed map[string]bool) ([]string, record.Document) {
	k.t.Helper()
	doc, err := k.program.list(k.ctx)
	k.must(err, "list what is stored")
	var lost []string
	for i := range doc.Findings {
		r := &doc.Findings[i]
		if printed[r.ID] || r.ObservedAt.After(until) {
			continue
		}
		line, ok := k.records.get(r.ID)
		if !ok {
			lost = append(lost, fmt.Sprintf("record %s of %s/%s ordinal %d is stored and was never printed", r.ID, r.Pod, r.Container, ordinalOf(r)))
			continue
		}
		if diff := gocmp.Diff(content(&line), content(r)); diff != "" {
			lost = append(lost, fmt.Sprintf("record %s of %s/%s was printed last otherwise than it is stored (-printed +stored):\n%s", r.ID, r.Pod, r.Container, diff))
			continue
		}
		printed[r.ID] = true
	}
	return lost, doc
}

func ordinalOf(r *record.Record) int {
	if r.Stop == nil {
		return -1
	}
	return r.Ordinal
}

// content is a record as text, without what a list leaves out (the log) and what changes
// without the record (the state of its issue).
func content(r *record.Record) string {
	c := r.Clone()
	c.Log, c.Issue = nil, nil
	data, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// judge compares what was printed with what happened, container by container. Up to the
// newest record of a container every instance has to be told once; and what ended until
// then has to be told at all where it ended between from and to.
func (k *chaos) judge(from, to time.Time) tally {
	var v tally
	known := k.truth.instances(k.loop)
	byKey := map[containerKey][]record.Record{}
	for _, r := range k.records.of(record.KindStop, k.loop) {
		key := containerKey{r.Namespace, r.PodUID, r.Pod, r.Container}
		byKey[key] = append(byKey[key], r)
	}
	for key := range byKey {
		if known[key] == nil {
			v.problem("%s: there are records of it, and the runtime never had it", key)
		}
	}
	keys := make([]containerKey, 0, len(known))
	for key := range known {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, containerKey.compare)
	var gaps []record.Gap
	var gapsRead bool
	for _, key := range keys {
		untold := k.judgeContainer(&v, key, known[key], byKey[key], from, to)
		for _, i := range untold {
			if !gapsRead {
				gapsRead = true
				if doc, err := k.program.list(k.ctx); err == nil {
					gaps = doc.Coverage.Gaps
				}
			}
			if k.unseen(key, i, gaps) {
				v.Unseen++
			} else {
				v.problem("%s: attempt %d (%.12s) ended at %s, and is neither recorded nor counted; records: %s", key, i.Attempt, i.ID, i.EndedAt.Format("15:04:05.000"), ordinals(byKey[key]))
			}
		}
	}
	return v
}

// judgeContainer returns the instances of which nothing was told.
func (k *chaos) judgeContainer(v *tally, key containerKey, known []instance, stops []record.Record, from, to time.Time) (untold []instance) {
	byID, byAttempt := map[string]instance{}, map[int]instance{}
	for _, i := range known {
		byID[i.ID], byAttempt[i.Attempt] = i, i
	}
	slices.SortFunc(stops, func(a, b record.Record) int {
		return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Ordinal, b.Ordinal))
	})
	own, ids := map[int]bool{}, map[string]bool{} // ordinals with a record, container IDs
	covered := 0                                  // ordinals below are told
	for n := range stops {
		r := &stops[n]
		id := bareID(r.ContainerID)
		if r.Epoch != 0 {
			v.problem("%s: record %s has epoch %d: the restart count never fell", key, r.ID, r.Epoch)
		}
		if id != "" && ids[id] || own[r.Ordinal] {
			v.Doubled++
			v.problem("%s: ordinal %d (%.12s) is recorded twice; records: %s", key, r.Ordinal, id, ordinals(stops))
		}
		if r.Ordinal-r.MissedBefore != covered {
			v.problem("%s: record %s is of ordinal %d with %d missed before it, and everything below %d was told; records: %s", key, r.ID, r.Ordinal, r.MissedBefore, covered, ordinals(stops))
		}
		covered = r.Ordinal + 1
		own[r.Ordinal], ids[id] = true, true
		if id != "" {
			i, ok := byID[id]
			switch {
			case !ok || !i.Ended && !i.NeverRan:
				v.problem("%s: record %s (ordinal %d) is of %.12s, which has not ended", key, r.ID, r.Ordinal, id)
			case i.Attempt != r.Ordinal:
				v.problem("%s: record %s of %.12s has ordinal %d, the runtime has attempt %d", key, r.ID, id, r.Ordinal, i.Attempt)
			case r.ExitCode != nil && i.ExitCode != nil && *r.ExitCode != *i.ExitCode:
				v.problem("%s: record %s (ordinal %d) has exit code %d, the runtime has %d", key, r.ID, r.Ordinal, *r.ExitCode, *i.ExitCode)
			}
		}
		if _, ended := byAttempt[r.Ordinal]; !ended {
			v.problem("%s: record %s is of ordinal %d, which the runtime never had", key, r.ID, r.Ordinal)
		}
		// 137 and above is how the deletion of the pod ends it.
		if r.Container == "told" && r.ExitCode != nil && *r.ExitCode < 128 && *r.ExitCode != exitOf(r.Ordinal) {
			v.problem("%s: record %s (ordinal %d) has exit code %d, and instance %d exits with %d", key, r.ID, r.Ordinal, *r.ExitCode, r.Ordinal, exitOf(r.Ordinal))
		}
	}
	for _, i := range known {
		if !i.Ended || i.EndedAt.Before(from) || i.EndedAt.After(to) {
			continue
		}
		v.Happened++
		switch {
		case own[i.Attempt]:
			v.Recorded++
		case i.Attempt < covered:
			v.Missed++
		default:
			untold = append(untold, i)
		}
	}
	return untold
}

// unseen tells that nobody could know of an instance: its pod was deleted in a gap, and it
// ended in it. The kubelet tells of a container within seconds of its end.
func (k *chaos) unseen(key containerKey, i instance, gaps []record.Gap) bool {
	const late = 5 * time.Second
	asked := k.recorder.deletionOf(key.PodUID)
	if asked.IsZero() {
		return false
	}
	return slices.ContainsFunc(gaps, func(g record.Gap) bool {
		return (g.Kind == "" || g.Kind == record.GapWatch) && g.From.Add(-late).Before(i.EndedAt) &&
			g.From.Before(asked.Add(3*late)) && g.To.Add(time.Second).After(asked)
	})
}

// ordinals says which are recorded, with how many missed before.
func ordinals(stops []record.Record) string {
	out := ""
	for n := range stops {
		if len(stops)-n > 12 {
			continue
		}
		out += fmt.Sprintf("%d", stops[n].Ordinal)
		if m := stops[n].MissedBefore; m > 0 {
			out += fmt.Sprintf("(-%d)", m)
		}
		out += " "
	}
	return out
}
