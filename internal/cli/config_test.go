package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestConfigFlags(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.yaml"), filepath.Join(dir, "bad.yaml")
	for path, text := range map[string]string{
		good: "issues: {merge: [{kind: Job, into: jobs}]}\n",
		bad:  "issues: {merge: [{kind: Job}]}\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name, flag, variable string
		merges               bool
		want                 string
	}{
		{name: "nothing"},
		{name: "flag", flag: good, merges: true},
		{name: "variable", variable: good, merges: true},
		{name: "flag before variable", flag: good, variable: bad, merges: true},
		{name: "wrong", flag: bad, want: "bad.yaml: line 1: issues.merge[0]: into: the name of the group is missing"},
		{name: "not there", variable: filepath.Join(dir, "none.yaml"), want: "none.yaml: no such file"},
	} {
		t.Setenv(configVariable, tt.variable)
		var f configFlags
		flags := pflag.NewFlagSet("", pflag.ContinueOnError)
		f.add(flags)
		if err := flags.Parse([]string{"--config=" + tt.flag}); err != nil {
			t.Fatal(err)
		}
		c, err := f.load()
		switch {
		case tt.want != "":
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
			}
		case err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case (c.Merge != nil) != tt.merges:
			t.Errorf("%s: rules %v", tt.name, c.Merge)
		}
	}
}
