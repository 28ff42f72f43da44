package pgcluster

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// fallbackRoot is where a cluster goes when its account cannot reach the folder
// that was asked for.
const fallbackRoot = "/var/lib/farshore"

// account is the user the database runs as; nil is the user we are.
type account struct {
	name     string
	uid, gid int
}

// databaseAccount picks the user for the database. PostgreSQL refuses to run as
// root, so root hands it to postgres or, where there is none, to nobody.
func databaseAccount() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // no other account is an answer, not an error
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.Atoi(u.Uid)
		gid, gidErr := strconv.Atoi(u.Gid)
		if uidErr == nil && gidErr == nil {
			return &account{name: name, uid: uid, gid: gid}, nil
		}
	}
	return nil, errors.New("find an account for the database: PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
}

// credential is what a child runs as; nil is our own account.
func (a *account) credential() *syscall.Credential {
	if a == nil {
		return nil
	}
	return &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)} //nolint:gosec // ids fit
}

// reach reports whether the account can traverse every folder above path.
func (a *account) reach(path string) bool {
	if a == nil {
		return true
	}
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err == nil && !a.mayTraverse(info) {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
	}
}

func (a *account) mayTraverse(info os.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return false
	}
	mode := info.Mode().Perm()
	switch {
	case int(stat.Uid) == a.uid:
		return mode&0o100 != 0
	case int(stat.Gid) == a.gid:
		return mode&0o010 != 0
	default:
		return mode&0o001 != 0
	}
}

// own makes dir, private to the account.
func (a *account) own(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make folder %s: %w", dir, err)
	}
	if err := os.Chmod(dir, 0o700); err != nil { //nolint:gosec // a folder needs its x bit
		return fmt.Errorf("protect folder %s: %w", dir, err)
	}
	if a == nil {
		return nil
	}
	if err := os.Chown(dir, a.uid, a.gid); err != nil {
		return fmt.Errorf("hand folder %s to %s: %w", dir, a.name, err)
	}
	return nil
}

// place decides where the data directory really goes. moved says that the
// account could not have reached the one that was asked for.
func (a *account) place(dataDir string) (dir string, moved bool, err error) {
	dir, err = filepath.Abs(dataDir)
	if err != nil {
		return "", false, fmt.Errorf("resolve %s: %w", dataDir, err)
	}
	if resolved, err := filepath.EvalSymlinks(filepath.Dir(dir)); err == nil {
		dir = filepath.Join(resolved, filepath.Base(dir))
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o711); err != nil { //nolint:gosec // the account has to pass through
		return "", false, fmt.Errorf("make folder %s: %w", filepath.Dir(dir), err)
	}
	if a.reach(dir) {
		return dir, false, nil
	}
	if err := os.MkdirAll(fallbackRoot, 0o711); err != nil { //nolint:gosec // the account has to pass through
		return "", false, fmt.Errorf("make folder %s: %w", fallbackRoot, err)
	}
	return filepath.Join(fallbackRoot, shortHash(dir)), true, nil
}

// socketDir makes the private folder of the cluster's socket. Its name is short,
// because a socket's path must stay below 108 bytes, and the same at every start,
// so that one left by a killed process is taken over and not added to.
func (a *account) socketDir(dataDir string) (string, error) {
	roots := []string{"/run", fmt.Sprintf("/run/user/%d", os.Getuid()), "/tmp"}
	var last error
	for _, root := range roots {
		dir := filepath.Join(root, "farshore-pg-"+shortHash(dataDir))
		if err := os.Mkdir(dir, 0o700); err != nil && !os.IsExist(err) {
			last = err
			continue
		}
		if err := a.own(dir); err != nil {
			last = err
			continue
		}
		return dir, nil
	}
	return "", fmt.Errorf("make a folder for the database's socket: %w", last)
}

func shortHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:6])
}
