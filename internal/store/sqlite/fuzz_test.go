package sqlite

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/storetest"
)

// FuzzLookup asks for whatever a person or a program may give as the ID of a record or an issue, or
// as a cursor, and holds that it is found, or refused in one of the ways that callers tell apart.
func FuzzLookup(f *testing.F) {
	s, err := Open(f.Context(), Options{Path: filepath.Join(f.TempDir(), "history.db")})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := s.Close(); err != nil {
			f.Error(err)
		}
	})
	for n := range 40 {
		if err := s.Append(f.Context(), store.Batch{Records: samples(n, 1)}); err != nil {
			f.Fatal(err)
		}
	}
	_, cursor, err := s.List(f.Context(), store.Query{Limit: 7})
	if err != nil {
		f.Fatal(err)
	}
	_, issues, err := s.Issues(f.Context(), store.IssueQuery{Limit: 7})
	if err != nil {
		f.Fatal(err)
	}
	id := storetest.Sample(3).ID
	for _, text := range []string{"", cursor, issues, cursor[:5], cursor + "A", id, id[:store.MinPrefix], id[:store.MinPrefix-1], "WR-4F2A1C", "wr-", "%", "______", "'; DROP TABLE records; --", "\x00", "\xff\xfe", "ffffffff", "ſſſſſſ"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		records, _, err := s.List(t.Context(), store.Query{Cursor: text})
		if err != nil && !errors.Is(err, store.ErrCursor) || len(records) > 40 || text == "" && len(records) != 40 {
			t.Errorf("list behind %q: %d records, error %v", text, len(records), err)
		}
		if _, _, err := s.Issues(t.Context(), store.IssueQuery{Cursor: text}); err != nil && !errors.Is(err, store.ErrCursor) {
			t.Errorf("issues behind %q: %v", text, err)
		}
		r, err := s.Get(t.Context(), text)
		if err == nil && (len(text) < store.MinPrefix || r.ID[:len(text)] != text) {
			t.Errorf("%q finds %s", text, r.ID)
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrAmbiguous) {
			t.Errorf("get %q: %v", text, err)
		}
		for _, err := range []error{second(s.Issue(t.Context(), text)), second(s.Incident(t.Context(), text)), second(s.Evidence(t.Context(), text))} {
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				t.Errorf("look up %q: %v", text, err)
			}
		}
	})
}

func second[T any](_ T, err error) error { return err }
