package changelog

import (
	"context"
	"errors"

	"farshore/workers/disk"
)

var errUnbuilt = errors.New("changelog: not built yet")

// Gate is the disk.Device under a disk's export for as long as the disk is
// served. It passes everything through while the disk is not tracked, so that
// tracking can begin and end under a running guest.
type Gate struct{ disk.Device }

// NewGate returns a Gate over d, untracked.
func NewGate(d disk.Device) *Gate { return &Gate{Device: d} }

// Hold runs f at an instant when none of the gates' disks has a write in flight:
// new ones wait until f returns. It is how a snapshot of an untracked VM is taken.
func Hold(ctx context.Context, gates []*Gate, f func() error) error { return errUnbuilt }

// Group tracks the disks of one VM.
type Group struct{}

// StartGroup begins to track the disks, on all of them at one instant, and
// removes what an earlier group has left beside them. inHold, if not nil, runs at
// that instant, while no write is in flight. It is durable when it returns.
func StartGroup(ctx context.Context, o Options, disks []TrackedDisk, inHold func() error) (*Group, error) {
	return nil, errUnbuilt
}

// OpenGroup takes up tracking that an earlier process began, before the disks
// accept writes. A disk whose logs cannot be trusted is not tracked; Status says
// why and Restart begins anew. With no tracking state beside a disk it fails with
// an error that is fs.ErrNotExist.
func OpenGroup(ctx context.Context, o Options, disks []TrackedDisk) (*Group, error) {
	return nil, errUnbuilt
}

// Cut seals the logs of all disks at one instant and begins new ones. It fails
// with the code of class Resynchronize when a disk's log cannot be trusted.
func (g *Group) Cut(ctx context.Context, o CutOptions) error { return errUnbuilt }

// Release deletes logs that are durable elsewhere. Unknown ones have been
// released before.
func (g *Group) Release(disk string, logs []string) error { return errUnbuilt }

// Restart drops all logs of the given disks and begins new ones at one instant;
// inHold, if not nil, runs at that instant.
func (g *Group) Restart(ctx context.Context, disks []string, inHold func() error) error {
	return errUnbuilt
}

// SetLimit replaces Options.LimitPercent.
func (g *Group) SetLimit(percent int) {}

// Status returns the state of all disks, in the order they were given.
func (g *Group) Status() []DiskStatus { return nil }

// Stop ends tracking and deletes all logs and the tracking state.
func (g *Group) Stop() error { return errUnbuilt }

// Close seals the open logs and ends tracking in this process; OpenGroup takes it
// up. The disks' guests must be off: what they write from now on is not logged.
func (g *Group) Close() error { return errUnbuilt }

// BootID returns what names the kernel's present boot.
func BootID() (string, error) { return "", errUnbuilt }

// Space returns the free and total bytes of the volume that dir lies on.
func Space(dir string) (free, total int64, err error) { return 0, 0, errUnbuilt }
