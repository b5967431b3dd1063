// Package config reads the file of settings that flags are too small for.
//
// Reading is strict: a field that is not known, a value that cannot work and an empty file
// are errors, which name the file, the line and the field. Nothing of a file with an error
// is used, and what a file leaves out is as if there were none.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/whyrestart/whyrestart/internal/issue"
)

// maxBytes bounds the file.
const maxBytes = 1 << 20

// Config is what a file says.
type Config struct {
	// Merge are the rules of issues.merge; nil where there are none.
	Merge *issue.Rules
}

// file is the form of the file.
type file struct {
	Issues struct {
		// Merge are pointers, since the decoder leaves a null out of a list of values.
		Merge []*rule `yaml:"merge"`
	} `yaml:"issues"`
}

// rule is an issue.Rule.
type rule struct {
	Namespace string `yaml:"namespace"`
	Kind      string `yaml:"kind"`
	Workload  string `yaml:"workload"`
	Container string `yaml:"container"`
	Into      string `yaml:"into"`
}

// Load reads a file.
func Load(path string) (*Config, error) {
	f, err := os.Open(filepath.Clean(path))
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	c, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	return c, nil
}

// Parse reads the text of a file.
func Parse(data []byte) (*Config, error) {
	if len(data) > maxBytes {
		return nil, fmt.Errorf("it is larger than %d KiB", maxBytes>>10)
	}
	var f file
	if err := strict(data, &f); err != nil {
		return nil, err
	}
	var tree yaml.Node
	if err := yaml.Unmarshal(data, &tree); err != nil {
		return nil, plain(err)
	}
	rules, err := merge(f.Issues.Merge, below(&tree, "issues", "merge"))
	if err != nil {
		return nil, err
	}
	return &Config{Merge: rules}, nil
}

// merge compiles the rules that stand at a node of the file: each by itself, so that an error has a line.
func merge(rules []*rule, at *yaml.Node) (*issue.Rules, error) {
	if len(rules) == 0 {
		return nil, nil
	}
	all := make([]issue.Rule, 0, len(rules))
	for i, of := range rules {
		var r issue.Rule
		if of != nil {
			r = issue.Rule(*of)
		}
		line := 0
		if at != nil && i < len(at.Content) {
			line = at.Content[i].Line
		}
		if err := check(r); err != nil {
			return nil, fmt.Errorf("line %d: issues.merge[%d]: %w", line, i, err)
		}
		all = append(all, r)
	}
	compiled, err := issue.Compile(all)
	if err != nil {
		return nil, fmt.Errorf("issues.merge: %w", err)
	}
	return compiled, nil
}

// check tells what is wrong with a rule by itself.
func check(r issue.Rule) error {
	if _, err := issue.Compile([]issue.Rule{r}); err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "merge rule 1: "))
	}
	if strings.TrimSpace(r.Into) == "" {
		return errors.New("into: the name of the group is blank")
	}
	return nil
}

// strict decodes the one document of a file, of which every field has to be known.
func strict(data []byte, into any) error {
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	switch err := d.Decode(into); {
	case errors.Is(err, io.EOF):
		return errors.New("it is empty")
	case err != nil:
		return plain(err)
	}
	var more yaml.Node
	if err := d.Decode(&more); err == nil {
		return fmt.Errorf("line %d: there is a second document", more.Line)
	} else if !errors.Is(err, io.EOF) {
		return plain(err)
	}
	return nil
}

// What the decoder says of types that only the program knows.
var (
	unknownField = regexp.MustCompile(`\bfield (.*) not found in type \S+`)
	intoList     = regexp.MustCompile(`into \[\]\S+`)
	intoMapping  = regexp.MustCompile(`into (\*?config\.\w+|struct \{.*)`)
)

// plain says what the decoder says in words that know nothing of its types.
func plain(err error) error {
	wrong, ok := errors.AsType[*yaml.TypeError](err)
	if !ok {
		return errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	text := make([]string, len(wrong.Errors))
	for i, e := range wrong.Errors {
		e = unknownField.ReplaceAllString(e, "there is no field $1 here")
		e = intoList.ReplaceAllString(e, "into a list")
		text[i] = intoMapping.ReplaceAllString(e, "into a mapping of fields")
	}
	return errors.New(strings.Join(text, "; "))
}

// below returns the node at a path of keys, nil where there is none.
func below(n *yaml.Node, path ...string) *yaml.Node {
	if n.Kind == yaml.DocumentNode && len(n.Content) > 0 {
		n = n.Content[0]
	}
	for _, key := range path {
		var next *yaml.Node
		for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == key {
				next = n.Content[i+1]
			}
		}
		if next == nil {
			return nil
		}
		if next.Kind == yaml.AliasNode {
			next = next.Alias
		}
		n = next
	}
	return n
}
