// Package kube connects whyrestart to a Kubernetes API server: it watches pods,
// reads the log tails of stopped containers and finds the owners of pods. It is
// the only package that imports client-go, and it only ever reads: get, list and
// watch, never a Secret.
//
// A Watcher shows every pod of its scopes to a pipeline.Sink, in order, through
// reconnects, expired resource versions and servers that cannot stream a list or
// speak protobuf, and keeps no pod itself. An EventWatcher does the same with events
// for a pipeline.EventSink, and a Cluster reads single objects beside the pods, rarely
// and with an answer in seconds or none. What cannot be read at the moment
// becomes the Sink's Trouble; what can never be read is told by Check before the
// start, in one sentence.
//
// Errors that leave this package name the server's host, never its full address
// and nothing of the credentials.
package kube
