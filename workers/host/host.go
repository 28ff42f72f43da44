// Package host is the seam to a machine that runs virtual machines: the roles a
// workflow may ask of it, whatever hypervisor stands behind.
//
// Every method is idempotent: a workflow that crashed repeats its last step.
// Errors carry codes of the error catalogue (errorcatalog.Of).
package host

import (
	"context"
	"io"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/domain/site"
	"farshore/workers/disk"
)

// Host is everything a host can do. Workflows ask for the roles they use.
type Host interface { //nolint:interfacebloat // the sum of the roles; who needs one asks for one
	Inventory
	Replicator
	Tracker
	Snapshotter
	Power
	Provisioner
	Backer
	Returning
}

// Inventory tells what a host holds.
type Inventory interface {
	// VirtualMachines lists the VMs that can be protected. A VM whose description
	// cannot be read is listed by Problems.
	VirtualMachines(ctx context.Context) ([]site.VirtualMachine, error)
	// VirtualMachine returns one, or a vm_not_found failure.
	VirtualMachine(ctx context.Context, vm string) (site.VirtualMachine, error)
	// Space returns the free and total bytes where the VM's disks lie.
	Space(ctx context.Context, vm string) (Space, error)
}

// Space is the state of a volume, in bytes.
type Space struct {
	Free  int64 `json:"free"`
	Total int64 `json:"total"`
}

// Replicator creates and ends replication relationships.
type Replicator interface {
	// StartReplication creates the relationship and begins tracking the disks'
	// writes, on all of them at one instant. It is durable before it returns.
	StartReplication(ctx context.Context, vm string, r Relationship) error
	// StopReplication ends the relationship: tracking stops, logs, cuts and
	// snapshots of the VM are removed. Without a relationship it succeeds.
	StopReplication(ctx context.Context, vm string) error
	// Replication returns the state of the relationship, or a
	// relationship_not_found failure.
	Replication(ctx context.Context, vm string) (Replication, error)
	// UpdateRelationship replaces the settings and the disks of an existing
	// relationship. Tracking of disks that are new in it begins at one instant, and is
	// durable before it returns; of those that are no longer in it, logs and tracking
	// are removed, also from cuts. The chains of the others go on unbroken.
	UpdateRelationship(ctx context.Context, vm string, r Relationship) error
	// RestartTracking drops all logs and cuts of the given disks and begins new
	// ones, as a resynchronization does at its start.
	RestartTracking(ctx context.Context, vm string, disks []string) error
}

// Relationship is the host's side of a protected VM.
type Relationship struct {
	ID    string   `json:"id"`
	Disks []string `json:"disks"` // the tracked disks
	// LogLimitPercent is how much of a disk's size its unshipped logs may reach
	// before tracking stops and the disk needs resynchronization.
	LogLimitPercent int `json:"logLimitPercent"`
}

// Replication is the state of a relationship.
type Replication struct {
	Relationship
	Tracking []DiskTracking `json:"tracking"`
	Cuts     []Cut          `json:"cuts"` // sealed and not yet released, oldest first
}

// DiskTracking is the state of one tracked disk.
type DiskTracking struct {
	Disk         string `json:"disk"`
	PendingBytes int64  `json:"pendingBytes"` // in logs not yet released
	// ResyncReason is a code of class Resynchronize when the disk's log can no
	// longer be trusted, else empty.
	ResyncReason string `json:"resyncReason,omitempty"`
	Detail       string `json:"detail,omitempty"`
}

// Tracker cuts the change logs.
type Tracker interface {
	// Cut seals the logs of all the VM's tracked disks at one instant and begins
	// new ones. A cut that exists is returned as it is. It fails with the code of
	// class Resynchronize when a disk's log cannot be trusted. An application-consistent
	// one that cannot be had is made all the same, without that: it says why.
	Cut(ctx context.Context, vm string, req CutRequest) (Cut, error)
	// OpenLog reads a sealed log of a cut, from the first byte of its file.
	OpenLog(ctx context.Context, vm, disk, log string) (io.ReadCloser, error)
	// Written returns the ranges of a disk that a cut's logs name, ascending and
	// widened to a grain of the host's choice, at most 64 KiB. It fails with
	// cut_not_found, or with the code of class Resynchronize when a log cannot be
	// trusted.
	Written(ctx context.Context, vm, cut, disk string) ([]disk.Extent, error)
	// ReleaseCut deletes a cut's logs: they are durable elsewhere. An unknown cut
	// has been released before.
	ReleaseCut(ctx context.Context, vm, cut string) error
}

// CutRequest asks for a cut.
type CutRequest struct {
	ID string `json:"id"` // a UUID; also the id of the recovery point made from it
	// Snapshot, if set, takes a snapshot of that id in the same hold.
	Snapshot string `json:"snapshot,omitempty"`
	// AppConsistent asks for the guest's applications to be at rest at the instant.
	AppConsistent bool `json:"appConsistent,omitempty"`
}

// Cut is one instant of a VM, as sealed logs of all its tracked disks.
type Cut struct {
	ID         string    `json:"id"`
	PreviousID string    `json:"previousId,omitempty"` // the cut before it; empty for the first
	Instant    time.Time `json:"instant"`
	Snapshot   string    `json:"snapshot,omitempty"`
	Disks      []DiskCut `json:"disks"`
	// AppConsistent says that the guest's applications were at rest at the instant.
	AppConsistent bool `json:"appConsistent,omitempty"`
	// Freeze tells of an application-consistent cut that was asked for, made or not,
	// and of a guest that an earlier one had left frozen.
	Freeze *Freeze `json:"freeze,omitempty"`
}

// Freeze is what a cut has asked of a guest's applications.
type Freeze struct {
	Milliseconds int64                 `json:"milliseconds,omitempty"` // from the first request to the last answer
	Failure      *errorcatalog.Failure `json:"failure,omitempty"`
}

// DiskCut is a disk's part of a cut: its logs in chain order.
type DiskCut struct {
	Disk      string    `json:"disk"`
	SizeBytes int64     `json:"sizeBytes"`
	Logs      []LogFile `json:"logs"`
}

// LogFile is a sealed change log.
type LogFile struct {
	ID         string `json:"id"`
	PreviousID string `json:"previousId"` // the log before it in the disk's chain
	Bytes      int64  `json:"bytes"`      // length of the file
	Digest     string `json:"digest"`     // BLAKE3-256 of the file, hex
	Entries    int64  `json:"entries"`
}

// Snapshotter keeps a VM's disks as they were at one instant.
type Snapshotter interface {
	// CreateSnapshot takes a snapshot of all the VM's disks at one instant.
	// One that exists is left as it is.
	CreateSnapshot(ctx context.Context, vm, snapshot string) error
	// OpenSnapshot reads a disk of a snapshot, or fails with snapshot_not_found.
	OpenSnapshot(ctx context.Context, vm, snapshot, disk string) (disk.Reader, error)
	// DeleteSnapshot removes a snapshot. An unknown one has been removed before.
	DeleteSnapshot(ctx context.Context, vm, snapshot string) error
}

// Grower makes a VM's disks larger. Hosts whose disks are grown by other means do
// not have it: they tell of a larger disk, whose logs go on, in their cuts.
type Grower interface {
	// GrowDisk makes a disk of a VM that is off larger by zeroes: nothing else of it
	// changes, and its chain of logs goes on. From the next cut on, the cuts tell its
	// size. One of that size is left as it is, a smaller size refused with disk_shrunk.
	GrowDisk(ctx context.Context, vm, disk string, sizeBytes int64) error
}

// Power starts and stops VMs.
type Power interface {
	// PowerState says whether the VM runs.
	PowerState(ctx context.Context, vm string) (site.PowerState, error)
	// Start starts the VM; a running one is left alone. It fails with
	// vm_not_active when the host was told that the VM is active elsewhere.
	Start(ctx context.Context, vm string) error
	// Stop asks the guest to shut down and returns once it has, its NBD clients
	// are gone and everything it wrote is flushed. A guest that does not stop in
	// its grace time is left running: guest_shutdown_timeout.
	Stop(ctx context.Context, vm string) error
	// SetActive tells the host whether the VM may run here. It is durable; false
	// keeps the VM off, also after a restart of the host.
	SetActive(ctx context.Context, vm string, active bool) error
}

// Fencer is a host that turns away whoever has lost the lane that it asks for.
type Fencer interface {
	// Fenced is the host for the holder of a lane. What it is asked for fails with
	// fenced once anything was asked for with a later token of that lane.
	Fenced(lane string, token int64) Host
}

// Provisioner creates VMs on the recovery side.
type Provisioner interface {
	// CreateVM prepares a VM whose disks are to be filled. What the same owner has
	// begun or completed under its id is taken up again; anybody else's VM of its id
	// or name fails with vm_exists.
	CreateVM(ctx context.Context, vm site.VirtualMachine, owner string) error
	// OpenVMDisk opens a disk of a VM under construction for writing.
	OpenVMDisk(ctx context.Context, vm, disk string) (DiskWriter, error)
	// CompleteVM makes the owner's VM appear in the inventory, off.
	CompleteVM(ctx context.Context, vm, owner string) error
	// DeleteVM stops a VM that the owner has made, or begun, and removes it with its
	// disks. Without it, and with anybody else's in its place, it succeeds.
	DeleteVM(ctx context.Context, vm, owner string) error
}

// DiskWriter fills a disk of a VM under construction. New disks are all zeroes.
type DiskWriter = BesideDisk
