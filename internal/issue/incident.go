package issue

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// window says when records are one incident: each comes within gap of the others, and all within
// most of the first.
type window struct{ gap, most time.Duration }

// windowOf returns that of a kind. What happens to a node happens to all of its pods at once. A
// container that crashes for an image or for what it cannot reach comes back every five
// minutes, the most that the kubelet waits (KEP-4603), and the time that it ran.
func windowOf(kind string) window {
	if kind == OnNode {
		return window{5 * time.Minute, time.Hour}
	}
	return window{10 * time.Minute, 24 * time.Hour}
}

// Shown tells that an incident has enough members to be one: two pods of a node, or two
// workloads with one image or dependency.
func (i *Incident) Shown() bool {
	if i.Kind == OnNode {
		return len(i.Pods.Values) >= 2
	}
	return len(i.Workloads.Values) >= 2
}

// around returns the incident that the record belongs to, which may be a new one; nil for none.
func (p *poster) around() (*Incident, error) {
	if p.part.kind == "" || p.part.at.IsZero() {
		return nil, nil //nolint:nilnil // Most records are a part of no incident.
	}
	if f := p.fromInc; f != nil && f.Kind == p.part.kind && f.Subject == p.part.subject && f.holds(p.part.at) {
		return f, nil
	}
	w := windowOf(p.part.kind)
	i, err := p.tx.Around(p.key.Cluster, p.part.kind, p.part.subject, p.part.at.Add(-w.gap))
	if err != nil {
		return nil, err
	}
	if i != nil && i.holds(p.part.at) {
		if p.fromInc != nil && i.ID == p.fromInc.ID {
			return p.fromInc, nil
		}
		return i, nil
	}
	of := hash("incident", p.key.Cluster, p.part.kind, p.part.subject, strconv.FormatInt(p.part.at.Unix(), 10))
	id, err := idOf("WI-", of, func(id string) (bool, error) {
		i, err := p.tx.Incident(id)
		return i != nil, err
	})
	return &Incident{ID: id, Cluster: p.key.Cluster, Kind: p.part.kind, Subject: p.part.subject}, err
}

// holds tells that a record at a time is one of the incident.
func (i *Incident) holds(t time.Time) bool {
	w := windowOf(i.Kind)
	return !t.Before(i.First.Add(-w.gap)) && !t.After(i.Last.Add(w.gap)) && t.Sub(i.First) <= w.most && i.Last.Sub(t) <= w.most
}

// incidents takes the record out of the incident that it was counted in, and counts it in the
// one that it belongs to.
func (p *poster) incidents(into *Issue, incident *Incident) error {
	if f := p.fromInc; f != nil {
		from := into.ID
		if p.was != "" {
			from = p.was
		}
		f.count(p.old, from, -1)
		same := incident != nil && incident.ID == f.ID
		if !same || !p.old.at.Equal(p.part.at) {
			err := narrow(&f.First, &f.Last, &f.Oldest, &f.Newest, p.old, func() (Point, Point, error) { return p.tx.SpanOfIncident(f.ID, p.part.id) })
			if err != nil {
				return err
			}
		}
		if !same {
			if err := p.putIncident(f); err != nil {
				return err
			}
		} else {
			incident = f
		}
	}
	if incident == nil {
		return nil
	}
	incident.count(&p.part, into.ID, 1)
	if p.old == nil || p.fromInc != incident || !p.old.at.Equal(p.part.at) {
		incident.First, incident.Oldest = earliest(incident.First, incident.Oldest, &p.part)
		incident.Last, incident.Newest = latest(incident.Last, incident.Newest, &p.part)
	}
	return p.putIncident(incident)
}

func (p *poster) putIncident(i *Incident) error {
	if i.Count == 0 {
		return p.tx.DeleteIncident(i.ID)
	}
	i.Summary = i.sentence()
	return p.tx.PutIncident(i)
}

// rename makes the incidents of an issue that is absorbed those of the other.
func (p *poster) rename(w, into *Issue, target *Incident) error {
	ids := make([]string, 0, len(w.Incidents.Values)+1)
	for _, c := range w.Incidents.Values {
		ids = append(ids, c.Value)
	}
	if p.was == w.ID {
		if p.was = into.ID; p.fromInc != nil && !slices.Contains(ids, p.fromInc.ID) {
			ids = append(ids, p.fromInc.ID)
		}
	}
	for _, id := range ids {
		i, err := p.incident(id, target)
		if err != nil {
			return err
		}
		if i == nil {
			continue
		}
		i.Issues.rename(w.ID, into.ID, maxMembers)
		if err := p.tx.PutIncident(i); err != nil {
			return err
		}
	}
	return nil
}

// incident returns an incident, and one that is being worked on as it is now.
func (p *poster) incident(id string, target *Incident) (*Incident, error) {
	switch {
	case p.fromInc != nil && p.fromInc.ID == id:
		return p.fromInc, nil
	case target != nil && target.ID == id:
		return target, nil
	}
	return p.tx.Incident(id)
}

func (i *Incident) count(p *part, issue string, n int64) {
	i.Count = max(i.Count+n, 0)
	i.Missed = max(i.Missed+n*p.missed, 0)
	if p.stall {
		i.Stalls = max(i.Stalls+n, 0)
	}
	i.Issues.Add(issue, p.seen, n, maxMembers)
	i.Workloads.Add(p.workload, p.seen, n, maxMembers)
	i.Pods.Add(p.fullPod, p.seen, n, maxMembers)
	i.Causes.Add(p.as, p.seen, n, maxImages)
	i.Nodes.Add(p.node, p.seen, n, maxNodes)
	i.Categories.Add(p.category, p.seen, n, maxImages)
}

// sentence says what the incident is, by its tallies.
func (i *Incident) sentence() string {
	var b strings.Builder
	b.WriteString(i.Subject)
	b.WriteString(": ")
	b.WriteString(i.what())
	b.WriteString("; ")
	if stops := i.Count - i.Stalls; stops > 0 {
		b.WriteString(plural(stops, "stop", false))
		if i.Stalls > 0 {
			b.WriteString(" and ")
		}
	}
	if i.Stalls > 0 {
		b.WriteString(plural(i.Stalls, "stall", false))
	}
	b.WriteString(" of ")
	b.WriteString(plural(int64(len(i.Workloads.Values)), "workload", i.Workloads.More))
	if d := i.Last.Sub(i.First); d >= time.Second {
		b.WriteString(" in ")
		b.WriteString(short(d))
	}
	if i.Missed > 0 {
		fmt.Fprintf(&b, ", and %d more that are only counted", i.Missed)
	}
	return cut(b.String(), maxText)
}

// what says what happened, by the causes that have most records.
func (i *Incident) what() string {
	causes := slices.Clone(i.Causes.Values)
	slices.SortFunc(causes, func(a, b Count) int { return cmp.Or(-cmp.Compare(a.Count, b.Count), strings.Compare(a.Value, b.Value)) })
	var words []string
	for _, c := range causes {
		w := phrase(i.Kind, c.Value)
		if i.Kind == OnDependency && strings.HasSuffix(i.Subject, ":53") && strings.HasSuffix(c.Value, "/dns_failure") {
			w = "it does not answer queries for names"
		}
		if !slices.Contains(words, w) {
			words = append(words, w)
		}
	}
	switch len(words) {
	case 0:
		return "containers ended together"
	case 1:
		return words[0]
	case 2:
		return words[0] + ", and " + words[1]
	}
	return words[0] + ", " + words[1] + ", and more"
}

func plural(n int64, word string, more bool) string {
	plus := ""
	if more {
		plus = "+"
	}
	if n == 1 && !more {
		return "1 " + word
	}
	return strconv.FormatInt(n, 10) + plus + " " + word + "s"
}

func short(d time.Duration) string {
	s := int64(d / time.Second)
	switch {
	case s < 120:
		return fmt.Sprintf("%ds", s)
	case s < 7200:
		return fmt.Sprintf("%dm", s/60)
	}
	return fmt.Sprintf("%dh", s/3600)
}
