package sqlstore

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

// A Codec turns records, logs, issues and incidents into the bytes that are stored, and back.
// It may be used by several goroutines at once.
//
// Compression pays: the sample of the benchmarks has 2.2 KB of JSON and 0.58 KB
// compressed (1.0 KB without the dictionary), see BenchmarkBytesPerStop.
type Codec struct {
	enc, plain *zstd.Encoder
	dec        *zstd.Decoder
}

// NewCodec returns a codec, which is to be closed.
func NewCodec() (*Codec, error) {
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
	return &Codec{enc: enc, plain: plain, dec: dec}, nil
}

// Close frees what the codec holds.
func (c *Codec) Close() { c.dec.Close() }

// MarshalRecord returns the JSON of r without its log and its issue. Equal records have equal bytes.
func MarshalRecord(r record.Record) ([]byte, error) {
	r.Log, r.Issue = nil, nil
	return Marshal(r)
}

// Marshal returns the JSON of v as it is stored.
func Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	// Nothing here is put into a page as it is; <, > and & are frequent in logs.
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// PackRecord compresses the JSON of a record.
func (c *Codec) PackRecord(doc []byte) []byte { return c.enc.EncodeAll(doc, nil) }

// PackLog compresses the JSON of a log, or of evidence.
func (c *Codec) PackLog(doc []byte) []byte { return c.plain.EncodeAll(doc, nil) }

// Unpack decompresses what any of the others compressed.
func (c *Codec) Unpack(b []byte) ([]byte, error) { return c.dec.DecodeAll(b, nil) }

// Record reads a stored record, without its log.
func (c *Codec) Record(packed []byte) (record.Record, error) {
	var r record.Record
	if err := c.Into(packed, &r); err != nil {
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

// Log reads a stored log.
func (c *Codec) Log(packed []byte) (*record.Log, error) {
	l := new(record.Log)
	if err := c.Into(packed, l); err != nil {
		return nil, fmt.Errorf("read a stored log: %w", err)
	}
	return l, nil
}

// Decode returns a stored record with its log, which is nil where there is none.
func (c *Codec) Decode(doc, log []byte) (record.Record, error) {
	r, err := c.Record(doc)
	if err != nil {
		return record.Record{}, err
	}
	if log != nil {
		if r.Log, err = c.Log(log); err != nil {
			return record.Record{}, err
		}
	}
	return r, nil
}

// Into reads stored JSON.
func (c *Codec) Into(packed []byte, v any) error {
	doc, err := c.Unpack(packed)
	if err != nil {
		return fmt.Errorf("decompress: %w", err)
	}
	return json.Unmarshal(doc, v)
}

// Nanos returns t as it is stored: 0 where it is zero, and where it lies outside of what
// 64 bits of nanoseconds reach (the years 1678 to 2262), the end that it lies beyond.
func Nanos(t time.Time) int64 {
	switch {
	case t.IsZero():
		return 0
	case t.Year() < 1678:
		return MinNanos
	case t.Year() > 2261:
		return MaxNanos
	}
	return t.UnixNano()
}

// The bounds of a time as it is stored.
const (
	MinNanos = -1 << 63
	MaxNanos = 1<<63 - 1
)

// FromNanos returns the time that Nanos stored.
func FromNanos(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}
