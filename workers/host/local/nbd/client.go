package nbd

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
)

// Client is a connection to an export. Its methods may be called from several
// goroutines; requests are in flight together.
type Client struct {
	conn net.Conn
	in   *bufio.Reader
	size int64
	out  sync.Mutex

	mu      sync.Mutex
	cookie  uint64
	waiting map[uint64]*call
	broken  error
	ended   chan struct{}
}

// call is a request that waits for its answer.
type call struct {
	into []byte // where the data of a read go
	done chan error
}

// Dial connects to the export of that name at a unix socket.
func Dial(ctx context.Context, socket, export string) (*Client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("connect to NBD server: %w", err)
	}
	c := &Client{conn: conn, in: bufio.NewReaderSize(conn, 16<<10), waiting: make(map[uint64]*call), ended: make(chan struct{})}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	if err := c.handshake(export); err != nil {
		stop()
		_ = conn.Close()
		return nil, fmt.Errorf("negotiate with NBD server: %w", err)
	}
	if !stop() {
		return nil, fmt.Errorf("negotiate with NBD server: %w", context.Cause(ctx))
	}
	go c.receive()
	return c, nil
}

// handshake asks for the export by GO.
func (c *Client) handshake(export string) error {
	hello := make([]byte, 18)
	if _, err := io.ReadFull(c.in, hello); err != nil {
		return fmt.Errorf("read greeting: %w", err)
	}
	be := binary.BigEndian
	if be.Uint64(hello) != magicInit || be.Uint64(hello[8:]) != magicOption || be.Uint16(hello[16:])&handshakeFixedNewstyle == 0 {
		return errProtocol
	}
	b := be.AppendUint32(nil, handshakeFixedNewstyle|handshakeNoZeroes)
	b = be.AppendUint64(b, magicOption)
	b = be.AppendUint32(b, optGo)
	b = be.AppendUint32(b, uint32(4+len(export)+2)) //nolint:gosec // a name is short
	b = be.AppendUint32(b, uint32(len(export)))     //nolint:gosec // a name is short
	b = append(b, export...)
	if err := c.send(be.AppendUint16(b, 0)); err != nil {
		return err
	}
	for {
		head := make([]byte, 20)
		if _, err := io.ReadFull(c.in, head); err != nil {
			return fmt.Errorf("read option reply: %w", err)
		}
		n := be.Uint32(head[16:])
		if be.Uint64(head) != magicOptionReply || n > maxOptionLength {
			return errProtocol
		}
		data := make([]byte, n)
		if _, err := io.ReadFull(c.in, data); err != nil {
			return fmt.Errorf("read option reply: %w", err)
		}
		switch kind := be.Uint32(head[12:]); {
		case kind == repAck:
			return nil
		case kind == repInfo && len(data) >= infoExportLength && be.Uint16(data) == infoExport:
			c.size = int64(be.Uint64(data[2:])) //nolint:gosec // our own server's
		case kind&(1<<31) != 0:
			return fmt.Errorf("export %q: refused with %#x %s", export, kind, data)
		}
	}
}

func (c *Client) send(parts ...[]byte) error {
	c.out.Lock()
	defer c.out.Unlock()
	buffers := net.Buffers(parts)
	if _, err := buffers.WriteTo(c.conn); err != nil {
		return fmt.Errorf("send to NBD server: %w", err)
	}
	return nil
}

// receive hands answers to those who wait, until the connection ends.
func (c *Client) receive() {
	err := c.answers()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken = fmt.Errorf("NBD connection: %w", err)
	for cookie, w := range c.waiting {
		delete(c.waiting, cookie)
		w.done <- c.broken
	}
	close(c.ended)
}

func (c *Client) answers() error {
	var b [simpleReply]byte
	for {
		if _, err := io.ReadFull(c.in, b[:]); err != nil {
			return err //nolint:wrapcheck // receive wraps it
		}
		if binary.BigEndian.Uint32(b[:]) != magicSimpleReply {
			return errProtocol
		}
		cookie := binary.BigEndian.Uint64(b[8:])
		c.mu.Lock()
		w := c.waiting[cookie]
		delete(c.waiting, cookie)
		c.mu.Unlock()
		if w == nil {
			return errProtocol
		}
		if errno := binary.BigEndian.Uint32(b[4:]); errno != errnoOK {
			w.done <- syscall.Errno(errno)
			continue
		}
		if _, err := io.ReadFull(c.in, w.into); err != nil {
			w.done <- err
			return err //nolint:wrapcheck // receive wraps it
		}
		w.done <- nil
	}
}

// do sends a request and waits for its answer.
func (c *Client) do(flags, command uint16, off, n int64, payload, into []byte) error {
	w := &call{into: into, done: make(chan error, 1)}
	c.mu.Lock()
	if c.broken != nil {
		defer c.mu.Unlock()
		return c.broken
	}
	c.cookie++
	cookie := c.cookie
	c.waiting[cookie] = w
	c.mu.Unlock()
	if err := c.send(head(flags, command, cookie, off, n), payload); err != nil {
		_ = c.conn.Close() // receive answers everybody, us too
	}
	return <-w.done
}

func head(flags, command uint16, cookie uint64, off, n int64) []byte {
	b := make([]byte, 0, requestLength)
	b = binary.BigEndian.AppendUint32(b, magicRequest)
	b = binary.BigEndian.AppendUint16(b, flags)
	b = binary.BigEndian.AppendUint16(b, command)
	b = binary.BigEndian.AppendUint64(b, cookie)
	b = binary.BigEndian.AppendUint64(b, uint64(off))
	return binary.BigEndian.AppendUint32(b, uint32(n)) //nolint:gosec // callers split at maxPayload
}

// Size is the size of the export in bytes.
func (c *Client) Size() int64 { return c.size }

// ReadAt reads len(p) bytes at off.
func (c *Client) ReadAt(p []byte, off int64) (int, error) {
	for done := 0; done < len(p); {
		part := p[done:min(len(p), done+maxPayload)]
		if err := c.do(0, cmdRead, off+int64(done), int64(len(part)), nil, part); err != nil {
			return done, fmt.Errorf("read %d bytes at %d: %w", len(p), off, err)
		}
		done += len(part)
	}
	return len(p), nil
}

// WriteAt writes p at off.
func (c *Client) WriteAt(p []byte, off int64) (int, error) { return c.write(0, p, off) }

// WriteFUA writes p at off and returns once it is durable.
func (c *Client) WriteFUA(p []byte, off int64) error {
	_, err := c.write(cmdFlagFUA, p, off)
	return err
}

func (c *Client) write(flags uint16, p []byte, off int64) (int, error) {
	for done := 0; done < len(p); {
		part := p[done:min(len(p), done+maxPayload)]
		if err := c.do(flags, cmdWrite, off+int64(done), int64(len(part)), part, nil); err != nil {
			return done, fmt.Errorf("write %d bytes at %d: %w", len(p), off, err)
		}
		done += len(part)
	}
	return len(p), nil
}

// Zero makes n bytes at off read as zeroes.
func (c *Client) Zero(off, n int64) error {
	const most = 1 << 30
	for n > 0 {
		part := min(n, most)
		if err := c.do(0, cmdWriteZeroes, off, part, nil, nil); err != nil {
			return fmt.Errorf("zero %d bytes at %d: %w", n, off, err)
		}
		off, n = off+part, n-part
	}
	return nil
}

// Flush makes everything acknowledged so far durable.
func (c *Client) Flush() error {
	if err := c.do(0, cmdFlush, 0, 0, nil, nil); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	return nil
}

// Close disconnects as the protocol asks, once the requests in flight have been
// answered.
func (c *Client) Close() error {
	// The server answers what it has read before it hangs up.
	sent := c.send(head(0, cmdDisconnect, 0, 0, 0))
	if sent == nil {
		<-c.ended
	}
	if err := c.conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close NBD connection: %w", err)
	}
	<-c.ended
	return nil
}
