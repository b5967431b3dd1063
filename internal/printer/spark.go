package printer

import (
	"math"
	"strings"
)

// The steps of a sparkline, the lowest first: by blocks, and for a terminal that has no
// characters but those of ASCII, by how much ink they have.
const (
	blocks = "▁▂▃▄▅▆▇█"
	ink    = ":-=+*#%@"
)

// nothing is what a sparkline shows where there was nothing.
const nothing = "."

// fullAt is what the highest step stands for at least: three stops a day are no mountain.
const fullAt = 8

// Spark draws counts as a line of one character each.
func Spark(counts []int64, ascii bool) string {
	steps := []rune(blocks)
	if ascii {
		steps = []rune(ink)
	}
	top := int64(fullAt)
	for _, n := range counts {
		top = max(top, n)
	}
	var b strings.Builder
	for _, n := range counts {
		if n <= 0 {
			b.WriteString(nothing)
			continue
		}
		// Rounded up, so that one stop beside thousands can be seen.
		step := int(math.Ceil(float64(n) / float64(top) * float64(len(steps))))
		b.WriteRune(steps[max(1, step)-1])
	}
	return b.String()
}
