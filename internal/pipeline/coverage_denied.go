package pipeline

import (
	"context"
	"strings"
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
)

// Asked is what an API server was asked for, as RBAC names it.
type Asked struct {
	Verb string
	// Resource is as kubectl spells it: "pods/log", "jobs.batch".
	Resource string
	// Namespace is empty for all of them, and for what is in none.
	Namespace string
}

// Refusal tells why an API server did not answer.
type Refusal string

// The refusals, and none.
const (
	Answered     Refusal = ""
	Forbidden    Refusal = "not allowed to"
	Unauthorized Refusal = "the credentials are not accepted to"
)

// inMany is the scope of what is refused in more namespaces than are told apart.
const inMany = "many namespaces"

// scope and why are those of a gap; parseDenied reads them.
func (a Asked) scope() string {
	if a.Namespace == "" {
		return a.Resource
	}
	return a.Resource + " in " + a.Namespace
}

func (r Refusal) why(a Asked) string { return string(r) + " " + a.Verb }

func vague(scope string) bool { return strings.HasSuffix(scope, " in "+inMany) }

// Denied is what a gap of kind GapPermission is about; false for other gaps.
func Denied(g record.Gap) (Asked, bool) {
	if g.Kind != record.GapPermission {
		return Asked{}, false
	}
	var a Asked
	a.Resource, a.Namespace, _ = strings.Cut(g.Scope, " in ")
	a.Verb = g.Why[strings.LastIndex(g.Why, " ")+1:]
	return a, a.Resource != "" && a.Verb != ""
}

// Heard notes what an API server answered to a request.
func (w *Witness) Heard(a Asked, r Refusal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r == Answered {
		w.allowed(a)
		return
	}
	g := record.Gap{Kind: record.GapPermission, Scope: a.scope(), Why: r.why(a), Count: 1}
	if _, known := w.lapses[keyOfGap(g)]; !known && len(w.lapses) >= maxLapses && a.Namespace != "" {
		a.Namespace = inMany
		g.Scope = a.scope()
	}
	w.fails(g).vague = vague(g.Scope)
	w.countDenied()
}

// allowed ends what was refused before. The caller holds mu.
func (w *Witness) allowed(a Asked) {
	if len(w.lapses) == 0 {
		return
	}
	ended := false
	for _, r := range []Refusal{Forbidden, Unauthorized} {
		ended = w.works(lapseKey{kind: record.GapPermission, scope: a.scope(), why: r.why(a)}) || ended
	}
	if ended {
		w.countDenied()
	}
}

// countDenied tells the meter what is refused at the moment. The caller holds mu.
func (w *Witness) countDenied() {
	if w.meter == nil {
		return
	}
	counts := make(map[Asked]int)
	for _, l := range w.lapses {
		a, ok := Denied(l.Gap)
		if !ok {
			continue
		}
		a.Namespace = ""
		counts[a] += 0 // what is over is told too
		if l.fine.IsZero() {
			counts[a]++
		}
	}
	for a, n := range counts {
		w.meter.Denied(a.Verb, a.Resource, n)
	}
}

const (
	// askEvery is how often it is asked whether what was refused is allowed by now: what needs it
	// may not come for days. askAtOnce bounds the questions of one time.
	askEvery  = time.Minute
	askAtOnce = 20
)

// Ask asks now and then whether what was refused is allowed by now, until ctx ends. allowed asks
// the API server, and returns an error where it cannot say.
func (w *Witness) Ask(ctx context.Context, allowed func(context.Context, Asked) (bool, error)) {
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		for _, a := range w.denied() {
			ok, err := allowed(ctx, a)
			if err != nil {
				break // of the others it cannot say more at the moment
			}
			if ok {
				w.mu.Lock()
				w.allowed(a)
				w.mu.Unlock()
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// denied returns some of what is refused, others each time.
func (w *Witness) denied() []Asked {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []Asked
	for _, l := range w.lapses {
		if a, ok := Denied(l.Gap); ok && l.fine.IsZero() && !l.vague {
			out = append(out, a)
			if len(out) == askAtOnce {
				break
			}
		}
	}
	return out
}
