package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"farshore/api/oapi"
	"farshore/cmd/farshore/client"
	"farshore/cmd/farshore/demo"
	"farshore/domain/storageaccount"
	"farshore/workers/host/local"
	"farshore/workers/host/local/nbd"
	"farshore/workers/replica"
)

func demoCommand() *cobra.Command {
	var (
		keep bool
		data string
	)
	cmd := &cobra.Command{
		Use: "demo", Short: "Protect two VMs of this machine's own making, fail them over and back, and prove every step",
		Args: cobra.NoArgs, PersistentPreRunE: client.Understood,
		RunE: func(cmd *cobra.Command, _ []string) error {
			program, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find this program: %w", err)
			}
			base, err := absolute(data)
			if err != nil {
				return err
			}
			if err := os.MkdirAll(base, 0o755); err != nil { //nolint:gosec // the database's own user passes through it
				return fmt.Errorf("make the data directory: %w", err)
			}
			root, err := os.MkdirTemp(base, "demo-")
			if err != nil {
				return fmt.Errorf("make the demo's folder: %w", err)
			}
			if err := os.Chmod(root, 0o755); err != nil { //nolint:gosec // the same
				return fmt.Errorf("open the demo's folder: %w", err)
			}
			return demo.Run(cmd.Context(), demo.Options{
				Program: program, Root: root, Keep: keep, Out: cmd.OutOrStdout(),
				OpenStore: openDemoStore, StartVM: startVM, Attach: attach, StopHost: stopHost,
			})
		},
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "leave the server running and print its address and key")
	cmd.Flags().StringVar(&data, "data", ".farshore", "folder below which the demo makes its own")
	cmd.AddCommand(guestCommand())
	return cmd
}

func openDemoStore(_ context.Context, a oapi.StorageAccountInput) (replica.Store, error) {
	text := func(p *string) string {
		if p == nil {
			return ""
		}
		return *p
	}
	return openStore(storageaccount.Settings{
		Kind: storageaccount.Kind(a.Kind), Directory: text(a.Directory), Endpoint: text(a.Endpoint),
		Container: text(a.Container), Credential: text(a.Credential),
	})
}

func startVM(ctx context.Context, directory, vm string) error {
	c, err := spawnHost(ctx, directory, true)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Start(ctx, vm)
}

func attach(ctx context.Context, directory, vm, disk string) (demo.Attached, error) {
	socket, err := hostSocket(directory)
	if err != nil {
		return nil, err
	}
	return nbd.Dial(ctx, local.SocketPath(socket, vm, disk), disk)
}

// stopHost shuts the directory's VMs down and ends its host process.
func stopHost(directory string) error {
	ctx := context.Background()
	socket, err := hostSocket(directory)
	if err != nil {
		return err
	}
	c := local.Dial(socket)
	defer c.Close()
	state, err := c.State(ctx)
	if err != nil {
		return nil
	}
	vms, err := c.VirtualMachines(ctx)
	for _, vm := range vms {
		err = errors.Join(err, c.Stop(ctx, vm.ID))
	}
	if killErr := syscall.Kill(state.PID, syscall.SIGTERM); killErr != nil {
		err = errors.Join(err, fmt.Errorf("end the host process of %s: %w", filepath.Base(directory), killErr))
	}
	return err
}
