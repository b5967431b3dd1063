package sqlite

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/storetest"
)

// What lies beside a whole file, or what is lost of it, is no reason to lose the rest: or it is refused.
func TestOpenBesideGarbage(t *testing.T) {
	for _, suffix := range []string{"-wal", "-shm", "-journal"} {
		path := stored(t, 50)
		write(t, path+suffix, bytes.Repeat([]byte("no log of this file "), 500))
		s, err := Open(t.Context(), Options{Path: path})
		if err != nil {
			t.Errorf("garbage at %s: %v", suffix, err)
			continue
		}
		if n := count(t, s); n != 50 {
			t.Errorf("garbage at %s: %d records of 50", suffix, n)
		}
		mustAppend(t, s, storetest.Sample(50))
		checkIntegrity(t, s)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// The end of a write-ahead log that a machine lost with its power: what was synced before is there.
func TestOpenTornLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	writer := openTest(t, Options{Path: path})
	mustAppend(t, writer, samples(0, 30)...)
	log, err := os.ReadFile(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, writer, samples(30, 30)...)
	whole, err := os.ReadFile(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, torn := range [][]byte{
		whole[:len(log)+(len(whole)-len(log))/2],
		append(bytes.Clone(whole[:len(whole)-100]), make([]byte, 100)...),
		append(bytes.Clone(log), bytes.Repeat([]byte{0xA5}, len(whole)-len(log))...),
	} {
		left := filepath.Join(t.TempDir(), "history.db")
		write(t, left, file)
		write(t, left+"-wal", torn)
		s, err := Open(t.Context(), Options{Path: left})
		if err != nil {
			t.Fatal(err)
		}
		if n := count(t, s); n != 30 {
			t.Errorf("there are %d records, want the 30 that were stored before", n)
		}
		checkIntegrity(t, s)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Damage that is met while the store is open is an error that says what to do, not one that another
// attempt could mend; nothing panics, and what is whole is still read.
func TestDamageWhileOpen(t *testing.T) {
	path := stored(t, 400)
	s := openTest(t, Options{Path: path})
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 4096; i < len(content); i++ {
		content[i] = 0xA5
	}
	write(t, path, content)
	for _, err := range []error{
		s.Append(t.Context(), store.Batch{Records: samples(400, 10)}),
		func() error { _, _, err := s.List(t.Context(), store.Query{}); return err }(),
	} {
		if err == nil {
			continue // it was in the cache
		}
		if errors.Is(err, store.ErrUnavailable) || !errors.Is(err, errDamaged) || strings.Contains(err.Error(), "\n") {
			t.Errorf("met damage: %v", err)
		}
	}
	if err := s.Append(t.Context(), store.Batch{Records: samples(500, 300)}); err == nil || !errors.Is(err, errDamaged) {
		t.Errorf("an append to a damaged file: %v", err)
	}
	reopened, err := Open(t.Context(), Options{Path: path, ReadOnly: true})
	if err == nil {
		t.Error(reopened.Close(), "it was opened again")
	}
}

// FuzzOpen opens a history of which bytes were changed: it is refused with one line that names the
// file, or it is opened, and then reading and writing end with errors at worst; a file that is
// refused is left as it was.
func FuzzOpen(f *testing.F) {
	path := filepath.Join(f.TempDir(), "history.db")
	s, err := Open(f.Context(), Options{Path: path})
	if err != nil {
		f.Fatal(err)
	}
	if err := s.Append(f.Context(), store.Batch{Records: samples(0, 40), Cluster: "prod"}); err != nil {
		f.Fatal(err)
	}
	if err := s.Close(); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	// Of 6 bytes each: where, what, and how often; the last bit of "how often" cuts the file there.
	patch := func(at uint32, value, times byte) []byte {
		return append(binary.BigEndian.AppendUint32(nil, at), value, times)
	}
	for _, at := range []uint32{0, 16, 18, 24, 28, 44, 52, 60, 68, 92, 100, 103, 105, 108, 4096, 4099, 4101, 8192, 8200, 12288, 3 * 4096, 5*4096 + 3} {
		f.Add(patch(at, 0xFF, 2))
		f.Add(patch(at, 0, 60))
		f.Add(patch(at, 1, 1))
	}
	f.Add(append(patch(18, 1, 2), patch(19, 1, 2)...)) // another journal mode
	f.Add(patch(60, 0, 8))                             // no application
	f.Fuzz(func(t *testing.T, patches []byte) {
		content := bytes.Clone(whole)
		for n := 0; len(patches) >= 6 && n < 16; n++ {
			at := int(binary.BigEndian.Uint32(patches)) % max(1, len(content))
			value, times := patches[4], int(patches[5])
			if times&1 == 1 {
				content = content[:at]
			} else {
				for i := range min(times, len(content)-at) {
					content[at+i] = value
				}
			}
			patches = patches[6:]
		}
		path := filepath.Join(t.TempDir(), "history.db")
		write(t, path, content)
		s, err := Open(t.Context(), Options{Path: path})
		if err != nil {
			if !strings.HasPrefix(err.Error(), "open store "+path+": ") || strings.Contains(err.Error(), "\n") {
				t.Errorf("refused as %q", err)
			}
			if left, err := os.ReadFile(path); err != nil || !bytes.Equal(left, content) {
				t.Errorf("a file that was refused was changed, error %v", err)
			}
			return
		}
		// What was not found at once ends in errors, not in a panic or a hang.
		_, _, _ = s.List(t.Context(), store.Query{})
		_, _ = s.Stats(t.Context())
		_, _, _ = s.Issues(t.Context(), store.IssueQuery{})
		_, _ = s.Changes(t.Context(), store.Outbox{Cluster: "prod", Consumer: "log"}, 100)
		_ = s.Append(t.Context(), store.Batch{Cluster: "prod", Records: samples(40, 20)})
		if err := s.Close(); err != nil {
			t.Logf("close: %v", err)
		}
	})
}
