package local

import (
	"context"
	"errors"
	"maps"

	"farshore/domain/site"
	"farshore/workers/disk"
	"farshore/workers/host"
)

// call is the body of every control request; a method reads the fields it needs.
type call struct {
	VM           string               `json:"vm,omitempty"`
	Disk         string               `json:"disk,omitempty"`
	Disks        []string             `json:"disks,omitempty"`
	Owner        string               `json:"owner,omitempty"`
	ID           string               `json:"id,omitempty"` // of a cut, a snapshot, a return or a recovery point
	Off          int64                `json:"off,omitempty"`
	Size         int64                `json:"size,omitempty"`
	N            int64                `json:"n,omitempty"`
	Active       bool                 `json:"active,omitempty"`
	Relationship *host.Relationship   `json:"relationship,omitempty"`
	Cut          *host.CutRequest     `json:"cut,omitempty"`
	Machine      *site.VirtualMachine `json:"machine,omitempty"`
	Backings     []host.Backing       `json:"backings,omitempty"`
}

// nothing is the answer of a method that has none.
type nothing struct{}

type method func(ctx context.Context, e *Engine, c call) (any, error)

// methods is everything that the control socket offers, by name.
func methods() map[string]method {
	all := map[string]method{
		"virtualMachines": func(ctx context.Context, e *Engine, _ call) (any, error) { return e.VirtualMachines(ctx) },
		"virtualMachine":  func(ctx context.Context, e *Engine, c call) (any, error) { return e.VirtualMachine(ctx, c.VM) },
		"problems":        func(ctx context.Context, e *Engine, _ call) (any, error) { return e.Problems(ctx) },
		"space":           func(ctx context.Context, e *Engine, c call) (any, error) { return e.Space(ctx, c.VM) },

		"startReplication": func(ctx context.Context, e *Engine, c call) (any, error) {
			return nothing{}, e.StartReplication(ctx, c.VM, orZero(c.Relationship))
		},
		"stopReplication": func(ctx context.Context, e *Engine, c call) (any, error) {
			return nothing{}, e.StopReplication(ctx, c.VM)
		},
		"replication": func(ctx context.Context, e *Engine, c call) (any, error) { return e.Replication(ctx, c.VM) },
		"updateRelationship": func(ctx context.Context, e *Engine, c call) (any, error) {
			return nothing{}, e.UpdateRelationship(ctx, c.VM, orZero(c.Relationship))
		},
		"restartTracking": func(ctx context.Context, e *Engine, c call) (any, error) {
			return nothing{}, e.RestartTracking(ctx, c.VM, c.Disks)
		},

		"cut": func(ctx context.Context, e *Engine, c call) (any, error) { return e.Cut(ctx, c.VM, orZero(c.Cut)) },
		"written": func(ctx context.Context, e *Engine, c call) (any, error) {
			ext, err := e.Written(ctx, c.VM, c.ID, c.Disk)
			return append([]disk.Extent{}, ext...), err
		},
		"releaseCut": func(ctx context.Context, e *Engine, c call) (any, error) {
			return nothing{}, e.ReleaseCut(ctx, c.VM, c.ID)
		},

		"createSnapshot": func(ctx context.Context, e *Engine, c call) (any, error) {
			return nothing{}, e.CreateSnapshot(ctx, c.VM, c.ID)
		},
		"locateSnapshot": func(_ context.Context, e *Engine, c call) (any, error) { return e.statSnapshot(c.VM, c.ID, c.Disk) },
		"snapshotExtents": func(ctx context.Context, e *Engine, c call) (any, error) {
			r, err := e.OpenSnapshot(ctx, c.VM, c.ID, c.Disk)
			if err != nil {
				return nil, err
			}
			defer r.Close() //nolint:errcheck // read only
			ext, err := r.Extents(c.Off, c.N)
			return append([]disk.Extent{}, ext...), err
		},
		"deleteSnapshot": func(ctx context.Context, e *Engine, c call) (any, error) {
			return nothing{}, e.DeleteSnapshot(ctx, c.VM, c.ID)
		},

		"powerState": func(ctx context.Context, e *Engine, c call) (any, error) { return e.PowerState(ctx, c.VM) },
		"start":      func(ctx context.Context, e *Engine, c call) (any, error) { return nothing{}, e.Start(ctx, c.VM) },
		"stop":       func(ctx context.Context, e *Engine, c call) (any, error) { return nothing{}, e.Stop(ctx, c.VM) },
		"setActive": func(ctx context.Context, e *Engine, c call) (any, error) {
			return nothing{}, e.SetActive(ctx, c.VM, c.Active)
		},
	}
	maps.Copy(all, provisionMethods())
	maps.Copy(all, diskMethods())
	maps.Copy(all, backingMethods())
	return all
}

func provisionMethods() map[string]method {
	return map[string]method{
		"createVM": func(ctx context.Context, e *Engine, c call) (any, error) {
			return nothing{}, e.CreateVM(ctx, orZero(c.Machine), c.Owner)
		},
		"openVMDisk":  openVMDisk,
		"flushVMDisk": changeVMDisk(func(d host.DiskWriter, _ call) error { return d.Flush() }),
		"zeroVMDisk":  changeVMDisk(func(d host.DiskWriter, c call) error { return d.Zero(c.Off, c.N) }),
		"completeVM": func(ctx context.Context, e *Engine, c call) (any, error) {
			return nothing{}, e.CompleteVM(ctx, c.VM, c.Owner)
		},
		"deleteVM": func(ctx context.Context, e *Engine, c call) (any, error) {
			return nothing{}, e.DeleteVM(ctx, c.VM, c.Owner)
		},
	}
}

// diskMethods change a VM's disks while it is off.
func diskMethods() map[string]method {
	return map[string]method{
		"growDisk": func(ctx context.Context, e *Engine, c call) (any, error) {
			return nothing{}, e.GrowDisk(ctx, c.VM, c.Disk, c.Size)
		},
		"beginReturn": func(ctx context.Context, e *Engine, c call) (any, error) {
			return e.BeginReturn(ctx, c.VM, c.ID, c.Disks)
		},
		"openBeside": func(ctx context.Context, e *Engine, c call) (any, error) {
			return beside(ctx, e, c, host.BesideDisk.Close)
		},
		"zeroBeside": func(ctx context.Context, e *Engine, c call) (any, error) {
			return beside(ctx, e, c, func(d host.BesideDisk) error { return d.Zero(c.Off, c.N) })
		},
		"flushBeside": func(ctx context.Context, e *Engine, c call) (any, error) {
			return beside(ctx, e, c, host.BesideDisk.Flush)
		},
		"mergeReturn": func(ctx context.Context, e *Engine, c call) (any, error) {
			return nothing{}, e.MergeReturn(ctx, c.VM, c.ID)
		},
		"undoReturn": func(ctx context.Context, e *Engine, c call) (any, error) {
			return nothing{}, e.UndoReturn(ctx, c.VM, c.ID)
		},
		"checkUndo": func(ctx context.Context, e *Engine, c call) (any, error) {
			return nothing{}, e.CheckUndo(ctx, c.VM, c.ID)
		},
		"settleReturn": func(ctx context.Context, e *Engine, c call) (any, error) {
			return nothing{}, e.SettleReturn(ctx, c.VM, c.ID)
		},
	}
}

func backingMethods() map[string]method {
	return map[string]method{
		"backVM": func(ctx context.Context, e *Engine, c call) (any, error) {
			return nothing{}, e.BackVM(ctx, c.VM, c.Backings)
		},
		"backedDisks": func(ctx context.Context, e *Engine, c call) (any, error) { return e.BackedDisks(ctx, c.VM) },
		"absent": func(ctx context.Context, e *Engine, c call) (any, error) {
			f, err := e.OpenBacked(ctx, c.VM, c.Disk, c.ID)
			if err != nil {
				return nil, err
			}
			found, err := f.Absent(c.Off, c.N)
			return append([]disk.Extent{}, found...), err
		},
		"fillZero": func(ctx context.Context, e *Engine, c call) (any, error) {
			return filled(ctx, e, c, func(f host.Filler) error { return f.Zero(c.Off, c.N) })
		},
		"flushBacked": func(ctx context.Context, e *Engine, c call) (any, error) { return filled(ctx, e, c, host.Filler.Flush) },
		"settleDisk": func(ctx context.Context, e *Engine, c call) (any, error) {
			return nothing{}, e.SettleDisk(ctx, c.VM, c.Disk)
		},
	}
}

// filled does something to a disk that is being filled in; its data travels in
// requests of its own.
func filled(ctx context.Context, e *Engine, c call, f func(host.Filler) error) (any, error) {
	d, err := e.OpenBacked(ctx, c.VM, c.Disk, c.ID)
	if err != nil {
		return nil, err
	}
	return nothing{}, f(d)
}

// openVMDisk answers whether a disk under construction can be written; the data
// travels in requests of its own.
func openVMDisk(ctx context.Context, e *Engine, c call) (any, error) {
	d, err := e.OpenVMDisk(ctx, c.VM, c.Disk)
	if err != nil {
		return nil, err
	}
	return nothing{}, d.Close() //nolint:wrapcheck // a disk's errors have codes
}

// changeVMDisk does something to a disk under construction.
func changeVMDisk(f func(host.DiskWriter, call) error) method {
	return func(ctx context.Context, e *Engine, c call) (any, error) {
		d, err := e.OpenVMDisk(ctx, c.VM, c.Disk)
		if err != nil {
			return nil, err
		}
		return nothing{}, errors.Join(f(d, c), d.Close())
	}
}

// beside does something to a disk of a return; its data travels in requests of
// its own.
func beside(ctx context.Context, e *Engine, c call, f func(host.BesideDisk) error) (any, error) {
	d, err := e.OpenBeside(ctx, c.VM, c.ID, c.Disk)
	if err != nil {
		return nil, err
	}
	return nothing{}, f(d)
}

func orZero[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
