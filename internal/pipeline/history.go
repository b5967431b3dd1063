package pipeline

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/whyrestart/whyrestart/internal/evidence"
	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
)

const (
	// historyKept is how many earlier stops of a container are evidence for the next.
	historyKept = 20
	// workloadKept is how many stops of the container of a workload are looked at, of all its pods.
	workloadKept = 50
	// imagesKept is how many images of a container are remembered, the newest ones.
	imagesKept = 8
	// othersKept is how many lifetimes in other pods are evidence.
	othersKept = 8
	// longEnough is how long a container has to run to have got over what ended it before.
	longEnough = 10 * time.Minute
	// pastHolds is how long the reading of a workload's stops serves all of its pods: when
	// thousands of them stop at once, what was recorded before is the same for all.
	pastHolds = 5 * time.Second
	// pastsKept bounds the workloads of which a reading is held.
	pastsKept = 256
)

// evidenceReader reads what a record was diagnosed from. A HistoryReader may implement it too.
type evidenceReader interface {
	Evidence(ctx context.Context, id string) (evidence.Evidence, error)
}

// history reads what was recorded before of the container: in this pod and, unless the stop
// was wanted or the cluster's doing, in all pods of the workload.
func (c *collector) history(ctx context.Context, f *Finding) {
	r := &f.Record
	if c.History == nil || r.Stop == nil {
		return
	}
	var found []record.Record
	var err error
	read := r.Ordinal != 0 || r.Epoch != 0
	if read {
		found, _, err = c.History.List(ctx, store.Query{
			Cluster: r.Cluster, PodUID: r.PodUID, Container: r.Container, Kind: record.KindStop, Limit: historyKept + 1,
		})
	}
	var w workloadPast
	whole := r.Category == record.Failure || r.Category == record.Disruption && r.Diagnosis.Confidence != record.Confirmed
	if err == nil && whole && r.Workload != nil {
		w, err = c.workloadPast(ctx, r)
		read = true
	}
	if read {
		c.note(&f.Evidence, whatHistory, err)
	}
	if err != nil {
		return
	}
	h := historyOf(r, found)
	if whole {
		w.add(found)
		h = w.history(r, h)
	}
	f.Evidence.History = h
}

// historyOf sums up the earlier ones of the stops found, which come newest first; nil for none.
func historyOf(r *record.Record, found []record.Record) *evidence.History {
	var h evidence.History
	for _, old := range slices.Backward(found) {
		if old.Stop == nil || old.ID == r.ID || old.ContainerType != r.ContainerType || !old.When().Before(r.When()) && old.Ordinal >= r.Ordinal {
			continue
		}
		h.Stops++
		at := old.When()
		if h.First.IsZero() {
			h.First = at
		}
		h.Last = at
		if old.RanSeconds != nil {
			h.RanSeconds = append(h.RanSeconds, *old.RanSeconds)
		}
		if old.ExitCode != nil {
			h.ExitCodes = append(h.ExitCodes, *old.ExitCode)
		}
		h.Causes = append(h.Causes, old.Diagnosis.Cause)
	}
	if h.Stops == 0 {
		return nil
	}
	return &h
}

// pastStop is what matters of a stop that was recorded before.
type pastStop struct {
	id, podUID     string
	typ            record.ContainerType
	epoch, ordinal int
	at, began      time.Time
	image, cause   string
	category       record.Category
	// ran is the lifetime in seconds, -1 where it is not known.
	ran int64
}

func pastStopOf(r *record.Record) pastStop {
	s := pastStop{
		id: r.ID, podUID: r.PodUID, typ: r.ContainerType, epoch: r.Epoch, ordinal: r.Ordinal, at: r.When(), began: r.StartedAt,
		image: r.Image, cause: r.Diagnosis.Cause, category: r.Category, ran: -1,
	}
	if r.RanSeconds != nil {
		s.ran = *r.RanSeconds
	}
	return s
}

// before tells that a stop came before that of a record, which is not the same.
func (s *pastStop) before(r *record.Record) bool {
	switch {
	case s.id == r.ID || s.typ != r.ContainerType:
		return false
	case s.podUID == r.PodUID:
		return cmp.Or(cmp.Compare(s.epoch, r.Epoch), cmp.Compare(s.ordinal, r.Ordinal)) < 0
	}
	return s.at.Before(r.When())
}

// workloadPast is what was recorded of the container of a workload.
type workloadPast struct {
	// stops are the newest, images sums up those before them, as far as that is known.
	stops  []pastStop
	images []evidence.ImageHistory
	// cut tells that there are others.
	cut bool
}

// workloadPast returns what was recorded of the container of the workload, which may be some
// seconds old where the cluster is live. It belongs to the caller.
func (c *collector) workloadPast(ctx context.Context, r *record.Record) (workloadPast, error) {
	if !c.live {
		return c.readPast(ctx, r)
	}
	p := c.past.of(pastKey{r.Cluster, r.Namespace, *r.Workload, r.Container}, c.now())
	p.once.Do(func() { p.read, p.err = c.readPast(ctx, r) })
	read := p.read
	read.stops = slices.Clone(read.stops)
	return read, p.err
}

func (c *collector) readPast(ctx context.Context, r *record.Record) (workloadPast, error) {
	found, _, err := c.History.List(ctx, store.Query{
		Cluster: r.Cluster, Namespaces: []string{r.Namespace}, Workload: r.Workload, Container: r.Container, Kind: record.KindStop, Limit: workloadKept,
	})
	if err != nil {
		return workloadPast{}, err
	}
	w := workloadPast{cut: len(found) == workloadKept}
	if w.cut {
		w.images = c.knownImages(ctx, &found)
	}
	for i := range found {
		if found[i].Stop != nil {
			w.stops = append(w.stops, pastStopOf(&found[i]))
		}
	}
	return w, nil
}

// knownImages returns what one of the oldest of the stops found, which come newest first, had
// as its history, and takes off those before it: so it is not forgotten what an image did
// before the newest stops.
func (c *collector) knownImages(ctx context.Context, found *[]record.Record) []evidence.ImageHistory {
	r, ok := c.History.(evidenceReader)
	if !ok {
		return nil
	}
	const tries = 5
	n := len(*found)
	for i := n - 1; i >= 0 && i >= n-tries; i-- {
		if (*found)[i].Category == record.Lifecycle {
			continue
		}
		e, err := r.Evidence(ctx, (*found)[i].ID)
		if err == nil && e.History != nil && len(e.History.Images) > 0 {
			*found = (*found)[:i+1]
			return e.History.Images
		}
	}
	return nil
}

// add adds stops that the reading was too old for.
func (w *workloadPast) add(found []record.Record) {
	var oldest time.Time
	if n := len(w.stops); n > 0 && w.cut {
		oldest = w.stops[n-1].at
	}
	for i := range found {
		if found[i].Stop == nil {
			continue
		}
		s := pastStopOf(&found[i])
		// Those before the oldest are summed up already.
		if !s.at.Before(oldest) && !slices.ContainsFunc(w.stops, func(o pastStop) bool { return o.id == s.id }) {
			w.stops = append(w.stops, s)
		}
	}
}

// history completes the history of a container in its pod, nil for none, by that in all pods.
func (w *workloadPast) history(r *record.Record, h *evidence.History) *evidence.History {
	stops := slices.DeleteFunc(w.stops, func(s pastStop) bool { return !s.before(r) })
	slices.SortFunc(stops, func(a, b pastStop) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.podUID, b.podUID), cmp.Compare(a.epoch, b.epoch), cmp.Compare(a.ordinal, b.ordinal))
	})
	if len(stops) == 0 && len(w.images) == 0 {
		return h
	}
	if h == nil {
		h = new(evidence.History)
	}
	h.Image = r.Image
	h.Images, h.ImagesCut = imagesOf(w.images, stops), w.cut
	if n := len(h.Images); n > imagesKept {
		h.Images, h.ImagesCut = h.Images[n-imagesKept:], true
	}
	survived(h, append(slices.Clone(stops), pastStopOf(r)))
	for i := len(stops) - 1; i >= 0 && len(h.OthersRanSeconds) < othersKept; i-- {
		if s := &stops[i]; s.podUID != r.PodUID && s.category == record.Failure && s.ran >= 0 {
			h.OthersRanSeconds = append(h.OthersRanSeconds, s.ran)
		}
	}
	slices.Reverse(h.OthersRanSeconds)
	return h
}

// imagesOf adds stops to what is known of images, the one that was seen first first.
func imagesOf(known []evidence.ImageHistory, stops []pastStop) []evidence.ImageHistory {
	out := slices.Clone(known)
	for i := range stops {
		s := &stops[i]
		if s.image == "" {
			continue
		}
		at := slices.IndexFunc(out, func(h evidence.ImageHistory) bool { return h.Image == s.image })
		if at < 0 {
			at = len(out)
			out = append(out, evidence.ImageHistory{Image: s.image, First: s.at})
		}
		h := &out[at]
		h.Stops++
		if s.category == record.Failure {
			h.Failures++
		}
		if s.at.After(h.Last) {
			h.Last = s.at
		}
		if s.at.Before(h.First) {
			h.First = s.at
		}
		if !s.began.IsZero() && (h.Began.IsZero() || s.began.Before(h.Began)) {
			h.Began = s.began
		}
		h.LongestSeconds = max(h.LongestSeconds, s.ran)
	}
	slices.SortStableFunc(out, func(a, b evidence.ImageHistory) int { return a.First.Compare(b.First) })
	return out
}

// survived counts after how many of the stops with the newest unwanted one's cause the
// container ran on for long. The last of the stops is the one that the history is for.
func survived(h *evidence.History, stops []pastStop) {
	earlier := stops[:len(stops)-1]
	for i := len(earlier) - 1; i >= 0 && h.SurvivedCause == ""; i-- {
		if earlier[i].category != record.Lifecycle {
			h.SurvivedCause = earlier[i].cause
		}
	}
	if h.SurvivedCause == "" {
		return
	}
	for i := range earlier {
		s := &earlier[i]
		if s.cause != h.SurvivedCause || s.category == record.Lifecycle {
			continue
		}
		h.SurvivedOf++
		if slices.ContainsFunc(stops, func(o pastStop) bool {
			return o.podUID == s.podUID && o.epoch == s.epoch && o.ordinal == s.ordinal+1 && time.Duration(o.ran)*time.Second > longEnough
		}) {
			h.Survived++
		}
	}
}

// pastKey is the container of a workload.
type pastKey struct {
	cluster, namespace string
	workload           record.Workload
	container          string
}

// past holds readings for a few seconds.
type past struct {
	mu    sync.Mutex
	byKey map[pastKey]*pastReading
}

// pastReading is read by the first who wants it.
type pastReading struct {
	at   time.Time
	once sync.Once
	read workloadPast
	err  error
}

// of returns the reading of a key that still holds, or a new one that is to be read.
func (p *past) of(key pastKey, now time.Time) *pastReading {
	p.mu.Lock()
	defer p.mu.Unlock()
	holds := func(r *pastReading) bool { return now.Sub(r.at) < pastHolds && !now.Before(r.at) }
	if r, ok := p.byKey[key]; ok && holds(r) {
		return r
	}
	if len(p.byKey) >= pastsKept {
		for k, r := range p.byKey {
			if !holds(r) {
				delete(p.byKey, k)
			}
		}
	}
	if p.byKey == nil || len(p.byKey) >= pastsKept {
		p.byKey = make(map[pastKey]*pastReading)
	}
	r := &pastReading{at: now}
	p.byKey[key] = r
	return r
}
