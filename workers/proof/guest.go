package proof

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Target is a virtual disk as a guest sees it: an NBD export.
type Target interface {
	io.WriterAt
	Zero(off, n int64) error
	Flush() error
	io.Closer
}

// Area is the part of a disk that a guest writes to, in bytes, both multiples of
// SectorSize.
type Area struct{ Start, End int64 }

// Guest is the operating system and the application of a proven VM: it writes
// records and remembers them in its journal.
type Guest struct {
	Journal   string                                              // file
	Areas     []Area                                              // per disk
	Dial      func(ctx context.Context, disk int) (Target, error) // attaches a disk
	Pause     time.Duration                                       // between rounds of Depth records
	MaxLength int64                                               // bytes of a record; 64 KiB when 0
	Seed      uint64                                              // of the places it writes to
	// Freeze, if set, is a file while which exists the guest is at rest: everything is
	// acknowledged and flushed, and a file beside it, with ending Frozen, holds the
	// number of its last record.
	Freeze string
}

// Frozen is the ending of the file by which a guest says that it is at rest.
const Frozen = ".frozen"

// restCheck is how often a guest at rest looks whether it may go on.
const restCheck = 10 * time.Millisecond

// reattach is how long a guest waits before it tries to attach its disks again.
const reattach = 200 * time.Millisecond

// Run writes until ctx is done, then flushes its disks and returns nil. When its
// disks go away it attaches them again and repeats what was not acknowledged.
func (g *Guest) Run(ctx context.Context) error {
	journal, err := ReadJournal(g.Journal)
	if err != nil {
		return err
	}
	out, err := os.OpenFile(g.Journal, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the guest's journal: %w", err)
	}
	defer func() { _ = out.Close() }()
	w := &writer{guest: g, journal: out, recent: journal.Records, open: journal.unacknowledged()}
	for {
		err := w.session(ctx)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, errJournal):
			return err
		}
		if !wait(ctx, reattach) {
			return nil
		}
	}
}

var errJournal = errors.New("write the guest's journal")

// writer is a guest at work.
type writer struct {
	guest   *Guest
	mu      sync.Mutex // of journal and open
	journal io.Writer
	recent  []Record // at least the last apart records
	open    []Record // begun and not acknowledged
}

// session attaches the disks and writes until ctx is done, which is nil, or a
// disk fails.
func (w *writer) session(ctx context.Context) (err error) {
	disks := make([]Target, len(w.guest.Areas))
	for d := range disks {
		if disks[d], err = w.guest.Dial(ctx, d); err != nil {
			return fmt.Errorf("attach disk %d: %w", d, err)
		}
		defer func() { _ = disks[d].Close() }()
	}
	for ctx.Err() == nil {
		if len(w.open) == 0 { // whatever was begun is acknowledged
			if err := w.rest(ctx, disks); err != nil || ctx.Err() != nil {
				return err
			}
			if err := w.begin(); err != nil {
				return err
			}
		}
		if err := w.write(disks, append([]Record(nil), w.open...)); err != nil {
			return err
		}
		if !wait(ctx, w.guest.Pause) {
			break
		}
	}
	return flush(disks)
}

func flush(disks []Target) error {
	for d, disk := range disks {
		if err := disk.Flush(); err != nil {
			return fmt.Errorf("flush disk %d: %w", d, err)
		}
	}
	return nil
}

// rest writes nothing while the guest is asked to be at rest.
func (w *writer) rest(ctx context.Context, disks []Target) error {
	asked := func() bool {
		_, err := os.Lstat(w.guest.Freeze)
		return w.guest.Freeze != "" && err == nil
	}
	if !asked() {
		return nil
	}
	if err := flush(disks); err != nil {
		return err
	}
	said := w.guest.Freeze + Frozen
	var last int64
	if n := len(w.recent); n > 0 {
		last = w.recent[n-1].Number
	}
	if err := os.WriteFile(said+".new", []byte(strconv.FormatInt(last, 10)), 0o600); err != nil {
		return fmt.Errorf("say that the guest is at rest: %w", err)
	}
	if err := os.Rename(said+".new", said); err != nil {
		return fmt.Errorf("say that the guest is at rest: %w", err)
	}
	for asked() && wait(ctx, restCheck) { //nolint:revive // it rests
	}
	if err := os.Remove(said); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("say that the guest goes on: %w", err)
	}
	return nil
}

// begin chooses the next records and notes them in the journal.
func (w *writer) begin() error {
	for range Depth {
		r := w.next()
		w.recent = append(w.recent[max(0, len(w.recent)-apart):], r)
		w.open = append(w.open, r)
		if _, err := io.WriteString(w.journal, r.line('w')); err != nil {
			return errors.Join(errJournal, err)
		}
	}
	return nil
}

func (w *writer) next() Record {
	var number int64 = 1
	if n := len(w.recent); n > 0 {
		number = w.recent[n-1].Number + 1
	}
	longest := w.guest.MaxLength
	if longest == 0 {
		longest = 64 << 10
	}
	random := rand.New(rand.NewPCG(w.guest.Seed, uint64(number))) //nolint:gosec // places to write to are no secret
	for {
		d := random.IntN(len(w.guest.Areas))
		area := w.guest.Areas[d]
		r := Record{Number: number, Disk: d}
		r.Length = (1 + random.Int64N(longest/SectorSize)) * SectorSize
		r.Offset = area.Start + random.Int64N((area.End-area.Start-r.Length)/SectorSize+1)*SectorSize
		if !w.nearby(r) {
			return r
		}
	}
}

func (w *writer) nearby(r Record) bool {
	return slices.ContainsFunc(w.recent[max(0, len(w.recent)-apart):], r.overlaps)
}

// write writes the records at the same time and notes each acknowledgement.
func (w *writer) write(disks []Target, records []Record) error {
	var g errgroup.Group
	for _, r := range records {
		g.Go(func() error {
			if err := put(disks[r.Disk], r); err != nil {
				return fmt.Errorf("write record %d: %w", r.Number, err)
			}
			return w.acknowledged(r)
		})
	}
	return g.Wait()
}

func put(disk Target, r Record) error {
	if r.Zeroes() {
		return disk.Zero(r.Offset, r.Length)
	}
	p := make([]byte, r.Length)
	r.Fill(p)
	if _, err := disk.WriteAt(p, r.Offset); err != nil {
		return fmt.Errorf("write %d bytes at %d: %w", r.Length, r.Offset, err)
	}
	return nil
}

func (w *writer) acknowledged(r Record) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.open {
		if w.open[i] == r {
			w.open = append(w.open[:i], w.open[i+1:]...)
			break
		}
	}
	if _, err := io.WriteString(w.journal, r.line('a')); err != nil {
		return errors.Join(errJournal, err)
	}
	return nil
}

// wait returns false when ctx was done first.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
