package directory

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"farshore/domain/errorcatalog"
)

// gate lets the owner of an item write and shuts out those before it.
//
// The fence file holds the highest fence seen. Writers hold the lock file shared
// for the length of one write and look at the fence inside it; whoever raises the
// fence takes the lock once exclusively, so that writes that were let in before
// are over.
type gate struct {
	fence *os.File
	lock  *os.File

	rw sync.RWMutex // the lock's two modes, within this process

	mu     sync.Mutex
	shared int   // writes of this process under the shared lock
	passed int64 // the highest fence whose forerunners have been waited out
}

func openGate(path string) (*gate, error) {
	fence, err := os.OpenFile(path+".fence", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open fence: %w", err)
	}
	lock, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", errors.Join(err, fence.Close()))
	}
	if err := syncDirOf(path); err != nil {
		return nil, errors.Join(err, fence.Close(), lock.Close())
	}
	return &gate{fence: fence, lock: lock}, nil
}

func (g *gate) close() error { return errors.Join(g.fence.Close(), g.lock.Close()) }

// claim takes the right to write with a fence and reports whether nobody had it
// before. When it returns, no write with a lower fence is under way or will
// be let in.
func (g *gate) claim(ctx context.Context, fence int64) (raised bool, err error) {
	g.rw.Lock()
	defer g.rw.Unlock()
	raised, err = g.raise(ctx, fence)
	if err != nil || g.passed == fence {
		return raised, err
	}
	if err := lockFile(ctx, g.lock, unix.LOCK_EX); err != nil {
		return raised, fmt.Errorf("wait for the writer before: %w", err)
	}
	g.passed = fence
	return raised, unlockFile(g.lock)
}

// raise makes the fence durable, if it is higher than the one before.
func (g *gate) raise(ctx context.Context, fence int64) (raised bool, err error) {
	seen, err := g.seen()
	if err == nil && seen == fence {
		return false, nil
	}
	if err := lockFile(ctx, g.fence, unix.LOCK_EX); err != nil {
		return false, fmt.Errorf("lock fence: %w", err)
	}
	defer func() { _ = unlockFile(g.fence) }()
	if seen, err = g.seen(); err != nil {
		return false, err
	}
	if fence < seen {
		return false, fenced(fence, seen)
	}
	if _, err := g.fence.WriteAt(encodeFence(fence), 0); err != nil {
		return false, fmt.Errorf("write fence: %w", err)
	}
	if err := g.fence.Sync(); err != nil {
		return false, fmt.Errorf("sync fence: %w", err)
	}
	return fence > seen, nil
}

// enter begins a write, which ends with leave, unless a higher fence was seen.
func (g *gate) enter(fence int64) error {
	g.rw.RLock()
	if err := g.share(); err != nil {
		g.rw.RUnlock()
		return err
	}
	seen, err := g.seen()
	if err == nil && seen > fence {
		err = fenced(fence, seen)
	}
	if err != nil {
		g.leave()
	}
	return err
}

func (g *gate) share() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shared == 0 {
		if err := lockFile(context.Background(), g.lock, unix.LOCK_SH); err != nil { // waits a bounded time
			return fmt.Errorf("lock for a write: %w", err)
		}
	}
	g.shared++
	return nil
}

func (g *gate) leave() {
	g.mu.Lock()
	if g.shared--; g.shared == 0 {
		_ = unlockFile(g.lock)
	}
	g.mu.Unlock()
	g.rw.RUnlock()
}

// exclusive keeps all writes away until release is called, unless a higher fence
// was seen.
func (g *gate) exclusive(ctx context.Context, fence int64) (release func(), err error) {
	g.rw.Lock()
	if err := lockFile(ctx, g.lock, unix.LOCK_EX); err != nil {
		g.rw.Unlock()
		return nil, fmt.Errorf("lock: %w", err)
	}
	release = func() {
		_ = unlockFile(g.lock)
		g.rw.Unlock()
	}
	seen, err := g.seen()
	if err == nil && seen > fence {
		err = fenced(fence, seen)
	}
	if err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// seen is the highest fence seen by anybody.
func (g *gate) seen() (int64, error) {
	b := make([]byte, fenceLength)
	n, err := g.fence.ReadAt(b, 0)
	if n == 0 && errors.Is(err, io.EOF) {
		return 0, nil
	}
	if n < fenceLength {
		return 0, fmt.Errorf("read fence: %w", err)
	}
	var fence int64
	var sum uint32
	if _, err := fmt.Sscanf(string(b), "%020d %08x\n", &fence, &sum); err != nil || string(encodeFence(fence)) != string(b) {
		return 0, fmt.Errorf("read fence: %w", errDamaged)
	}
	return fence, nil
}

const fenceLength = 30

// encodeFence is short enough to be written as a whole, and says so itself.
func encodeFence(fence int64) []byte {
	digits := fmt.Sprintf("%020d", fence)
	return fmt.Appendf(nil, "%s %08x\n", digits, crc32.ChecksumIEEE([]byte(digits)))
}

func fenced(fence, seen int64) error {
	return errorcatalog.Fail(errorcatalog.Fenced, "fence %d, the store has seen %d", fence, seen)
}

const (
	lockPatience = 20 * time.Second
	lockPoll     = 2 * time.Millisecond
)

// lockFile waits for a kernel lock, but not for ever: its holder may be stopped.
// Whoever has been given up gets none.
func lockFile(ctx context.Context, f *os.File, how int) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	err := flock(f, how|unix.LOCK_NB)
	if !errors.Is(err, unix.EWOULDBLOCK) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	tick := time.NewTimer(lockPoll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return errorcatalog.Fail(errorcatalog.ReplicaStoreUnreachable, "%s is locked by another process", f.Name()).Because(ctx.Err())
		case <-tick.C:
			if err := flock(f, how|unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) {
				return err
			}
			tick.Reset(lockPoll)
		}
	}
}

func unlockFile(f *os.File) error { return flock(f, unix.LOCK_UN) }

func flock(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			return err //nolint:wrapcheck // the caller says what was locked
		}
	}
}
