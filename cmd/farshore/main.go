// Command farshore runs the disaster-recovery service, its host processes, its
// client and its demonstration.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"farshore/cmd/farshore/client"
	"farshore/domain/errorcatalog"
)

// version is set when the program is linked.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ran, err := command().ExecuteContextC(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "farshore:", explained(err))
	}
	os.Exit(client.ExitCode(ran, err))
}

// explained is an error with its remedy, if it is one of the catalogue's that no server
// has explained.
func explained(err error) string {
	if f, ok := errors.AsType[*errorcatalog.Failure](err); ok {
		if e, known := errorcatalog.Lookup(f.Code); known {
			return err.Error() + "\n  remedy: " + e.Remedy
		}
	}
	return err.Error()
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use:   "farshore",
		Short: "Disaster recovery for virtual machines",
		Long: `Farshore replicates virtual machines into Azure page blobs or a directory, keeps
recovery points and fails over to another machine.

Start the server with "farshore serve"; the other commands talk to it. They exit
with 0 when done, 1 when the request or its job failed, 2 for a wrong command line,
3 when what was named does not exist, 4 when the present state forbids it, 5 when
the key may not do it, 6 when --timeout passed, 7 when the server cannot be reached.`,
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	commands := client.Commands(root)
	client.HostGroup(commands).AddCommand(hostCommands(ownLogger)...)
	root.AddCommand(commands...)
	root.AddCommand(serveCommand(), workerCommand(), migrateCommand(), demoCommand(), docsCommand())
	return root
}
