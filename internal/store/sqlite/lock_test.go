//go:build unix

package sqlite

import (
	"errors"
	"path/filepath"
	"testing"
)

// One server at a time has a file for itself, or several that elect a leader; who reads or writes a word
// is let in beside them.
func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	open := func(l Lock) (*Store, error) {
		return Open(t.Context(), Options{Path: path, Lock: l})
	}
	tests := []struct {
		have, want Lock
		refused    bool
	}{
		{Exclusive, Exclusive, true},
		{Exclusive, Shared, true},
		{Shared, Exclusive, true},
		{Shared, Shared, false},
		{Exclusive, NoLock, false},
		{NoLock, Exclusive, false},
	}
	for _, tt := range tests {
		first, err := open(tt.have)
		if err != nil {
			t.Fatalf("%v after all were closed: %v", tt.have, err)
		}
		second, err := open(tt.want)
		if errors.Is(err, errLocked) != tt.refused || err != nil && !tt.refused {
			t.Errorf("%v beside %v: %v", tt.want, tt.have, err)
		}
		if err == nil {
			if err := second.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := first.Close(); err != nil {
			t.Error(err)
		}
	}
}
