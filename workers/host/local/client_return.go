package local

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"farshore/workers/host"
)

// BeginReturn prepares an overlay beside each of the disks.
func (c *Client) BeginReturn(ctx context.Context, vm, id string, disks []string) (bool, error) {
	return ask[bool](ctx, c, "beginReturn", call{VM: vm, ID: id, Disks: disks})
}

// OpenBeside opens a disk of a return.
func (c *Client) OpenBeside(ctx context.Context, vm, id, diskID string) (host.BesideDisk, error) {
	d := &remoteBeside{c: c, ctx: ctx, at: call{VM: vm, ID: id, Disk: diskID}}
	if err := c.call(ctx, "openBeside", d.at, nil); err != nil {
		return nil, err
	}
	return d, nil
}

// MergeReturn writes the overlays onto the disks.
func (c *Client) MergeReturn(ctx context.Context, vm, id string) error {
	return c.call(ctx, "mergeReturn", call{VM: vm, ID: id}, nil)
}

// UndoReturn gives the disks back what they held before the merge.
func (c *Client) UndoReturn(ctx context.Context, vm, id string) error {
	return c.call(ctx, "undoReturn", call{VM: vm, ID: id}, nil)
}

// CheckUndo tells whether the merge can be undone.
func (c *Client) CheckUndo(ctx context.Context, vm, id string) error {
	return c.call(ctx, "checkUndo", call{VM: vm, ID: id}, nil)
}

// SettleReturn makes the merge final.
func (c *Client) SettleReturn(ctx context.Context, vm, id string) error {
	return c.call(ctx, "settleReturn", call{VM: vm, ID: id}, nil)
}

// remoteBeside is a disk of a return, through the host process.
type remoteBeside struct {
	c   *Client
	ctx context.Context //nolint:containedctx // of the call that opened it
	at  call
}

// path addresses a piece.
func (d *remoteBeside) path(off int64, n int) string {
	return "/v1/beside?" + url.Values{
		"vm": {d.at.VM}, "id": {d.at.ID}, argDisk: {d.at.Disk},
		"off": {strconv.FormatInt(off, 10)}, "n": {strconv.Itoa(n)},
	}.Encode()
}

// ReadAt reads the overlay over the disk.
func (d *remoteBeside) ReadAt(p []byte, off int64) (int, error) {
	return pieces(p, off, d.readPiece)
}

func (d *remoteBeside) readPiece(p []byte, off int64) error {
	return d.c.readPiece(d.ctx, d.path(off, len(p)), p)
}

// WriteAt writes beside the disk.
func (d *remoteBeside) WriteAt(p []byte, off int64) (int, error) {
	return pieces(p, off, func(p []byte, off int64) error {
		if err := d.c.request(d.ctx, http.MethodPut, d.path(off, len(p)), bytes.NewReader(p), nil); err != nil {
			return fmt.Errorf("write beside disk %s of VM %s: %w", d.at.Disk, d.at.VM, err)
		}
		return nil
	})
}

// Zero makes a range read as zeroes.
func (d *remoteBeside) Zero(off, n int64) error {
	at := d.at
	at.Off, at.N = off, n
	return d.c.call(d.ctx, "zeroBeside", at, nil)
}

// Flush makes everything written durable.
func (d *remoteBeside) Flush() error { return d.c.call(d.ctx, "flushBeside", d.at, nil) }

// Close has nothing to let go of: each piece is a request of its own.
func (d *remoteBeside) Close() error { return nil }

// pieces does what is asked for in pieces that a request may carry.
func pieces(p []byte, off int64, f func(p []byte, off int64) error) (int, error) {
	done := 0
	for done < len(p) {
		n := min(len(p)-done, pieceSize)
		if err := f(p[done:done+n], off+int64(done)); err != nil {
			return done, err
		}
		done += n
	}
	return done, nil
}
