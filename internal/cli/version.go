package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/whyrestart/whyrestart/internal/record"
	"github.com/whyrestart/whyrestart/internal/version"
)

func newVersion(e *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show the version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(e.Out, "whyrestart %s (records %s)\n", version.Current(), record.Schema)
			return err
		},
	}
}
