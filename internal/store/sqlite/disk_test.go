//go:build !race

// The race detector comes with checks of pointers that SQLite's C, which keeps pointers as numbers,
// does not pass: "make test" runs this file without it.

package sqlite

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/store"
	"github.com/whyrestart/whyrestart/internal/store/storetest"
)

// disk puts itself between SQLite and the operating system: it lets calls for the files of
// one folder fail, as a failing disk does, which no test could ask of a real one.
var disk struct {
	install sync.Once
	open    func(tls *libc.TLS, vfs, name, file uintptr, flags int32, out uintptr) int32
	methods map[uintptr]*sqlite3.Tsqlite3_io_methods
	mu      sync.Mutex
	// folder is whose files fail; fault chooses the calls, with what they answer: 0 for those that
	// work.
	folder string
	files  map[uintptr]bool
	keep   []any
	fault  atomic.Pointer[func(call string) int32]
}

// pointer is p as a pointer; SQLite keeps pointers as numbers.
func pointer[T any](p uintptr) *T { return *(**T)(unsafe.Pointer(&p)) }

// number is a function as SQLite keeps it, which the garbage collector does not see; function the
// way back.
func number[F any](f F) uintptr {
	disk.keep = append(disk.keep, f)
	return *(*uintptr)(unsafe.Pointer(&f))
}

func function[F any](p uintptr) (f F) {
	*(*uintptr)(unsafe.Pointer(&f)) = p
	return f
}

func cString(p uintptr) string {
	var b strings.Builder
	for ; p != 0 && *pointer[byte](p) != 0; p++ {
		b.WriteByte(*pointer[byte](p))
	}
	return b.String()
}

type (
	syncFile  = func(tls *libc.TLS, file uintptr, flags int32) int32
	writeFile = func(tls *libc.TLS, file, data uintptr, n int32, at int64) int32
	readFile  = func(tls *libc.TLS, file, data uintptr, n int32, at int64) int32
	sizeFile  = func(tls *libc.TLS, file uintptr, size int64) int32
	closeFile = func(tls *libc.TLS, file uintptr) int32
)

// failing returns what a call for a file shall answer, 0 where it shall be made.
func failing(file uintptr, call string) int32 {
	fault := disk.fault.Load()
	if fault == nil {
		return 0
	}
	disk.mu.Lock()
	mine := disk.files[file]
	disk.mu.Unlock()
	if !mine {
		return 0
	}
	return (*fault)(call)
}

func openOnDisk(tls *libc.TLS, vfs, name, file uintptr, flags int32, out uintptr) int32 {
	rc := disk.open(tls, vfs, name, file, flags, out)
	f := pointer[sqlite3.Tsqlite3_file](file)
	if rc != 0 || f.FpMethods == 0 {
		return rc
	}
	disk.mu.Lock()
	defer disk.mu.Unlock()
	if disk.folder == "" || !strings.HasPrefix(cString(name), disk.folder) {
		return rc
	}
	disk.files[file] = true
	real := f.FpMethods
	m, ok := disk.methods[real]
	if !ok {
		c := *pointer[sqlite3.Tsqlite3_io_methods](real)
		was := c
		m = &c
		m.FxSync = number[syncFile](func(tls *libc.TLS, file uintptr, flags int32) int32 {
			if rc := failing(file, "sync"); rc != 0 {
				return rc
			}
			return function[syncFile](was.FxSync)(tls, file, flags)
		})
		m.FxWrite = number[writeFile](func(tls *libc.TLS, file, data uintptr, n int32, at int64) int32 {
			if rc := failing(file, "write"); rc != 0 {
				return rc
			}
			return function[writeFile](was.FxWrite)(tls, file, data, n, at)
		})
		m.FxRead = number[readFile](func(tls *libc.TLS, file, data uintptr, n int32, at int64) int32 {
			if rc := failing(file, "read"); rc != 0 {
				return rc
			}
			return function[readFile](was.FxRead)(tls, file, data, n, at)
		})
		m.FxTruncate = number[sizeFile](func(tls *libc.TLS, file uintptr, size int64) int32 {
			if rc := failing(file, "truncate"); rc != 0 {
				return rc
			}
			return function[sizeFile](was.FxTruncate)(tls, file, size)
		})
		m.FxClose = number[closeFile](func(tls *libc.TLS, file uintptr) int32 {
			disk.mu.Lock()
			delete(disk.files, file)
			disk.mu.Unlock()
			return function[closeFile](was.FxClose)(tls, file)
		})
		disk.methods[real] = m
	}
	f.FpMethods = uintptr(unsafe.Pointer(m))
	return rc
}

// onDisk lets the files of a folder fail from now on as the function says that it returns is told.
func onDisk(t *testing.T, folder string) (fail func(func(call string) int32)) {
	t.Helper()
	disk.install.Do(func() {
		tls := libc.NewTLS()
		defer tls.Close()
		vfs := pointer[sqlite3.Tsqlite3_vfs](sqlite3.Xsqlite3_vfs_find(tls, 0))
		disk.open = function[func(*libc.TLS, uintptr, uintptr, uintptr, int32, uintptr) int32](vfs.FxOpen)
		disk.methods, disk.files = make(map[uintptr]*sqlite3.Tsqlite3_io_methods), make(map[uintptr]bool)
		vfs.FxOpen = number(openOnDisk)
	})
	disk.mu.Lock()
	disk.folder = folder
	disk.mu.Unlock()
	t.Cleanup(func() {
		disk.fault.Store(nil)
		disk.mu.Lock()
		disk.folder = ""
		disk.mu.Unlock()
	})
	return func(f func(string) int32) {
		if f == nil {
			disk.fault.Store(nil)
			return
		}
		disk.fault.Store(&f)
	}
}

// A disk that fails at each of the calls that an append makes, in every way that it can: the append
// fails as unavailable and stores nothing or all, what was stored before is whole, and the same
// append works when the disk does.
func TestFailingDisk(t *testing.T) {
	folder := t.TempDir()
	fail := onDisk(t, folder)
	for _, c := range []struct {
		name string
		call string
		code int32
		word string
	}{
		{"an error at fsync", "sync", sqlite3.SQLITE_IOERR_FSYNC, "I/O"},
		{"an error of a write", "write", sqlite3.SQLITE_IOERR_WRITE, "I/O"},
		{"no room for a write", "write", sqlite3.SQLITE_FULL, "full"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := openTest(t, Options{Path: filepath.Join(folder, strings.ReplaceAll(c.name, " ", "-"), "history.db")})
			mustAppend(t, s, samples(0, 20)...)
			stored, failed := 20, 0
			for after := range 60 {
				left := after * after / 20
				fail(func(call string) int32 {
					if call != c.call {
						return 0
					}
					if left--; left >= 0 {
						return 0
					}
					return c.code
				})
				batch := store.Batch{Cluster: "prod", Records: samples(1000+after*3, 3), Marks: []record.Mark{{ContainerKey: record.ContainerKey{PodUID: "pod"}, Accounted: after}}}
				err := s.Append(t.Context(), batch)
				ack := s.Acknowledge(t.Context(), store.Outbox{Cluster: "prod", Consumer: "log"}, 1)
				fail(nil)
				for _, err := range []error{err, ack} {
					if err == nil {
						continue
					}
					failed++
					if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), c.word) {
						t.Fatalf("after %d calls: %v", after, err)
					}
				}
				if err != nil {
					if err := s.Append(t.Context(), batch); err != nil {
						t.Fatalf("the disk works again, and the append does not: %v", err)
					}
				}
				stored += 3
				if n := count(t, s); n != int64(stored) {
					t.Fatalf("after %d calls: %d records are stored, want %d", after, n, stored)
				}
			}
			if failed == 0 || failed == 120 {
				t.Error("nothing failed")
			}
			t.Logf("%d of 120 calls failed", failed)
			checkIntegrity(t, s)
		})
	}
}

// A disk that fails while the store is opened or made: an error that names the file, and no
// half of a store where the next attempt succeeds.
func TestFailingDiskAtOpen(t *testing.T) {
	folder := t.TempDir()
	fail := onDisk(t, folder)
	for _, call := range []string{"sync", "write", "read"} {
		refused := 0
		for after := 0; after < 200; after += 23 {
			path := filepath.Join(folder, call, string(rune('a'+after/23)), "history.db")
			left := after
			fail(func(is string) int32 {
				if is != call {
					return 0
				}
				if left--; left >= 0 {
					return 0
				}
				return sqlite3.SQLITE_IOERR
			})
			s, err := Open(t.Context(), Options{Path: path})
			fail(nil)
			if err == nil {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			} else {
				refused++
				if !strings.HasPrefix(err.Error(), "open store "+path+": ") || strings.Contains(err.Error(), "\n") {
					t.Errorf("after %d calls of %s: %v", after, call, err)
				}
			}
			s, err = Open(context.Background(), Options{Path: path})
			if err != nil {
				t.Fatalf("after %d calls of %s, and with a disk that works again: %v", after, call, err)
			}
			mustAppend(t, s, storetest.Sample(1))
			checkIntegrity(t, s)
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		if refused == 0 {
			t.Errorf("no failure of %s was met", call)
		}
	}
}
