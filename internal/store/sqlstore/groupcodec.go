package sqlstore

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/whyrestart/whyrestart/internal/issue"
	"github.com/whyrestart/whyrestart/internal/record"
)

// An issue or incident is stored as its JSON without tallies and hours, behind the length
// of that, and these behind it in binary: they are most of it, and as JSON reading them would
// take ten times as long. The whole is compressed. More tallies can be added at the end of the
// list; what a field has that is not among them stays in the JSON.

func issueTallies(i *issue.Issue) []*issue.Tally {
	return []*issue.Tally{&i.Pods, &i.Nodes, &i.Images, &i.ImageIDs, &i.Revisions, &i.Incidents}
}

func incidentTallies(i *issue.Incident) []*issue.Tally {
	return []*issue.Tally{&i.Issues, &i.Workloads, &i.Pods, &i.Causes, &i.Nodes, &i.Categories}
}

// PackIssue packs an issue without its state, which is that of a moment.
func (c *Codec) PackIssue(i *issue.Issue) ([]byte, error) {
	head := *i
	head.State, head.Hours = "", nil
	tallies := issueTallies(&head)
	tail := appendHours(appendTallies(nil, tallies), i.Hours)
	return c.packGroup(&head, tail)
}

// PackIncident packs an incident.
func (c *Codec) PackIncident(i *issue.Incident) ([]byte, error) {
	head := *i
	tallies := incidentTallies(&head)
	return c.packGroup(&head, appendTallies(nil, tallies))
}

func (c *Codec) packGroup(head any, tail []byte) ([]byte, error) {
	doc, err := Marshal(head)
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, len(doc)+len(tail)+binary.MaxVarintLen64)
	b = binary.AppendUvarint(b, uint64(len(doc)))
	b = append(append(b, doc...), tail...)
	return c.PackLog(b), nil
}

// Issue reads a stored issue.
func (c *Codec) Issue(packed []byte) (issue.Issue, error) {
	var i issue.Issue
	r, err := c.unpackGroup(packed, &i)
	if err == nil {
		r.tallies(issueTallies(&i))
		i.Hours = r.hours()
		err = r.err
	}
	if err != nil {
		return issue.Issue{}, fmt.Errorf("read a stored issue: %w", err)
	}
	return i, nil
}

// Ref returns what a record says of its issue at a time. It reads no more than that needs: a
// state follows from what is in the JSON alone.
func (c *Codec) Ref(packed []byte, now time.Time) (record.IssueRef, error) {
	var i issue.Issue
	r, err := c.unpackGroup(packed, &i)
	ref := record.IssueRef{ID: i.ID, State: string(i.At(now)), Count: i.Count}
	if err == nil && r.uvarint() > 0 {
		n := r.uvarint() // of the first tally
		ref.Pods, ref.MorePods = r.count(n>>1, 4), n&1 == 1
	}
	if err == nil {
		err = r.err
	}
	if err != nil {
		return record.IssueRef{}, fmt.Errorf("read a stored issue: %w", err)
	}
	return ref, nil
}

// Incident reads a stored incident.
func (c *Codec) Incident(packed []byte) (issue.Incident, error) {
	var i issue.Incident
	r, err := c.unpackGroup(packed, &i)
	if err == nil {
		r.tallies(incidentTallies(&i))
		err = r.err
	}
	if err != nil {
		return issue.Incident{}, fmt.Errorf("read a stored incident: %w", err)
	}
	return i, nil
}

func (c *Codec) unpackGroup(packed []byte, head any) (*tailReader, error) {
	b, err := c.Unpack(packed)
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	r := &tailReader{rest: b}
	doc := r.bytes()
	if r.err != nil {
		return nil, r.err
	}
	return r, json.Unmarshal(doc, head)
}

// appendTallies appends tallies, and empties them.
func appendTallies(b []byte, tallies []*issue.Tally) []byte {
	b = binary.AppendUvarint(b, uint64(len(tallies)))
	for _, t := range tallies {
		n := uint64(len(t.Values)) << 1
		if t.More {
			n |= 1
		}
		b = binary.AppendUvarint(b, n)
		for _, v := range t.Values {
			b = binary.AppendUvarint(b, uint64(len(v.Value)))
			b = append(b, v.Value...)
			b = binary.AppendVarint(b, v.Count)
			first := Nanos(v.First)
			b = binary.AppendVarint(b, first)
			b = binary.AppendVarint(b, Nanos(v.Last)-first)
		}
		*t = issue.Tally{}
	}
	return b
}

func appendHours(b []byte, hours []issue.Hour) []byte {
	b = binary.AppendUvarint(b, uint64(len(hours)))
	var before int64
	for _, h := range hours {
		b = binary.AppendVarint(b, h.Hour-before)
		b = binary.AppendVarint(b, h.Count)
		before = h.Hour
	}
	return b
}

var errTail = errors.New("its tallies are damaged")

// A tailReader reads what appendTallies and appendHours wrote. After an error it reads zeroes.
type tailReader struct {
	rest []byte
	err  error
}

func (r *tailReader) fail() {
	r.rest, r.err = nil, errTail
}

func (r *tailReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *tailReader) varint() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *tailReader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.fail()
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

// count reads how many of something follow that takes so many bytes at least.
func (r *tailReader) count(n uint64, least int) int {
	if n > uint64(len(r.rest)/least) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *tailReader) tallies(tallies []*issue.Tally) {
	for k := range r.count(r.uvarint(), 1) {
		var t issue.Tally
		n := r.uvarint()
		t.More = n&1 == 1
		if n := r.count(n>>1, 4); n > 0 {
			t.Values = make([]issue.Count, n)
		}
		for j := range t.Values {
			v := &t.Values[j]
			v.Value, v.Count = string(r.bytes()), r.varint()
			first := r.varint()
			v.First, v.Last = FromNanos(first), FromNanos(first+r.varint())
		}
		if k < len(tallies) {
			*tallies[k] = t
		}
	}
}

func (r *tailReader) hours() []issue.Hour {
	n := r.count(r.uvarint(), 2)
	if n == 0 {
		return nil
	}
	hours := make([]issue.Hour, n)
	var before int64
	for k := range hours {
		before += r.varint()
		hours[k] = issue.Hour{Hour: before, Count: r.varint()}
	}
	return hours
}
