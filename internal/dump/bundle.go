package dump

import (
	"io"
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

// Redactor replaces the secrets in the lines of one text; redact.Redactor is one.
type Redactor interface {
	Lines(lines []string) ([]string, int)
}

// WriteBundle writes a .tar.gz that ReadDump reads, in the layout of "kubectl
// cluster-info dump", in which nothing secret is left: the values of environment
// variables, header values and the applied configuration are always replaced, and
// every other text goes through r. Names, among them those of Secrets, are kept.
// The same contents and time give the same bytes.
func WriteBundle(w io.Writer, c Contents, r Redactor, at time.Time) error {
	b := &bundle{redactor: r, at: at}
	return b.write(w, c)
}
