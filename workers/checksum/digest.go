// Package checksum knows a disk by the digests of its blocks. A manifest is a
// tree of them: blocks in fixed chunks, chunks under one root, so that two points
// share what has not changed and one hash proves all of it. The scan engine reads
// a disk and hashes it as fast as the machine allows.
package checksum

import (
	"bytes"
	"encoding/hex"

	"github.com/zeebo/blake3"
)

// BlockSize is the unit that digests are made of, in bytes. 64 KiB is the grain of
// the dirty map and the size at which BLAKE3 reaches its full speed.
const BlockSize = 64 << 10

// ChunkBlocks is how many blocks a chunk of a manifest holds: 64 MiB of disk in an
// object of 32 KiB.
const ChunkBlocks = 1024

// ChunkBytes is the part of a disk that one chunk describes.
const ChunkBytes = BlockSize * ChunkBlocks

// DigestSize is the length of a digest, in bytes.
const DigestSize = 32

// Digest is the BLAKE3-256 of a block, a chunk or an index.
type Digest [DigestSize]byte

// String is the digest in hex.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// Sum returns the digest of b.
func Sum(b []byte) Digest { return blake3.Sum256(b) }

// ZeroDigest returns the digest of n zero bytes, n up to BlockSize.
func ZeroDigest(n int) Digest { return Sum(make([]byte, n)) }

// IsZero says whether b holds only zeroes.
func IsZero(b []byte) bool {
	// Most blocks that hold data show it at once.
	if len(b) == 0 || b[0] != 0 || b[len(b)-1] != 0 || b[len(b)/2] != 0 {
		return len(b) == 0
	}
	const step = 4 << 10
	var zeroes [step]byte
	for len(b) > 0 {
		n := min(len(b), step)
		if !bytes.Equal(b[:n], zeroes[:n]) {
			return false
		}
		b = b[n:]
	}
	return true
}

// Blocks is the number of blocks of a disk of size bytes; the last may be partial.
func Blocks(size int64) int64 { return (size + BlockSize - 1) / BlockSize }

// blockLength is the true length of a block.
func blockLength(block, size int64) int64 {
	return min(BlockSize, size-block*BlockSize)
}
