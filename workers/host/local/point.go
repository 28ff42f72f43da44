package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/workers/disk"
	"farshore/workers/host"
)

// How long a guest's read waits for a replica store that is away, before it fails,
// and how often the store is asked meanwhile.
const (
	pointPatience = 20 * time.Second
	pointPause    = 200 * time.Millisecond
)

// point is a disk of a recovery point beneath a disk that still needs it. It is
// opened by its first read, and again after one that has failed: the store may be
// away when the host starts, and come back. A disk that is larger than the point
// ends in zeroes.
type point struct {
	ctx      context.Context //nolint:containedctx // ends with the host, for whoever waits
	open     func(context.Context, host.Backing) (disk.Reader, error)
	backing  host.Backing
	size     int64
	patience time.Duration
	log      *slog.Logger
	cancel   context.CancelFunc

	mu     sync.RWMutex // held shared while the reader is read
	reader disk.Reader  // nil while there is none
}

func newPoint(ctx context.Context, o Options, b host.Backing, size int64, vm string) *point {
	p := &point{backing: b, size: size, open: o.OpenBacking, patience: o.BackingPatience, log: o.Log.With("vm", vm, "disk", b.Disk, "point", b.Point)}
	p.ctx, p.cancel = context.WithCancel(ctx)
	if p.patience == 0 {
		p.patience = pointPatience
	}
	return p
}

// Size is that of the disk above.
func (p *point) Size() int64 { return p.size }

// ReadAt reads the point, and zeroes behind its end.
func (p *point) ReadAt(b []byte, off int64) (int, error) {
	n := min(max(p.backing.SizeBytes-off, 0), int64(len(b)))
	clear(b[n:])
	if n == 0 {
		return len(b), nil
	}
	err := p.patiently(func(r disk.Reader) error {
		_, err := r.ReadAt(b[:n], off)
		return err //nolint:wrapcheck // wrapped below
	})
	if err != nil {
		return 0, fmt.Errorf("read %d bytes at %d of recovery point %s: %w", n, off, p.backing.Point, err)
	}
	return len(b), nil
}

// Extents returns the ranges that may hold anything but zeroes.
func (p *point) Extents(off, n int64) (found []disk.Extent, err error) {
	n = min(n, p.backing.SizeBytes-off)
	if n <= 0 {
		return nil, nil
	}
	err = p.patiently(func(r disk.Reader) (err error) {
		found, err = r.Extents(off, n)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("find data of recovery point %s: %w", p.backing.Point, err)
	}
	return disk.ClipExtents(found, off, n), nil
}

// patiently does something with the point and, while the store is away, does it
// again for a while. Bytes that are not the point's do not get better by waiting.
func (p *point) patiently(do func(disk.Reader) error) error {
	ctx, cancel := context.WithTimeout(p.ctx, p.patience)
	defer cancel()
	pause := time.NewTimer(0)
	defer pause.Stop()
	var err error
	for {
		select {
		case <-pause.C:
		case <-ctx.Done():
			p.log.Warn("a guest's read of its recovery point has failed", "error", err)
			return errors.Join(err, ctx.Err())
		}
		if err = p.once(ctx, do); err == nil {
			return nil
		}
		if errorcatalog.Of(err).Code == errorcatalog.ReplicaCorrupt {
			p.log.Error("the recovery point is damaged", "error", err)
			return err
		}
		pause.Reset(pointPause)
	}
}

func (p *point) once(ctx context.Context, do func(disk.Reader) error) error {
	p.mu.RLock()
	r := p.reader
	if r == nil {
		p.mu.RUnlock()
		if err := p.reopen(ctx, nil); err != nil {
			return err
		}
		p.mu.RLock()
		r = p.reader
	}
	if r == nil { // lost again, or closed
		p.mu.RUnlock()
		return errorcatalog.Fail(errorcatalog.ReplicaStoreUnreachable, "recovery point %s was closed", p.backing.Point)
	}
	err := do(r)
	p.mu.RUnlock()
	if err != nil && errorcatalog.Of(err).Code != errorcatalog.ReplicaCorrupt {
		return errors.Join(err, p.reopen(ctx, r))
	}
	return err
}

// reopen replaces a reader that has failed, unless somebody else has. Whose patience
// has ended, maybe while others tried, leaves that to the next.
func (p *point) reopen(ctx context.Context, failed disk.Reader) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reader != failed || ctx.Err() != nil {
		return nil
	}
	p.drop()
	if p.open == nil {
		return errorcatalog.Fail(errorcatalog.BackingUnavailable, "the host opens no replica stores")
	}
	r, err := p.open(p.ctx, p.backing) //nolint:contextcheck // the reader outlives who asks for it
	if err != nil {
		return err
	}
	p.reader = r
	return nil
}

func (p *point) drop() {
	if p.reader != nil {
		_ = p.reader.Close() // read only
		p.reader = nil
	}
}

// Close lets go of the point. Whoever waits for it gives up.
func (p *point) Close() error {
	p.cancel()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop()
	return nil
}
