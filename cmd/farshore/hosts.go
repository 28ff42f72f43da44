package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"farshore/cmd/farshore/client"
	"farshore/domain/errorcatalog"
	"farshore/domain/site"
	"farshore/eventstore"
	"farshore/workers/host"
	"farshore/workers/host/local"
)

// spawnHost returns the host process of a directory, starting it if need be. An
// inhabited one holds VMs, or has held some.
func spawnHost(ctx context.Context, directory string, inhabited bool) (*local.Client, error) {
	socket, err := hostSocket(directory)
	if err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	return local.Spawn(ctx, local.SpawnOptions{
		Program: program, Args: []string{"host", "run"}, Directory: directory, Socket: socket, Inhabited: inhabited,
	})
}

// hosts finds hosts by their place in a site.
type hosts struct {
	sites eventstore.Repository[site.Command, site.Event, site.State]

	mu      sync.Mutex
	clients map[string]*local.Client // by directory
}

// Host implements workflow.Hosts. A host process that has ended is started again.
func (h *hosts) Host(ctx context.Context, vault, siteID, hostID string) (host.Host, error) {
	state, _, err := h.sites.Load(ctx, vault+"."+siteID)
	if err != nil {
		return nil, fmt.Errorf("find site %s: %w", siteID, err)
	}
	found, ok := state.Host(hostID)
	if !ok {
		return nil, errorcatalog.Fail(errorcatalog.HostNotFound, "site %s has no host %s", siteID, hostID)
	}
	return h.open(ctx, found)
}

// answerPatience is how long a host process has to say that it is there.
const answerPatience = 10 * time.Second

// open asks the process outside of the lock: one that hangs keeps nobody from another.
func (h *hosts) open(ctx context.Context, at site.Host) (*local.Client, error) {
	directory := at.Directory
	h.mu.Lock()
	had := h.clients[directory]
	h.mu.Unlock()
	if had != nil {
		quick, cancel := context.WithTimeout(ctx, answerPatience)
		_, err := had.State(quick)
		hangs := quick.Err() != nil && ctx.Err() == nil
		cancel()
		switch {
		case err == nil:
			return had, nil
		case hangs:
			return nil, errorcatalog.Fail(errorcatalog.HostUnreachable, "the host process of %s has not answered within %s", directory, answerPatience)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if c := h.clients[directory]; c != had && c != nil {
		return c, nil // somebody has started it meanwhile
	}
	if had != nil {
		had.Close()
		delete(h.clients, directory)
	}
	c, err := spawnHost(ctx, directory, at.Inhabited)
	if err != nil {
		return nil, err
	}
	if h.clients == nil {
		h.clients = map[string]*local.Client{}
	}
	h.clients[directory] = c
	return c, nil
}

// Zone is the time zone of a site.
func (h *hosts) Zone(ctx context.Context, vault, siteID string) *time.Location {
	state, _, err := h.sites.Load(ctx, vault+"."+siteID)
	if err != nil {
		return time.UTC
	}
	zone, err := time.LoadLocation(state.TimeZone)
	if err != nil {
		return time.UTC
	}
	return zone
}

// hostCommands are the commands of a local host itself; they need no server.
func hostCommands(logger func(io.Writer) *slog.Logger) []*cobra.Command {
	var directory, socket string
	run := &cobra.Command{
		Use: "run", Short: "Be the host process of a directory of VMs; the server starts it by itself",
		Args: cobra.NoArgs, PersistentPreRunE: client.Understood,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if socket == "" {
				var err error
				if socket, err = hostSocket(directory); err != nil {
					return err
				}
			}
			return local.Serve(cmd.Context(), local.Options{
				Directory: directory, Socket: socket, Version: version, Now: time.Now, NewID: newID, Log: logger(cmd.ErrOrStderr()),
				OpenBacking: new(backings).open,
			})
		},
	}
	run.Flags().StringVar(&socket, "socket", "", "where it is controlled; default derived from the directory")
	grow := &cobra.Command{
		Use: "grow VM DISK SIZE", Short: "Make a disk of a VM that is off larger; its protection goes on", Args: cobra.ExactArgs(3), PersistentPreRunE: client.Understood,
		Example: "  farshore host grow web data 200GiB --directory /vms/office",
		RunE: func(cmd *cobra.Command, args []string) error {
			size, err := sizeOf(args[2])
			if err != nil {
				return err
			}
			c, err := spawnHost(cmd.Context(), directory, true)
			if err != nil {
				return err
			}
			defer c.Close()
			return c.GrowDisk(cmd.Context(), args[0], args[1], size)
		},
	}
	stop := power("stop VM", "Shut a VM of a local host down", &directory, func(ctx context.Context, c *local.Client, vm string) error {
		return c.Stop(ctx, vm)
	})
	commands := []*cobra.Command{run, startCommand(&directory), stop, grow}
	for _, c := range commands {
		c.Flags().StringVar(&directory, "directory", "", "the host's folder")
		_ = c.MarkFlagRequired("directory")
	}
	return commands
}

// power is a command that is about a VM of the host at a directory.
func power(use, short string, directory *string, act func(ctx context.Context, c *local.Client, vm string) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: cobra.ExactArgs(1), PersistentPreRunE: client.Understood, RunE: func(cmd *cobra.Command, args []string) error {
		c, err := spawnHost(cmd.Context(), *directory, true)
		if err != nil {
			return err
		}
		defer c.Close()
		return act(cmd.Context(), c, args[0])
	}}
}

func startCommand(directory *string) *cobra.Command {
	var here bool
	start := power("start VM", "Start a VM of a local host", directory, func(ctx context.Context, c *local.Client, vm string) error {
		if here {
			if err := c.SetActive(ctx, vm, true); err != nil {
				return err
			}
		}
		return c.Start(ctx, vm)
	})
	start.Flags().BoolVar(&here, "here", false, "although it was kept off, because it ran elsewhere; it must not run there any more")
	return start
}

// sizeOf reads a size: a number of bytes, or of MiB, GiB or TiB.
func sizeOf(text string) (int64, error) {
	number, unit := text, int64(1)
	for suffix, bytes := range map[string]int64{"MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40} {
		if n, found := strings.CutSuffix(text, suffix); found {
			number, unit = n, bytes
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n <= 0 || n > math.MaxInt64/unit {
		return 0, fmt.Errorf("size %q: a number of bytes, or of MiB, GiB or TiB", text)
	}
	return n * unit, nil
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

// ownLogger writes what happens as text to a terminal and as JSON elsewhere.
func ownLogger(w io.Writer) *slog.Logger {
	if f, ok := w.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			return slog.New(slog.NewTextHandler(w, nil))
		}
	}
	return slog.New(slog.NewJSONHandler(w, nil))
}

// absolute resolves a path given on the command line.
func absolute(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("resolve %s: %w", path, err)
	}
	return abs, nil
}
