package cli

import (
	"os"
	"path/filepath"

	"github.com/spf13/pflag"
)

// storeEnv names the history where --store does not: no password stands in the list of
// processes then, nor in the history of a shell.
const storeEnv = "WHYRESTART_STORE"

// addStore adds --store.
func addStore(f *pflag.FlagSet, store *string) {
	f.StringVar(store, "store", defaultStore(), "the history: an SQLite file, or postgres://USER@HOST/DATABASE (default: that of $"+storeEnv+")")
	flag := f.Lookup("store")
	if os.Getenv(storeEnv) != "" {
		flag.DefValue = "" // which help would show
		return
	}
	flag.Usage = "the history: an SQLite file, or postgres://USER@HOST/DATABASE; $" + storeEnv + " is its default"
}

// defaultStore is what the environment names, else a file where the XDG base directory
// specification puts state.
func defaultStore() string {
	if store := os.Getenv(storeEnv); store != "" {
		return store
	}
	dir := os.Getenv("XDG_STATE_HOME")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "whyrestart.db"
		}
		dir = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(dir, "whyrestart", "whyrestart.db")
}
