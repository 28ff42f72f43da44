package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"farshore/cmd/farshore/client"
	"farshore/cmd/farshore/demo"
	"farshore/workers/host/local/nbd"
	"farshore/workers/proof"
)

// guestCommand is the operating system of a proven VM: it writes numbered
// records to the disks that its host exports.
func guestCommand() *cobra.Command {
	var (
		journal, gate string
		disks         []string
		pause         time.Duration
		stubborn      bool
	)
	cmd := &cobra.Command{
		Use: "guest", Short: "Write numbered records to the disks of a VM, as its guest", Hidden: true,
		Args: cobra.NoArgs, PersistentPreRunE: client.Understood,
		RunE: func(cmd *cobra.Command, _ []string) error {
			g := &proof.Guest{Journal: journal, Pause: pause, MaxLength: 16 << 10}
			var sockets []string
			var names []string
			for _, d := range disks {
				name, area, err := parseArea(d)
				if err != nil {
					return err
				}
				g.Areas, names = append(g.Areas, area), append(names, name)
				sockets = append(sockets, os.Getenv("FARSHORE_NBD_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_"))))
			}
			g.Dial = func(ctx context.Context, disk int) (proof.Target, error) {
				return nbd.Dial(ctx, sockets[disk], names[disk])
			}
			if stubborn {
				signal.Ignore(syscall.SIGTERM)
			}
			if err := demo.Gate(cmd.Context(), gate); err != nil {
				return nil //nolint:nilerr // shut down before it was let in
			}
			return g.Run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&journal, "journal", "", "file that remembers each write")
	f.StringVar(&gate, "gate", "", "wait while this file exists")
	f.StringArrayVar(&disks, "disk", nil, "ID:START:END, the area of a disk to write to, in bytes")
	f.DurationVar(&pause, "pause", 40*time.Millisecond, "between rounds of writes")
	f.BoolVar(&stubborn, "stubborn", false, "do not shut down when asked to")
	_ = cmd.MarkFlagRequired("journal")
	return cmd
}

func parseArea(text string) (name string, area proof.Area, err error) {
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return "", area, fmt.Errorf("--disk %q: use ID:START:END", text)
	}
	if area.Start, err = strconv.ParseInt(parts[1], 10, 64); err == nil {
		area.End, err = strconv.ParseInt(parts[2], 10, 64)
	}
	if err != nil {
		return "", area, fmt.Errorf("--disk %q: %w", text, err)
	}
	return parts[0], area, nil
}
