package changelog

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"farshore/domain/errorcatalog"
)

const (
	stateSuffix = ".tracking.json"
	logSuffix   = ".hrl"
	mapSuffix   = ".dirty"

	stateVersion = 1
)

// state is what is known of a disk's tracking after its process has ended. It
// names a log before the log takes writes, so that none is ever overlooked.
type state struct {
	Version   int                   `json:"version"`
	Disk      string                `json:"disk"`
	SizeBytes int64                 `json:"sizeBytes"`
	BootID    string                `json:"bootId"`
	Logs      []chained             `json:"logs"`            // in chain order
	Clean     *string               `json:"clean,omitempty"` // the disk's stamp when tracking was closed
	Failure   *errorcatalog.Failure `json:"failure,omitempty"`
}

// chained is a log of a disk's chain.
type chained struct {
	Log
	Sealed bool `json:"sealed"`

	claimed bool // by a recorded cut
}

// loadState reads a disk's tracking state; a missing one is fs.ErrNotExist.
func loadState(base string) (state, error) {
	b, err := os.ReadFile(base + stateSuffix)
	if err != nil {
		return state{}, fmt.Errorf("read tracking state: %w", err)
	}
	var s state
	if err := json.Unmarshal(b, &s); err != nil {
		return state{}, fmt.Errorf("parse tracking state of %s: %w", base, err)
	}
	if s.Version != stateVersion {
		return state{}, fmt.Errorf("tracking state of %s has version %d", base, s.Version)
	}
	return s, nil
}

// save replaces a disk's tracking state, durably.
func (s state) save(base string) error {
	s.Version = stateVersion
	b, err := json.MarshalIndent(s, "", "  ") //nolint:errchkjson // a later field may be one that can fail
	if err != nil {
		return fmt.Errorf("encode tracking state: %w", err)
	}
	path := base + stateSuffix
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("create tracking state: %w", err)
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		_ = os.Remove(path + ".new")
		return fmt.Errorf("write tracking state of %s: %w", base, err)
	}
	return SyncDir(filepath.Dir(path))
}

// removeStrays deletes logs and maps beside a disk that keep does not name: what
// a process left behind that was killed between two steps.
func removeStrays(base string, keep func(id string) bool) error {
	dir, prefix := filepath.Dir(base), filepath.Base(base)+"."
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("list logs: %w", err)
	}
	for _, e := range entries {
		rest, found := strings.CutPrefix(e.Name(), prefix)
		id, isLog := strings.CutSuffix(rest, logSuffix)
		if !isLog {
			id, isLog = strings.CutSuffix(rest, mapSuffix)
		}
		if !found || !isLog || strings.Contains(id, ".") || keep(id) { // with a dot, it is another disk's
			continue
		}
		if err := remove(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// Discard deletes the logs and the tracking state beside a disk that nobody tracks.
func Discard(base string) error {
	return errors.Join(removeStrays(base, func(string) bool { return false }), remove(base+stateSuffix))
}

// remove deletes a file; one that is not there has been deleted before.
func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove log: %w", err)
	}
	return nil
}
