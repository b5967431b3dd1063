// Package dump reads what was recorded of a cluster and gives it as a live
// cluster would: files of "kubectl get -o json|yaml", folders and archives of
// "kubectl cluster-info dump" and its relatives (ReadDump), and recorded watch
// streams (ReadWatch, Replay). Objects answers the questions that the pipeline
// asks of a cluster, whose workload a pod is and what a container last said,
// from what was read.
//
// Input is not trusted. Its size is bounded by Limits, nothing outside the named
// path is opened, and nothing is written. A damaged or unreadable part is named
// in a list of record.Missing and the rest is used; only input of which nothing
// could be read is an error.
//
// Log lines come as they were recorded: the caller redacts them.
package dump

import "cmp"

// Limits bound what reading may cost. A zero field stands for its default.
type Limits struct {
	// Document bounds one JSON document, or one item of a list, in bytes: 64 MiB.
	Document int
	// File bounds one file, after decompression, in bytes: 1 GiB.
	File int64
	// Total bounds all files of one dump together, after decompression, in bytes: 4 GiB.
	Total int64
	// Stream bounds one recorded watch stream, after decompression, in bytes: 64 GiB. It
	// is not held in memory, so that this bounds time alone.
	Stream int64
	// Files bounds the number of files of a folder or archive: 200,000.
	Files int
	// LogLines and LogBytes bound the tail that is kept of each log, as a live read
	// does: 50 lines and 16 KiB.
	LogLines, LogBytes int
	// AllLogs bounds the tails of all logs together, in bytes: 256 MiB.
	AllLogs int64
}

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30

	// maxNamed bounds how many damaged places of one file are named; the others are counted.
	maxNamed = 20
)

func (l Limits) withDefaults() Limits {
	return Limits{
		Document: cmp.Or(l.Document, 64*mib),
		File:     cmp.Or(l.File, gib),
		Total:    cmp.Or(l.Total, 4*gib),
		Stream:   cmp.Or(l.Stream, 64*gib),
		Files:    cmp.Or(l.Files, 200_000),
		LogLines: cmp.Or(l.LogLines, 50),
		LogBytes: cmp.Or(l.LogBytes, 16*kib),
		AllLogs:  cmp.Or(l.AllLogs, 256*mib),
	}
}
