package directory_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"farshore/domain/errorcatalog"
	"farshore/workers/disk"
	"farshore/workers/replica"
	"farshore/workers/replica/directory"
)

// fillVolume mounts a small volume, where only this process sees it, and fills it.
func fillVolume(ctx context.Context, root string) error {
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("tmpfs", root, "tmpfs", 0, "size=6m"); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	s := directory.Open(root, time.Now)
	const size = 16 << 20
	data := bytes.Repeat([]byte{5}, 1<<20)
	if err := s.CreateDisk(ctx, replica.DiskSpec{Item: item, Disk: "os", SizeBytes: size}, 1); err != nil {
		return fmt.Errorf("create disk: %w", err)
	}
	d, err := s.OpenDisk(ctx, item, "os", 1)
	if err != nil {
		return fmt.Errorf("open disk: %w", err)
	}
	for off := range int64(4) {
		if _, err := d.WriteAt(data, off<<20); err != nil {
			return fmt.Errorf("write: %w", err)
		}
	}
	spec := replica.PointSpec{ID: "p1", Disks: []replica.PointDisk{{Disk: "os", SizeBytes: size}}}
	if err := s.CommitPoint(ctx, item, spec, 1); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	whole := []replica.Change{{Disk: "os", Extents: []disk.Extent{{Length: 4 << 20}}}}
	errs := map[string]error{
		"begin apply": s.BeginApply(ctx, item, "cut", 1, whole),
		"put object":  s.PutObject(ctx, item, "logs/os/1.hrl", bytes.NewReader(make([]byte, 4<<20)), 4<<20),
	}
	for what, err := range errs {
		if err == nil || errorcatalog.Of(err).Code != errorcatalog.ReplicaStoreFull {
			return fmt.Errorf("%s on a full volume: %w", what, errors.Join(err, errors.New("not replica_store_full")))
		}
	}
	if names, err := s.ListObjects(ctx, item, ""); err != nil || len(names) != 0 {
		return fmt.Errorf("a part of an object is left: %w", errors.Join(err, fmt.Errorf("%v", names)))
	}
	usage, err := s.Usage(ctx, item)
	if err != nil || usage.Item > 5<<20 || usage.Free > 6<<20 {
		return fmt.Errorf("what did not fit was left: %w", errors.Join(err, fmt.Errorf("%+v", usage)))
	}
	small := []replica.Change{{Disk: "os", Extents: []disk.Extent{{Length: 1 << 20}}}}
	if err := s.BeginApply(ctx, item, "cut", 1, small); err != nil {
		return fmt.Errorf("begin a smaller apply: %w", err)
	}
	if _, err := d.WriteAt(make([]byte, 1<<20), 0); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	p, err := s.OpenPoint(ctx, item, "p1", "os")
	if err != nil {
		return fmt.Errorf("open point: %w", err)
	}
	got := make([]byte, 1<<20)
	if _, err := p.ReadAt(got, 0); err != nil || !bytes.Equal(got, data) {
		return fmt.Errorf("the point has changed: %w", errors.Join(err, errors.New("other bytes")))
	}
	return nil
}

func TestAFullVolumeIsToldAndHarmsNoPoint(t *testing.T) {
	t.Parallel()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), "FARSHORE_TEST_CHILD=full", "FARSHORE_TEST_ROOT="+t.TempDir())
	child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		child.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		child.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		child.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	if out, err := child.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, strings.TrimSpace(string(out)))
	}
}
