package deltareplication

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/zeebo/blake3"
	"golang.org/x/sync/errgroup"

	"farshore/domain/errorcatalog"
	"farshore/workers/changelog"
	"farshore/workers/checksum"
	"farshore/workers/disk"
	"farshore/workers/host"
	"farshore/workers/replica"
	"farshore/workers/workflow"
)

// The measures of an apply.
const (
	block = checksum.BlockSize
	// windowSize is the largest piece that is assembled and written at once.
	windowSize = 4 << 20
	// readSize is how much of a log is read at once.
	readSize = 4 << 20
	// atOnce is how many pieces are in work at the same time.
	atOnce = 4
	// keepBytes is how much assembled data of a disk is kept from working it out to
	// writing it; beyond it the pieces are assembled a second time.
	keepBytes = 64 << 20
)

// applied is one disk of an apply.
type applied struct {
	id       string
	size     int64
	base     io.ReaderAt
	manifest *checksum.Manifest // of base, then of the result
	logs     []nearLog
	readers  []*changelog.Reader
	index    *changelog.Index
	touched  []disk.Extent    // whole blocks, ascending
	windows  []disk.Extent    // touched, in pieces
	kept     map[int64][]byte // assembled pieces by offset
	planned  bool             // manifest is the result's, no longer that of base
}

// openLog opens a shipped log and verifies it: its bytes against the digest that
// the host sealed it with, its place in the chain against the log before it.
func (d *applied) openLog(ctx context.Context, store replica.Objects, item, name string, log host.LogFile, previous string) error {
	o, err := store.OpenObject(ctx, item, name)
	if workflow.Is(err, errorcatalog.ObjectNotFound) {
		return errorcatalog.Fail(errorcatalog.LogMissing, "log %s of disk %s is not in the replica store", log.ID, d.id)
	}
	if err != nil {
		return fmt.Errorf("open object %s: %w", name, err)
	}
	if o.Size() != log.Bytes {
		err := errorcatalog.Fail(errorcatalog.LogTruncated, "log %s of disk %s has %d bytes, its cut says %d", log.ID, d.id, o.Size(), log.Bytes)
		return errors.Join(err, o.Close())
	}
	near, got, err := bring(o)
	if near != nil {
		d.logs = append(d.logs, near)
	}
	if err != nil {
		return fmt.Errorf("read object %s: %w", name, err)
	}
	if got != log.Digest {
		return errorcatalog.Fail(errorcatalog.LogChecksumMismatch, "log %s of disk %s has digest %s, its cut says %s", log.ID, d.id, got, log.Digest)
	}
	if previous != "" && log.PreviousID != previous {
		return errorcatalog.Fail(errorcatalog.LogChainBroken, "log %s of disk %s follows %q, the replica ends with %s", log.ID, d.id, log.PreviousID, previous)
	}
	r, err := changelog.NewReader(near, log.Bytes)
	if err != nil {
		return fmt.Errorf("read log %s: %w", log.ID, err)
	}
	d.readers = append(d.readers, r)
	return nil
}

// nearLog is a log that can be read in small pieces.
type nearLog interface {
	io.ReaderAt
	io.Closer
}

// bring reads an object from its first byte to its last and returns its digest,
// and what to read it from afterwards: itself when it is near, else a copy in a
// nameless file. The object is closed unless it is returned.
func bring(o replica.Object) (near nearLog, digest string, err error) {
	h := blake3.New()
	whole := io.NewSectionReader(o, 0, o.Size())
	if _, ok := o.(replica.Near); ok {
		_, err := io.CopyBuffer(h, whole, make([]byte, readSize))
		return o, hex.EncodeToString(h.Sum(nil)), err
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	f, err := os.CreateTemp("", "farshore-log-")
	if err != nil {
		return nil, "", fmt.Errorf("make room for a log: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return f, "", fmt.Errorf("hide the copy of a log: %w", err)
	}
	_, err = io.CopyBuffer(io.MultiWriter(h, f), whole, make([]byte, readSize))
	return f, hex.EncodeToString(h.Sum(nil)), err
}

func (d *applied) indexLogs() error {
	if len(d.readers) == 0 {
		return nil
	}
	x, err := changelog.Open(d.readers)
	if err != nil {
		return fmt.Errorf("index logs of disk %s: %w", d.id, err)
	}
	if x.Size() > d.size {
		return errorcatalog.Fail(errorcatalog.LogChainBroken, "the logs of disk %s are of a disk of %d bytes, the replica's has %d", d.id, x.Size(), d.size)
	}
	d.index = x
	return nil
}

// lastLog is the log that the disk's chain ends with.
func (d *applied) lastLog(before string) string {
	if len(d.readers) == 0 {
		return before
	}
	return d.readers[len(d.readers)-1].Header().ID
}

// touch works out which blocks change and cuts them into pieces.
func (d *applied) touch(extra []disk.Extent) {
	var logged []disk.Extent
	if d.index != nil {
		logged = d.index.Extents()
	}
	d.touched = blocksOf(logged, extra, d.size)
	d.kept = map[int64][]byte{}
	for _, e := range d.touched {
		for off := e.Offset; off < e.End(); off += windowSize {
			d.windows = append(d.windows, disk.Extent{Offset: off, Length: min(windowSize, e.End()-off)})
		}
	}
}

// blocksOf merges two ascending lists into whole blocks of a disk.
func blocksOf(a, b []disk.Extent, size int64) []disk.Extent {
	var out []disk.Extent
	for len(a) > 0 || len(b) > 0 {
		var next disk.Extent
		if len(b) == 0 || len(a) > 0 && a[0].Offset <= b[0].Offset {
			next, a = a[0], a[1:]
		} else {
			next, b = b[0], b[1:]
		}
		from, to := next.Offset/block*block, min(size, (next.End()+block-1)/block*block)
		if n := len(out); n > 0 && out[n-1].End() >= from {
			out[n-1].Length = max(out[n-1].End(), to) - out[n-1].Offset
			continue
		}
		out = append(out, disk.Extent{Offset: from, Length: to - from})
	}
	return out
}

// digest works out what the disk will hold and saves its manifest.
func (d *applied) digest(ctx context.Context) (string, error) {
	var total int64
	for _, w := range d.touched {
		total += w.Length
	}
	results := make([][]checksum.Digest, len(d.windows))
	data := make([][]byte, len(d.windows))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for n, w := range d.windows {
		if gctx.Err() != nil {
			break
		}
		g.Go(func() error {
			p := make([]byte, w.Length)
			if err := d.assemble(gctx, p, w.Offset); err != nil {
				return err
			}
			results[n] = digests(p)
			if total <= keepBytes {
				data[n] = p
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return "", err
	}
	// Only now: until here the manifest was what the base was held against.
	d.planned = true
	for n, w := range d.windows {
		if data[n] != nil {
			d.kept[w.Offset] = data[n]
		}
		if err := d.manifest.SetRun(ctx, w.Offset/block, results[n]); err != nil {
			return "", fmt.Errorf("set digests: %w", err)
		}
	}
	return d.manifest.Save(ctx)
}

// expect takes the result's manifest from a plan.
func (d *applied) expect(ctx context.Context, store replica.Objects, item, root string) (err error) {
	d.manifest, err = checksum.Load(ctx, store, item, d.id, root)
	d.planned = true
	return err
}

// assemble fills p with what the disk holds at off after the logs. The base is
// read only where they do not cover a block, and in pieces as long as can be.
func (d *applied) assemble(ctx context.Context, p []byte, off int64) error {
	for at := 0; at < len(p); {
		if err := ctx.Err(); err != nil {
			return err
		}
		covered := d.covers(off+int64(at), min(block, len(p)-at))
		n := min(len(p)-at, block)
		for at+n < len(p) && d.covers(off+int64(at+n), min(block, len(p)-at-n)) == covered {
			n = min(len(p)-at, n+block)
		}
		if !covered {
			if err := d.readBase(ctx, p[at:at+n], off+int64(at)); err != nil {
				return err
			}
		}
		at += n
	}
	if d.index == nil {
		return nil
	}
	_, err := d.index.Overlay(p, off)
	return err
}

func (d *applied) covers(off int64, n int) bool {
	return d.index != nil && d.index.Covers(off, int64(n))
}

// readBase reads whole blocks of the base and holds them against its manifest.
func (d *applied) readBase(ctx context.Context, p []byte, off int64) error {
	if n, err := d.base.ReadAt(p, off); n < len(p) {
		return fmt.Errorf("read base at %d: %w", off, err)
	}
	if d.planned {
		return nil
	}
	for n, got := range digests(p) {
		want, err := d.manifest.Get(ctx, off/block+int64(n))
		if err != nil {
			return fmt.Errorf("get digest: %w", err)
		}
		if got != want {
			return errorcatalog.Fail(errorcatalog.ReplicaCorrupt, "disk %s does not match its manifest at %d", d.id, off+int64(n)*block)
		}
	}
	return nil
}

// write brings the result onto the replica disk and makes it durable. Each block
// is held against the planned manifest on its way.
func (d *applied) write(ctx context.Context, store replica.Volumes, item string, fence int64) (err error) {
	target, err := store.OpenDisk(ctx, item, d.id, fence)
	if err != nil {
		return fmt.Errorf("open replica disk: %w", err)
	}
	defer func() {
		if e := target.Close(); err == nil {
			err = e
		}
	}()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for _, w := range d.windows {
		if gctx.Err() != nil {
			break
		}
		g.Go(func() error { return d.writeWindow(gctx, target, w) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	return target.Flush(ctx)
}

func (d *applied) writeWindow(ctx context.Context, target replica.Disk, w disk.Extent) error {
	p, ok := d.kept[w.Offset]
	if !ok {
		p = make([]byte, w.Length)
		if err := d.assemble(ctx, p, w.Offset); err != nil {
			return err
		}
	}
	for n, got := range digests(p) {
		want, err := d.manifest.Get(ctx, w.Offset/block+int64(n))
		if err != nil {
			return fmt.Errorf("get digest: %w", err)
		}
		if got != want {
			return errorcatalog.Fail(errorcatalog.ReplicaCorrupt, "disk %s would not match its manifest at %d", d.id, w.Offset+int64(n)*block)
		}
	}
	return writeRuns(target, p, w.Offset)
}

// writeRuns writes p, its zero blocks as zeroes and its data in long pieces.
func writeRuns(target replica.Disk, p []byte, off int64) error {
	for len(p) > 0 {
		n := min(len(p), block)
		zero := checksum.IsZero(p[:n])
		for n < len(p) && checksum.IsZero(p[n:min(len(p), n+block)]) == zero {
			n = min(len(p), n+block)
		}
		var err error
		if zero {
			err = target.Zero(off, int64(n))
		} else {
			_, err = target.WriteAt(p[:n], off)
		}
		if err != nil {
			return fmt.Errorf("write %d bytes at %d: %w", n, off, err)
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}

func digests(p []byte) []checksum.Digest {
	out := make([]checksum.Digest, 0, (len(p)+block-1)/block)
	for at := 0; at < len(p); at += block {
		out = append(out, checksum.Sum(p[at:min(len(p), at+block)]))
	}
	return out
}

func (d *applied) close() {
	for _, o := range d.logs {
		_ = o.Close() // it was read only
	}
}
