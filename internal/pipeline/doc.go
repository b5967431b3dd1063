// Package pipeline is the one way of a stop through whyrestart: a source shows
// pods, the detector finds what ended, the record is made, diagnosed and stored,
// and whoever listens is told. It declares the interfaces that it needs of its
// surroundings and knows none of their implementations.
//
// Detection never waits: collecting a log tail happens beside it, is bounded, and
// what it brings refines the stored record.
package pipeline
