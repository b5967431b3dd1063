package cli

import (
	"os"

	"github.com/spf13/pflag"

	"github.com/whyrestart/whyrestart/internal/config"
)

// configVariable names the configuration where no flag does.
const configVariable = "WHYRESTART_CONFIG"

// configFlags name the file of settings that flags are too small for.
type configFlags struct {
	path string
}

func (f *configFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.path, "config", "", "file of settings, such as which issues to merge (default: $"+configVariable+", or none)")
}

// load reads the file; without one, nothing is set.
func (f *configFlags) load() (*config.Config, error) {
	path := f.path
	if path == "" {
		path = os.Getenv(configVariable)
	}
	if path == "" {
		return new(config.Config), nil
	}
	return config.Load(path)
}
