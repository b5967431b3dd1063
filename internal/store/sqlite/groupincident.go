package sqlite

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/whyrestart/whyrestart/internal/issue"
)

// Incident implements issue.Tx.
func (g *group) Incident(id string) (*issue.Incident, error) {
	held, err := g.holdIncident(id)
	if held == nil || err != nil {
		return nil, err
	}
	return held.incident, nil
}

func (g *group) holdIncident(id string) (*heldIncident, error) {
	if held, ok := g.incidents[id]; ok {
		return held, nil
	}
	var seq int64
	var doc []byte
	found, err := g.one(findIncident, []any{id}, &seq, &doc)
	if err != nil {
		return nil, fmt.Errorf("incident %s: %w", id, err)
	}
	if !found {
		return nil, nil
	}
	i, err := g.writer.codec.incident(doc)
	if err != nil {
		// As for an issue; only that its records are not counted again.
		g.writer.logger.WarnContext(g.ctx, "removed a stored incident that cannot be read", "id", id, "error", err)
		_, err := g.exec(dropIncident, seq)
		return nil, err
	}
	held := &heldIncident{seq: seq, incident: &i, nodes: nodesOf(&i)}
	g.incidents[id] = held
	return held, nil
}

// Around implements issue.Tx. Rows can be behind what was put; what is held is as it is.
func (g *group) Around(cluster, kind, subject string, since time.Time) (*issue.Incident, error) {
	stored, err := g.ids(findAround, kind, subject, nanos(since), cluster)
	if err != nil {
		return nil, fmt.Errorf("incidents of %s %s: %w", kind, subject, err)
	}
	for _, id := range stored {
		if _, err := g.holdIncident(id); err != nil {
			return nil, err
		}
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
func (g *group) PutIncident(i *issue.Incident) error {
	held, err := g.holdIncident(i.ID)
	if err != nil {
		return err
	}
	if held != nil {
		held.incident, held.dirty = i, true
		return nil
	}
	columns, err := g.incidentColumns(i)
	if err != nil {
		return fmt.Errorf("encode incident %s: %w", i.ID, err)
	}
	done, err := g.exec(addIncident, append([]any{i.ID, i.Cluster, i.Kind, i.Subject}, columns...)...)
	if err != nil {
		return fmt.Errorf("add incident %s: %w", i.ID, err)
	}
	held = &heldIncident{incident: i}
	if held.seq, err = done.LastInsertId(); err != nil {
		return err
	}
	g.incidents[i.ID] = held
	return g.writeIncidentNodes(held)
}

func (g *group) incidentColumns(i *issue.Incident) ([]any, error) {
	packed, err := g.writer.codec.packIncident(i)
	if err != nil {
		return nil, err
	}
	return []any{nanos(i.Last), i.Shown(), packed}, nil
}

// nodesOf are the nodes by which an incident is found.
func nodesOf(i *issue.Incident) []string {
	nodes := values(i.Nodes)
	if i.Kind == issue.OnNode && !slices.Contains(nodes, i.Subject) {
		nodes = append(nodes, i.Subject)
	}
	return nodes
}

func (g *group) writeIncidentNodes(held *heldIncident) error {
	nodes := nodesOf(held.incident)
	if err := g.difference(held.nodes, nodes, dropIncidentNode, addIncidentNode, held.seq); err != nil {
		return fmt.Errorf("change the nodes of incident %s: %w", held.incident.ID, err)
	}
	held.nodes = nodes
	return nil
}

// DeleteIncident implements issue.Tx.
func (g *group) DeleteIncident(id string) error {
	held, err := g.holdIncident(id)
	if held == nil || err != nil {
		return err
	}
	if _, err := g.exec(dropIncident, held.seq); err != nil {
		return fmt.Errorf("delete incident %s: %w", id, err)
	}
	delete(g.incidents, id)
	return nil
}

func (g *group) flushIncidents() error {
	for _, id := range slices.Sorted(maps.Keys(g.incidents)) {
		held := g.incidents[id]
		if !held.dirty {
			continue
		}
		columns, err := g.incidentColumns(held.incident)
		if err != nil {
			return fmt.Errorf("encode incident %s: %w", id, err)
		}
		if _, err := g.exec(changeIncident, append(columns, held.seq)...); err != nil {
			return fmt.Errorf("change incident %s: %w", id, err)
		}
		if err := g.writeIncidentNodes(held); err != nil {
			return err
		}
		held.dirty = false
	}
	return nil
}
