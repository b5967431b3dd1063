package dump

import (
	"cmp"
	"io"
	"slices"
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
)

// Contents is what a bundle is made of.
type Contents struct {
	// Objects are API objects of the kinds that are read, in any order. They are not changed.
	Objects []Object
	Logs    []ContainerLog
	// Missing says what whoever gathered the objects could not read.
	Missing []record.Missing
}

// ContainerLog is the end of the current or the previous log of a container, or why
// there is none.
type ContainerLog struct {
	Namespace, Pod, Container string
	Previous                  bool
	Lines                     []string
	Missing                   string
}

// Logs returns the recorded tails, in the order of their names, of containers that are known by name.
func (o *Objects) Logs() []ContainerLog {
	o.mu.RLock()
	defer o.mu.RUnlock()
	var out []ContainerLog
	for key, log := range o.logs {
		if key.container != "" {
			out = append(out, ContainerLog{
				Namespace: key.namespace, Pod: key.pod, Container: key.container, Previous: key.previous,
				Lines: log.Lines, Missing: log.Missing,
			})
		}
	}
	slices.SortFunc(out, func(a, b ContainerLog) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Pod, b.Pod), cmp.Compare(a.Container, b.Container), compareBool(a.Previous, b.Previous))
	})
	return out
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// Redactor replaces the secrets in the lines of one text; redact.Redactor is one.
type Redactor interface {
	Lines(lines []string) ([]string, int)
}

// WriteBundle writes a .tar.gz that ReadDump reads, in the layout of "kubectl
// cluster-info dump", in which nothing secret is left: the values of environment
// variables, header values and the applied configuration are always replaced, and
// every other text goes through r. Names, among them those of Secrets, are kept, and of
// ConfigMaps who wrote them and when alone.
// The same contents and time give the same bytes.
func WriteBundle(w io.Writer, c Contents, r Redactor, at time.Time) error {
	b := &bundle{redactor: r, at: at}
	return b.write(w, c)
}
