package directory

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
)

// temporary begins the names of files that are being written.
const temporary = ".new-"

// writeFile replaces a file durably: it holds the old content or the new one.
func writeFile(path string, content []byte) error {
	return replaceFile(path, func(f *os.File) error {
		_, err := f.Write(content)
		return err //nolint:wrapcheck // replaceFile says what was written
	})
}

// replaceFile is writeFile for content that fill writes.
func replaceFile(path string, fill func(*os.File) error) error {
	dir, name := filepath.Split(path)
	tmp := filepath.Join(dir, temporary+uuid.NewString())
	f, err := os.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("create %s: %w", name, err)
	}
	err = fill(f)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		_ = os.Remove(tmp)
		return fmt.Errorf("write %s: %w", name, err)
	}
	return syncDir(dir)
}

// makeDirs makes the folders of a relative path below an existing one, durably.
func makeDirs(root, rel string) error {
	dir := root
	for part := range strings.SplitSeq(filepath.ToSlash(rel), "/") {
		parent := dir
		dir = filepath.Join(dir, part)
		err := os.Mkdir(dir, 0o700)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err == nil {
			err = syncDir(parent)
		}
		if err != nil {
			return fmt.Errorf("make folder %s: %w", dir, err)
		}
	}
	return nil
}

func syncDirOf(path string) error { return syncDir(filepath.Dir(path)) }

// syncDir makes a folder's entries durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open folder: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync folder %s: %w", dir, err)
	}
	return nil
}
