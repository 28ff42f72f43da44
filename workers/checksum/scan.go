package checksum

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"farshore/workers/disk"
)

const (
	// segmentBlocks is how many blocks are read at once: 1 MiB, after which larger
	// reads gain nothing.
	segmentBlocks = 16
	segmentBytes  = segmentBlocks * BlockSize
	// window is how much of a disk is asked for its extents at once, so that the
	// answer stays small on a fragmented disk.
	window = 1 << 30
	// readAhead is how many segments are in work for each processor: some are read
	// while others are hashed and handled.
	readAhead = 4
)

// Run is neighbouring blocks of a disk.
type Run struct {
	First int64 // block
	Count int64
	// Zero says that all of them are zeroes; Data and Digests are empty then.
	Zero    bool
	Data    []byte // their content; valid until the function returns
	Digests []Digest
}

// Offset is where the run begins, in bytes.
func (r Run) Offset() int64 { return r.First * BlockSize }

// ScanOptions say what of a disk to scan and how.
type ScanOptions struct {
	// From is the offset to begin at, a multiple of BlockSize.
	From int64
	// Only, if not nil, limits the scan to the blocks that these ranges touch, so
	// that holes outside of them are not reported.
	Only []disk.Extent
	// InFlight is how many segments of 1 MiB are in work at once; 0 chooses by the
	// number of processors.
	InFlight int
	// Before is called before n bytes are read, and may wait. It may be nil.
	Before func(ctx context.Context, n int) error
	// Progress is called after each run with the bytes handled so far, holes
	// included, and with the offset below which everything is. It may be nil and
	// may be called by several goroutines at once.
	Progress func(done, below int64)
}

// Scan reads a disk, hashes its blocks and calls fn with all of them from o.From
// on, in runs of data or zeroes. Holes are reported without being read, and blocks
// of zeroes without being hashed. Several runs are read, hashed and handled at a
// time, in no particular order, fn is called by several goroutines at once, and
// memory is bounded by InFlight. The first failure ends the scan and is returned;
// a scan that was canceled has failed.
func Scan(ctx context.Context, src disk.Reader, o ScanOptions, fn func(ctx context.Context, r Run) error) error {
	if o.From%BlockSize != 0 || o.From < 0 {
		return fmt.Errorf("scan from %d: not a multiple of %d", o.From, BlockSize)
	}
	inFlight := o.InFlight
	if inFlight <= 0 {
		inFlight = readAhead * runtime.GOMAXPROCS(0)
	}
	g, gctx := errgroup.WithContext(ctx)
	s := &scan{src: src, options: o, fn: fn, size: src.Size(), marks: newWatermark(o.From)}
	work := make(chan piece)
	g.Go(func() error {
		defer close(work)
		return s.plan(gctx, work)
	})
	for range inFlight {
		g.Go(func() error { return s.work(gctx, work) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

type scan struct {
	src     disk.Reader
	options ScanOptions
	fn      func(context.Context, Run) error
	size    int64
	marks   *watermark
	done    atomic.Int64
}

// piece is a part of the disk in work: a segment of data, or a hole of any length.
type piece struct {
	off, n int64
	hole   bool
	number int64
}

// plan hands out pieces, ascending.
func (s *scan) plan(ctx context.Context, work chan<- piece) error {
	only := []disk.Extent{{Offset: 0, Length: s.size}}
	if s.options.Only != nil {
		only = disk.ClipExtents(disk.AlignExtents(s.options.Only, BlockSize), 0, s.size)
	}
	for _, e := range disk.ClipExtents(only, s.options.From, max(0, s.size-s.options.From)) {
		for at := e.Offset; at < e.End(); {
			n := min(window-at%window, e.End()-at)
			if err := s.planWindow(ctx, work, at, n); err != nil {
				return err
			}
			at += n
		}
	}
	return nil
}

func (s *scan) planWindow(ctx context.Context, work chan<- piece, off, n int64) error {
	extents, err := s.src.Extents(off, n)
	if err != nil {
		return fmt.Errorf("find data in %d bytes at %d: %w", n, off, err)
	}
	at := off
	for _, e := range disk.ClipExtents(disk.AlignExtents(extents, BlockSize), off, n) {
		if err := s.send(ctx, work, piece{off: at, n: e.Offset - at, hole: true}); err != nil {
			return err
		}
		for at = e.Offset; at < e.End(); {
			length := min(segmentBytes-at%segmentBytes, e.End()-at)
			if err := s.send(ctx, work, piece{off: at, n: length}); err != nil {
				return err
			}
			at += length
		}
	}
	return s.send(ctx, work, piece{off: at, n: off + n - at, hole: true})
}

func (s *scan) send(ctx context.Context, work chan<- piece, p piece) error {
	if p.n == 0 {
		return nil
	}
	if !p.hole && s.options.Before != nil {
		if err := s.options.Before(ctx, int(p.n)); err != nil {
			return fmt.Errorf("wait for leave to read: %w", err)
		}
	}
	p.number = s.marks.begin()
	select {
	case work <- p:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *scan) work(ctx context.Context, work <-chan piece) error {
	buf := make([]byte, segmentBytes)
	digests := make([]Digest, 0, segmentBlocks)
	for p := range work {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := s.handle(ctx, p, buf, digests); err != nil {
			return err
		}
		below := s.marks.end(p.number, p.off+p.n)
		done := s.done.Add(p.n)
		if s.options.Progress != nil {
			s.options.Progress(done, below)
		}
	}
	return nil
}

func (s *scan) handle(ctx context.Context, p piece, buf []byte, digests []Digest) error {
	if p.hole {
		return s.fn(ctx, Run{First: p.off / BlockSize, Count: Blocks(p.n), Zero: true})
	}
	buf = buf[:p.n]
	if n, err := s.src.ReadAt(buf, p.off); n < len(buf) {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("read %d bytes at %d: %w", len(buf), p.off, err)
	}
	for at := 0; at < len(buf); {
		r, end := nextRun(buf, at, digests[:0])
		r.First = (p.off + int64(at)) / BlockSize
		if err := s.fn(ctx, r); err != nil {
			return err
		}
		at = end
	}
	return nil
}

// nextRun takes the blocks from at on that are all zero, or all not. The digests
// of the latter go to digests.
func nextRun(buf []byte, at int, digests []Digest) (Run, int) {
	zero := IsZero(buf[at:min(at+BlockSize, len(buf))])
	end := at
	for end < len(buf) {
		block := buf[end:min(end+BlockSize, len(buf))]
		if end > at && IsZero(block) != zero {
			break
		}
		if !zero {
			digests = append(digests, Sum(block))
		}
		end += len(block)
	}
	r := Run{Count: Blocks(int64(end - at)), Zero: zero}
	if !zero {
		r.Data, r.Digests = buf[at:end], digests
	}
	return r, end
}

// watermark knows the offset below which all pieces are done, though they end in
// another order than they began in.
type watermark struct {
	mu    sync.Mutex
	next  int64           // number of the next piece to begin
	low   int64           // number of the first piece that is not done
	below int64           // where the last piece before it ended
	ends  map[int64]int64 // of pieces done above low, by number
}

func newWatermark(from int64) *watermark {
	return &watermark{below: from, ends: map[int64]int64{}}
}

func (w *watermark) begin() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	number := w.next
	w.next++
	return number
}

func (w *watermark) end(number, end int64) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ends[number] = end
	for {
		end, ok := w.ends[w.low]
		if !ok {
			return w.below
		}
		delete(w.ends, w.low)
		w.low++
		w.below = end
	}
}

// Rehash sets the digests of the blocks that the given ranges touch from what src
// holds now.
func (m *Manifest) Rehash(ctx context.Context, src disk.Reader, extents []disk.Extent) error {
	if extents == nil {
		extents = []disk.Extent{}
	}
	return Scan(ctx, src, ScanOptions{Only: extents}, m.Record)
}

// Record sets the digests of a run; it fits Scan.
func (m *Manifest) Record(ctx context.Context, r Run) error {
	if r.Zero {
		return m.SetZero(ctx, r.First, r.Count)
	}
	return m.SetRun(ctx, r.First, r.Digests)
}

// Verify compares a disk's content with the manifest and returns the first block
// that differs, or -1.
func (m *Manifest) Verify(ctx context.Context, src disk.Reader) (int64, error) {
	if src.Size() != m.size {
		return 0, fmt.Errorf("verify %d bytes against %d: %w", src.Size(), m.size, ErrSizeDiffer)
	}
	var mu sync.Mutex
	first := int64(-1)
	err := Scan(ctx, src, ScanOptions{}, func(ctx context.Context, r Run) error {
		for i := range r.Count {
			want, err := m.Get(ctx, r.First+i)
			if err != nil {
				return err
			}
			got := m.Zero(r.First + i)
			if !r.Zero {
				got = r.Digests[i]
			}
			if got != want {
				mu.Lock()
				if first < 0 || r.First+i < first {
					first = r.First + i
				}
				mu.Unlock()
				return nil
			}
		}
		return nil
	})
	return first, err
}
