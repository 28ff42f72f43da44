package pgcluster

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// unsynced are the settings of a cluster whose data nobody will miss.
func unsynced() map[string]string {
	return map[string]string{"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "autovacuum": "off"}
}

// prepare finds the programs, locks the data directory and makes the cluster in
// it unless it is there.
func prepare(o Options) (*Cluster, error) {
	c := &Cluster{options: o, logger: o.Logger}
	if c.logger == nil {
		c.logger = slog.New(slog.DiscardHandler)
	}
	if o.DataDir == "" {
		return nil, errors.New("prepare the database: no data directory given")
	}
	var err error
	if c.account, err = databaseAccount(); err != nil {
		return nil, err
	}
	var moved bool
	if c.dataDir, moved, err = c.account.place(o.DataDir); err != nil {
		return nil, err
	}
	if moved {
		c.logger.Warn("database goes elsewhere: its user cannot reach the folder asked for",
			"user", c.account.name, "asked", o.DataDir, "used", c.dataDir)
	}
	if c.bin, err = findBinaries(c.dataDir); err != nil {
		return nil, err
	}
	if !o.Detached {
		if c.lock, err = lockFile(c.dataDir + ".lock"); err != nil {
			return nil, err
		}
	}
	if err := c.make(); err != nil {
		return nil, errors.Join(err, c.unlock())
	}
	return c, nil
}

// lockFile takes the lock that its process holds for life; the kernel releases
// it with the process.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock %s: %w", path, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, ErrInUse), f.Close())
	}
	return f, nil
}

// make creates the cluster's files and folders. initdb works beside the final
// place and is renamed into it, so that a crash in between leaves nothing half made.
func (c *Cluster) make() error {
	var err error
	if c.socket, err = c.account.socketDir(c.dataDir); err != nil {
		return err
	}
	if !exists(filepath.Join(c.dataDir, "PG_VERSION")) {
		if err := c.initialise(); err != nil {
			return err
		}
	}
	return c.configure()
}

func (c *Cluster) initialise() error {
	building := c.dataDir + ".new"
	if err := os.RemoveAll(building); err != nil {
		return fmt.Errorf("clear %s: %w", building, err)
	}
	if err := c.account.own(building); err != nil {
		return err
	}
	args := []string{
		"-D", building, "--username=" + Superuser, "--encoding=UTF8", "--locale=C",
		"--auth-local=trust", "--auth-host=reject",
	}
	if c.options.NoSync {
		args = append(args, "--no-sync")
	}
	cmd := exec.Command(filepath.Join(c.bin, "initdb"), args...) //nolint:gosec,noctx // our own programs; a half-made cluster would only be made again
	cmd.Dir = "/"
	cmd.SysProcAttr = detached(c.account) // it ends by itself; a thread's end must not stop it
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("make a database cluster in %s: %w\n%s", c.dataDir, err, out)
	}
	if err := os.Rename(building, c.dataDir); err != nil {
		return fmt.Errorf("move the new database cluster into place: %w", err)
	}
	return nil
}

// configure writes our settings into a file that overrules the generated one.
func (c *Cluster) configure() error {
	settings := map[string]string{
		"listen_addresses": "", "unix_socket_directories": c.socket, "unix_socket_permissions": "0700",
		"max_connections": "100", "shared_buffers": "128MB", "log_min_messages": "warning", "timezone": "UTC", "log_timezone": "UTC",
	}
	if c.options.NoSync {
		maps.Copy(settings, unsynced())
	}
	maps.Copy(settings, c.options.Settings)
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		value := strings.ReplaceAll(settings[key], "'", "''")
		_, _ = fmt.Fprintf(&text, "%s = '%s'\n", key, value)
	}
	path := filepath.Join(c.dataDir, "postgresql.auto.conf")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		return fmt.Errorf("configure the database: %w", err)
	}
	if c.account == nil {
		return nil
	}
	if err := os.Chown(path, c.account.uid, c.account.gid); err != nil {
		return fmt.Errorf("configure the database: %w", err)
	}
	return nil
}
