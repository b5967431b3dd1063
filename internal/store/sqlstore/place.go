package sqlstore

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/whyrestart/whyrestart/internal/store"
)

// A Position is a place in the order of lists: by time, then by row.
type Position struct{ At, Seq int64 }

// Cursor is the position as it is handed out.
func (p Position) Cursor() string {
	b := binary.BigEndian.AppendUint64(nil, uint64(p.At))
	b = binary.BigEndian.AppendUint64(b, uint64(p.Seq))
	return base64.RawURLEncoding.EncodeToString(b)
}

// ParseCursor returns the place behind which a page begins; that of an empty cursor is
// before everything.
func ParseCursor(c string) (Position, error) {
	if c == "" {
		return Position{At: MaxNanos, Seq: MaxNanos}, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(c)
	if err != nil || len(b) != 16 {
		return Position{}, fmt.Errorf("%w %q", store.ErrCursor, c)
	}
	return Position{At: int64(binary.BigEndian.Uint64(b)), Seq: int64(binary.BigEndian.Uint64(b[8:]))}, nil
}

// IssueID and IncidentID return an ID as it is stored, of one as somebody typed it.
func IssueID(id string) string { return canonical("WR-", id) }

// IncidentID is IssueID of an incident.
func IncidentID(id string) string { return canonical("WI-", id) }

func canonical(prefix, id string) string {
	return prefix + strings.TrimPrefix(strings.ToUpper(id), prefix)
}
