// Package directory keeps replicas in a plain directory, one folder per item.
//
//	<item>/state.json            disks, points and the apply under way; replaced as a whole
//	<item>/disks/<disk>.raw      the newest content, sparse
//	<item>/undo/<uuid>.hrl       before-images: what turns a point into the one before
//	<item>/objects/…             small files and shipped logs
//	.fences/<item>.fence|.lock   the highest fence seen, and the lock of writers
//
// # Guarantees
//
//   - state.json decides. An undo log that it names is complete and durable and is
//     never rebuilt; one that it does not name is left from a crash, and the disks
//     have not been touched on its account.
//   - While there are points, only ranges declared to BeginApply can be written, so
//     a point reads the same whatever is applied.
//   - Each write checks the fence under a shared kernel lock, which a new owner
//     waits out once. A process that is stopped between check and write keeps the
//     new owner waiting rather than let it proceed; elsewhere it holds no lock.
//
// # Not guaranteed
//
//   - Flush does not read back what the medium holds: a medium that loses or
//     changes acknowledged writes is found by the manifest.
package directory

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"farshore/domain/errorcatalog"
	"farshore/workers/replica"
)

// Store is a replica.Store in a directory.
type Store struct {
	root string
	now  func() time.Time

	mu    sync.Mutex
	items map[string]*item
}

var _ replica.Store = (*Store)(nil)

// Open returns the store in a directory, which Check looks at.
func Open(root string, now func() time.Time) *Store {
	return &Store{root: root, now: now, items: map[string]*item{}}
}

// Close gives up the store's locks and files. Its disks and readers are closed
// one by one.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, it := range s.items {
		errs = append(errs, it.close())
	}
	clear(s.items)
	return errors.Join(errs...)
}

// item is one item's folder, as this process knows it.
type item struct {
	name string
	dir  string
	*gate
	view *view
}

func (i *item) close() error { return errors.Join(i.gate.close(), i.view.close()) }

func (i *item) diskPath(disk string) string { return filepath.Join(i.dir, "disks", disk+".raw") }

func (i *item) undoPath(name string) string { return filepath.Join(i.dir, "undo", name) }

// names that become parts of paths: nothing that climbs or hides.
var safeName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,199}$`)

func checkName(what, name string) error {
	if !safeName.MatchString(name) {
		return fmt.Errorf("%s %q: %w", what, name, errName)
	}
	return nil
}

var errName = errors.New("not a name that a directory store can hold")

// item returns what this process knows of an item; its folder need not exist.
func (s *Store) item(name string) (*item, error) {
	if err := checkName("item", name); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if it := s.items[name]; it != nil {
		return it, nil
	}
	fences := filepath.Join(s.root, ".fences")
	if err := makeDirs(s.root, ".fences"); err != nil {
		return nil, failed(err, "open item %s", name)
	}
	g, err := openGate(filepath.Join(fences, name))
	if err != nil {
		return nil, failed(err, "open item %s", name)
	}
	dir := filepath.Join(s.root, name)
	it := &item{name: name, dir: dir, gate: g, view: &view{path: filepath.Join(dir, "state.json")}}
	s.items[name] = it
	return it, nil
}

// owned returns an item after taking the right to write it.
func (s *Store) owned(ctx context.Context, name string, fence int64) (*item, error) {
	it, err := s.item(name)
	if err != nil {
		return nil, err
	}
	raised, err := it.claim(ctx, fence)
	if err != nil {
		return nil, failed(err, "take over item %s", name)
	}
	if raised {
		err = it.sweep(ctx, fence)
	}
	return it, err
}

// sweep deletes undo logs that a crash has left: a new owner's first act.
func (i *item) sweep(ctx context.Context, fence int64) error {
	release, err := i.exclusive(ctx, fence)
	if err != nil {
		return failed(err, "sweep item %s", i.name)
	}
	defer release()
	st, err := i.view.current()
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(filepath.Join(i.dir, "undo"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return failed(err, "sweep item %s", i.name)
	}
	named := st.undoLogs()
	for _, e := range entries {
		if !named[e.Name()] {
			if err := os.Remove(i.undoPath(e.Name())); err != nil {
				return failed(err, "sweep item %s", i.name)
			}
		}
	}
	return nil
}

// there tells a store that is away as a whole, such as a volume that is not
// mounted, from one that has lost something.
func (s *Store) there() error { return there(s.root) }

func there(root string) error {
	_, err := os.Stat(root)
	return failed(err, "look for directory %s", root)
}

// Check verifies that the directory exists and can be written durably and locked.
func (s *Store) Check(ctx context.Context) error {
	info, err := os.Stat(s.root)
	if err == nil && !info.IsDir() {
		err = errors.New("it is not a directory")
	}
	if err != nil {
		return errorcatalog.Fail(errorcatalog.ReplicaStoreUnusable, "directory %s", s.root).Because(err)
	}
	probe := filepath.Join(s.root, ".check-"+uuid.NewString())
	defer func() { _ = os.Remove(probe) }()
	if err := writeFile(probe, []byte("farshore")); err != nil {
		return failed(err, "write to directory %s", s.root)
	}
	f, err := os.Open(probe)
	if err != nil {
		return failed(err, "read from directory %s", s.root)
	}
	defer func() { _ = f.Close() }()
	if err := lockFile(ctx, f, unix.LOCK_EX); err != nil {
		return errorcatalog.Fail(errorcatalog.ReplicaStoreUnusable, "lock a file in directory %s", s.root).Because(err)
	}
	return nil
}

// RemoveItem deletes an item's folder. Its fence stays, so that a stale writer
// finds out.
func (s *Store) RemoveItem(ctx context.Context, name string, fence int64) error {
	it, err := s.owned(ctx, name, fence)
	if err != nil {
		return err
	}
	release, err := it.exclusive(ctx, fence)
	if err != nil {
		return failed(err, "remove item %s", name)
	}
	err = os.Rename(it.dir, filepath.Join(s.root, ".removed-"+name+"-"+uuid.NewString()))
	release()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return failed(err, "remove item %s", name)
	}
	left, err := filepath.Glob(filepath.Join(s.root, ".removed-"+name+"-*"))
	if err != nil {
		return failed(err, "remove item %s", name)
	}
	for _, dir := range left {
		if err := os.RemoveAll(dir); err != nil {
			return failed(err, "remove item %s", name)
		}
	}
	return failed(syncDir(s.root), "remove item %s", name)
}

// Usage counts the blocks that an item really occupies.
func (s *Store) Usage(_ context.Context, name string) (replica.Usage, error) {
	if err := checkName("item", name); err != nil {
		return replica.Usage{}, err
	}
	var fsStat unix.Statfs_t
	if err := unix.Statfs(s.root, &fsStat); err != nil {
		return replica.Usage{}, failed(err, "usage of directory %s", s.root)
	}
	u := replica.Usage{Free: int64(fsStat.Bavail) * fsStat.Bsize} //nolint:gosec // no volume has 8 EiB
	err := filepath.WalkDir(filepath.Join(s.root, name), func(path string, _ fs.DirEntry, err error) error {
		var st unix.Stat_t
		if err == nil {
			err = unix.Lstat(path, &st)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed meanwhile
		}
		if err != nil {
			return fmt.Errorf("look at %s: %w", path, err)
		}
		u.Item += st.Blocks * 512
		return nil
	})
	return u, failed(err, "usage of item %s", name)
}
