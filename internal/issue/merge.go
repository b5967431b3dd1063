package issue

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/whyrestart/whyrestart/internal/record"
)

// GroupAnnotation names the group of a pod's issues: pods of one namespace with the same
// group have the same issues, whatever their workloads are called.
const GroupAnnotation = "whyrestart.dev/group"

// Bounds of rules.
const (
	maxRules   = 200
	maxPattern = 1000
)

// Rule merges issues of workloads whose names differ by what does not matter, such as Jobs
// with generated names.
type Rule struct {
	// Namespace, Kind, Workload and Container are regular expressions that the whole name must
	// match; empty matches everything. Kind is that of the workload, in upper or lower case.
	Namespace string `json:"namespace,omitempty"`
	Kind      string `json:"kind,omitempty"`
	Workload  string `json:"workload,omitempty"`
	Container string `json:"container,omitempty"`
	// Into is the group; $1 or ${name} stand for what a group of Workload matched.
	Into string `json:"into"`
}

// Rules are compiled rules, of which the first that matches counts. The nil Rules merge nothing.
type Rules struct{ rules []rule }

type rule struct {
	namespace, kind, workload, container *regexp.Regexp
	into                                 string
}

// Compile checks rules. An error names the rule by its place, the first being 1.
func Compile(rules []Rule) (*Rules, error) {
	if len(rules) > maxRules {
		return nil, fmt.Errorf("%d merge rules, at most %d are taken", len(rules), maxRules)
	}
	out := &Rules{rules: make([]rule, 0, len(rules))}
	for n := range rules {
		c, err := rules[n].compile()
		if err != nil {
			return nil, fmt.Errorf("merge rule %d: %w", n+1, err)
		}
		out.rules = append(out.rules, c)
	}
	return out, nil
}

func (r *Rule) compile() (rule, error) {
	var c rule
	for _, f := range []struct {
		name, pattern, flags string
		to                   **regexp.Regexp
	}{
		{"namespace", r.Namespace, "", &c.namespace},
		{"kind", r.Kind, "(?i)", &c.kind},
		{"workload", r.Workload, "", &c.workload},
		{"container", r.Container, "", &c.container},
	} {
		if f.pattern == "" {
			continue
		}
		if len(f.pattern) > maxPattern {
			return c, fmt.Errorf("%s: the pattern has %d bytes, at most %d are taken", f.name, len(f.pattern), maxPattern)
		}
		// By itself first: "a)(b" must not become valid in the brackets of the anchors.
		if _, err := regexp.Compile(f.pattern); err != nil {
			return c, fmt.Errorf("%s: %w", f.name, err)
		}
		re, err := regexp.Compile(f.flags + "^(?:" + f.pattern + ")$")
		if err != nil {
			return c, fmt.Errorf("%s: %w", f.name, err)
		}
		*f.to = re
	}
	if c.namespace == nil && c.kind == nil && c.workload == nil && c.container == nil {
		return c, errors.New("it matches everything: name at least one of namespace, kind, workload and container")
	}
	if r.Into == "" {
		return c, errors.New("into: the name of the group is missing")
	}
	if len(r.Into) > maxName {
		return c, fmt.Errorf("into: the name of the group has %d bytes, at most %d are taken", len(r.Into), maxName)
	}
	c.into = r.Into
	return c, c.checkInto()
}

// reference is what regexp.Expand takes for a reference to a group.
var reference = regexp.MustCompile(`\$(\$|\w+|\{\w+\})?`)

// checkInto refuses references to groups that there are not: regexp would put nothing in
// their place, so that unlike workloads become one.
func (c *rule) checkInto() error {
	for _, m := range reference.FindAllStringSubmatch(c.into, -1) {
		name := strings.Trim(m[1], "{}")
		switch {
		case name == "$":
			continue
		case name == "":
			return fmt.Errorf("into: %q has a $ that names no group; write $$ for the sign itself", c.into)
		case c.workload == nil:
			return fmt.Errorf("into: %s stands for a group of workload, which has no pattern", m[0])
		}
		if n, err := strconv.Atoi(name); err == nil && n <= c.workload.NumSubexp() || err != nil && c.workload.SubexpIndex(name) > 0 {
			continue
		}
		hint := ""
		if strings.Contains(name, "_") || strings.Trim(name, "0123456789") != "" {
			hint = "; write ${1} where a letter, a digit or _ follows"
		}
		return fmt.Errorf("into: %s is no group of workload %q%s", m[0], strings.TrimSuffix(strings.TrimPrefix(c.workload.String(), "^(?:"), ")$"), hint)
	}
	return nil
}

// Group returns the group of a record, empty for none. One that the record has already, from its
// pod's annotation, goes before every rule.
func (r *Rules) Group(of *record.Record) string {
	if of.Group != "" || r == nil {
		return of.Group
	}
	w := workloadOf(of)
	for n := range r.rules {
		c := &r.rules[n]
		if !match(c.namespace, of.Namespace) || !match(c.kind, w.Kind) || !match(c.container, of.Container) {
			continue
		}
		if c.workload == nil {
			return c.expand(nil, "")
		}
		if m := c.workload.FindStringSubmatchIndex(w.Name); m != nil {
			return c.expand(m, w.Name)
		}
	}
	return ""
}

func match(re *regexp.Regexp, s string) bool { return re == nil || re.MatchString(s) }

func (c *rule) expand(m []int, name string) string {
	if m == nil {
		return strings.ReplaceAll(c.into, "$$", "$")
	}
	return cut(string(c.workload.ExpandString(nil, c.into, name, m)), maxName)
}
