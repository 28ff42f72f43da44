package cow

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
)

// The map file: a header of one page, then two bits per block, in little-endian
// words of 32 bits.
const (
	headerSize    = 4096
	magic         = "FSCOWMAP"
	validAt       = 8  // one byte: 1 while the snapshot is kept
	blockSizeAt   = 12 // uint32
	diskSizeAt    = 16 // uint64
	bitsPerBlock  = 2
	stateMask     = 1<<bitsPerBlock - 1
	blocksPerWord = 32 / bitsPerBlock
)

// What has become of a block since the snapshot.
const (
	untouched = iota // the disk holds it
	copied           // the delta holds it
	zeroed           // it was all zeroes; the delta does not hold it
)

// Files names the two files of a snapshot of one disk.
type Files struct {
	Delta string `json:"delta"`
	Map   string `json:"map"`
}

// Remove deletes the files.
func (f Files) Remove() {
	_ = os.Remove(f.Map)
	_ = os.Remove(f.Delta)
}

func words(size int64) int64 {
	blocks := (size + BlockSize - 1) / BlockSize
	return (blocks + blocksPerWord - 1) / blocksPerWord
}

func (s *Snapshot) state(block int64) uint32 {
	return s.words[block/blocksPerWord].Load() >> (block % blocksPerWord * bitsPerBlock) & stateMask
}

// mark sets a block's state, in the file as well before it returns.
func (s *Snapshot) mark(block int64, state uint32) error {
	i := block / blocksPerWord
	s.marking.Lock()
	defer s.marking.Unlock()
	at := block % blocksPerWord * bitsPerBlock
	word := s.words[i].Load()&^(stateMask<<at) | state<<at
	var p [4]byte
	binary.LittleEndian.PutUint32(p[:], word)
	if _, err := s.file.WriteAt(p[:], headerSize+4*i); err != nil {
		return fmt.Errorf("write snapshot map: %w", err)
	}
	s.words[i].Store(word)
	return nil
}

// encode returns the map as its file holds it.
func (s *Snapshot) encode() []byte {
	p := make([]byte, headerSize+4*len(s.words))
	copy(p, magic)
	p[validAt] = 1
	binary.LittleEndian.PutUint32(p[blockSizeAt:], BlockSize)
	binary.LittleEndian.PutUint64(p[diskSizeAt:], uint64(s.size))
	for i := range s.words {
		binary.LittleEndian.PutUint32(p[headerSize+4*i:], s.words[i].Load())
	}
	return p
}

func (s *Snapshot) format() error {
	if err := s.delta.Truncate(s.size); err != nil {
		return fmt.Errorf("size snapshot delta: %w", err)
	}
	if err := s.file.Truncate(headerSize + 4*words(s.size)); err != nil {
		return fmt.Errorf("size snapshot map: %w", err)
	}
	if _, err := s.file.WriteAt(s.encode()[:headerSize], 0); err != nil {
		return fmt.Errorf("write snapshot map: %w", err)
	}
	return nil
}

func (s *Snapshot) load() error {
	p := make([]byte, headerSize+4*words(s.size))
	if _, err := s.file.ReadAt(p, 0); err != nil {
		return fmt.Errorf("read snapshot map: %w", err)
	}
	if err := checkHeader(p, s.size); err != nil {
		return err
	}
	for i := range s.words {
		s.words[i].Store(binary.LittleEndian.Uint32(p[headerSize+4*i:]))
	}
	return nil
}

func checkHeader(p []byte, size int64) error {
	switch {
	case string(p[:len(magic)]) != magic, binary.LittleEndian.Uint32(p[blockSizeAt:]) != BlockSize:
		return errors.New("snapshot map has another form")
	case binary.LittleEndian.Uint64(p[diskSizeAt:]) != uint64(size):
		return fmt.Errorf("snapshot map is of a disk of %d bytes, not %d", binary.LittleEndian.Uint64(p[diskSizeAt:]), size)
	case p[validAt] != 1:
		return ErrLost
	}
	return nil
}

// giveUp marks the snapshot as lost. The byte is in the file before the write
// that could not be kept goes on.
func (s *Snapshot) giveUp(err error) {
	if !s.broken.CompareAndSwap(nil, &err) {
		return
	}
	_, _ = s.file.WriteAt([]byte{0}, validAt) // within the page that format wrote: it needs no space
}

func allZero(p []byte) bool {
	for len(p) >= 8 {
		if binary.LittleEndian.Uint64(p) != 0 {
			return false
		}
		p = p[8:]
	}
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}

// Invalidate tells the readers of a snapshot that nobody keeps it any longer,
// before its disk is written.
func Invalidate(files Files) {
	f, err := os.OpenFile(files.Map, os.O_WRONLY, 0)
	if err != nil {
		return
	}
	_, _ = f.WriteAt([]byte{0}, validAt)
	_ = f.Close()
}
