package dump

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// errEnough ends the reading of a folder or archive that exceeds a bound.
var errEnough = errors.New("the dump exceeds its bound")

// folder reads the files under dir. Links are not followed, whatever they point to.
func (c *collector) folder(ctx context.Context, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("read a dump: %w", err)
	}
	defer root.Close()
	err = fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			c.miss(name, fmt.Sprintf("cannot be read: %v", err))
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case entry.IsDir():
			return nil
		case !c.another(dir):
			return errEnough
		case !entry.Type().IsRegular():
			c.miss(name, "is not a plain file, and links are not followed")
			return nil
		}
		c.file(name, func() (io.ReadCloser, error) { return root.Open(name) })
		return nil
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the folder %s: %w", dir, err)
	}
	return nil
}

// archive reads the files of a tar archive one after the other, without unpacking it.
func (c *collector) archive(ctx context.Context, archive string, r *tar.Reader) error {
	for {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("read %s: %w", archive, err)
		}
		h, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			c.miss(archive, fmt.Sprintf("reading ends early: %v", err))
			return nil
		case h.Typeflag == tar.TypeDir || h.Typeflag == tar.TypeXGlobalHeader:
			continue
		case !c.another(archive):
			return nil
		}
		name := path.Clean(h.Name)
		switch {
		case h.Typeflag != tar.TypeReg:
			c.miss(shorten([]byte(h.Name), 200), "is not a plain file, and links are not followed")
		case !inside(h.Name):
			c.miss(shorten([]byte(h.Name), 200), "its name leads out of the archive")
		default:
			c.file(name, func() (io.ReadCloser, error) { return io.NopCloser(r), nil })
		}
	}
}

// inside tells that a name in an archive stays in the folder that it would be unpacked to.
func inside(name string) bool {
	return fs.ValidPath(path.Clean(name)) && !strings.Contains(name, `\`) && !strings.Contains("/"+name+"/", "/../")
}

// another counts one more file, and tells whether the bounds allow it.
func (c *collector) another(name string) bool {
	c.files++
	switch {
	case c.files > c.limits.Files:
		c.miss(name, fmt.Sprintf("only the first %d files were read", c.limits.Files))
		return false
	case c.left <= 0:
		c.miss(name, fmt.Sprintf("only the first %s were read", size(c.limits.Total)))
		return false
	}
	return true
}

// buffered returns a reader of lines over a bounded input.
func (in *input) buffered() *bufio.Reader {
	return bufio.NewReaderSize(in, 32*kib)
}
