package main

import (
	"strings"
	"testing"
)

func TestParseRefusesAMistakeInTheLastVerb(t *testing.T) {
	for _, line := range []string{
		"frobnicate",
		"print a exit",
		"sleep soon",
		"exit three",
		"signal NOSUCH",
		"else exit 1",
		"once f exit x",
		"once f exit 1 else frobnicate",
	} {
		if _, err := parse(strings.Fields(line)); err == nil {
			t.Errorf("parse accepts %q", line)
		}
	}
}

func TestOnceRunsOneHalfOfTheScript(t *testing.T) {
	dir := t.TempDir()
	line := []string{"once", dir + "/ran", "write", dir + "/first", "3", "else", "write", dir + "/later", "5"}
	p := newProgram()
	for _, want := range []string{dir + "/first", dir + "/later"} {
		script, err := parse(line)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range script {
			s.verb.run(p, s.args)
		}
		if p.create(want) {
			t.Errorf("the script has not written %s", want)
		}
	}
}

func TestHelpNamesEveryVerb(t *testing.T) {
	for _, v := range verbs() {
		if !strings.Contains(help(), "  "+v.name) {
			t.Errorf("help does not name %s", v.name)
		}
		if v.help == "" {
			t.Errorf("%s has no help", v.name)
		}
	}
}
