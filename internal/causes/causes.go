// Package causes is the reference of every cause, detail, reason and exit code: what it
// means, how it is proven, what to check and what usually fixes it. The documentation's
// pages and the command "codes" are made of it.
package causes

// Cause is one cause code.
type Cause struct {
	// Code is the stable code.
	Code string
	// Stall tells causes of stalls from those of stops.
	Stall bool
	// Title is a few words, Meaning one or two sentences.
	Title, Meaning string
	// Details are its detail codes and their meanings; Open tells that others occur too.
	Details []Detail
	Open    bool
	// Proof says how it is proven, with the confidence that gives.
	Proof []string
	// Check says what to look at, Fix what usually helps.
	Check, Fix []string
}

// Detail is a refinement of a cause.
type Detail struct{ Code, Meaning string }
