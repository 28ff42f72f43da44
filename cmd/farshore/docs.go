package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"farshore/cmd/farshore/client"
	"farshore/cmd/farshore/statechart"
	"farshore/domain/errorcatalog"
)

// docsCommand renders the parts of the documentation that are made from code.
func docsCommand() *cobra.Command {
	docs := &cobra.Command{Use: "docs", Short: "Render documentation from the program itself", Hidden: true}
	docs.AddCommand(
		rendering("errors", "Render the error catalogue as Markdown", func() string { return errorcatalog.Markdown(errorcatalog.All()) }),
		rendering("states", "Render the states of a protected item as Markdown", statechart.Markdown),
	)
	return docs
}

func rendering(use, short string, text func() string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs, PersistentPreRunE: client.Understood,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(cmd.OutOrStdout(), text())
			return err //nolint:wrapcheck // standard output
		},
	}
}
