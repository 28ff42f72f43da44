package engine_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"farshore/domain/site"
	"farshore/eventstore/pgtest"
	"farshore/workers/host"
	"farshore/workers/host/local"
	"farshore/workers/host/local/nbd"
	"farshore/workers/proof"
)

// TestMain lets the test binary be the guest of a VM, and a worker that is killed.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "guest":
			os.Exit(exitCode(guest(os.Args[2:])))
		case "worker":
			os.Exit(exitCode(childWorker(os.Args[2])))
		case "host":
			os.Exit(exitCode(childHost(os.Args[2], os.Args[3])))
		}
	}
	flag.Parse()
	// The tests mostly wait: for leases, and for what is away to come back.
	if err := flag.Set("test.parallel", "3"); err != nil {
		os.Exit(exitCode(err))
	}
	os.Exit(m.Run())
}

func exitCode(err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// guest writes records to the disks of the VM in whose folder it was started, if
// it is the source's.
func guest(disks []string) error {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	asked := make(chan os.Signal, 8)
	signal.Notify(asked, syscall.SIGTERM)
	go func() {
		for range asked {
			if _, err := os.Stat("stubborn"); err != nil {
				stop()
			}
		}
	}()
	if _, err := os.Stat("journal"); err != nil {
		<-ctx.Done()
		return nil
	}
	g := &proof.Guest{Journal: "journal", Pause: 10 * time.Millisecond, MaxLength: 8 << 10, Freeze: "freeze"}
	for range disks {
		g.Areas = append(g.Areas, proof.Area{Start: 0, End: guestArea})
	}
	g.Dial = func(ctx context.Context, d int) (proof.Target, error) {
		return nbd.Dial(ctx, os.Getenv("FARSHORE_NBD_"+strings.ToUpper(disks[d])), disks[d])
	}
	return g.Run(ctx)
}

const (
	diskBytes = 24 << 20
	guestArea = 12 << 20
	// seededBytes is what lies below the hole at each disk's end.
	seededBytes = 18 << 20
	vault       = "v"
	itemKey     = "v.web"
)

// config is everything a worker needs to find its surroundings.
type config struct {
	Database string
	Hosts    map[string]string // host → control socket
	Store    string            // directory
	Blobs    host.StoreAddress // of page blobs that are used in its place, if set
	Owner    string
	Speed    int           // of the clock
	Stretch  int64         // bytes between checkpoints
	Slow     time.Duration // of each write to the replica
	Trace    string        // file that lists the offsets written to the replica
	Hold     string        // file: while it exists, nothing is written to the replica's disks

	Frequency int           // of copies, in seconds; 30 when zero
	Short     bool          // retention keeps one point
	Grace     int           // seconds that the guest has to shut down; 30 when zero
	Mortal    bool          // the source host is a process of its own, to be killed
	Third     bool          // the VM has a third disk, logs, which its guest writes to and which is not protected at first
	Only      string        // disk that Slow and Hold are for; all when empty
	MortalDR  bool          // the recovery host is
	SlowRead  time.Duration // of each read of a recovery point by a worker
	Large     int64         // bytes of each of four sparse disks, in place of the two
	Copied    bool          // no host reads recovery points by itself
	Bare      int64         // size of a VM's single disk; it holds noise and has no guest

	Scripts string        // the directory of what plans may run
	Lease   time.Duration // of lanes; 2 s when zero
}

func (c config) Host(_ context.Context, _, _, name string) (host.Host, error) {
	return local.Dial(c.Hosts[name]), nil
}

// clock is a clock that may run fast, so that minutes of waiting pass in seconds.
func clock(speed int) func() time.Time {
	// Every process shares the origin: midnight UTC.
	return func() time.Time {
		now := time.Now().UTC()
		if speed <= 1 {
			return now
		}
		origin := now.Truncate(24 * time.Hour)
		return origin.Add(now.Sub(origin) * time.Duration(speed))
	}
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

// scene is a source host with a VM that is written to, a recovery host, a replica
// store and a database.
type scene struct {
	*worker
	t          testing.TB
	dir        string // of all
	source     string // folder of the VM
	host       *local.Client
	away       *local.Client // the recovery host
	seeds      []proof.Image
	stopWorker func()
	damage     func(item, name string) // what the store's medium does to objects
	withLogs   bool                    // there is a disk beside the protected ones
	grace      int                     // seconds that the guest has to shut down
	process    *exec.Cmd               // the mortal source host
	recovery   *exec.Cmd               // the mortal recovery host
}

var disks = []string{"os", "data"}

func newScene(tb testing.TB, change func(*config)) *scene {
	tb.Helper()
	dir, err := os.MkdirTemp("", "fs") //nolint:usetesting // a socket's path must be short
	must(tb, err)
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &scene{t: tb, dir: dir, source: filepath.Join(dir, "primary", "web"), stopWorker: func() {}}
	s.grace = 30
	c := config{
		Database: pgtest.Database(tb).URL, Store: filepath.Join(dir, "store"), Owner: "tester",
		Hosts: map[string]string{"h1": filepath.Join(dir, "h1.sock"), "h2": filepath.Join(dir, "h2.sock")},
	}
	if change != nil {
		change(&c)
	}
	if c.Grace > 0 {
		s.grace = c.Grace
	}
	must(tb, os.MkdirAll(c.Store, 0o700))
	must(tb, os.MkdirAll(filepath.Join(dir, "away"), 0o700))
	switch {
	case c.Bare > 0:
		s.makeBareVM(c.Bare)
	case c.Large > 0:
		s.makeLargeVM(c.Large)
	default:
		s.withLogs = c.Third
		s.makeVM()
	}
	if c.Mortal {
		s.host = s.mortalHost(c.Hosts["h1"])
	} else {
		s.host = s.serveHost(filepath.Join(dir, "primary"), c.Hosts["h1"], c.Speed)
	}
	if c.MortalDR {
		s.away = s.mortalRecovery(c.Hosts["h2"])
	} else {
		s.away = s.serveHost(filepath.Join(dir, "away"), c.Hosts["h2"], c.Speed)
	}
	must(tb, s.host.SetActive(tb.Context(), "web", true))
	must(tb, s.host.Start(tb.Context(), "web"))
	w, err := newWorker(tb.Context(), c, slog.New(slog.NewTextHandler(testLog{tb}, &slog.HandlerOptions{Level: slog.LevelInfo})))
	must(tb, err)
	s.worker = w
	// The observer's own store: it executes what the API would.
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = w.run(ctx, nil) }()
	tb.Cleanup(func() { stop(); <-done })
	return s
}

type testLog struct{ t testing.TB }

var quiet atomic.Bool

func (l testLog) Write(p []byte) (int, error) {
	if !quiet.Load() {
		fmt.Fprintf(os.Stderr, "%s %s", l.t.Name(), p)
	}
	return len(p), nil
}

// dial attaches a disk of the VM as its guest would.
func (s *scene) dial(disk string) *nbd.Client {
	s.t.Helper()
	c, err := nbd.Dial(s.t.Context(), local.SocketPath(s.Hosts["h1"], "web", disk), disk)
	must(s.t, err)
	return c
}

// makeVM writes a VM with seeded disks.
func (s *scene) makeVM() {
	must(s.t, os.MkdirAll(s.source, 0o700))
	vm := site.VirtualMachine{ID: "web", Name: "web", Generation: 2, CPUs: 1, MemoryMiB: 64}
	self, err := os.Executable()
	must(s.t, err)
	vm.Guest = &site.Guest{Command: append([]string{self, "guest"}, s.attached()...), GraceSeconds: s.grace}
	for n, id := range s.attached() {
		vm.Disks = append(vm.Disks, site.Disk{ID: id, File: id + ".raw", Format: site.Raw, OS: n == 0})
		seed := make([]byte, diskBytes)
		for i := 0; i < seededBytes; i += 8 {
			copy(seed[i:], fmt.Sprintf("%d%06x", n, i>>3&0xffffff))
		}
		must(s.t, os.WriteFile(filepath.Join(s.source, id+".raw"), seed, 0o600))
		s.seeds = append(s.seeds, image(seed))
	}
	b, err := json.Marshal(vm)
	must(s.t, err)
	must(s.t, os.WriteFile(filepath.Join(s.source, "vm.json"), b, 0o600))
	must(s.t, os.WriteFile(filepath.Join(s.source, "journal"), nil, 0o600))
}

func (s *scene) serveHost(dir, socket string, speed int, changes ...func(*local.Options)) *local.Client {
	s.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	options := local.Options{
		Directory: dir, Socket: socket, Version: "test", Now: clock(speed), NewID: newID, Log: slog.New(slog.DiscardHandler),
		OpenBacking: openBacking,
	}
	for _, change := range changes {
		change(&options)
	}
	go func() { ended <- local.Serve(ctx, options) }()
	c := local.Dial(socket)
	eventually(s.t, 20*time.Second, "host "+socket+" answers", func() bool {
		_, err := c.State(s.t.Context())
		return err == nil
	})
	s.t.Cleanup(func() {
		vms, _ := c.VirtualMachines(context.Background())
		for _, vm := range vms {
			_ = c.Stop(context.Background(), vm.ID)
		}
		stop()
		<-ended //nolint:errcheck // it was told to end
	})
	return c
}

// work starts a worker in this process.
func (s *scene) work() {
	s.t.Helper()
	w, err := newWorker(s.t.Context(), s.config, s.log)
	must(s.t, err)
	w.damage, w.sent, w.outage = s.damage, s.sent, s.outage
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = w.run(ctx, w.start) }()
	s.stopWorker = sync.OnceFunc(func() { stop(); <-done })
	s.t.Cleanup(s.stopWorker)
}

// child starts a worker in a process of its own.
func (s *scene) child(owner string) *exec.Cmd {
	s.t.Helper()
	c := s.config
	c.Owner = owner
	text, err := json.Marshal(c)
	must(s.t, err)
	self, err := os.Executable()
	must(s.t, err)
	cmd := exec.CommandContext(context.WithoutCancel(s.t.Context()), self, "worker", string(text))
	cmd.Stderr = testLog{s.t}
	must(s.t, cmd.Start())
	s.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}
