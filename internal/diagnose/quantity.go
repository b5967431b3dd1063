package diagnose

import (
	"strconv"

	"github.com/whyrestart/whyrestart/internal/evidence"
)

// quantity formats an amount of a resource as kubectl prints it: 250m or 64 for cpu,
// 256Mi for bytes (apimachinery pkg/api/resource). An amount of bytes that has no short
// exact form, such as what a node has, is rounded down to a tenth of a unit.
func quantity(resource string, a evidence.Amount) string {
	n := int64(a)
	if n < 0 {
		if n == -1<<63 {
			n++
		}
		return "-" + quantity(resource, evidence.Amount(-n))
	}
	if !bytesOf(resource) {
		if n%1000 != 0 {
			return strconv.FormatInt(n, 10) + "m"
		}
		return strconv.FormatInt(n/1000, 10)
	}
	return bytesText(n/1000 + (n%1000+999)/1000)
}

// bytesOf tells resources that are counted in bytes (k8s.io/api core/v1 types.go).
func bytesOf(resource string) bool {
	switch resource {
	case "memory", "ephemeral-storage", "storage":
		return true
	}
	return len(resource) > len("hugepages-") && resource[:len("hugepages-")] == "hugepages-"
}

// shortMantissa is the largest number that is still easy to read before a unit.
const shortMantissa = 9999

func bytesText(n int64) string {
	units := []string{"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"}
	i, m := 0, n
	for i < len(units)-1 && m >= 1024 && m%1024 == 0 {
		m /= 1024
		i++
	}
	if m <= shortMantissa {
		return strconv.FormatInt(m, 10) + units[i]
	}
	i, unit := 0, int64(1)
	for i < len(units)-1 && n/unit >= 1024 {
		unit *= 1024
		i++
	}
	whole, tenth := n/unit, n%unit/(max(unit/10, 1))
	if tenth = min(tenth, 9); tenth == 0 {
		return strconv.FormatInt(whole, 10) + units[i]
	}
	return strconv.FormatInt(whole, 10) + "." + strconv.FormatInt(tenth, 10) + units[i]
}
