package diagnose

import (
	"math"
	"testing"

	"github.com/whyrestart/whyrestart/internal/evidence"
)

func TestQuantity(t *testing.T) {
	for _, c := range []struct {
		resource string
		amount   evidence.Amount
		want     string
	}{
		{"cpu", 0, "0"},
		{"cpu", 250, "250m"},
		{"cpu", 1800, "1800m"},
		{"cpu", 64000, "64"},
		{"memory", 256 << 20 * 1000, "256Mi"},
		{"memory", 1536 << 20 * 1000, "1536Mi"},
		{"memory", 4 << 30 * 1000, "4Gi"},
		{"memory", 16393244 << 10 * 1000, "15.6Gi"},
		{"memory", 1000 * 1000, "1000"},
		{"memory", 500, "1"}, // half a byte is rounded up, as resource.Quantity's Value does
		{"ephemeral-storage", 10 << 30 * 1000, "10Gi"},
		{"hugepages-2Mi", 4 << 20 * 1000, "4Mi"},
		{"nvidia.com/gpu", 8000, "8"},
		{"pods", 110000, "110"},
		{"cpu", -250, "-250m"},
		{"cpu", math.MinInt64, "-9223372036854775807m"},
		{"memory", math.MaxInt64, "8.1Pi"},
	} {
		if got := quantity(c.resource, c.amount); got != c.want {
			t.Errorf("quantity(%s, %d) = %s, want %s", c.resource, c.amount, got, c.want)
		}
	}
}
