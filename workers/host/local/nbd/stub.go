package nbd

import (
	"context"
	"errors"
	"net"

	"farshore/workers/disk"
)

var errUnbuilt = errors.New("nbd: not built yet")

// Export is a disk that a server offers.
type Export struct {
	Name     string // what clients ask for; "" is the default export
	Device   disk.Device
	ReadOnly bool
}

// Extenter is a Device that knows which of its ranges may hold data; block status
// tells clients. Others are told that everything does.
type Extenter interface {
	Extents(off, n int64) ([]disk.Extent, error)
}

// Server serves exports on one listener.
type Server struct{}

// NewServer returns a server of the given exports. A server with one export
// answers to any name.
func NewServer(exports ...Export) *Server { return &Server{} }

// Serve accepts connections until Drain or Close; then it returns nil. It closes
// the listener.
func (s *Server) Serve(l net.Listener) error { return errUnbuilt }

// Drain accepts no more connections and requests, completes and answers the
// requests in flight, flushes the devices and disconnects. When ctx ends first,
// it does what Close does and returns the ctx's error.
func (s *Server) Drain(ctx context.Context) error { return errUnbuilt }

// Close disconnects all clients at once; requests that have reached a device are
// waited for, but not answered.
func (s *Server) Close() error { return errUnbuilt }

// Connections returns how many clients are connected.
func (s *Server) Connections() int { return 0 }

// Client is a connection to an export. Its methods may be called from several
// goroutines; requests are in flight together.
type Client struct{}

// Dial connects to the export of that name at a unix socket.
func Dial(ctx context.Context, socket, export string) (*Client, error) { return nil, errUnbuilt }

// Size is the size of the export in bytes.
func (c *Client) Size() int64 { return 0 }

// ReadAt reads len(p) bytes at off.
func (c *Client) ReadAt(p []byte, off int64) (int, error) { return 0, errUnbuilt }

// WriteAt writes p at off.
func (c *Client) WriteAt(p []byte, off int64) (int, error) { return 0, errUnbuilt }

// WriteFUA writes p at off and returns once it is durable.
func (c *Client) WriteFUA(p []byte, off int64) error { return errUnbuilt }

// Zero makes n bytes at off read as zeroes.
func (c *Client) Zero(off, n int64) error { return errUnbuilt }

// Flush makes everything acknowledged so far durable.
func (c *Client) Flush() error { return errUnbuilt }

// Close disconnects as the protocol asks.
func (c *Client) Close() error { return errUnbuilt }
