package nbd

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
)

// session is a client's connection.
type session struct {
	server *Server
	conn   net.Conn
	in     *bufio.Reader

	export     *Export
	noZeroes   bool
	structured bool
	allocation bool // the client asked for base:allocation

	slots    chan struct{}
	requests sync.WaitGroup
	out      sync.Mutex // replies are written whole
}

func newSession(s *Server, c net.Conn) *session {
	// Payloads longer than the buffer are read straight to where they are wanted.
	return &session{server: s, conn: c, in: bufio.NewReaderSize(c, 16<<10), slots: make(chan struct{}, maxInFlight)}
}

// run serves the client until it leaves, breaks the protocol or the server ends.
// An error concerns that client only, who has seen the connection end.
func (c *session) run() {
	defer func() { _ = c.conn.Close() }()
	if err := c.handshake(); err != nil {
		return
	}
	for err := error(nil); err == nil; {
		err = c.next()
	}
	c.requests.Wait()
}

// request is what a client asks for.
type request struct {
	flags   uint16
	command uint16
	cookie  uint64
	offset  uint64
	length  uint32
	payload *buffer // of a write; room for a read
}

// next reads a request and starts it.
func (c *session) next() error {
	var b [requestLength]byte
	if _, err := io.ReadFull(c.in, b[:]); err != nil {
		return fmt.Errorf("read request: %w", err)
	}
	be := binary.BigEndian
	if be.Uint32(b[:]) != magicRequest {
		return fmt.Errorf("request: %w", errProtocol)
	}
	r := request{flags: be.Uint16(b[4:]), command: be.Uint16(b[6:]), cookie: be.Uint64(b[8:]), offset: be.Uint64(b[16:]), length: be.Uint32(b[24:])}
	if r.command == cmdDisconnect {
		return errGone
	}
	if err := c.receive(&r); err != nil {
		return err
	}
	c.slots <- struct{}{}
	c.requests.Go(func() {
		c.serve(&r)
		c.release(&r)
		<-c.slots
	})
	return nil
}

// receive takes memory for a request's data and reads a write's. What is too long
// is skipped and will be refused.
func (c *session) receive(r *request) error {
	if r.command != cmdWrite && r.command != cmdRead {
		return nil
	}
	if r.length > maxPayload {
		if r.command == cmdWrite {
			if _, err := io.CopyN(io.Discard, c.in, int64(r.length)); err != nil {
				return fmt.Errorf("skip payload: %w", err)
			}
		}
		return nil
	}
	r.payload = takeBuffer(int(r.length))
	if err := c.server.memory.Acquire(context.Background(), int64(cap(r.payload.all))); err != nil {
		return fmt.Errorf("wait for memory: %w", err)
	}
	if r.command == cmdWrite {
		if _, err := io.ReadFull(c.in, r.payload.b); err != nil {
			c.release(r)
			return fmt.Errorf("read payload: %w", err)
		}
	}
	return nil
}

func (c *session) release(r *request) {
	if r.payload != nil {
		c.server.memory.Release(int64(cap(r.payload.all)))
		r.payload.give()
		r.payload = nil
	}
}

// serve does a request and answers it. When the answer cannot be sent, the
// connection is of no more use.
func (c *session) serve(r *request) {
	errno := c.refusal(r)
	var err error
	switch {
	case errno != errnoOK:
		err = c.answer(r, errno)
	case r.command == cmdRead:
		err = c.read(r)
	case r.command == cmdBlockStatus:
		err = c.blockStatus(r)
	default:
		err = c.answer(r, errnoOf(c.change(r)))
	}
	if err != nil {
		_ = c.conn.Close()
	}
}

// refusal says why a request is not even tried.
func (c *session) refusal(r *request) uint32 {
	var allowed uint16
	changes := false
	switch r.command {
	case cmdRead:
		allowed = cmdFlagDF
	case cmdWrite, cmdTrim:
		allowed, changes = cmdFlagFUA, true
	case cmdWriteZeroes:
		// FAST_ZERO is not among them: it is not announced, a device does not tell
		// beforehand how fast it is.
		allowed, changes = cmdFlagFUA|cmdFlagNoHole, true
	case cmdFlush:
		return errnoOK
	case cmdBlockStatus:
		allowed = cmdFlagReqOne
		if !c.allocation || r.length == 0 {
			return errnoInval
		}
	default:
		return errnoInval
	}
	// A client may set FUA on any command; where nothing is written it is void.
	switch size := uint64(c.export.Device.Size()); {
	case r.flags&^(allowed|cmdFlagFUA) != 0, r.flags&cmdFlagDF != 0 && !c.structured:
		return errnoInval
	case changes && c.export.ReadOnly:
		return errnoPerm
	case r.length > maxPayload && (r.command == cmdRead || r.command == cmdWrite):
		return errnoInval
	case r.offset > size || uint64(r.length) > size-r.offset:
		if changes {
			return errnoNoSpac
		}
		return errnoInval
	}
	return errnoOK
}

// change does what writes or flushes.
func (c *session) change(r *request) error {
	d, off, n := c.export.Device, int64(r.offset), int64(r.length) //nolint:gosec // within the device
	var err error
	switch r.command {
	case cmdWrite:
		_, err = d.WriteAt(r.payload.b, off)
	case cmdWriteZeroes:
		if r.flags&cmdFlagNoHole != 0 {
			err = writeZeroes(d, off, n)
		} else {
			err = d.Zero(off, n)
		}
	case cmdTrim:
		err = d.Zero(off, n)
	case cmdFlush:
		if c.export.ReadOnly {
			return nil
		}
		return d.Flush()
	}
	if err == nil && r.flags&cmdFlagFUA != 0 {
		err = d.Flush()
	}
	return err
}

// writeZeroes writes zeroes that keep their space.
func writeZeroes(d io.WriterAt, off, n int64) error {
	zeroes := make([]byte, min(n, 1<<20))
	for n > 0 {
		p := zeroes[:min(n, int64(len(zeroes)))]
		if _, err := d.WriteAt(p, off); err != nil {
			return err //nolint:wrapcheck // becomes a number
		}
		off, n = off+int64(len(p)), n-int64(len(p))
	}
	return nil
}

func (c *session) read(r *request) error {
	if r.length > 0 {
		if _, err := c.export.Device.ReadAt(r.payload.b, int64(r.offset)); err != nil { //nolint:gosec // within the device
			return c.answer(r, errnoOf(err))
		}
	}
	if !c.structured {
		return c.send(simple(r.cookie, errnoOK), r.payload.b)
	}
	if r.length == 0 {
		return c.send(chunk(r.cookie, replyNone, 0))
	}
	head := chunk(r.cookie, replyOffsetData, 8+r.length)
	return c.send(binary.BigEndian.AppendUint64(head, r.offset), r.payload.b)
}

// blockStatus tells which parts of a range are holes.
func (c *session) blockStatus(r *request) error {
	descriptors, err := c.descriptors(int64(r.offset), int64(r.length)) //nolint:gosec // within the device
	if err != nil {
		return c.answer(r, errnoOf(err))
	}
	if r.flags&cmdFlagReqOne != 0 {
		descriptors = descriptors[:1]
	}
	head := chunk(r.cookie, replyBlockStatus, uint32(4+8*len(descriptors))) //nolint:gosec // bounded by descriptors
	head = binary.BigEndian.AppendUint32(head, allocationContextID)
	for _, d := range descriptors {
		head = binary.BigEndian.AppendUint32(head, d.length)
		head = binary.BigEndian.AppendUint32(head, d.state)
	}
	return c.send(head)
}

type descriptor struct{ length, state uint32 }

// maxDescriptors bounds an answer; a client asks again for the rest.
const maxDescriptors = 64 << 10

func (c *session) descriptors(off, n int64) ([]descriptor, error) {
	device, ok := c.export.Device.(Extenter)
	if !ok {
		return []descriptor{{length: uint32(n)}}, nil //nolint:gosec // a request's length
	}
	extents, err := device.Extents(off, n)
	if err != nil {
		return nil, err
	}
	var out []descriptor
	add := func(to int64, state uint32) {
		if to > off {
			out = append(out, descriptor{length: uint32(to - off), state: state}) //nolint:gosec // within a request's length
			off = to
		}
	}
	end := off + n
	for _, e := range extents {
		add(min(e.Offset, end), stateHole|stateZero)
		add(min(e.End(), end), 0)
		if len(out) >= maxDescriptors {
			return out, nil
		}
	}
	add(end, stateHole|stateZero)
	return out, nil
}

// answer ends a request without data. A client that knows structured replies
// gets errors of reads and block status as such.
func (c *session) answer(r *request, errno uint32) error {
	if !c.structured || r.command != cmdRead && r.command != cmdBlockStatus {
		return c.send(simple(r.cookie, errno))
	}
	head := chunk(r.cookie, replyError, 6)
	head = binary.BigEndian.AppendUint32(head, errno)
	return c.send(binary.BigEndian.AppendUint16(head, 0))
}

func simple(cookie uint64, errno uint32) []byte {
	b := make([]byte, 0, simpleReply)
	b = binary.BigEndian.AppendUint32(b, magicSimpleReply)
	b = binary.BigEndian.AppendUint32(b, errno)
	return binary.BigEndian.AppendUint64(b, cookie)
}

// chunk is the head of the only chunk of a structured reply.
func chunk(cookie uint64, kind uint16, length uint32) []byte {
	b := make([]byte, 0, structuredReply+16)
	b = binary.BigEndian.AppendUint32(b, magicStructuredType)
	b = binary.BigEndian.AppendUint16(b, replyFlagDone)
	b = binary.BigEndian.AppendUint16(b, kind)
	b = binary.BigEndian.AppendUint64(b, cookie)
	return binary.BigEndian.AppendUint32(b, length)
}

// send writes the parts as one.
func (c *session) send(parts ...[]byte) error {
	c.out.Lock()
	defer c.out.Unlock()
	buffers := net.Buffers(parts)
	if _, err := buffers.WriteTo(c.conn); err != nil {
		return fmt.Errorf("send to NBD client: %w", err)
	}
	return nil
}
