package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// socketDir makes and returns the private folder for this machine's host
// sockets. It is short, because a socket's path may not exceed 107 bytes, and
// the same for every process of the user, so that a host started by one server
// is found by the next.
func socketDir() (string, error) {
	uid := strconv.Itoa(os.Getuid())
	candidates := []string{filepath.Join(os.TempDir(), "farshore-"+uid)}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		candidates = append([]string{filepath.Join(dir, "farshore")}, candidates...)
	}
	if uid == "0" {
		candidates = append([]string{"/run/farshore"}, candidates...)
	}
	var last error
	for _, dir := range candidates {
		if last = os.MkdirAll(dir, 0o700); last != nil { //nolint:gosec // the user's own environment names it
			continue
		}
		info, err := os.Lstat(dir) //nolint:gosec // the user's own environment names it
		if err == nil && info.IsDir() && info.Mode().Perm() == 0o700 {
			return dir, nil
		}
		last = fmt.Errorf("%s is not a private folder: %w", dir, os.ErrPermission)
	}
	return "", fmt.Errorf("make a folder for sockets: %w", last)
}

// hostSocket is where the host process of a directory is controlled.
func hostSocket(directory string) (string, error) {
	dir, err := socketDir()
	if err != nil {
		return "", err
	}
	path, err := filepath.Abs(directory)
	if err != nil {
		return "", fmt.Errorf("resolve %s: %w", directory, err)
	}
	sum := sha256.Sum256([]byte(path))
	return filepath.Join(dir, "h-"+hex.EncodeToString(sum[:6])+".sock"), nil
}
