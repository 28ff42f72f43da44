package local

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"farshore/workers/disk"
	"farshore/workers/host"
)

// BackVM gives the disks of a VM under construction their backings.
func (c *Client) BackVM(ctx context.Context, vm string, disks []host.Backing) error {
	return c.call(ctx, "backVM", call{VM: vm, Backings: disks}, nil)
}

// BackedDisks lists the disks that still need their backing.
func (c *Client) BackedDisks(ctx context.Context, vm string) ([]host.BackedDisk, error) {
	return ask[[]host.BackedDisk](ctx, c, "backedDisks", call{VM: vm})
}

// OpenBacked opens a disk that needs its backing to be filled in.
func (c *Client) OpenBacked(ctx context.Context, vm, diskID, point string) (host.Filler, error) {
	f := &remoteFiller{c: c, ctx: ctx, at: call{VM: vm, Disk: diskID, ID: point}}
	_, err := f.Absent(0, 0)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// SettleDisk makes a disk do without its backing.
func (c *Client) SettleDisk(ctx context.Context, vm, diskID string) error {
	return c.call(ctx, "settleDisk", call{VM: vm, Disk: diskID}, nil)
}

// remoteFiller fills in a disk through the host process.
type remoteFiller struct {
	c   *Client
	ctx context.Context //nolint:containedctx // of the call that opened it
	at  call
}

func (f *remoteFiller) within(off, n int64) call {
	at := f.at
	at.Off, at.N = off, n
	return at
}

// Absent lists what the disk does not hold yet.
func (f *remoteFiller) Absent(off, n int64) ([]disk.Extent, error) {
	return ask[[]disk.Extent](f.ctx, f.c, "absent", f.within(off, n))
}

// WriteAt fills in blocks.
func (f *remoteFiller) WriteAt(p []byte, off int64) (int, error) {
	return pieces(p, off, func(p []byte, off int64) error {
		q := url.Values{"vm": {f.at.VM}, argDisk: {f.at.Disk}, "id": {f.at.ID}, "off": {strconv.FormatInt(off, 10)}}
		if err := f.c.request(f.ctx, http.MethodPut, "/v1/backed?"+q.Encode(), bytes.NewReader(p), nil); err != nil {
			return fmt.Errorf("fill in disk %s of VM %s: %w", f.at.Disk, f.at.VM, err)
		}
		return nil
	})
}

// Zero fills in blocks of zeroes.
func (f *remoteFiller) Zero(off, n int64) error {
	return f.c.call(f.ctx, "fillZero", f.within(off, n), nil)
}

// Flush makes everything filled in durable.
func (f *remoteFiller) Flush() error { return f.c.call(f.ctx, "flushBacked", f.at, nil) }

// Close has nothing to let go of: each piece is a request of its own.
func (f *remoteFiller) Close() error { return nil }
