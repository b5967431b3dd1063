package dump

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
)

// errTooLong ends an input that exceeds its bound.
var errTooLong = errors.New("it is longer than is read")

// input reads a file, decompressed where it is gzip, up to a bound.
type input struct {
	r     *bufio.Reader
	left  int64
	limit int64
	// total is shared by all inputs of a dump; nil where there is no such bound.
	total *int64
}

var gzipMagic = []byte{0x1f, 0x8b}

func newInput(name string, r io.Reader, limit int64) (*input, error) {
	br := bufio.NewReaderSize(r, 64*kib)
	head, err := br.Peek(len(gzipMagic))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if bytes.Equal(head, gzipMagic) {
		z, err := gzip.NewReader(br)
		if err != nil {
			return nil, fmt.Errorf("decompress %s: %w", name, err)
		}
		br = bufio.NewReaderSize(z, 64*kib)
	}
	return &input{r: br, left: limit, limit: limit}, nil
}

// Read reads up to the bounds, and fails with errTooLong or errTotal if there is more.
func (in *input) Read(p []byte) (int, error) {
	left := in.left
	if in.total != nil {
		left = min(left, *in.total)
	}
	if left <= 0 {
		// What ends exactly at the bound is whole.
		if _, err := in.r.Peek(1); err != nil {
			return 0, err
		}
		if in.left > 0 {
			return 0, errTotal
		}
		return 0, fmt.Errorf("%w: %s", errTooLong, size(in.limit))
	}
	if int64(len(p)) > left {
		p = p[:left]
	}
	n, err := in.r.Read(p)
	in.left -= int64(n)
	if in.total != nil {
		*in.total -= int64(n)
	}
	return n, err
}

// errTotal ends a dump that exceeds its bound over all files.
var errTotal = errors.New("the files together are longer than is read")
