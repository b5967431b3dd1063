// Package model plays whyrestart against a simulated cluster whose truth is known: pods whose
// containers run, end, are relabelled late, lose their counts and are replaced; a watch that
// is late, breaks, repeats itself and starts anew; a clock that steps; a store that fails; and a
// process that is killed at the moments that matter. The detector, the pipeline, the relay and the
// SQLite store are the real ones.
//
// After each run the sums are held against the truth: what was recorded and what was counted as
// missed make up what ended, container by container; nothing is recorded twice; what could not be
// seen lies in a gap that is stated; and every record was told in its last form.
//
// A run depends on its plan and its seed alone, up to the order in which goroutines that wait for
// the same moment go on:
//
//	go test ./test/model                                    # a few hundred runs
//	go test ./test/model -run TestModel -args -seeds 20000  # many more
//	go test ./test/model -run 'TestModel/kill/17$'          # one of them
//	go test ./test/model -run TestTable -v                  # what docs/reliability.md shows
package model
