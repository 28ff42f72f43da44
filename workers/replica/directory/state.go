package directory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"farshore/workers/replica"
)

// state is an item's state.json. One that was read is never changed.
type state struct {
	Disks   map[string]int64 `json:"disks"`             // sizes in bytes
	Growing map[string]int64 `json:"growing,omitempty"` // disks whose files may be as long as this already
	Points  []point          `json:"points,omitempty"`  // oldest first
	Pending *pending         `json:"pending,omitempty"` // the apply under way
}

// point is a recovery point and how to get from it to the one before.
type point struct {
	ID          string            `json:"id"`
	CommittedAt time.Time         `json:"committedAt"`
	Disks       []pointDisk       `json:"disks"`
	Undo        map[string]string `json:"undo,omitempty"` // disk → undo log
}

type pointDisk struct {
	Disk      string `json:"disk"`
	SizeBytes int64  `json:"sizeBytes"`
	Root      string `json:"root"`
}

// pending is an apply that has begun: its undo logs lead back to the newest point.
type pending struct {
	Cut  string            `json:"cut"`
	Undo map[string]string `json:"undo,omitempty"`
}

func (p point) info() replica.PointInfo {
	info := replica.PointInfo{PointSpec: replica.PointSpec{ID: p.ID}, CommittedAt: p.CommittedAt}
	for _, d := range p.Disks {
		info.Disks = append(info.Disks, replica.PointDisk(d))
	}
	return info
}

// clone is a state to be changed; nil gives an empty one.
func (s *state) clone() *state {
	c := &state{Disks: map[string]int64{}}
	if s != nil {
		maps.Copy(c.Disks, s.Disks)
		c.Growing = maps.Clone(s.Growing)
		c.Points, c.Pending = slices.Clone(s.Points), s.Pending
	}
	return c
}

// undoLogs is the set of undo logs that the state names.
func (s *state) undoLogs() map[string]bool {
	named := map[string]bool{}
	if s == nil {
		return named
	}
	for _, p := range s.Points {
		for _, name := range p.Undo {
			named[name] = true
		}
	}
	if s.Pending != nil {
		for _, name := range s.Pending.Undo {
			named[name] = true
		}
	}
	return named
}

// find is the place of a point among the points, or -1.
func (s *state) find(id string) int {
	if s == nil {
		return -1
	}
	return slices.IndexFunc(s.Points, func(p point) bool { return p.ID == id })
}

// holds says whether a point holds a disk.
func (s *state) holds(disk string) bool {
	return slices.ContainsFunc(s.Points, func(p point) bool {
		return slices.ContainsFunc(p.Disks, func(d pointDisk) bool { return d.Disk == disk })
	})
}

// layers names the undo logs between the newest content of a disk and a point,
// newest first.
func (s *state) layers(at int, disk string) []string {
	var names []string
	if s.Pending != nil && s.Pending.Undo[disk] != "" {
		names = append(names, s.Pending.Undo[disk])
	}
	for i := len(s.Points) - 1; i > at; i-- {
		if name := s.Points[i].Undo[disk]; name != "" {
			names = append(names, name)
		}
	}
	return names
}

// view follows an item's state.json through its replacements. Two calls of
// current return the same pointer if and only if the file was not replaced
// between them: the file last read is kept open, so that no other can get its
// inode.
type view struct {
	path string

	mu   sync.Mutex
	file *os.File
	info fs.FileInfo
	last *state
}

// current returns the state, nil if the item does not exist.
func (v *view) current() (*state, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	info, err := os.Stat(v.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // no item is an answer
	}
	if err != nil {
		return nil, failed(err, "look at %s", v.path)
	}
	if v.file != nil && os.SameFile(info, v.info) {
		return v.last, nil
	}
	return v.read()
}

func (v *view) read() (*state, error) {
	f, err := os.Open(v.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // removed just now
	}
	if err != nil {
		return nil, failed(err, "open %s", v.path)
	}
	info, err := f.Stat()
	var content []byte
	if err == nil {
		content, err = io.ReadAll(f)
	}
	st := &state{}
	if err == nil {
		if jsonErr := json.Unmarshal(content, st); jsonErr != nil {
			err = fmt.Errorf("%w: %w", errDamaged, jsonErr)
		}
	}
	if err != nil {
		return nil, failed(errors.Join(err, f.Close()), "read %s", v.path)
	}
	if v.file != nil {
		_ = v.file.Close()
	}
	v.file, v.info, v.last = f, info, st
	return st, nil
}

func (v *view) close() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.file == nil {
		return nil
	}
	f := v.file
	v.file = nil
	return f.Close() //nolint:wrapcheck // nothing was written
}

// errStateChanged means that somebody with the same right has changed the item
// meanwhile; the call can be repeated.
var errStateChanged = errors.New("the item was changed by another call meanwhile")

// repeated calls fn again when another call with the same right came between.
func repeated(fn func() error) error {
	err := fn()
	for range 3 {
		if !errors.Is(err, errStateChanged) {
			break
		}
		err = fn()
	}
	return err
}

// swap replaces the state that was before, if it still is the current one and the
// fence has not been overtaken. Undo logs that the new state no longer names are
// deleted.
func (i *item) swap(ctx context.Context, fence int64, before, after *state) error {
	release, err := i.exclusive(ctx, fence)
	if err != nil {
		return err
	}
	defer release()
	now, err := i.view.current()
	if err != nil {
		return err
	}
	if now != before {
		return errStateChanged
	}
	had, has := before.undoLogs(), after.undoLogs()
	for name := range has {
		if _, err := os.Stat(i.undoPath(name)); err != nil {
			return fmt.Errorf("undo log %s: %w", name, err)
		}
	}
	content, err := json.MarshalIndent(after, "", "  ")
	if err != nil {
		return fmt.Errorf("encode state: %w", err)
	}
	if err := writeFile(i.view.path, append(content, '\n')); err != nil {
		return err
	}
	for name := range had {
		if !has[name] {
			_ = os.Remove(i.undoPath(name)) // else the next owner sweeps it
		}
	}
	return nil
}
