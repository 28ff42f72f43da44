package nbd_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"farshore/workers/disk"
	"farshore/workers/host/local/nbd"
)

// served is a raw disk behind a server at a socket.
type served struct {
	path, socket, uri string
	server            *nbd.Server
}

func serve(t *testing.T, size int64, wrap func(disk.Device) disk.Device, readOnly bool) served {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.raw")
	if err := disk.CreateRaw(path, size); err != nil {
		t.Fatal(err)
	}
	f, err := disk.OpenRaw(path, false)
	if err != nil {
		t.Fatal(err)
	}
	var device disk.Device = f
	if wrap != nil {
		device = wrap(f)
	}
	socketDir, err := os.MkdirTemp("", "nbd") //nolint:usetesting // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	s := served{path: path, socket: filepath.Join(socketDir, "s"), server: nbd.NewServer(nbd.Export{Name: "os", Device: device, ReadOnly: readOnly})}
	s.uri = "nbd+unix:///os?socket=" + s.socket
	l := listen(t, s.socket)
	ended := make(chan error, 1)
	go func() { ended <- s.server.Serve(l) }()
	t.Cleanup(func() {
		if err := s.server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		_ = f.Close()
		_ = os.RemoveAll(socketDir)
	})
	return s
}

func listen(tb testing.TB, socket string) net.Listener {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "unix", socket)
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func dial(t *testing.T, s served) *nbd.Client {
	t.Helper()
	c, err := nbd.Dial(t.Context(), s.socket, "os")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

// faulty fails with what is set.
type faulty struct {
	disk.Device
	fault   atomic.Pointer[error]
	flushes atomic.Int64
	gate    chan struct{} // if set, writes wait for it
	entered chan struct{}
}

func (f *faulty) err() error {
	if p := f.fault.Load(); p != nil {
		return *p
	}
	return nil
}

func (f *faulty) WriteAt(p []byte, off int64) (int, error) {
	if f.gate != nil {
		f.entered <- struct{}{}
		<-f.gate
	}
	if err := f.err(); err != nil {
		return 0, err
	}
	return f.Device.WriteAt(p, off)
}

func (f *faulty) ReadAt(p []byte, off int64) (int, error) {
	if err := f.err(); err != nil {
		return 0, err
	}
	return f.Device.ReadAt(p, off)
}

func (f *faulty) Flush() error {
	f.flushes.Add(1)
	if err := f.err(); err != nil {
		return err
	}
	return f.Device.Flush()
}

func TestErrorsOfTheDeviceReachTheGuestAsNumbersOfTheProtocol(t *testing.T) {
	t.Parallel()
	device := &faulty{}
	s := serve(t, 1<<20, func(d disk.Device) disk.Device { device.Device = d; return device }, false)
	c := dial(t, s)
	for want, fault := range map[syscall.Errno]error{
		syscall.ENOSPC: &os.PathError{Op: "write", Err: syscall.ENOSPC},
		syscall.EIO:    errors.New("the medium is gone"),
		syscall.EINVAL: syscall.EINVAL,
		syscall.EPERM:  syscall.EROFS,
	} {
		device.fault.Store(&fault)
		if _, err := c.WriteAt(make([]byte, 512), 0); !errors.Is(err, want) {
			t.Errorf("write with %v: %v, want %v", fault, err, want)
		}
		if _, err := c.ReadAt(make([]byte, 512), 0); !errors.Is(err, want) {
			t.Errorf("read with %v: %v, want %v", fault, err, want)
		}
		if err := c.Flush(); !errors.Is(err, want) {
			t.Errorf("flush with %v: %v, want %v", fault, err, want)
		}
	}
	device.fault.Store(nil)
	if _, err := c.WriteAt(make([]byte, 512), 0); err != nil {
		t.Errorf("write after the faults: %v", err)
	}
}

func TestRequestsBeyondTheDiskAreRefusedAndTheConnectionGoesOn(t *testing.T) {
	t.Parallel()
	s := serve(t, 1<<20, nil, false)
	c := dial(t, s)
	if _, err := c.WriteAt(make([]byte, 1024), 1<<20-512); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("write across the end: %v", err)
	}
	if _, err := c.ReadAt(make([]byte, 1024), 1<<20-512); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("read across the end: %v", err)
	}
	if err := c.Zero(-4096, 8192); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("zero before the beginning: %v", err)
	}
	if _, err := c.ReadAt(make([]byte, 1024), 0); err != nil {
		t.Errorf("read after refusals: %v", err)
	}
}

func TestAReadOnlyExportRefusesEveryChange(t *testing.T) {
	t.Parallel()
	s := serve(t, 1<<20, nil, true)
	c := dial(t, s)
	if _, err := c.WriteAt(make([]byte, 512), 0); !errors.Is(err, syscall.EPERM) {
		t.Errorf("write: %v", err)
	}
	if err := c.Zero(0, 512); !errors.Is(err, syscall.EPERM) {
		t.Errorf("zero: %v", err)
	}
	if err := c.Flush(); err != nil {
		t.Errorf("flush: %v", err)
	}
	if out := tool(t, "nbdinfo", "--json", s.uri); !strings.Contains(out, `"is_read_only": true`) {
		t.Errorf("nbdinfo: %s", out)
	}
}

// raw sends bytes after the handshake of a client that knows nothing but
// EXPORT_NAME.
func raw(t *testing.T, s served) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "unix", s.socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	b := make([]byte, 18)
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatal(err)
	}
	hello := binary.BigEndian.AppendUint32(nil, 3)
	hello = append(hello, "IHAVEOPT\x00\x00\x00\x01\x00\x00\x00\x02os"...)
	if _, err := c.Write(hello); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, b[:10]); err != nil {
		t.Fatal(err)
	}
	return c
}

func rawRequest(flags, command uint16, n uint32) []byte {
	b := binary.BigEndian.AppendUint32(nil, 0x25609513)
	b = binary.BigEndian.AppendUint16(b, flags)
	b = binary.BigEndian.AppendUint16(b, command)
	b = binary.BigEndian.AppendUint64(b, 7)
	b = binary.BigEndian.AppendUint64(b, 0) // the offset
	return binary.BigEndian.AppendUint32(b, n)
}

func rawErrno(t *testing.T, c net.Conn) uint32 {
	t.Helper()
	b := make([]byte, 16)
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatal(err)
	}
	return binary.BigEndian.Uint32(b[4:])
}

func TestMalformedRequestsAreRefused(t *testing.T) {
	t.Parallel()
	s := serve(t, 64<<20, nil, false)
	c := raw(t, s)
	for name, request := range map[string][]byte{
		"a read over 32 MiB":                  rawRequest(0, 0, 32<<20+1),
		"a write over 32 MiB":                 append(rawRequest(0, 1, 32<<20+1), make([]byte, 32<<20+1)...),
		"an unknown command":                  rawRequest(0, 99, 0),
		"a zero that must be fast":            rawRequest(1<<4, 6, 4096),
		"a flag that a write does not have":   append(rawRequest(1<<1, 1, 1), 0),
		"block status that was not agreed on": rawRequest(0, 7, 4096),
	} {
		if _, err := c.Write(request); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if errno := rawErrno(t, c); errno != uint32(syscall.EINVAL) {
			t.Errorf("%s: errno %d, want EINVAL", name, errno)
		}
	}
	if _, err := c.Write(rawRequest(0, 3, 0)); err != nil {
		t.Fatal(err)
	}
	if errno := rawErrno(t, c); errno != 0 {
		t.Errorf("flush after refusals: errno %d", errno)
	}
	if _, err := c.Write(make([]byte, 28)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("after a request without magic: %v, want the connection closed", err)
	}
}

func TestAClientThatAsksForAnExportThatDoesNotExistIsTold(t *testing.T) {
	t.Parallel()
	l := listen(t, filepath.Join(t.TempDir(), "s"))
	s := nbd.NewServer(nbd.Export{Name: "a"}, nbd.Export{Name: "b"})
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	if _, err := nbd.Dial(t.Context(), l.Addr().String(), "c"); err == nil || !strings.Contains(err.Error(), "no export") {
		t.Errorf("dial: %v", err)
	}
	_ = l.Close()
	if err := <-ended; err == nil {
		t.Error("serving ended without a reason when its listener was closed by somebody else")
	}
}

func TestDrainAnswersWhatIsInFlightAndThenDisconnects(t *testing.T) {
	t.Parallel()
	device := &faulty{gate: make(chan struct{}), entered: make(chan struct{}, 8)}
	s := serve(t, 1<<20, func(d disk.Device) disk.Device { device.Device = d; return device }, false)
	c := dial(t, s)
	idle := dial(t, s)
	wrote := make(chan error, 4)
	data := noise(4096)
	for i := range 4 {
		go func() {
			_, err := c.WriteAt(data, int64(i)*4096)
			wrote <- err
		}()
	}
	for range 4 {
		<-device.entered
	}
	drained := make(chan error, 1)
	go func() { drained <- s.server.Drain(t.Context()) }()
	select {
	case err := <-drained:
		t.Fatalf("drained with writes in flight: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	close(device.gate)
	for range 4 {
		if err := <-wrote; err != nil {
			t.Errorf("write in flight: %v", err)
		}
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
	if device.flushes.Load() == 0 {
		t.Error("the device was not flushed")
	}
	if n := s.server.Connections(); n != 0 {
		t.Errorf("%d clients are still connected", n)
	}
	if err := idle.Flush(); err == nil {
		t.Error("a request after the drain was answered")
	}
	if _, err := nbd.Dial(t.Context(), s.socket, "os"); err == nil {
		t.Error("a new client was accepted after the drain")
	}
}

func TestDrainGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	device := &faulty{gate: make(chan struct{}), entered: make(chan struct{}, 1)}
	s := serve(t, 1<<20, func(d disk.Device) disk.Device { device.Device = d; return device }, false)
	c := dial(t, s)
	wrote := make(chan error, 1)
	go func() {
		_, err := c.WriteAt(noise(512), 0)
		wrote <- err
	}()
	<-device.entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	drained := make(chan error, 1)
	go func() { drained <- s.server.Drain(ctx) }()
	if err := <-wrote; err == nil {
		t.Error("a write was acknowledged that had not been completed")
	}
	close(device.gate)
	if err := <-drained; !errors.Is(err, context.Canceled) {
		t.Errorf("drain: %v", err)
	}
}

func TestFUAFlushesBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	device := &faulty{}
	s := serve(t, 1<<20, func(d disk.Device) disk.Device { device.Device = d; return device }, false)
	c := dial(t, s)
	if err := c.WriteFUA(noise(4096), 0); err != nil {
		t.Fatal(err)
	}
	if n := device.flushes.Load(); n != 1 {
		t.Errorf("%d flushes, want 1", n)
	}
}

func TestParallelRequestsOfManyConnectionsReadWhatTheyWrote(t *testing.T) {
	t.Parallel()
	s := serve(t, 16<<20, nil, false)
	var work sync.WaitGroup
	for i := range 4 {
		c := dial(t, s)
		for j := range 8 {
			work.Go(func() {
				off, data := int64(i*8+j)<<19, noise(100_000)
				got := make([]byte, len(data))
				for range 10 {
					if _, err := c.WriteAt(data, off); err != nil {
						t.Error(err)
					}
					if _, err := c.ReadAt(got, off); err != nil {
						t.Error(err)
					}
					if !bytes.Equal(got, data) {
						t.Error("read something else than was written")
					}
				}
			})
		}
	}
	work.Wait()
}
