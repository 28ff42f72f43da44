package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"farshore/workers/disk"
	"farshore/workers/replica"
)

// slowStore is a replica store whose disks take their time and tell what is
// written to them.
type slowStore struct {
	replica.Store
	pause  time.Duration
	read   time.Duration // of each read of a point
	trace  string
	hold   string
	only   string
	damage func(item, name string)
}

func (s *slowStore) PutObject(ctx context.Context, item, name string, r io.ReadSeeker, size int64) error {
	err := s.Store.PutObject(ctx, item, name, r, size)
	if err == nil && s.damage != nil {
		s.damage(item, name)
	}
	return err
}

func (s *slowStore) OpenDisk(ctx context.Context, item, disk string, fence int64) (replica.Disk, error) {
	d, err := s.Store.OpenDisk(ctx, item, disk, fence)
	if err != nil || s.pause == 0 || s.only != "" && s.only != disk {
		return d, err
	}
	trace, err := os.OpenFile(s.trace, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	return &slowDisk{Disk: d, name: disk, pause: s.pause, hold: s.hold, trace: trace}, err
}

func (s *slowStore) OpenPoint(ctx context.Context, item, point, name string) (disk.Reader, error) {
	r, err := s.Store.OpenPoint(ctx, item, point, name)
	if err != nil || s.read == 0 {
		return r, err
	}
	return &slowPoint{Reader: r, pause: s.read}, nil
}

type slowPoint struct {
	disk.Reader
	pause time.Duration
}

func (p *slowPoint) ReadAt(b []byte, off int64) (int, error) {
	time.Sleep(p.pause)
	return p.Reader.ReadAt(b, off)
}

type slowDisk struct {
	replica.Disk
	name  string
	pause time.Duration
	hold  string
	trace *os.File
}

func (d *slowDisk) WriteAt(p []byte, off int64) (int, error) {
	_, _ = fmt.Fprintf(d.trace, "%s %d\n", d.name, off)
	time.Sleep(d.pause)
	for d.held() {
		time.Sleep(tick)
	}
	return d.Disk.WriteAt(p, off)
}

func (d *slowDisk) held() bool {
	if d.hold == "" {
		return false
	}
	_, err := os.Stat(d.hold)
	return err == nil
}

func (d *slowDisk) Close() error { return errors.Join(d.trace.Close(), d.Disk.Close()) }
