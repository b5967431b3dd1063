package causes_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/whyrestart/whyrestart/internal/causes"
)

var update = flag.Bool("update", false, "write the generated parts of docs/causes")

// The generated part of a page stands between these; what is written after it by hand stays.
const (
	begin = "<!-- generated from internal/causes: go test ./internal/causes -update -->\n"
	end   = "<!-- end of the generated part -->\n"
)

const docs = "../../docs/causes"

// TestDocs checks that each cause has a page, that each page has a cause, and that their
// generated parts say what the table says.
func TestDocs(t *testing.T) {
	pages := map[string]string{"README.md": index()}
	for _, c := range causes.All() {
		pages[c.Code+".md"] = page(&c)
	}
	if *update {
		if err := os.MkdirAll(docs, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range pages {
		path := filepath.Join(docs, name)
		old, err := os.ReadFile(path)
		if err != nil && (!*update || !os.IsNotExist(err)) {
			t.Errorf("%v; -update writes it", err)
			continue
		}
		_, rest, found := strings.Cut(string(old), begin)
		have, after, closed := strings.Cut(rest, end)
		if *update {
			if err := os.WriteFile(path, []byte(begin+want+end+after), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if !found || !closed {
			t.Errorf("%s has no generated part; -update writes it", name)
		} else if diff := cmp.Diff(want, have); diff != "" {
			t.Errorf("%s (-want +got), write it with -update:\n%s", name, diff)
		}
	}
	files, err := os.ReadDir(docs)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if _, ok := pages[f.Name()]; !ok {
			t.Errorf("%s is the page of no cause", f.Name())
		}
	}
}

// page is the generated part of a cause's page.
func page(c *causes.Cause) string {
	var b strings.Builder
	kind := "stop"
	if c.Stall {
		kind = "stall"
	}
	fmt.Fprintf(&b, "# %s\n\n**%s.** A cause of a %s; category %s.\n\n%s\n", c.Code, text(c.Title), kind, c.Category, text(c.Meaning))
	if len(c.Details) > 0 {
		b.WriteString("\n## Details\n\n| detail | what it says |\n| --- | --- |\n")
		for _, d := range c.Details {
			fmt.Fprintf(&b, "| `%s` | %s |\n", d.Code, text(d.Meaning))
		}
		if c.Open {
			b.WriteString("\nOthers occur too.\n")
		}
	}
	section(&b, "How it is proven", c.Proof)
	section(&b, "What to check", c.Check)
	section(&b, "What usually fixes it", c.Fix)
	var words []string
	for _, r := range causes.Reasons() {
		if slices.Contains(r.Causes, c.Code) {
			words = append(words, fmt.Sprintf("%s `%s`", r.Kind, r.Name))
		}
	}
	if len(words) > 0 {
		section(&b, "What Kubernetes may show", []string{strings.Join(words, ", ")})
	}
	return b.String()
}

func section(b *strings.Builder, title string, items []string) {
	fmt.Fprintf(b, "\n## %s\n\n", title)
	for _, s := range items {
		fmt.Fprintf(b, "- %s\n", command(s))
	}
}

// command marks a command as one; what follows it in brackets is no part of it.
func command(s string) string {
	for _, name := range []string{"kubectl ", "docker "} {
		i := strings.Index(s, name)
		if i > 0 && !strings.HasSuffix(s[:i], ": ") || i < 0 {
			continue
		}
		before, cmd := s[:i], s[i:]
		cmd, after, more := strings.Cut(cmd, " (")
		if more {
			after = " (" + after
		}
		return text(before) + "`" + cmd + "`" + text(after)
	}
	if before, cmd, ok := strings.Cut(s, "On the node: "); ok && before == "" && (strings.HasPrefix(cmd, "curl ") || strings.HasPrefix(cmd, "crictl ") || strings.HasPrefix(cmd, "journalctl ")) {
		return "On the node: `" + cmd + "`"
	}
	if before, cmd, ok := strings.Cut(s, "at that time: "); ok {
		return text(before) + "at that time: `" + cmd + "`"
	}
	for _, level := range []string{"confirmed", "likely", "unknown"} {
		if rest, ok := strings.CutPrefix(s, level); ok && strings.HasPrefix(rest, ":") {
			return "**" + level + "**" + text(rest)
		}
	}
	return text(s)
}

// text is plain text in Markdown.
func text(s string) string {
	return strings.NewReplacer("<", "&lt;", "|", "\\|", "*", "\\*").Replace(s)
}

// index is the generated part of the list of all pages.
func index() string {
	var b strings.Builder
	b.WriteString(`# Causes

Every finding has one of these causes. A cause never changes its meaning; a detail refines it.
` + "`whyrestart codes WORD`" + ` shows the same without a network.

How certain a finding is:

| confidence | what it says |
| --- | --- |
| confirmed | the API says so itself, and the finding quotes it |
| likely | a documented mechanism fits, and the finding names what else it could be |
| unknown | the API does not carry it, and the finding names what would settle it |

A failure is something that is broken, a disruption something that the cluster did to a pod, and
lifecycle is what was wanted.
Only failures notify by default.
`)
	for _, part := range []struct {
		title string
		stall bool
	}{{"Stops of a container", false}, {"Stalls: pods and containers that do not start, become ready or go away", true}} {
		fmt.Fprintf(&b, "\n## %s\n\n| cause | what it says | category |\n| --- | --- | --- |\n", part.title)
		for _, c := range causes.All() {
			if c.Stall == part.stall {
				fmt.Fprintf(&b, "| [%s](%s.md) | %s | %s |\n", c.Code, c.Code, text(c.Title), c.Category)
			}
		}
	}
	b.WriteString("\n## Words and numbers of Kubernetes\n")
	kind := causes.Kind("")
	for _, r := range causes.Reasons() {
		if r.Kind != kind {
			kind = r.Kind
			fmt.Fprintf(&b, "\n### %s%ss\n\n| name | what it means | what it does not mean | may stand for |\n| --- | --- | --- | --- |\n", strings.ToUpper(string(kind[:1])), kind[1:])
		}
		var links []string
		for _, c := range r.Causes {
			links = append(links, fmt.Sprintf("[%s](%s.md)", c, c))
		}
		name := "`" + r.Name + "`"
		if len(r.Also) > 0 {
			name += " (" + strings.Join(r.Also, ", ") + ")"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", name, text(r.Meaning), text(r.Not), strings.Join(links, ", "))
	}
	b.WriteString("\n## Last words\n\nWhat a log's tail or a termination message says of the end; the details of [app_exit](app_exit.md).\n\n| class | what it says |\n| --- | --- |\n")
	for _, d := range causes.Classes() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", d.Code, text(d.Meaning))
	}
	b.WriteString("\n## Advice\n\nWhat the evidence may show to be set up badly, whatever ended the container.\n\n| advice | what it says |\n| --- | --- |\n")
	for _, d := range causes.Advice() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", d.Code, text(d.Meaning))
	}
	return b.String()
}
