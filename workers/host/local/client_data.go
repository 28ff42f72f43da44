package local

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"farshore/workers/disk"
)

// snapshotPlace says where a disk of a snapshot lies and how large it is.
type snapshotPlace struct {
	snapshotDisk
	Size int64 `json:"size"`
}

func (e *Engine) statSnapshot(vm, id, diskID string) (snapshotPlace, error) {
	at, err := e.locateSnapshot(vm, id, diskID)
	if err != nil {
		return snapshotPlace{}, err
	}
	r, err := openSnapshotDisk(at)
	if err != nil {
		return snapshotPlace{}, err
	}
	return snapshotPlace{snapshotDisk: at, Size: r.Size()}, r.Close() //nolint:wrapcheck // a snapshot's errors have codes
}

// remoteReader reads a snapshot through the host process.
type remoteReader struct {
	c                  *Client
	ctx                context.Context //nolint:containedctx // of the call that opened it
	vm, snapshot, disk string
	size               int64
}

// Size is what a guest sees, in bytes.
func (r *remoteReader) Size() int64 { return r.size }

// Close has nothing to let go of: each piece is a request of its own.
func (r *remoteReader) Close() error { return nil }

// Extents returns the ranges that may have held anything but zeroes.
func (r *remoteReader) Extents(off, n int64) ([]disk.Extent, error) {
	var out []disk.Extent
	err := r.c.call(r.ctx, "snapshotExtents", call{VM: r.vm, ID: r.snapshot, Disk: r.disk, Off: off, N: n}, &out)
	return out, err
}

// ReadAt reads the disk as it was.
func (r *remoteReader) ReadAt(p []byte, off int64) (int, error) { return pieces(p, off, r.piece) }

func (r *remoteReader) piece(p []byte, off int64) error {
	q := url.Values{
		"vm": {r.vm}, "snapshot": {r.snapshot}, argDisk: {r.disk},
		"off": {strconv.FormatInt(off, 10)}, "n": {strconv.Itoa(len(p))},
	}
	return r.c.readPiece(r.ctx, "/v1/snapshot?"+q.Encode(), p)
}

// readPiece fills p with what the host answers.
func (c *Client) readPiece(ctx context.Context, path string, p []byte) error {
	res, err := c.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // read to its end
	if _, err := io.ReadFull(res.Body, p); err != nil {
		return c.unreachable(ctx, err)
	}
	return nil
}

// remoteWriter fills a disk under construction through the host process.
type remoteWriter struct {
	c        *Client
	ctx      context.Context //nolint:containedctx // of the call that opened it
	vm, disk string
}

// WriteAt writes to the disk.
func (w *remoteWriter) WriteAt(p []byte, off int64) (int, error) {
	return pieces(p, off, func(p []byte, off int64) error {
		q := url.Values{"vm": {w.vm}, argDisk: {w.disk}, "off": {strconv.FormatInt(off, 10)}}
		if err := w.c.request(w.ctx, http.MethodPut, "/v1/disk?"+q.Encode(), bytes.NewReader(p), nil); err != nil {
			return fmt.Errorf("write disk %s of VM %s: %w", w.disk, w.vm, err)
		}
		return nil
	})
}

// ReadAt reads what was written.
func (w *remoteWriter) ReadAt(p []byte, off int64) (int, error) {
	return pieces(p, off, func(p []byte, off int64) error {
		q := url.Values{"vm": {w.vm}, argDisk: {w.disk}, "off": {strconv.FormatInt(off, 10)}, "n": {strconv.Itoa(len(p))}}
		return w.c.readPiece(w.ctx, "/v1/disk?"+q.Encode(), p)
	})
}

// Zero makes a range read as zeroes.
func (w *remoteWriter) Zero(off, n int64) error {
	return w.c.call(w.ctx, "zeroVMDisk", call{VM: w.vm, Disk: w.disk, Off: off, N: n}, nil)
}

// Flush makes everything written durable.
func (w *remoteWriter) Flush() error {
	return w.c.call(w.ctx, "flushVMDisk", call{VM: w.vm, Disk: w.disk}, nil)
}

// Close has nothing to let go of: each piece is a request of its own.
func (w *remoteWriter) Close() error { return nil }
