package changelog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"

	"farshore/domain/errorcatalog"
)

// Reader reads a sealed change log. It trusts nothing in it: whatever the bytes,
// it returns entries within the disk or a Failure with one of the codes
// log_unclean, log_truncated, log_checksum_mismatch and log_chain_broken. Its
// methods may be called from several goroutines.
type Reader struct {
	src    io.ReaderAt
	header Header
	blocks []int64 // offsets of the metadata blocks, ascending
}

// NewReader opens the log of size bytes in src: it checks the header and walks
// the chain of metadata blocks.
func NewReader(src io.ReaderAt, size int64) (*Reader, error) {
	b := make([]byte, headerSize)
	if size < headerSize {
		return nil, errorcatalog.Fail(errorcatalog.LogTruncated, "the log has %d bytes, less than its header", size)
	}
	r := &Reader{src: src}
	if err := r.read(b, 0); err != nil {
		return nil, err
	}
	var err error
	if r.header, err = decodeHeader(b); err != nil {
		return nil, err
	}
	switch h := r.header; {
	case h.End == 0:
		return nil, errorcatalog.Fail(errorcatalog.LogUnclean, "log %s was not closed", h.ID)
	case h.End > size:
		return nil, errorcatalog.Fail(errorcatalog.LogTruncated, "log %s has %d bytes of %d", h.ID, size, h.End)
	case h.End < headerSize || h.Entries == 0 && h.End != headerSize:
		return nil, errorcatalog.Fail(errorcatalog.LogChainBroken, "log %s with %d entries ends at %d", h.ID, h.Entries, h.End)
	}
	return r, r.walk()
}

// walk finds the metadata blocks from the last to the first.
func (r *Reader) walk() error {
	h := r.header
	if h.Entries == 0 {
		return nil
	}
	b := make([]byte, blockHeaderSize)
	var entries int64
	for at := h.End - h.metadataSize; ; {
		if at < headerSize {
			return errorcatalog.Fail(errorcatalog.LogChainBroken, "a metadata block of log %s would lie at %d", h.ID, at)
		}
		if err := r.read(b, at); err != nil {
			return err
		}
		n := int64(binary.LittleEndian.Uint32(b[8:]))
		if n == 0 || n > (h.metadataSize-blockHeaderSize)/entrySize {
			return errorcatalog.Fail(errorcatalog.LogChainBroken, "the metadata block at %d of log %s says it has %d entries", at, h.ID, n)
		}
		r.blocks = append(r.blocks, at)
		entries += n
		distance := binary.LittleEndian.Uint64(b)
		if distance == 0 {
			break
		}
		// Blocks do not overlap, so the walk ends whatever a hostile log says.
		if distance < uint64(h.metadataSize) || distance > uint64(at) {
			return errorcatalog.Fail(errorcatalog.LogChainBroken, "the metadata block at %d of log %s points %d back", at, h.ID, distance)
		}
		at -= int64(distance) //nolint:gosec // at most at, as seen above
	}
	if entries != h.Entries {
		return errorcatalog.Fail(errorcatalog.LogChainBroken, "log %s has %d entries, its header says %d", h.ID, entries, h.Entries)
	}
	slices.Reverse(r.blocks)
	return nil
}

// Header returns the log's header.
func (r *Reader) Header() Header { return r.header }

// Entries yields the log's entries in the order in which they were written, each
// checked; it ends with the first error. The data are checked when they are read.
func (r *Reader) Entries() iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		block := make([]byte, r.header.metadataSize)
		entries := make([]Entry, 0, len(block)/entrySize)
		end := int64(headerSize)
		for _, at := range r.blocks {
			var err error
			if entries, err = r.readBlock(block, at, end, entries[:0]); err != nil {
				yield(Entry{}, err)
				return
			}
			for _, e := range entries {
				if !yield(e, nil) {
					return
				}
			}
			end = at + r.header.metadataSize
		}
	}
}

// readBlock appends the entries of the metadata block at the given offset, whose
// data begin at start.
func (r *Reader) readBlock(b []byte, at, start int64, entries []Entry) ([]Entry, error) {
	if err := r.read(b, at); err != nil {
		return nil, err
	}
	if binary.LittleEndian.Uint32(b[blockChecksum:]) != byteSum(b, blockChecksum) {
		return nil, errorcatalog.Fail(errorcatalog.LogChecksumMismatch, "the metadata block at %d of log %s does not match its checksum", at, r.header.ID)
	}
	n := int(binary.LittleEndian.Uint32(b[8:]))
	if n > len(b)/entrySize-1 { // it may have changed since the walk
		return nil, errorcatalog.Fail(errorcatalog.LogChainBroken, "the metadata block at %d of log %s says it has %d entries", at, r.header.ID, n)
	}
	for i := range n {
		e, err := decodeEntry(b[blockHeaderSize+i*entrySize:], start, r.header.DiskSize)
		if err != nil {
			return nil, fmt.Errorf("read log %s: %w", r.header.ID, err)
		}
		start += e.Length
		if start > at {
			return nil, errorcatalog.Fail(errorcatalog.LogChainBroken, "the data of the metadata block at %d of log %s reach beyond it", at, r.header.ID)
		}
		entries = append(entries, e)
	}
	if start != at {
		return nil, errorcatalog.Fail(errorcatalog.LogChainBroken, "%d bytes before the metadata block at %d of log %s belong to no entry", at-start, at, r.header.ID)
	}
	return entries, nil
}

// ReadData reads the data of an entry into p, which is as long as it, and checks
// them.
func (r *Reader) ReadData(e Entry, p []byte) error {
	if int64(len(p)) != e.Length {
		return fmt.Errorf("read entry of %d bytes into %d", e.Length, len(p))
	}
	if e.Zero {
		clear(p)
		return nil
	}
	if err := r.read(p, e.at); err != nil {
		return err
	}
	if dataSum(p) != e.sum {
		return r.damaged(e)
	}
	return nil
}

func (r *Reader) damaged(e Entry) error {
	return errorcatalog.Fail(errorcatalog.LogChecksumMismatch, "the data of log %s for %d bytes at %d do not match their checksum", r.header.ID, e.Length, e.Offset)
}

// read fills p; a log that ends early is truncated, any other error is the
// source's own.
func (r *Reader) read(p []byte, at int64) error {
	n, err := r.src.ReadAt(p, at)
	if n == len(p) {
		return nil
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errorcatalog.Fail(errorcatalog.LogTruncated, "the log ends at %d, within what it says it has", at+int64(n))
	}
	return fmt.Errorf("read change log: %w", err)
}
