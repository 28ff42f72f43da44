package local

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"farshore/workers/host/local/nbd"
)

// maxSocketPath is what fits into a unix socket's address with its final zero.
const maxSocketPath = 107

// drainPatience is how long requests in flight may take when exports are closed.
const drainPatience = 10 * time.Second

// export is a disk offered to its guest.
type export struct {
	disk   string
	socket string
	server *nbd.Server
	served chan error
}

// SocketPath is where a host whose control socket is given exports a disk. It is
// the same after each restart, so that a guest may come back.
func SocketPath(control, vm, disk string) string {
	stem := strings.TrimSuffix(control, ".sock")
	path := fmt.Sprintf("%s.%s.%s.sock", stem, vm, disk)
	if len(path) <= maxSocketPath {
		return path
	}
	sum := sha256.Sum256([]byte(path))
	return filepath.Join(filepath.Dir(control), "nbd-"+hex.EncodeToString(sum[:8])+".sock")
}

// variable names the environment variable by which a guest finds a disk.
func variable(disk string) string {
	return "FARSHORE_NBD_" + strings.ToUpper(strings.ReplaceAll(disk, "-", "_"))
}

// export begins to serve all disks.
func (m *machine) export() error {
	for _, d := range m.stack.disks {
		x := &export{disk: d.spec.ID, socket: SocketPath(m.e.o.Socket, m.id(), d.spec.ID), served: make(chan error, 1)}
		l, err := listen(x.socket)
		if err != nil {
			m.unexport(drainPatience)
			return fmt.Errorf("export disk %s of VM %s: %w", x.disk, m.id(), err)
		}
		x.server = nbd.NewServer(nbd.Export{Name: x.disk, Device: d.gate})
		go func() { x.served <- x.server.Serve(l) }()
		m.stack.exports = append(m.stack.exports, x)
	}
	return nil
}

// unexport disconnects the clients once their requests in flight are done.
func (m *machine) unexport(patience time.Duration) {
	if m.stack == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, x := range m.stack.exports {
		if err := x.server.Drain(ctx); err != nil {
			m.e.o.Log.Warn("NBD clients cut off", "vm", m.id(), "disk", x.disk, "error", err)
		}
	}
	for _, x := range m.stack.exports {
		if err := <-x.served; err != nil {
			m.e.o.Log.Warn("export ended", "vm", m.id(), "disk", x.disk, "error", err)
		}
		_ = os.Remove(x.socket)
	}
	m.stack.exports = nil
}

// listen opens a socket that only this user may use, in place of one that a
// killed process has left.
func listen(path string) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("socket path %s has more than %d bytes", path, maxSocketPath)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make socket folder: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove old socket: %w", err)
	}
	l, err := net.Listen("unix", path) //nolint:noctx // a unix socket is there at once
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}
