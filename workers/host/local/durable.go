package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"farshore/domain/errorcatalog"
)

// saveJSON replaces a file so that after a crash it is the old or the new one.
func saveJSON(path string, v any) error {
	p, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", filepath.Base(path), err)
	}
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) //nolint:gosec // whoever asks has checked the ids in the name
	if err != nil {
		return full(fmt.Errorf("create %s: %w", filepath.Base(tmp), err))
	}
	_, err = f.Write(append(p, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(tmp, path) //nolint:gosec // as above
	}
	if err != nil {
		_ = os.Remove(tmp) //nolint:gosec // as above
		return full(fmt.Errorf("write %s: %w", filepath.Base(path), err))
	}
	return syncDir(filepath.Dir(path))
}

// loadJSON reads what saveJSON wrote; a missing file leaves v alone.
func loadJSON(path string, v any) error {
	p, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", filepath.Base(path), err)
	}
	if err := json.Unmarshal(p, v); err != nil {
		return fmt.Errorf("decode %s: %w", filepath.Base(path), err)
	}
	return nil
}

// removeFile deletes a file durably; a missing one is fine.
func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", filepath.Base(path), err)
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // as above
	if err != nil {
		return fmt.Errorf("open folder: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	return nil
}

// full gives an error of a full volume its code, unless it has one.
func full(err error) error {
	if _, ok := errors.AsType[*errorcatalog.Failure](err); ok {
		return err
	}
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return errorcatalog.Fail(errorcatalog.InsufficientSourceSpace, "the volume of the host's directory is full").Because(err)
	}
	return err
}
