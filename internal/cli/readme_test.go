package cli

import (
	"bytes"
	"context"
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what the program prints into README.md")

// TestREADME holds that the README shows what the program prints.
func TestREADME(t *testing.T) {
	t.Chdir("../..")
	t.Setenv("COLUMNS", "100")
	local := time.Local
	time.Local = time.UTC
	t.Cleanup(func() { time.Local = local })
	const path, begin, end = "README.md", "```\n$ whyrestart explain ", "```\n"
	readme, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(readme), begin)
	if !ok {
		t.Fatalf("no %q in %s", begin, path)
	}
	shown, after, ok := strings.Cut(rest, "\n"+end)
	if !ok {
		t.Fatalf("the example in %s does not end", path)
	}
	args, was, _ := strings.Cut(shown, "\n")
	var out, errs bytes.Buffer
	if code := Main(context.Background(), append([]string{"whyrestart", "explain"}, strings.Fields(args)...), Streams{In: strings.NewReader(""), Out: &out, Err: &errs}); code != exitDone {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	// The age of a recording is that of the reader's clock.
	is := strings.TrimRight(regexp.MustCompile(`\d\d:\d\d:\d\d \([^)]* ago\)`).ReplaceAllString(out.String(), "02:13:09 (41s ago)"), "\n")
	is = regexp.MustCompile(`\d{4}-\d\d-\d\d (02:13:09 \(41s)`).ReplaceAllString(is, "$1")
	if *update {
		text := before + begin + args + "\n" + is + "\n" + end + after
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(was, is); diff != "" {
		t.Errorf("the example in %s (-shown +printed), write it with -update:\n%s", path, diff)
	}
}
