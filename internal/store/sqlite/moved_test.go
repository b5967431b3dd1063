package sqlite

import (
	"errors"
	"os"
	"testing"

	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/storetest"
)

// A file that is not there any more takes nothing: SQLite would go on writing to it, and all
// of that would be gone with the process.
func TestFileTakenAway(t *testing.T) {
	for name, take := range map[string]func(path string) error{
		"deleted": os.Remove,
		"moved":   func(path string) error { return os.Rename(path, path+".old") },
		"replaced": func(path string) error {
			return errors.Join(os.Rename(path, path+".old"), os.WriteFile(path, []byte("another"), 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTest(t)
			mustAppend(t, s, storetest.Sample(0))
			if err := take(s.path); err != nil {
				t.Fatal(err)
			}
			err := s.Append(t.Context(), store.Batch{Records: samples(1, 1)})
			if !errors.Is(err, errMoved) || errors.Is(err, store.ErrUnavailable) {
				t.Errorf("append returned %v", err)
			}
		})
	}
}

// Where the file is put back, it is taken up again.
func TestFilePutBack(t *testing.T) {
	s := newTest(t)
	if err := os.Rename(s.path, s.path+".old"); err != nil {
		t.Fatal(err)
	}
	if err := s.Append(t.Context(), store.Batch{Records: samples(0, 1)}); !errors.Is(err, errMoved) {
		t.Errorf("append returned %v", err)
	}
	if err := os.Rename(s.path+".old", s.path); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, storetest.Sample(0))
}
