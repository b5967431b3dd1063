package issue

import (
	"errors"
	"time"

	"github.com/whyrestart/whyrestart/internal/record"
)

var errTODO = errors.New("not written yet")

// Post counts a record that is stored, or stored anew, and returns where it belongs. old is
// what was stored of it, nil for the first time, and was where that was counted. The caller
// stores the place with the record before it posts the next one, so that Span knows it.
func Post(tx Tx, old *record.Record, was Place, next *record.Record) (Place, error) {
	return Place{}, errTODO
}

// Amend applies an action.
func (i *Issue) Amend(a Action) error { return errTODO }

// At returns the state at a time, and fills it in together with what follows from it, such as
// the resolution of an issue that has fallen silent.
func (i *Issue) At(now time.Time) State { return Ongoing }

// Kin is what issues share that may be one problem with a cause that is known now and then:
// container of a workload, category and exit code.
func (i *Issue) Kin() string { return "" }

// KeyOf returns the key of the issue that a record belongs to by itself.
func KeyOf(r *record.Record) Key { return Key{} }

// Fingerprint is a hash of the key: 24 hexadecimal digits.
func (k Key) Fingerprint() string { return "" }

// Trend returns how many stops there were in each of n equal parts of the time until now.
func (i *Issue) Trend(now time.Time, window time.Duration, n int) []int64 { return make([]int64, n) }

// Compare orders issues as a person on call wants them: failures before disruptions, the most
// pressing state first, then what concerns the most pods and stops lately, then the newest.
func Compare(now time.Time) func(a, b *Issue) int { return func(_, _ *Issue) int { return 0 } }

// Fold takes out of issues those that are wholly a part of one of the incidents.
func Fold(issues []Issue, incidents []Incident) []Issue { return issues }

// Shown tells that an incident has enough members to be one.
func (i *Incident) Shown() bool { return false }

// Group makes issues and incidents of records that nobody keeps, and tells the records theirs.
func Group(records []record.Record, now time.Time) ([]Issue, []Incident) { return nil, nil }
