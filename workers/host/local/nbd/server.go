package nbd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"farshore/workers/disk"
)

// Export is a disk that a server offers.
type Export struct {
	Name     string // what clients ask for; "" is the default export
	Device   disk.Device
	ReadOnly bool
}

func (e *Export) flags() uint16 {
	flags := uint16(flagHasFlags | flagSendFlush | flagSendFUA | flagSendDF | flagCanMultiConn)
	if e.ReadOnly {
		return flags | flagReadOnly
	}
	return flags | flagSendTrim | flagSendWriteZeroes
}

// Extenter is a Device that knows which of its ranges may hold data; block status
// tells clients. Others are told that everything does.
type Extenter interface {
	Extents(off, n int64) ([]disk.Extent, error)
}

const (
	// maxInFlight requests of a connection are worked on together.
	maxInFlight = 64
	// maxInMemory bounds the payloads that a server holds for all connections.
	maxInMemory = 256 << 20
)

// Server serves exports on one listener.
type Server struct {
	exports []Export
	memory  *semaphore.Weighted

	mu       sync.Mutex
	listener net.Listener
	sessions map[*session]struct{}
	ended    bool
	running  sync.WaitGroup
}

// NewServer returns a server of the given exports. A server with one export
// answers to any name.
func NewServer(exports ...Export) *Server {
	return &Server{exports: exports, sessions: make(map[*session]struct{}), memory: semaphore.NewWeighted(maxInMemory)}
}

// Serve accepts connections until Drain or Close; then it returns nil. It closes
// the listener.
func (s *Server) Serve(l net.Listener) error {
	defer func() { _ = l.Close() }()
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return nil
	}
	s.listener = l
	s.mu.Unlock()
	for {
		c, err := l.Accept()
		if err != nil {
			if s.hasEnded() {
				return nil
			}
			return fmt.Errorf("accept NBD client: %w", err)
		}
		if !s.start(c) {
			_ = c.Close()
			return nil
		}
	}
}

func (s *Server) hasEnded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// start serves a connection in a goroutine of its own, unless the server ends.
func (s *Server) start(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false
	}
	session := newSession(s, c)
	s.sessions[session] = struct{}{}
	s.running.Go(func() {
		session.run()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.sessions, session)
	})
	return true
}

// export returns the export of that name.
func (s *Server) export(name string) *Export {
	for i := range s.exports {
		if s.exports[i].Name == name || len(s.exports) == 1 {
			return &s.exports[i]
		}
	}
	return nil
}

// Connections returns how many clients are connected.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

// end stops accepting and calls f for each session.
func (s *Server) end(f func(*session)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	if s.listener != nil {
		_ = s.listener.Close()
	}
	for c := range s.sessions {
		f(c)
	}
}

// Drain accepts no more connections and requests, completes and answers the
// requests in flight, flushes the devices and disconnects. When ctx ends first,
// it does what Close does and returns the ctx's error.
func (s *Server) Drain(ctx context.Context) error {
	// A deadline in the past ends the sessions' reading; what was read is answered.
	s.end(func(c *session) { _ = c.conn.SetReadDeadline(time.Unix(1, 0)) })
	done := make(chan struct{})
	go func() {
		s.running.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		err := s.Close()
		<-done
		return errors.Join(fmt.Errorf("drain NBD clients: %w", context.Cause(ctx)), err)
	}
	return s.flush()
}

// Close disconnects all clients at once and flushes the devices; requests that
// have reached a device are waited for, but not answered.
func (s *Server) Close() error {
	s.end(func(c *session) { _ = c.conn.Close() })
	s.running.Wait()
	return s.flush()
}

func (s *Server) flush() error {
	var err error
	for _, e := range s.exports {
		if !e.ReadOnly {
			err = errors.Join(err, e.Device.Flush())
		}
	}
	if err != nil {
		return fmt.Errorf("flush exports: %w", err)
	}
	return nil
}
