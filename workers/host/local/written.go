package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"farshore/domain/errorcatalog"
	"farshore/workers/changelog"
	"farshore/workers/disk"
	"farshore/workers/host"
)

// writtenGrain is how exactly the ranges of a cut are told, in bytes: the grain of
// the dirty maps.
const writtenGrain = 64 << 10

// Written returns the ranges that a cut's logs name. It reads their metadata only.
func (e *Engine) Written(_ context.Context, vm, cut, diskID string) ([]disk.Extent, error) {
	d, part, err := e.diskOfCut(vm, cut, diskID)
	if err != nil {
		return nil, err
	}
	var logs []*changelog.Reader
	for _, l := range part.Logs {
		f, err := os.Open(d + "." + l.ID + ".hrl")
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, errorcatalog.Fail(errorcatalog.LogMissing, "disk %s of VM %s has no log %s", diskID, vm, l.ID)
		case err != nil:
			return nil, errorcatalog.Fail(errorcatalog.DiskUnreadable, "log %s of VM %s", l.ID, vm).Because(err)
		}
		defer f.Close() //nolint:errcheck // read only
		log, err := changelog.NewReader(f, l.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read log %s of VM %s: %w", l.ID, vm, err)
		}
		if got := log.Header(); got.ID != l.ID || got.DiskSize != part.SizeBytes {
			return nil, errorcatalog.Fail(errorcatalog.LogChainBroken, "log %s of VM %s is %s of a disk of %d bytes", l.ID, vm, got.ID, got.DiskSize)
		}
		logs = append(logs, log)
	}
	return changelog.Touched(logs, writtenGrain)
}

// diskOfCut returns the path of a disk and what a cut holds of it.
func (e *Engine) diskOfCut(vm, cut, diskID string) (string, host.DiskCut, error) {
	m, err := e.find(vm)
	if err != nil {
		return "", host.DiskCut{}, err
	}
	d, err := m.disk(diskID)
	if err != nil {
		return "", host.DiskCut{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	records, err := m.cuts()
	if err != nil {
		return "", host.DiskCut{}, err
	}
	i := slices.IndexFunc(records, func(c cutRecord) bool { return c.ID == cut })
	if i < 0 {
		return "", host.DiskCut{}, errorcatalog.Fail(errorcatalog.CutNotFound, "VM %s has no cut %s", vm, cut)
	}
	n := slices.IndexFunc(records[i].Disks, func(p host.DiskCut) bool { return p.Disk == diskID })
	if n < 0 {
		return "", host.DiskCut{}, errorcatalog.Fail(errorcatalog.LogMissing, "cut %s of VM %s holds no log of disk %s", cut, vm, diskID)
	}
	return m.path(d.File), records[i].Disks[n], nil
}
