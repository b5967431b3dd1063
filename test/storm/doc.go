// Package storm measures what a hostile or a huge cluster costs: each test plays one against
// whyrestart's own server in a process of its own, over a real connection, and holds that
// everything is counted and that memory stays within bounds. docs/limits.md has the figures, and how they
// were made.
package storm
