package extract

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// Bounds of what is kept of one object. A pod may be as large as the API server stores, and
// its evidence is kept for every stop.
const (
	// maxMessage bounds a message of the API. The kubelet bounds a termination message to
	// 4 KiB itself; a runtime's text has no such bound.
	maxMessage = 4 << 10
	// maxCommand bounds a command or its arguments, and the target of a probe or hook.
	maxCommand = 1 << 10
	// maxArguments bounds the words of a command.
	maxArguments = 64
	// maxList bounds any other list, maxOthers that of the pod's other containers, whose
	// messages are bounded by maxCommand.
	maxList   = 64
	maxOthers = 32
)

// othersOf is how many of the other containers are told of each of a pod's containers: where a pod
// has very many they may all stop at once, and what is told of each of them is told of all.
func othersOf(containers int) int {
	const all = 2048
	return min(maxOthers, max(4, all/max(1, containers)))
}

// clip bounds a text at a rune's border.
func clip(s string) string { return clipTo(s, maxMessage) }

func clipTo(s string, n int) string {
	if len(s) <= n {
		return s
	}
	cut := n
	for cut > 0 && s[cut]&0xC0 == 0x80 {
		cut--
	}
	return strings.Clone(s[:cut]) + "…"
}

// words bounds the words of a command, each and together.
func words(list []string) []string {
	var out []string
	left := maxCommand
	for i, w := range list {
		if i == maxArguments || left <= 0 {
			return append(out, "…")
		}
		w = clipTo(w, left)
		left -= len(w)
		out = append(out, w)
	}
	return out
}

// bounded returns the first elements of a list.
func bounded[T any](list []T) []T { return list[:min(len(list), maxList)] }

// texts returns the first texts of a list of names.
func texts[T any](list []T, name func(T) string) []string {
	var out []string
	for _, v := range bounded(list) {
		out = append(out, clipTo(name(v), maxCommand))
	}
	return out
}

// firstKeys returns the first n keys of a map in their order.
func firstKeys[K cmp.Ordered, V any](m map[K]V, n int) []K {
	keys := slices.Sorted(maps.Keys(m))
	return keys[:min(len(keys), n)]
}

// labels returns the labels of an object, as many as are kept.
func labels(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	out := make(map[string]string, min(len(m), maxList))
	for _, k := range firstKeys(m, maxList) {
		out[k] = clipTo(m[k], maxCommand)
	}
	return out
}
