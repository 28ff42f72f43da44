package changelog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/bits"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"farshore/domain/errorcatalog"
	"farshore/workers/disk"
)

const (
	grain        = 64 << 10
	mapMagic     = "FSDIRTY1"
	mapHeader    = 4096
	mapSumAt     = 8
	mapSizeAt    = 16
	mapLogAt     = 32
	mapBootAt    = 48
	mapFailureAt = 512 // not under the checksum: it is written later
)

var errUntrusted = errors.New("the dirty map cannot be trusted")

// dirtyMap says which grains of a disk were written since its log was opened. It
// is a mapped file: a bit that was set is there after the process is killed.
type dirtyMap struct {
	mu     sync.Mutex
	memory []byte
}

// createMap makes a map of a disk of size bytes beside the log of that id, with
// all its space taken: a full volume must not strike when a bit is set.
func createMap(path, log, boot string, size int64) (*dirtyMap, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create dirty map: %w", err)
	}
	defer func() { _ = f.Close() }()
	n := mapHeader + ((size+grain-1)/grain+7)/8
	if err := unix.Fallocate(int(f.Fd()), 0, 0, n); err != nil {
		if _, err := f.WriteAt(make([]byte, n), 0); err != nil {
			return nil, fmt.Errorf("allocate dirty map: %w", err)
		}
	}
	head, err := mapHead(log, boot, size)
	if err != nil {
		return nil, err
	}
	if _, err := f.WriteAt(head, 0); err != nil {
		return nil, fmt.Errorf("write dirty map: %w", err)
	}
	if err := f.Sync(); err != nil {
		return nil, fmt.Errorf("sync dirty map: %w", err)
	}
	m, err := unix.Mmap(int(f.Fd()), 0, int(n), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map dirty map: %w", err)
	}
	return &dirtyMap{memory: m}, nil
}

func mapHead(log, boot string, size int64) ([]byte, error) {
	b := make([]byte, mapFailureAt)
	copy(b, mapMagic)
	binary.LittleEndian.PutUint64(b[mapSizeAt:], uint64(size))
	if err := putGUID(b[mapLogAt:mapLogAt+16], log); err != nil {
		return nil, err
	}
	copy(b[mapBootAt:], boot)
	binary.LittleEndian.PutUint32(b[mapSumAt:], mapSum(b))
	return b, nil
}

func mapSum(head []byte) uint32 {
	return crc32.ChecksumIEEE(head[mapSizeAt:mapFailureAt])
}

// set marks the grains of a range.
func (m *dirtyMap) set(off, n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.memory[mapHeader:]
	first, last := off/grain, (off+n-1)/grain
	for i := first; i <= last; {
		if i%8 == 0 && last-i >= 7 {
			b[i/8] = 0xff
			i += 8
			continue
		}
		b[i/8] |= 1 << (i % 8)
		i++
	}
}

// fail marks the map as the map of a log that was given up, durably. It needs no
// space, so it works where a file cannot be written.
func (m *dirtyMap) fail(code errorcatalog.Code) {
	m.mu.Lock()
	defer m.mu.Unlock()
	copy(m.memory[mapFailureAt:mapHeader-1], code)
	_ = unix.Msync(m.memory[:mapHeader], unix.MS_SYNC)
}

func (m *dirtyMap) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	_ = unix.Munmap(m.memory)
	m.memory = nil
}

// readMap returns the dirty ranges of the map at path, if it is the map of that
// log, boot and disk size. It fails with errUntrusted if it is not, and with the
// failure that was marked in it.
func readMap(path, log, boot string, size int64) ([]disk.Extent, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUntrusted, err)
	}
	grains := (size + grain - 1) / grain
	want, err := mapHead(log, boot, size)
	if err != nil {
		return nil, err
	}
	if int64(len(b)) != mapHeader+(grains+7)/8 || !bytes.Equal(b[:mapFailureAt], want) {
		return nil, fmt.Errorf("%w: it belongs to another log", errUntrusted)
	}
	if code := string(bytes.TrimRight(b[mapFailureAt:mapHeader], "\x00")); code != "" {
		return nil, errorcatalog.Fail(errorcatalog.Code(code), "tracking had stopped when the host process ended")
	}
	return dirtyRanges(b[mapHeader:], size), nil
}

func dirtyRanges(b []byte, size int64) []disk.Extent {
	var out []disk.Extent
	for i, c := range b {
		for ; c != 0; c &= c - 1 {
			from := (int64(i)*8 + int64(bits.TrailingZeros8(c))) * grain
			to := min(from+grain, size)
			if n := len(out); n > 0 && out[n-1].End() == from {
				out[n-1].Length = to - out[n-1].Offset
			} else if from < to {
				out = append(out, disk.Extent{Offset: from, Length: to - from})
			}
		}
	}
	return out
}
