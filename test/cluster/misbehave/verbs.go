package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// verb is one thing the program can do.
type verb struct {
	name string
	// args names the arguments, in order; they are checked by their names.
	args []string
	help string
	run  func(p *program, args arguments)
}

// step is a verb of a script with the arguments it was given.
type step struct {
	verb verb
	args arguments
}

// arguments are those of one step. parse has checked them, so that the methods
// which read them cannot fail.
type arguments []string

func (a arguments) text(i int) string { return a[i] }

func (a arguments) number(i int) int {
	n, _ := strconv.Atoi(a[i])
	return n
}

func (a arguments) duration(i int) time.Duration {
	d, _ := time.ParseDuration(a[i])
	return d
}

func verbs() []verb {
	return []verb{
		{"print", []string{"TEXT"}, "write TEXT and a line end to the standard output", (*program).print},
		{"stderr", []string{"TEXT"}, "write TEXT and a line end to the standard error", (*program).stderr},
		{"lines", []string{"N"}, "write N numbered lines", (*program).lines},
		{"bytes", []string{"N"}, "write N bytes without a line end", (*program).bytes},
		{"control-chars", nil, "write escape sequences, a carriage return, a NUL and bytes that are not UTF-8", (*program).controlChars},
		{"term-message", []string{"TEXT"}, "write TEXT to /dev/termination-log", (*program).termMessage},
		{"write", []string{"FILE", "N"}, "write N bytes to FILE", (*program).write},

		{"sleep", []string{"D"}, "wait for the duration D", (*program).sleep},
		{"forever", nil, "wait until killed", (*program).forever},

		{"ignore-term", nil, "from here on, ignore SIGTERM", (*program).ignoreTerm},
		{"term-exit", []string{"CODE"}, "from here on, exit with CODE on SIGTERM", (*program).termExit},
		{"term-after", []string{"D"}, "from here on, exit with 0 when D has passed after SIGTERM", (*program).termAfter},

		{"exit", []string{"CODE"}, "exit with CODE", (*program).exit},
		{"panic", nil, "panic with a nil map, as Go programs do", (*program).panic},
		{"signal", []string{"SIGNAL"}, "die of the signal (KILL, TERM, SEGV, ...); process 1 cannot, so it exits with 128 and the number, which is all a runtime reports of either", (*program).signal},
		{"oom", nil, "allocate and touch memory until killed", (*program).oom},
		{"hold", []string{"N"}, "allocate and touch N bytes, then carry on with them", (*program).hold},
		{"child-oom", nil, "let a child allocate and touch memory until killed, then carry on", (*program).childOOM},

		{"listen", []string{"ADDR"}, "serve /healthz and /readyz over HTTP on ADDR, then carry on", (*program).listen},
		{"ready-after", []string{"D"}, "/readyz answers 503 until D after the start of the program", (*program).readyAfter},
		{"fail-after", []string{"D"}, "/healthz and /readyz answer 500 from D after the start on", (*program).failAfter},
		{"status-after", []string{"D", "CODE"}, "the same with the HTTP status CODE", (*program).statusAfter},
		{"hang-after", []string{"D"}, "/healthz and /readyz do not answer from D after the start on", (*program).hangAfter},
		{"grpc-unhealthy", []string{"ADDR"}, "serve gRPC on ADDR, whose health service answers NOT_SERVING, then carry on", (*program).grpcUnhealthy},
		{"dial", []string{"ADDR"}, "connect to ADDR; where that fails, print the error and exit with 1", (*program).dial},
		{"open", []string{"FILE"}, "open FILE; where that fails, print the error and exit with 1", (*program).open},

		{"once", []string{"FILE"}, "if FILE exists, skip to the verb after \"else\", or to the end; otherwise create it and go on, up to \"else\"", nil},
		{"exit-on-run", []string{"FILE", "N", "CODE"}, "count the runs in FILE, and exit with CODE on run number N", (*program).exitOnRun},
		{"exit-until-run", []string{"FILE", "N", "CODE"}, "count the runs in FILE, and exit with CODE on every run before number N", (*program).exitUntilRun},
	}
}

func help() string {
	var b strings.Builder
	b.WriteString("usage: misbehave VERB [ARGUMENT...] [VERB [ARGUMENT...]]...\n\n")
	for _, v := range verbs() {
		fmt.Fprintf(&b, "  %-28s %s\n", strings.Join(append([]string{v.name}, v.args...), " "), v.help)
	}
	return b.String()
}

// parse reads a script as far as its end, so that a mistake in the last verb
// does not show after an hour.
func parse(words []string) ([]step, error) {
	known := map[string]verb{}
	for _, v := range verbs() {
		known[v.name] = v
	}

	var script []step
	for len(words) > 0 {
		name := words[0]
		words = words[1:]
		if name == "else" {
			return nil, fmt.Errorf("%q belongs to a %q before it", "else", "once")
		}
		v, ok := known[name]
		if !ok {
			return nil, fmt.Errorf("no verb is called %q", name)
		}
		if len(words) < len(v.args) {
			return nil, fmt.Errorf("%s needs %s", name, strings.Join(v.args, " "))
		}
		args := arguments(words[:len(v.args)])
		words = words[len(v.args):]
		for i, kind := range v.args {
			if err := check(kind, args[i]); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}

		if name != "once" {
			script = append(script, step{v, args})
			continue
		}
		s, err := parseOnce(v, args, words)
		if err != nil {
			return nil, err
		}
		return append(script, s), nil
	}
	return script, nil
}

// parseOnce gives "once" the rest of the script, of which it runs one half.
func parseOnce(once verb, args arguments, rest []string) (step, error) {
	first, later := rest, []string(nil)
	for i, word := range rest {
		if word == "else" {
			first, later = rest[:i], rest[i+1:]
			break
		}
	}
	firstRun, err := parse(first)
	if err != nil {
		return step{}, err
	}
	laterRuns, err := parse(later)
	if err != nil {
		return step{}, err
	}
	once.run = func(p *program, args arguments) {
		script := laterRuns
		if p.create(args.text(0)) {
			script = firstRun
		}
		for _, s := range script {
			s.verb.run(p, s.args)
		}
	}
	return step{once, args}, nil
}

func check(kind, value string) error {
	var err error
	switch kind {
	case "N", "CODE":
		_, err = strconv.Atoi(value)
	case "D":
		_, err = time.ParseDuration(value)
	case "SIGNAL":
		_, err = parseSignal(value)
	}
	return err
}
