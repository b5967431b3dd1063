package record

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"
)

// ContainerKey identifies a container of one pod, whatever the pod's name.
type ContainerKey struct {
	PodUID string
	Type   ContainerType
	Name   string
}

// StopKey identifies one stop: the idempotency key of the store and of every
// notification. Two sightings of one death have the same key.
type StopKey struct {
	Cluster string
	ContainerKey
	Epoch   int
	Ordinal int
}

// ID returns the stable identifier that a StopKey has in JSON and in URLs: 24
// hexadecimal digits.
func (k StopKey) ID() string {
	return shortHash("stop", k.Cluster, k.PodUID, string(k.Type), k.Name, strconv.Itoa(k.Epoch), strconv.Itoa(k.Ordinal))
}

// StallKey identifies one stall of a pod (Name empty) or of a container.
type StallKey struct {
	Cluster string
	ContainerKey
	Cause string
}

// ID returns the stable identifier of a stall, formed as that of a stop.
func (k StallKey) ID() string {
	return shortHash("stall", k.Cluster, k.PodUID, string(k.Type), k.Name, k.Cause)
}

// shortHash hashes the parts with their lengths, so that no two lists of parts
// run together, to 96 bits.
func shortHash(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(strconv.Itoa(len(p))))
		h.Write([]byte{':'})
		h.Write([]byte(p))
	}
	return hex.EncodeToString(h.Sum(nil)[:12])
}

// Mark is the high-water mark of one container: how far its stops have been
// recorded. It survives a restart of the watcher and the retention of stops, so
// that an instance is never recorded twice.
type Mark struct {
	ContainerKey
	Namespace string
	Pod       string
	// Epoch is the number of resets of the restart count that were seen.
	Epoch int
	// Accounted is the number of instances of this epoch that are recorded or counted
	// as missed: every ordinal below it is.
	Accounted int
	// RestartCount is the newest restart count that was seen.
	RestartCount int
	// Checksums of container IDs, 0 where there was none: of the instance that was live, of
	// the one that was recorded last, of the one before that, and of the last one whose end
	// the runtime itself reported.
	CurrentID, LastID, PrevID, RealID uint64
	// LastEpoch and LastOrdinal are those of the stop that was recorded last, LastOrdinal
	// being -1 where there was none. After a reset they are not the ones before Accounted.
	LastEpoch, LastOrdinal int
	// LastSum is a checksum of the terminated state that was recorded last, to tell a
	// second sighting from a relabelled one; 0 where none was seen.
	LastSum uint64
	// LastSynthetic is true where that state was the kubelet's stand-in for one it could not find.
	LastSynthetic bool
	// LastFinished is when that instance ended, zero where unknown.
	LastFinished time.Time
	// LastMissed and LastBeforeWatch are the stop's MissedBefore and BeforeWatch, which a
	// new label for it repeats.
	LastMissed      int
	LastBeforeWatch bool
	// ResourceVersion is the newest of the pod that was seen, 0 where it is not a number.
	ResourceVersion uint64
}
