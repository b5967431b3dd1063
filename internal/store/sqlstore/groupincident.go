package sqlstore

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/whyrestart/whyrestart/internal/issue"
)

// A Subject is what incidents are searched by.
type Subject struct{ Cluster, Kind, Subject string }

type heldIncident struct {
	seq      int64
	incident *issue.Incident
	nodes    []string
	dirty    bool
}

// Incident implements issue.Tx.
func (g *Group) Incident(id string) (*issue.Incident, error) {
	held, err := g.holdIncident(id)
	if held == nil || err != nil {
		return nil, err
	}
	return held.incident, nil
}

func (g *Group) holdIncident(id string) (*heldIncident, error) {
	if held := g.incidents[id]; held != nil || g.asked.incidents[id] {
		return held, nil
	}
	if err := g.findIncidents(FindIncident, id); err != nil {
		return nil, fmt.Errorf("incident %s: %w", id, err)
	}
	g.asked.incidents[id] = true
	return g.incidents[id], nil
}

func (g *Group) findIncidents(s Statement, args ...any) error {
	rows, err := g.rows(s, args...)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if err := g.takeIncident(r); err != nil {
			return err
		}
	}
	return nil
}

// takeIncident holds what a row has, unless it was held before: then what is held, or that it
// was deleted, is newer.
func (g *Group) takeIncident(r Row) error {
	if g.incidents[r.ID] != nil || g.asked.incidents[r.ID] {
		return nil
	}
	g.asked.incidents[r.ID] = true
	i, err := g.codec.Incident(r.Doc)
	if err != nil {
		// As for an issue; only that its records are not counted again.
		g.logger.WarnContext(g.ctx, "removed a stored incident that cannot be read", "id", r.ID, "error", err)
		return g.tx.Exec(DropIncident, r.Seq)
	}
	g.incidents[r.ID] = &heldIncident{seq: r.Seq, incident: &i, nodes: nodesOf(&i)}
	return nil
}

// Around implements issue.Tx.
func (g *Group) Around(cluster, kind, subject string, since time.Time) (*issue.Incident, error) {
	of, from := Subject{Cluster: cluster, Kind: kind, Subject: subject}, Nanos(since)
	if known, ok := g.asked.subjects[of]; !ok || from < known {
		if err := g.findIncidents(FindAround, kind, subject, from, cluster); err != nil {
			return nil, fmt.Errorf("incidents of %s %s: %w", kind, subject, err)
		}
		g.asked.subjects[of] = from
	}
	var best *issue.Incident
	for _, id := range slices.Sorted(maps.Keys(g.incidents)) {
		i := g.incidents[id].incident
		if i.Cluster == cluster && i.Kind == kind && i.Subject == subject && !i.Last.Before(since) && (best == nil || i.Last.After(best.Last)) {
			best = i
		}
	}
	return best, nil
}

// PutIncident implements issue.Tx.
func (g *Group) PutIncident(i *issue.Incident) error {
	held, err := g.holdIncident(i.ID)
	if err != nil {
		return err
	}
	if held == nil {
		held = new(heldIncident)
		g.incidents[i.ID] = held
	}
	held.incident, held.dirty = i, true
	return nil
}

// nodesOf are the nodes by which an incident is found.
func nodesOf(i *issue.Incident) []string {
	nodes := values(i.Nodes)
	if i.Kind == issue.OnNode && !slices.Contains(nodes, i.Subject) {
		nodes = append(nodes, i.Subject)
	}
	return nodes
}

// DeleteIncident implements issue.Tx.
func (g *Group) DeleteIncident(id string) error {
	held, err := g.holdIncident(id)
	if held == nil || err != nil {
		return err
	}
	delete(g.incidents, id)
	g.asked.incidents[id] = true
	if held.seq == 0 {
		return nil
	}
	if err := g.tx.Exec(DropIncident, held.seq); err != nil {
		return fmt.Errorf("delete incident %s: %w", id, err)
	}
	return nil
}

func (g *Group) flushIncidents() error {
	for _, id := range slices.Sorted(maps.Keys(g.incidents)) {
		if err := g.writeIncident(g.incidents[id]); err != nil {
			return fmt.Errorf("write incident %s: %w", id, err)
		}
	}
	return nil
}

func (g *Group) writeIncident(held *heldIncident) error {
	if !held.dirty {
		return nil
	}
	i := held.incident
	packed, err := g.codec.PackIncident(i)
	if err != nil {
		return fmt.Errorf("encode it: %w", err)
	}
	columns := []any{Nanos(i.Last), i.Shown(), packed}
	if held.seq == 0 {
		held.seq, err = g.tx.Insert(AddIncident, append([]any{i.ID, i.Cluster, i.Kind, i.Subject}, columns...)...)
	} else {
		err = g.tx.Exec(ChangeIncident, append(columns, held.seq)...)
	}
	if err != nil {
		return err
	}
	nodes := nodesOf(i)
	if err := g.difference(held.nodes, nodes, DropIncidentNode, AddIncidentNode, held.seq); err != nil {
		return err
	}
	held.nodes, held.dirty = nodes, false
	return nil
}
