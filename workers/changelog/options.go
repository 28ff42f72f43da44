package changelog

import (
	"context"
	"time"

	"farshore/domain/errorcatalog"
)

// Options are what all disks of a Group share. Every field is required unless
// it says otherwise.
type Options struct {
	// LimitPercent is how much of a disk's size its unreleased logs may reach,
	// holes not counted, before tracking of it stops.
	LimitPercent int
	// BootID names the kernel's present boot; see the function BootID.
	BootID string
	// Space returns the free and total bytes of the volume that dir lies on; see
	// the function Space.
	Space func(dir string) (free, total int64, err error)
	// NewID returns a new UUID for a log.
	NewID func() string
	// Now is the clock.
	Now func() time.Time
}

// TrackedDisk is a disk of a Group.
type TrackedDisk struct {
	ID   string // of the disk within its VM
	Gate *Gate  // what the disk's export writes to
	// Base is the path that the names of the disk's logs and of its tracking
	// state begin with, usually the disk's own file: "<Base>.<log id>.hrl",
	// "<Base>.<log id>.dirty" and "<Base>.tracking.json".
	Base string
	// Claimed are the ids of the sealed logs that recorded cuts hold. Others are
	// folded into the next cut. Only OpenGroup reads it.
	Claimed []string
	// Stamp, if set, identifies the state of the disk's file while nobody has it
	// open (its modification time, say). Close records it; OpenGroup compares it
	// and marks a disk that was changed between them.
	Stamp func() (string, error)
}

// Log describes a sealed log.
type Log struct {
	ID         string `json:"id"`
	PreviousID string `json:"previousId"` // the log before it in the disk's chain; empty for the first
	File       string `json:"file"`       // its path
	Bytes      int64  `json:"bytes"`      // length of the file
	Stored     int64  `json:"stored"`     // bytes of it that are no hole
	Entries    int64  `json:"entries"`
	Digest     string `json:"digest"` // BLAKE3-256 of the file, hex
}

// DiskLogs are a disk's logs of one cut, in chain order.
type DiskLogs struct {
	Disk      string
	SizeBytes int64
	Logs      []Log
}

// CutOptions say what else happens with a cut.
type CutOptions struct {
	// InHold, if set, runs while no disk of the group has a write in flight and
	// none is admitted: what it sees on the disks is exactly what the logs of this
	// cut lead to. An error abandons the cut. It must be quick: guests wait.
	InHold func() error
	// Around, if set, gets the hold and calls it, again if it has failed, or returns why
	// there is to be no cut. The hold waits for as long as the context that it is given.
	// What it does before and after costs the guests' writes nothing: the new logs are
	// ready, the old ones not yet sealed.
	Around func(hold func(ctx context.Context) error) error
	// Record makes the cut exist, durably. It gets the sealed logs and the
	// instant. Should it fail, the logs go into the next cut.
	Record func(instant time.Time, disks []DiskLogs) error
}

// DiskStatus is the state of a tracked disk.
type DiskStatus struct {
	Disk         string
	PendingBytes int64 // in logs not yet released, holes not counted
	// Failure is why the disk's logs can no longer be trusted; nil while they can.
	Failure *errorcatalog.Failure
}
