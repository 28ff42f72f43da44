package nbd

import (
	"math/bits"
	"sync"
)

// buffer is memory for a payload, from a pool of its size class.
type buffer struct {
	b     []byte // as long as asked for
	all   []byte
	class int
}

const leastClass = 12 // 4 KiB

//nolint:gochecknoglobals // pools are shared by all servers, that is their use
var buffers [26 - leastClass]sync.Pool

// takeBuffer returns a buffer of n bytes, at most maxPayload, with any content.
func takeBuffer(n int) *buffer {
	class := max(bits.Len(uint(max(n, 1)-1)), leastClass) - leastClass
	if b, ok := buffers[class].Get().(*buffer); ok {
		b.b = b.all[:n]
		return b
	}
	b := &buffer{all: make([]byte, 1<<(class+leastClass)), class: class}
	b.b = b.all[:n]
	return b
}

func (b *buffer) give() { buffers[b.class].Put(b) }
