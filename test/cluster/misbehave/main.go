// Command misbehave is the container that fails on demand. Its arguments are a
// script of verbs that run one after the other:
//
//	misbehave print "loading" sleep 2s stderr "no such table: users" exit 3
//
// A script that comes to its end exits with 0. SIGTERM ends the program with 0
// at any time unless a verb says otherwise, so that a pod of it can always be
// deleted quickly. A script that makes no sense exits with 64 before it runs.
//
// What the program says about itself is worded like the errors of ordinary
// programs and no line names a verb: a test that reads the output must find in
// it what it would find in the output of a real service.
//
// "misbehave help" lists the verbs.
package main

import (
	"fmt"
	"os"
)

// exitUsage is EX_USAGE of sysexits: no verb exits with it unless asked to.
const exitUsage = 64

func main() {
	args := os.Args[1:]
	if len(args) == 0 || args[0] == "help" {
		fmt.Print(help())
		return
	}

	script, err := parse(args)
	if err != nil {
		fmt.Fprintf(os.Stderr, "misbehave: %v\n", err)
		os.Exit(exitUsage)
	}

	p := newProgram()
	go p.obeySignals()
	for _, s := range script {
		s.verb.run(p, s.args)
	}
}
