// Package workflow holds what every workflow of a protected item is given: the
// item's state, the hosts and the replica store it lives on, and the right to
// record events in its name.
package workflow

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"farshore/domain/protecteditem"
	"farshore/eventstore"
	"farshore/workers/host"
	"farshore/workers/lane"
	"farshore/workers/replica"
	"farshore/workers/runbook"
)

// Items executes commands on protected items.
type Items = eventstore.Repository[protecteditem.Command, protecteditem.Event, protecteditem.State]

// Hosts finds the machine that runs VMs under a name.
type Hosts interface {
	Host(ctx context.Context, vault, site, host string) (host.Host, error)
}

// Stores finds the replica store behind a storage account.
type Stores interface {
	Store(ctx context.Context, vault, account string) (replica.Store, error)
}

// Progress shows how far transfers are.
type Progress interface {
	Report(ctx context.Context, t lane.Transferred) error
}

// Parts is what workflows are built of.
type Parts struct {
	Items    Items
	Jobs     runbook.Jobs
	Hosts    Hosts
	Stores   Stores
	Progress Progress
	// Backings says where a storage account is for a host to read recovery points
	// by itself, if it can; nil: no host can, and disks are copied before a VM starts.
	Backings func(ctx context.Context, vault, account string) (host.StoreAddress, bool, error)
	Worker   string // this worker's name, for the record
	// Networks is what is known of the networks around an item; nil: nothing is.
	Networks func(ctx context.Context, s protecteditem.State) (protecteditem.Networks, error)
	// Zone is the time zone of a site; nil: UTC everywhere.
	Zones func(ctx context.Context, vault, site string) *time.Location
	// Stretch is how many bytes a long transfer moves between two checkpoints; 0
	// leaves it to the workflow.
	Stretch int64
	Now     func() time.Time
	NewID   func() string // a new UUIDv7
	Logger  *slog.Logger
}

// Hold is the right to work on an item.
type Hold interface {
	Item() string // its key
	Token() int64 // the fence as a replica store wants it
	Fence() eventstore.Fence
}

// Memory is what one holder leaves the next.
type Memory interface {
	Checkpoint(v any) error
	Save(ctx context.Context, v any) error
	Restore(v any) (bool, error)
	Forget()
}

// Session is the hold on an item's lane; a lane.Session is one.
type Session interface {
	Hold
	Memory
}

// Item is a protected item in the hands of a workflow.
type Item struct {
	Parts
	Session
	State   protecteditem.State // as of the last command or Reload
	Version eventstore.Version  // of its stream then

	source, recovery host.Host
	store            replica.Store
}

// Open loads an item for the holder of its lane.
func Open(ctx context.Context, p Parts, s Session) (*Item, error) {
	i := &Item{Parts: p, Session: s}
	return i, i.Reload(ctx)
}

// Reload reads the item's state again.
func (i *Item) Reload(ctx context.Context) error {
	state, version, err := i.Items.Load(ctx, i.Item())
	if err != nil {
		return fmt.Errorf("load protected item %s: %w", i.Item(), err)
	}
	i.State, i.Version = state, version
	return nil
}

// Record executes a command on the item, fenced by the lane.
func (i *Item) Record(ctx context.Context, cmd protecteditem.Command) error {
	return i.record(ctx, cmd, i.Execution())
}

// RecordAside executes a command that belongs to no job.
func (i *Item) RecordAside(ctx context.Context, cmd protecteditem.Command) error {
	how := i.Execution()
	how.Metadata.Job = ""
	return i.record(ctx, cmd, how)
}

func (i *Item) record(ctx context.Context, cmd protecteditem.Command, how eventstore.Execution) error {
	out, err := i.Items.Execute(ctx, i.Item(), cmd, how)
	if err != nil {
		return fmt.Errorf("record %T of %s: %w", cmd, i.Item(), err)
	}
	if out.Replayed {
		return i.Reload(ctx)
	}
	i.State, i.Version = out.State, out.Version
	return nil
}

// Execution says on whose behalf this worker records, and under which fence.
func (i *Item) Execution() eventstore.Execution {
	fence := i.Fence()
	meta := eventstore.Metadata{Actor: "worker:" + i.Worker, Vault: i.State.Vault}
	if i.State.Job != nil {
		meta.Job = i.State.Job.ID
	}
	return eventstore.Execution{Metadata: meta, Fence: &fence}
}

// Source is the host where the protected VM runs.
func (i *Item) Source(ctx context.Context) (host.Host, error) {
	if i.source == nil {
		h, err := i.Host(ctx, i.State.Site, i.State.Host)
		if err != nil {
			return nil, err
		}
		i.source = h
	}
	return i.source, nil
}

// Recovery is the host where a failed-over VM runs.
func (i *Item) Recovery(ctx context.Context) (host.Host, error) {
	if i.recovery == nil {
		h, err := i.Host(ctx, i.State.Recovery.Site, i.State.Recovery.Host)
		if err != nil {
			return nil, err
		}
		i.recovery = h
	}
	return i.recovery, nil
}

// Replica is the store that holds the item's replica.
func (i *Item) Replica(ctx context.Context) (replica.Store, error) {
	if i.store == nil {
		s, err := i.Stores.Store(ctx, i.State.Vault, i.State.Store.ID)
		if err != nil {
			return nil, fmt.Errorf("find replica store %s: %w", i.State.Store.ID, err)
		}
		i.store = s
	}
	return i.store, nil
}

// Zone is the time zone of the item's site.
func (i *Item) Zone(ctx context.Context) *time.Location {
	if i.Zones != nil {
		if z := i.Zones(ctx, i.State.Vault, i.State.Site); z != nil {
			return z
		}
	}
	return time.UTC
}

// KnownNetworks is what is known of the networks around the item in a state.
func (i *Item) KnownNetworks(ctx context.Context, s protecteditem.State) (protecteditem.Networks, error) {
	if i.Networks == nil {
		return protecteditem.Networks{}, nil
	}
	known, err := i.Networks(ctx, s)
	if err != nil {
		return known, fmt.Errorf("look for the networks of %s: %w", i.Item(), err)
	}
	return known, nil
}

// StretchOr is the configured stretch of a long transfer, or a workflow's own.
func (i *Item) StretchOr(own int64) int64 {
	if i.Stretch > 0 {
		return i.Stretch
	}
	return own
}

// Host is a host as the holder of the lane asks it. One that can tells it from another
// that has lost the lane.
func (i *Item) Host(ctx context.Context, site, id string) (host.Host, error) {
	h, err := i.Hosts.Host(ctx, i.State.Vault, site, id)
	if err != nil {
		return nil, fmt.Errorf("find host %s: %w", id, err)
	}
	if f, ok := h.(host.Fencer); ok {
		fence := i.Fence()
		return f.Fenced(fence.Lane, fence.Token), nil
	}
	return h, nil
}

// MadeThere is a VM that was made on the recovery host, to be left behind there.
func (i *Item) MadeThere(vm string) protecteditem.LeftBehind {
	return protecteditem.LeftBehind{
		Site: i.State.Recovery.Site, Host: i.State.Recovery.Host, VM: vm, Fate: protecteditem.Remove, Owner: i.ReplicaID(),
	}
}

// RemoveLeft removes a VM that was left behind at a host, to make room for another.
func (i *Item) RemoveLeft(ctx context.Context, h host.Provisioner, site, id, vm string) error {
	for _, l := range i.State.LeftBehind {
		if l.Fate != protecteditem.Remove || l.Site != site || l.Host != id || l.VM != vm {
			continue
		}
		if err := h.DeleteVM(ctx, vm, l.Owner); err != nil {
			return fmt.Errorf("delete vm %s, which was left behind: %w", vm, err)
		}
		return i.RecordAside(ctx, protecteditem.SettleLeftBehind{Site: site, Host: id, VM: vm, At: i.Now()})
	}
	return nil
}

// VM is the protected VM's id on its host.
func (i *Item) VM() string { return i.State.VM.ID }

// ReplicaID names the replica in its store.
func (i *Item) ReplicaID() string { return i.State.ReplicaID() }

// FailedOverDisks are the disks of the recovery VM, which are those of the recovery
// point that the item has failed over to.
func (i *Item) FailedOverDisks() []string {
	var ids []string
	for _, d := range i.State.FailedOverDisks() {
		ids = append(ids, d.ID)
	}
	return ids
}

// DiskSize is what the guest sees of a protected disk.
func (i *Item) DiskSize(disk string) int64 {
	for _, d := range i.State.VM.Disks {
		if d.ID == disk {
			return d.SizeBytes
		}
	}
	return 0
}

// TotalBytes is the size of all protected disks.
func (i *Item) TotalBytes() int64 {
	var sum int64
	for _, d := range i.State.Disks {
		sum += i.DiskSize(d)
	}
	return sum
}

// Tell reports progress. What cannot be shown is not worth failing for.
func (i *Item) Tell(ctx context.Context, job, disk string, done, total int64) {
	err := i.Progress.Report(ctx, lane.Transferred{Item: i.Item(), Job: job, Disk: disk, Done: done, Total: total})
	if err != nil && ctx.Err() == nil {
		i.Logger.DebugContext(ctx, "progress was not saved", "item", i.Item(), "error", err)
	}
}
