// Package shard divides the namespaces of a cluster among processes.
//
// A namespace belongs to the same slot for ever, a shard is a run of slots, and the shards of
// one number together are all of them: so a history that was written by four processes can be
// gone on with by six. Slots are ranges of the hash by which an API server with the feature
// gate ShardedListAndWatch (KEP-5866, alpha since 1.36) divides lists and watches: 64 bit FNV-1a
// of object.metadata.namespace. Where a server does not offer it, Contains is the same question
// asked here. That hash mixes the last two characters of a name badly into the bits that order
// it: namespaces that differ in those alone (team-1, team-2) mostly fall into the same shard. It
// is the server's hash, so it is ours; names of words spread evenly.
package shard

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
)

// Slots is into how many ranges the hash is divided, and so the largest number of shards.
const Slots = 16

// bits is how many of the hash's bits choose a slot.
const bits = 4

// A Shard is one part of a cluster. The zero Shard is all of it.
type Shard struct {
	// Index counts from 0 up to Of-1.
	Index int
	// Of is how many shards there are; 0 and 1 are both the whole.
	Of int
}

// Parse reads INDEX/OF, such as "0/4". The empty text is all of a cluster.
func Parse(s string) (Shard, error) {
	if s == "" {
		return Shard{}, nil
	}
	index, of, ok := strings.Cut(s, "/")
	i, err := strconv.Atoi(index)
	n, nerr := strconv.Atoi(of)
	if !ok || err != nil || nerr != nil {
		return Shard{}, fmt.Errorf("shard %q: want INDEX/OF, such as 0/4", s)
	}
	if n < 1 || n > Slots || i < 0 || i >= n {
		return Shard{}, fmt.Errorf("shard %q: want at most %d shards, numbered from 0", s, Slots)
	}
	return Shard{Index: i, Of: n}, nil
}

// Whole tells whether s is all of a cluster.
func (s Shard) Whole() bool { return s.Of <= 1 }

// String is what Parse reads: empty for the whole.
func (s Shard) String() string {
	if s.Whole() {
		return ""
	}
	return fmt.Sprintf("%d/%d", s.Index, s.Of)
}

// Slots returns the slots of s: those from and after from, and before to.
func (s Shard) Slots() (from, to int) {
	if s.Whole() {
		return 0, Slots
	}
	return s.Index * Slots / s.Of, (s.Index + 1) * Slots / s.Of
}

// Contains tells whether a namespace belongs to s.
func (s Shard) Contains(namespace string) bool {
	from, to := s.Slots()
	slot := Slot(namespace)
	return from <= slot && slot < to
}

// Slot is the slot of a namespace.
func Slot(namespace string) int {
	h := fnv.New64a()
	h.Write([]byte(namespace)) // a hash never returns an error
	return int(h.Sum64() >> (64 - bits))
}

// Selector is s as the shardSelector of a list or a watch: empty for the whole.
func (s Shard) Selector() string {
	if s.Whole() {
		return ""
	}
	from, to := s.Slots()
	return fmt.Sprintf("shardRange(object.metadata.namespace, '%s', '%s')", bound(from), bound(to))
}

// bound is where a slot begins, in the API server's spelling: 16 hexadecimal digits, and 2^64 for the end.
func bound(slot int) string {
	if slot == Slots {
		return "0x10000000000000000"
	}
	return fmt.Sprintf("0x%016x", uint64(slot)<<(64-bits))
}
