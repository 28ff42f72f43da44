package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"farshore/cmd/farshore/client"
	"farshore/domain/errorcatalog"
)

// docsCommand renders the parts of the documentation that are made from code.
func docsCommand() *cobra.Command {
	docs := &cobra.Command{Use: "docs", Short: "Render documentation from the program itself", Hidden: true}
	docs.AddCommand(&cobra.Command{
		Use: "errors", Short: "Render the error catalogue as Markdown", Args: cobra.NoArgs, PersistentPreRunE: client.Understood,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(cmd.OutOrStdout(), errorcatalog.Markdown(errorcatalog.All()))
			return err //nolint:wrapcheck // standard output
		},
	})
	return docs
}
