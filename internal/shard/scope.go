package shard

import (
	"fmt"
	"strconv"
	"strings"
)

// Suffix is s in a name, such as that of its Lease or of its file: "0-of-4", which is a DNS label. It is
// empty for the whole.
func (s Shard) Suffix() string {
	if s.Whole() {
		return ""
	}
	return fmt.Sprintf("%d-of-%d", s.Index, s.Of)
}

// Scope is s as the scope of a coverage or a gap.
func (s Shard) Scope() string { return Scope(s.Slots()) }

// Scope names the slots from and after from, and before to, where the coverage of them or a gap is told: "slots 4-7".
// That says which namespaces are meant also when there is another number of shards. It is empty for
// all slots, and never the name of a namespace.
func Scope(from, to int) string {
	switch {
	case from <= 0 && to >= Slots:
		return ""
	case to == from+1:
		return fmt.Sprintf("slot %d", from)
	default:
		return fmt.Sprintf("slots %d-%d", from, to-1)
	}
}

// ParseScope reads what Scope returns; false for anything else, such as the name of a namespace.
func ParseScope(scope string) (from, to int, ok bool) {
	if scope == "" {
		return 0, Slots, true
	}
	word, numbers, ok := strings.Cut(scope, " ")
	if !ok || word != "slot" && word != "slots" {
		return 0, 0, false
	}
	first, last, several := strings.Cut(numbers, "-")
	if !several {
		last = first
	}
	from, err := strconv.Atoi(first)
	end, lerr := strconv.Atoi(last)
	if err != nil || lerr != nil || from < 0 || end < from || end >= Slots || Scope(from, end+1) != scope {
		return 0, 0, false
	}
	return from, end + 1, true
}

// InScope tells whether a namespace belongs to a scope: all namespaces, some slots of them, or the
// one that it names.
func InScope(scope, namespace string) bool {
	from, to, ok := ParseScope(scope)
	if !ok {
		return scope == namespace
	}
	slot := Slot(namespace)
	return from <= slot && slot < to
}
