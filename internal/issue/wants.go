package issue

import (
	"strings"

	"github.com/whyrestart/whyrestart/internal/record"
)

// Wants are what Post asks a Tx for first, so that who keeps issues far away can fetch it for many
// records at once. Post may ask for more.
type Wants struct {
	Fingerprint, Kin string
	// ID is the first that a new issue would have.
	ID string
	// Cluster, Kind and Subject are those of the incident, Kind empty for none.
	Cluster, Kind, Subject string
}

// WantsOf returns those of a record.
func WantsOf(r *record.Record) Wants {
	key := KeyOf(r)
	w := Wants{Fingerprint: key.Fingerprint(), Kin: key.kin(r.Category), Cluster: key.Cluster}
	w.ID = "WR-" + strings.ToUpper(w.Fingerprint[:minID])
	w.Kind, w.Subject = subjectOf(r, &key)
	return w
}
