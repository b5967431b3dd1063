package slim

import (
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protowire"
)

// Wire types.
const (
	typeVarint  = uint8(protowire.VarintType)
	typeFixed64 = uint8(protowire.Fixed64Type)
	typeBytes   = uint8(protowire.BytesType)
	typeStart   = uint8(protowire.StartGroupType)
	typeEnd     = uint8(protowire.EndGroupType)
	typeFixed32 = uint8(protowire.Fixed32Type)
)

var (
	errOverflow = errors.New("varint is too long")
	errLength   = errors.New("length is out of range")
	errGroup    = errors.New("end of a group that did not begin")
)

// fields walks the fields of one message. It accepts what the code that gogo
// generates for Kubernetes accepts, which protowire is stricter than: it cuts
// varints and field numbers that are too large instead of refusing them.
type fields struct {
	b []byte
	i int

	num    int32
	typ    uint8
	v      uint64 // of a varint
	lo, hi int    // of a length-delimited field in b
	err    error
}

// data returns the bytes of a length-delimited field. They are not kept in fields,
// where each pointer written is one for the garbage collector to look after.
func (f *fields) data() []byte { return f.b[f.lo:f.hi:f.hi] }

// next goes to the next field; false at the end of the message or on an error.
func (f *fields) next() bool {
	if f.i >= len(f.b) || f.err != nil {
		return false
	}
	tag := f.varint()
	if f.err != nil {
		return false
	}
	f.num, f.typ = int32(tag>>3), uint8(tag&7)
	f.lo, f.hi, f.v = 0, 0, 0
	if f.num <= 0 {
		f.err = fmt.Errorf("field number %d", f.num)
		return false
	}
	switch f.typ {
	case typeVarint:
		f.v = f.varint()
	case typeBytes:
		n := int(f.varint())
		if f.err != nil {
			return false
		}
		if n < 0 {
			f.err = errLength
			return false
		}
		if n > len(f.b)-f.i {
			f.err = io.ErrUnexpectedEOF
			return false
		}
		f.lo, f.hi = f.i, f.i+n
		f.i += n
	case typeFixed64:
		f.skip(8)
	case typeFixed32:
		f.skip(4)
	case typeStart:
		f.group()
	case typeEnd:
		f.err = errGroup
	default:
		f.err = fmt.Errorf("wire type %d", f.typ)
	}
	return f.err == nil
}

func (f *fields) varint() uint64 {
	if f.i < len(f.b) && f.b[f.i] < 0x80 {
		f.i++
		return uint64(f.b[f.i-1])
	}
	var v uint64
	for shift := uint(0); shift < 64; shift += 7 {
		if f.i >= len(f.b) {
			f.err = io.ErrUnexpectedEOF
			return 0
		}
		c := f.b[f.i]
		f.i++
		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return v
		}
	}
	f.err = errOverflow
	return 0
}

func (f *fields) skip(n int) {
	if n < 0 {
		f.err = errLength
		return
	}
	if n > len(f.b)-f.i {
		f.err = io.ErrUnexpectedEOF
		return
	}
	f.i += n
}

// group skips a group whose start was read, and the groups in it. Neither the
// numbers of its fields nor those of its ends are looked at, as in skipGenerated.
func (f *fields) group() {
	for depth := 1; depth > 0 && f.err == nil; {
		tag := f.varint()
		if f.err != nil {
			return
		}
		switch uint8(tag & 7) {
		case typeVarint:
			f.varint()
		case typeBytes:
			n := int(f.varint())
			if f.err == nil {
				f.skip(n)
			}
		case typeFixed64:
			f.skip(8)
		case typeFixed32:
			f.skip(4)
		case typeStart:
			depth++
		case typeEnd:
			depth--
		default:
			f.err = fmt.Errorf("wire type %d in a group", tag&7)
		}
	}
}

func (f *fields) expect(typ uint8) error {
	if f.typ != typ {
		return fmt.Errorf("field %d has wire type %d, want %d", f.num, f.typ, typ)
	}
	return nil
}

func (f *fields) string(s *string) error {
	if err := f.expect(typeBytes); err != nil {
		return err
	}
	*s = string(f.data())
	return nil
}

// bytes lends the field's bytes.
func (f *fields) bytes(b *[]byte) error {
	if err := f.expect(typeBytes); err != nil {
		return err
	}
	*b = f.data()
	return nil
}

func (f *fields) int32(n *int32) error {
	if err := f.expect(typeVarint); err != nil {
		return err
	}
	*n = int32(f.v)
	return nil
}

func (f *fields) bool(b *bool) error {
	if err := f.expect(typeVarint); err != nil {
		return err
	}
	*b = f.v != 0
	return nil
}

func (f *fields) message(read func([]byte) error) error {
	if err := f.expect(typeBytes); err != nil {
		return err
	}
	return read(f.data())
}
