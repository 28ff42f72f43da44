// Package cow keeps snapshots of a disk that is being written: a block is copied
// aside before it is overwritten for the first time since the snapshot.
//
// A snapshot is two sparse files: the delta, in which a copied block lies at its
// own offset, and the map, which says what has been copied. Creating one takes
// neither time nor space that grows with the disk. The map is in the file before
// the block is overwritten, so a snapshot outlives the process that keeps it,
// though not a power loss, which its owner has to notice.
//
// A reader reads the disk first and the map after: whatever was overwritten
// meanwhile is then found in the delta. So readers take no lock, and may run in
// another process than the writer.
//
// An Overlay is the same two files the other way round: what is written beside a
// disk that stays as it is.
package cow

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"farshore/workers/disk"
)

// BlockSize is the grain at which overwritten data is kept, in bytes.
const BlockSize = 64 << 10

// stripes is how many blocks can be copied at the same time.
const stripes = 64

// Base is a disk that snapshots are taken of.
type Base interface {
	disk.Device
	// Extents returns the ranges that may hold anything but zeroes.
	Extents(off, n int64) ([]disk.Extent, error)
}

// Layer is a Base whose earlier content can be kept.
type Layer struct {
	base    Base
	gate    sync.RWMutex // held shared by a write from its check of snaps to its end
	snaps   []*Snapshot
	lock    [stripes]sync.Mutex // of the blocks being copied
	buffers sync.Pool
}

var _ disk.Device = (*Layer)(nil)

// New returns a layer over base.
func New(base Base) *Layer { return &Layer{base: base} }

// ReadAt reads the disk as it is now.
func (l *Layer) ReadAt(p []byte, off int64) (int, error) {
	return l.base.ReadAt(p, off) //nolint:wrapcheck // a layer adds nothing to its disk's errors
}

// WriteAt writes to the disk, keeping what the snapshots need.
func (l *Layer) WriteAt(p []byte, off int64) (int, error) {
	l.gate.RLock()
	defer l.gate.RUnlock()
	l.keep(off, int64(len(p)))
	return l.base.WriteAt(p, off) //nolint:wrapcheck // a layer adds nothing to its disk's errors
}

// Zero makes a range read as zeroes, keeping what the snapshots need.
func (l *Layer) Zero(off, n int64) error {
	l.gate.RLock()
	defer l.gate.RUnlock()
	l.keep(off, n)
	return l.base.Zero(off, n)
}

// Flush makes what was written to the disk durable.
func (l *Layer) Flush() error { return l.base.Flush() }

// Size is the disk's, in bytes.
func (l *Layer) Size() int64 { return l.base.Size() }

// Extents returns the ranges of the disk that may hold anything but zeroes now.
func (l *Layer) Extents(off, n int64) ([]disk.Extent, error) { return l.base.Extents(off, n) }

// Hold stops writes to all layers: those under way have ended when it returns.
// The function it returns lets them go on.
func Hold(layers []*Layer) func() {
	for _, l := range layers {
		l.gate.Lock()
	}
	return func() {
		for _, l := range layers {
			l.gate.Unlock()
		}
	}
}

// Attach begins to keep s. The layer's writes are held by Hold.
func (l *Layer) Attach(s *Snapshot) {
	l.snaps = append(append([]*Snapshot(nil), l.snaps...), s)
}

// Detach ends keeping s.
func (l *Layer) Detach(s *Snapshot) {
	l.gate.Lock()
	defer l.gate.Unlock()
	var rest []*Snapshot
	for _, o := range l.snaps {
		if o != s {
			rest = append(rest, o)
		}
	}
	l.snaps = rest
}

// keep copies aside what a write to the range is about to destroy. A snapshot
// that cannot be kept is given up: the guest is not to suffer for it.
func (l *Layer) keep(off, n int64) {
	if len(l.snaps) == 0 || n <= 0 {
		return
	}
	for _, s := range l.snaps {
		for b := off / BlockSize; b*BlockSize < off+n; b++ {
			if s.state(b) == untouched {
				l.keepBlock(s, b)
			}
		}
	}
}

func (l *Layer) keepBlock(s *Snapshot, block int64) {
	m := &l.lock[block%stripes]
	m.Lock()
	defer m.Unlock()
	if s.broken.Load() != nil || s.state(block) != untouched {
		return
	}
	p, ok := l.buffers.Get().(*[BlockSize]byte)
	if !ok {
		p = new([BlockSize]byte)
	}
	defer l.buffers.Put(p)
	if err := s.keep(l.base, block, p[:]); err != nil {
		s.giveUp(err)
	}
}

// roomInterval is how many bytes are copied aside between questions for room.
const roomInterval = 8 << 20

// Snapshot keeps the content of a disk at one instant.
type Snapshot struct {
	size    int64
	room    func() error // whether the volume has room for more; nil: always
	copied  atomic.Int64 // bytes since room was asked
	delta   *os.File
	file    *os.File // the map
	words   []atomic.Uint32
	marking sync.Mutex // held while a word of the map is written
	broken  atomic.Pointer[error]
}

// ErrLost is what a snapshot answers that could not be kept.
var ErrLost = errors.New("snapshot is lost")

// Create makes the files of a snapshot of a disk of the given size. They are
// attached later, in the hold. Room, if not nil, is asked from time to time
// whether the volume has room for more; an error gives the snapshot up.
func Create(files Files, size int64, room func() error) (*Snapshot, error) {
	s := &Snapshot{size: size, room: room}
	if err := s.open(files, os.O_RDWR|os.O_CREATE|os.O_EXCL); err != nil {
		return nil, err
	}
	if err := s.format(); err != nil {
		_ = s.Close()
		files.Remove()
		return nil, err
	}
	return s, nil
}

// Reopen takes up a snapshot that a process which is gone kept of a disk of the
// given size.
func Reopen(files Files, size int64, room func() error) (*Snapshot, error) {
	s := &Snapshot{size: size, room: room}
	if err := s.open(files, os.O_RDWR); err != nil {
		return nil, err
	}
	if err := s.load(); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Snapshot) open(files Files, flags int) error {
	var err error
	if s.delta, err = os.OpenFile(files.Delta, flags, 0o600); err != nil {
		return fmt.Errorf("open snapshot delta: %w", err)
	}
	if s.file, err = os.OpenFile(files.Map, flags, 0o600); err != nil {
		_ = s.delta.Close()
		return fmt.Errorf("open snapshot map: %w", err)
	}
	s.words = make([]atomic.Uint32, words(s.size))
	return nil
}

// keep copies one block of base into the delta, then marks it.
func (s *Snapshot) keep(base Base, block int64, p []byte) error {
	off := block * BlockSize
	p = p[:min(BlockSize, s.size-off)]
	if _, err := base.ReadAt(p, off); err != nil {
		return fmt.Errorf("read block to be kept: %w", err)
	}
	state := uint32(copied)
	if allZero(p) {
		state = zeroed
	} else if _, err := s.delta.WriteAt(p, off); err != nil {
		return fmt.Errorf("write snapshot delta: %w", err)
	}
	if err := s.askForRoom(int64(len(p)), state); err != nil {
		return err
	}
	return s.mark(block, state)
}

func (s *Snapshot) askForRoom(n int64, state uint32) error {
	if s.room == nil || state != copied || s.copied.Add(n) < roomInterval {
		return nil
	}
	s.copied.Store(0)
	return s.room()
}

// Err tells why the snapshot was given up, or nil.
func (s *Snapshot) Err() error {
	if err := s.broken.Load(); err != nil {
		return *err
	}
	return nil
}

// Kept is how many bytes of the disk have been copied aside.
func (s *Snapshot) Kept() int64 {
	var n int64
	for i := range s.words {
		for w := s.words[i].Load(); w != 0; w >>= bitsPerBlock {
			if w&stateMask == copied {
				n += BlockSize
			}
		}
	}
	return n
}

// Invalidate tells the snapshot's readers, in this process and in others, that
// it is no longer kept.
func (s *Snapshot) Invalidate() { s.giveUp(ErrLost) }

// Close lets go of the files and leaves them for Reopen.
func (s *Snapshot) Close() error { return errors.Join(s.delta.Close(), s.file.Close()) }
