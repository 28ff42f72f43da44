package changelog

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/zeebo/blake3"
	"golang.org/x/sys/unix"

	"farshore/domain/errorcatalog"
)

// LogOptions describe a log to be written.
type LogOptions struct {
	ID         string // UUID
	PreviousID string // UUID of the log before it in the chain; empty for the first
	DiskSize   int64
	Now        func() time.Time
}

// Sealed describes a log that has been closed.
type Sealed struct {
	Bytes   int64 // length of the file
	Stored  int64 // bytes of it that are no hole
	Entries int64
	Digest  string // BLAKE3-256 of the file, hex
}

// Writer writes a change log. Append and AppendZero may be called from several
// goroutines at once; the order of entries is the order in which they are taken
// up, so callers keep writes that overlap apart.
//
// An error is final: the log can only be closed and removed.
type Writer struct {
	options LogOptions
	created time.Time
	file    *os.File

	mu      sync.Mutex
	block   []byte // the metadata block that is being filled
	filled  int    // entries in it
	end     int64  // where the next data go
	last    int64  // where the last metadata block lies; 0: none yet
	entries int64
	holes   int64
	err     error
}

// Create makes a log at path, which must not exist, with a durable header. The
// folder's entry for it becomes durable with SyncDir.
func Create(path string, o LogOptions) (*Writer, error) {
	created := o.Now()
	head, err := Header{ID: o.ID, PreviousID: o.PreviousID, DiskSize: o.DiskSize, Created: created, Modified: created}.encode()
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create change log: %w", err)
	}
	if _, err = f.WriteAt(head, 0); err == nil {
		err = f.Sync()
	}
	if err != nil {
		_ = f.Close()
		_ = os.Remove(path)
		return nil, fmt.Errorf("write header of %s: %w", path, err)
	}
	return &Writer{options: o, created: created, file: f, block: make([]byte, metadataSize), end: headerSize}, nil
}

// Append records that p was written at off.
func (w *Writer) Append(off int64, p []byte) error {
	for len(p) > 0 {
		n := min(len(p), maxEntry)
		if err := w.append(Entry{Offset: off, Length: int64(n), sum: dataSum(p[:n])}, p[:n]); err != nil {
			return err
		}
		off, p = off+int64(n), p[n:]
	}
	return nil
}

// AppendZero records that n bytes at off became zeroes. They take no space.
func (w *Writer) AppendZero(off, n int64) error {
	for n > 0 {
		part := min(n, maxZero)
		if err := w.append(Entry{Offset: off, Length: part, Zero: true, sum: zeroSum(part)}, nil); err != nil {
			return err
		}
		off, n = off+part, n-part
	}
	return nil
}

func (w *Writer) append(e Entry, data []byte) error {
	e.Time = w.options.Now()
	w.mu.Lock()
	if w.err != nil {
		defer w.mu.Unlock()
		return w.err
	}
	at := w.end
	encodeEntry(w.block[blockHeaderSize+w.filled*entrySize:], e)
	w.filled++
	w.entries++
	w.end += e.Length
	if e.Zero {
		w.holes += e.Length
	}
	var block []byte
	var blockAt int64
	if w.filled == entriesPerBlock {
		block, blockAt = w.finishBlock()
	}
	w.mu.Unlock()
	if err := w.writeAt(data, at); err != nil {
		return err
	}
	return w.writeAt(block, blockAt)
}

// finishBlock completes the metadata block and begins a new one. The caller
// holds the lock and writes what it returns.
func (w *Writer) finishBlock() (block []byte, at int64) {
	block, at = w.block, w.end
	if w.last != 0 {
		binary.LittleEndian.PutUint64(block, uint64(at-w.last))
	}
	binary.LittleEndian.PutUint32(block[8:], uint32(w.filled)) //nolint:gosec // at most entriesPerBlock
	binary.LittleEndian.PutUint32(block[blockChecksum:], byteSum(block, blockChecksum))
	w.block, w.filled = make([]byte, metadataSize), 0
	w.last, w.end = at, at+metadataSize
	return block, at
}

func (w *Writer) writeAt(p []byte, at int64) error {
	if len(p) == 0 {
		return nil
	}
	if _, err := w.file.WriteAt(p, at); err != nil {
		return w.fail(fmt.Errorf("write change log: %w", err))
	}
	return nil
}

func (w *Writer) fail(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = errorcatalog.Fail(errorcatalog.LogWriteFailed, "log %s", w.options.ID).Because(err)
	}
	return w.err
}

// Stored returns how many bytes the log takes so far, holes not counted.
func (w *Writer) Stored() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.end - w.holes
}

// Flush makes the data appended so far durable.
func (w *Writer) Flush() error {
	if err := unix.Fdatasync(int(w.file.Fd())); err != nil {
		return w.fail(fmt.Errorf("flush change log: %w", err))
	}
	return nil
}

// Seal ends the log: it writes the last metadata block and the end's location,
// durably, and closes the file. No Append may be running.
func (w *Writer) Seal() (Sealed, error) {
	if err := w.seal(); err != nil {
		_ = w.file.Close()
		return Sealed{}, err
	}
	digest, err := digestOf(w.file, w.end)
	if err != nil {
		_ = w.file.Close()
		return Sealed{}, w.fail(err)
	}
	if err := w.file.Close(); err != nil {
		return Sealed{}, w.fail(fmt.Errorf("close change log: %w", err))
	}
	return Sealed{Bytes: w.end, Stored: w.end - w.holes, Entries: w.entries, Digest: digest}, nil
}

func (w *Writer) seal() error {
	w.mu.Lock()
	err := w.err
	var block []byte
	var at int64
	if err == nil && w.filled > 0 {
		block, at = w.finishBlock()
	}
	w.mu.Unlock()
	if err != nil {
		return err
	}
	if err := w.writeAt(block, at); err != nil {
		return err
	}
	// The header names an end only once everything before it is durable.
	if err := w.file.Sync(); err != nil {
		return w.fail(fmt.Errorf("sync change log: %w", err))
	}
	head, err := Header{
		ID: w.options.ID, PreviousID: w.options.PreviousID, DiskSize: w.options.DiskSize,
		Created: w.created, Modified: w.options.Now(), Entries: w.entries, End: w.end,
	}.encode()
	if err != nil {
		return err
	}
	if err := w.writeAt(head, 0); err != nil {
		return err
	}
	if err := w.file.Sync(); err != nil {
		return w.fail(fmt.Errorf("sync header of change log: %w", err))
	}
	return nil
}

// Close gives the log up without sealing it.
func (w *Writer) Close() error {
	if err := w.file.Close(); err != nil {
		return fmt.Errorf("close change log: %w", err)
	}
	return nil
}

// digestOf returns the BLAKE3-256 of the first n bytes of r, in hex.
func digestOf(r io.ReaderAt, n int64) (string, error) {
	h := blake3.New()
	buf := make([]byte, 1<<20)
	if _, err := io.CopyBuffer(struct{ io.Writer }{h}, io.NewSectionReader(r, 0, n), buf); err != nil {
		return "", fmt.Errorf("digest change log: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// SyncDir makes a folder's entries durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open folder: %w", err)
	}
	defer func() { _ = d.Close() }()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync folder %s: %w", dir, err)
	}
	return nil
}
