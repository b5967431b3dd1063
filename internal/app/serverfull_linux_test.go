package app

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/whyrestart/whyrestart/internal/store/postgres/pgtest"
)

// A database whose disk is full refuses what would grow it, and takes it when there is room.
func TestDiskOfTheServerFull(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("to mount a small disk takes root")
	}
	server := pgtest.Start(t, pgtest.Options{})
	disk, err := os.MkdirTemp("/tmp", "pgfull")
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=64m,mode=0755"); err != nil {
		_ = os.Remove(disk)
		t.Skipf("mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
		_ = os.Remove(disk)
	})
	space := filepath.Join(disk, "space")
	if err := os.Mkdir(space, 0o700); err != nil {
		t.Fatal(err)
	}
	server.Own(t, space)
	server.Exec(t, "postgres", "CREATE TABLESPACE small LOCATION '"+space+"'")
	server.Exec(t, "postgres", "CREATE DATABASE history TABLESPACE small")
	h := write(t, bounded(server.URL("history")), "prod")
	h.more(10)
	filler := filepath.Join(disk, "filler")
	fill(t, filler)
	h.inTrouble()
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	h.more(10)
	h.check()
}

// fill writes a file until there is no room for more.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int{1 << 20, 1 << 12, 1} {
		block := make([]byte, size)
		for {
			if _, err := f.Write(block); err != nil {
				break
			}
		}
	}
}
