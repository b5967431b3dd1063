package pipeline

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/extract"
	"github.com/whyrestart/whyrestart/internal/record"
)

// configMap is what was read of a ConfigMap.
type configMap struct {
	read, created time.Time
	writes        []extract.Write
	err           error
}

// rootCA is the ConfigMap that every namespace has and every pod mounts.
const rootCA = "kube-root-ca.crt"

// configUse is a ConfigMap that a container uses.
type configUse struct {
	name string
	// mounted tells that a write reaches a container that runs already: through a volume, but
	// not through one that is mounted with a sub-path, and never through its environment.
	mounted bool
}

// configUses returns the ConfigMaps that the container uses, or the whole pod where the
// finding is about that.
func configUses(e *evidence.Evidence) []configUse {
	var out []configUse
	use := func(name string, mounted bool) {
		for i := range out {
			if out[i].name == name {
				out[i].mounted = out[i].mounted || mounted
				return
			}
		}
		if name != "" && name != rootCA && len(out) < configMapsRead {
			out = append(out, configUse{name, mounted})
		}
	}
	for _, ref := range e.Container.References {
		if ref.Kind == "ConfigMap" {
			use(ref.Name, false)
		}
	}
	for _, v := range e.Pod.Volumes {
		if v.Kind != "configMap" {
			continue
		}
		if e.Container.Name == "" {
			use(v.Source, true)
			continue
		}
		for _, m := range e.Container.Mounts {
			if m.Volume == v.Name {
				use(v.Source, m.SubPath == "")
			}
		}
	}
	return out
}

// configMaps returns the writes to the ConfigMaps of a container before it began to fail: since
// its pod was created, or lately.
func (c *collector) configMaps(ctx context.Context, f *Finding, p *passage) []record.Change {
	e := &f.Evidence
	var out []record.Change
	for _, use := range configUses(e) {
		m := c.configMap(ctx, types.NamespacedName{Namespace: e.Pod.Namespace, Name: use.name}, p.began)
		switch {
		case apierrors.IsNotFound(m.err):
			continue // which is a cause by itself, and not said here
		case m.err != nil:
			c.note(e, whatConfigMaps, m.err)
			return out
		}
		c.note(e, whatConfigMaps, nil)
		since := p.began.Add(-lately)
		if t := e.Pod.CreatedAt; !t.IsZero() && t.Before(since) {
			since = t
		}
		for _, w := range m.writes {
			if w.Time.After(p.began) || w.Time.Before(since) {
				continue
			}
			if e.Stop != nil && !use.mounted && !e.Stop.StartedAt.IsZero() && w.Time.After(e.Stop.StartedAt) {
				continue // it had its environment by then
			}
			object, what := "ConfigMap "+e.Pod.Namespace+"/"+use.name, "written"
			if w.Time.Equal(m.created) {
				what = "created"
			}
			if w.By != "" {
				what += " by " + w.By
			}
			out = append(out, record.Change{
				Kind: record.ChangeConfigMap, Object: object, Time: w.Time, By: w.By,
				Text: fmt.Sprintf("%s was %s%s", object, what, p.before(w.Time)),
			})
			break // the newest of each is enough
		}
	}
	return out
}

// configMap reads who wrote a ConfigMap and when. A reading that is newer than the beginning of a
// row of failures knows of every write before it, as far as anybody can: a later one hides it.
func (c *collector) configMap(ctx context.Context, name types.NamespacedName, began time.Time) configMap {
	now := c.now()
	m, ok := c.changes.configs.get(name)
	if age := now.Sub(m.read); ok && (age < time.Second || age < fresh && m.err != nil || age < believed && m.err == nil && m.read.After(began.Add(time.Second))) {
		return m
	}
	var o *metav1.PartialObjectMetadata
	m = configMap{read: now}
	if o, m.err = c.Cluster.ConfigMap(ctx, name.Namespace, name.Name); m.err == nil {
		m.created, m.writes = o.CreationTimestamp.UTC(), extract.Writes(o)
		if len(m.writes) == 0 && !m.created.IsZero() {
			m.writes = []extract.Write{{Time: m.created}} // as kubectl shows it
		}
	}
	if ctx.Err() == nil {
		c.changes.configs.put(name, m)
	}
	return m
}
