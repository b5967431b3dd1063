package dump

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/whyrestart/whyrestart/internal/record"
)

// Input is one recorded stream by name.
type Input struct {
	Name   string
	Reader io.Reader
}

// maxInputs bounds how many streams are read at once.
const maxInputs = 256

// Replay reads recorded watch streams at once, merged by resource version, and calls
// handle for each event. One stream's own order is kept whatever its versions are,
// since a list at its beginning comes in the order of names, and among equal versions
// the earlier input comes first; so only one event of each stream is held in memory.
// Versions of kinds that the cluster keeps in different databases do not compare.
//
// It returns what could not be used. An input of which nothing could be read is among
// that, and is an error where it is the only one. The first error of handle ends the
// replay and is returned as it is.
func Replay(ctx context.Context, inputs []Input, limits Limits, handle func(Event) error) ([]record.Missing, error) {
	if len(inputs) > maxInputs {
		return nil, fmt.Errorf("replay %d recordings at once: at most %d can be merged", len(inputs), maxInputs)
	}
	var m merge
	var missing []record.Missing
	var unread []unreadable
	for i, in := range inputs {
		w, err := NewWatchReader(in.Name, in.Reader, limits)
		if err != nil {
			unread = append(unread, unreadable{in.Name, err})
			continue
		}
		s := &stream{reader: w, place: i}
		switch err := s.advance(); {
		case err == nil:
			m = append(m, s)
		case errors.Is(err, io.EOF):
			missing = append(missing, w.Missing()...)
		default:
			unread = append(unread, unreadable{in.Name, err})
		}
	}
	heap.Init(&m)
	for len(m) > 0 {
		if err := ctx.Err(); err != nil {
			return missing, err
		}
		s := m[0]
		if err := handle(s.head); err != nil {
			return append(missing, s.reader.Missing()...), err
		}
		switch err := s.advance(); {
		case err == nil:
			heap.Fix(&m, 0)
		case errors.Is(err, io.EOF):
			missing = append(missing, s.reader.Missing()...)
			heap.Pop(&m)
		default:
			unread = append(unread, unreadable{inputs[s.place].Name, err})
			heap.Pop(&m)
		}
	}
	if len(unread) > 0 && len(unread) == len(inputs) {
		errs := make([]error, len(unread))
		for i, u := range unread {
			errs[i] = u.err
		}
		return missing, errors.Join(errs...)
	}
	for _, u := range unread {
		missing = append(missing, record.Missing{What: u.name, Why: u.err.Error()})
	}
	return missing, nil
}

// unreadable is an input of which nothing could be read.
type unreadable struct {
	name string
	err  error
}

// ReplayFiles replays the named files; "-" stands for stdin. All of them must exist.
func ReplayFiles(ctx context.Context, names []string, stdin io.Reader, limits Limits, handle func(Event) error) (missing []record.Missing, err error) {
	inputs := make([]Input, 0, len(names))
	for _, name := range names {
		if name == "-" {
			inputs = append(inputs, Input{standardInput, stdin})
			continue
		}
		f, err := openFile(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		inputs = append(inputs, Input{name, f})
	}
	return Replay(ctx, inputs, limits, handle)
}

func openFile(name string) (*os.File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open a recording: %w", err)
	}
	if info, err := f.Stat(); err == nil && info.IsDir() {
		_ = f.Close() // it was only looked at
		return nil, fmt.Errorf("open a recording: %s is a folder, a recorded watch is a file", name)
	}
	return f, nil
}

// stream is a reader with the event that it gives next.
type stream struct {
	reader *WatchReader
	place  int
	head   Event
	// key is the highest resource version so far: an older one after it belongs here too.
	key uint64
}

func (s *stream) advance() error {
	e, err := s.reader.Next()
	if err != nil {
		return err
	}
	s.head = e
	s.key = max(s.key, e.ResourceVersion)
	return nil
}

// merge is a heap of streams, the one whose event comes next on top.
type merge []*stream

func (m merge) Len() int      { return len(m) }
func (m merge) Swap(i, j int) { m[i], m[j] = m[j], m[i] }
func (m merge) Less(i, j int) bool {
	if m[i].key != m[j].key {
		return m[i].key < m[j].key
	}
	return m[i].place < m[j].place
}
func (m *merge) Push(x any) { *m = append(*m, x.(*stream)) } //nolint:errcheck,forcetypeassert // heap.Interface of streams alone
func (m *merge) Pop() any {
	old := *m
	last := old[len(old)-1]
	*m = old[:len(old)-1]
	return last
}
