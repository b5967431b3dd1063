package sqlite

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/whyrestart/whyrestart/internal/record"
)

// dictionary is what record documents are compressed against: a document with the words
// that most of them share. It is part of the file format. It must never change; a better
// one is added with the next number, and the decoder keeps knowing both.
//
//go:embed dictionary/1.json
var dictionary []byte

const (
	dictionaryID = 1
	// window covers a document with its dictionary and most of a log tail. The encoder's
	// tables grow with it.
	window = 256 << 10
	// maxDocument bounds what one stored row may expand to, so that a damaged or planted
	// file cannot take the memory of the process.
	maxDocument = 64 << 20
)

// A codec turns records and logs into the bytes that are stored, and back. It may be
// used by several goroutines at once.
//
// Compression pays: the sample of the benchmarks has 2.2 KB of JSON and 0.58 KB
// compressed (1.0 KB without the dictionary), see BenchmarkBytesPerStop.
type codec struct {
	enc, plain *zstd.Encoder
	dec        *zstd.Decoder
}

func newCodec() (*codec, error) {
	options := []zstd.EOption{
		zstd.WithEncoderConcurrency(1),
		// The default level saves one byte in a hundred, and costs twice the time.
		zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithWindowSize(window),
		zstd.WithLowerEncoderMem(true),
	}
	plain, err := zstd.NewWriter(nil, options...)
	if err != nil {
		return nil, fmt.Errorf("make the compressor of logs: %w", err)
	}
	enc, err := zstd.NewWriter(nil, append(options, zstd.WithEncoderDictRaw(dictionaryID, dictionary))...)
	if err != nil {
		return nil, fmt.Errorf("make the compressor of documents: %w", err)
	}
	dec, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(2),
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(maxDocument),
		zstd.WithDecoderDictRaw(dictionaryID, dictionary),
	)
	if err != nil {
		return nil, fmt.Errorf("make the decompressor: %w", err)
	}
	return &codec{enc: enc, plain: plain, dec: dec}, nil
}

func (c *codec) close() { c.dec.Close() }

// marshalRecord returns the JSON of r without its log and its issue. Equal records have equal bytes.
func marshalRecord(r record.Record) ([]byte, error) {
	r.Log, r.Issue = nil, nil
	return marshal(r)
}

func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	// Nothing here is put into a page as it is; <, > and & are frequent in logs.
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

func (c *codec) packRecord(doc []byte) []byte { return c.enc.EncodeAll(doc, nil) }

func (c *codec) packLog(doc []byte) []byte { return c.plain.EncodeAll(doc, nil) }

func (c *codec) unpack(b []byte) ([]byte, error) { return c.dec.DecodeAll(b, nil) }

func (c *codec) record(packed []byte) (record.Record, error) {
	var r record.Record
	if err := c.into(packed, &r); err != nil {
		return record.Record{}, fmt.Errorf("read a stored record: %w", err)
	}
	// The JSON of a stall without times has no field that would bring Stall back.
	switch {
	case r.Kind == record.KindStop && r.Stop == nil:
		r.Stop = new(record.Stop)
	case r.Kind == record.KindStall && r.Stall == nil:
		r.Stall = new(record.Stall)
	}
	return r, nil
}

func (c *codec) log(packed []byte) (*record.Log, error) {
	l := new(record.Log)
	if err := c.into(packed, l); err != nil {
		return nil, fmt.Errorf("read a stored log: %w", err)
	}
	return l, nil
}

// decode returns a stored record with its log, which is nil where there is none.
func (c *codec) decode(doc, log []byte) (record.Record, error) {
	r, err := c.record(doc)
	if err != nil {
		return record.Record{}, err
	}
	if log != nil {
		if r.Log, err = c.log(log); err != nil {
			return record.Record{}, err
		}
	}
	return r, nil
}

func (c *codec) into(packed []byte, v any) error {
	doc, err := c.unpack(packed)
	if err != nil {
		return fmt.Errorf("decompress: %w", err)
	}
	return json.Unmarshal(doc, v)
}

// nanos returns t as it is stored: 0 where it is zero, and where it lies outside of what
// 64 bits of nanoseconds reach (the years 1678 to 2262), the end that it lies beyond.
func nanos(t time.Time) int64 {
	switch {
	case t.IsZero():
		return 0
	case t.Year() < 1678:
		return minNanos
	case t.Year() > 2261:
		return maxNanos
	}
	return t.UnixNano()
}

const (
	minNanos = -1 << 63
	maxNanos = 1<<63 - 1
)

func fromNanos(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}
