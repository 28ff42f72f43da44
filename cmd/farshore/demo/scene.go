// Package demo plays the main job on this machine: it makes VMs with real disks
// whose guests keep writing, protects them, fails them over, and proves every
// step with a judge that does not trust the engine.
package demo

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"farshore/domain/site"
	"farshore/workers/proof"
)

const (
	mib = 1 << 20
	// kept is the part of each disk that the guest leaves alone: a file system.
	kept = 32 * mib
)

// VM is a VM to make. Its guest writes numbered records behind the first 32 MiB
// of each disk.
type VM struct {
	Name  string
	Disks []int64 // sizes in bytes
	Store string  // storage account
	// Filled says that the disks hold data to their ends, and not a file system alone.
	Filled bool
	// Pause is the guest's between rounds of writes; zero leaves it to the guest.
	Pause time.Duration
	// Stubborn says that the guest does not shut down when it is asked to.
	Stubborn     bool
	GraceSeconds int // how long the guest's shutdown may take; 20 when zero
}

func plans() []VM {
	return []VM{
		{Name: "web", Disks: []int64{96 * mib}, Store: "blobs"},
		{Name: "database", Disks: []int64{128 * mib, 256 * mib}, Store: "directory"},
	}
}

// Scene is the machine's side of a demonstration: folders, seeds, VMs.
type Scene struct {
	Root    string // everything lies below it
	Program string // this binary
}

// Source is the folder of the source host.
func (s Scene) Source() string { return filepath.Join(s.Root, "source") }

// Recovery is the folder of the recovery host.
func (s Scene) Recovery() string { return filepath.Join(s.Root, "recovery") }

// Replicas is the folder of the replica store.
func (s Scene) Replicas() string { return filepath.Join(s.Root, "replicas") }

// Seed is the image that a VM's disk began as.
func (s Scene) Seed(vm, disk string) string { return filepath.Join(s.Root, "seeds", vm, disk+".raw") }

// Journal is where a VM's guest remembers its writes.
func (s Scene) Journal(vm string) string { return filepath.Join(s.Root, "journals", vm) }

// Gate is a file that keeps a VM's guest from writing while it exists.
func (s Scene) Gate(vm string) string { return s.Journal(vm) + ".gate" }

// DiskID names the disks of a VM in their order.
func DiskID(i int) string {
	if i == 0 {
		return "os"
	}
	return "data" + strconv.Itoa(i)
}

// MakeVM writes a VM's seeds, disks and vm.json. Each disk holds a file system
// where mkfs.ext4 exists, and room for the guest's records behind it.
func (s Scene) MakeVM(ctx context.Context, plan VM) error {
	folder := filepath.Join(s.Source(), plan.Name)
	for _, d := range []string{folder, filepath.Dir(s.Seed(plan.Name, "")), filepath.Dir(s.Journal(plan.Name)), s.Recovery(), s.Replicas()} {
		if err := os.MkdirAll(d, 0o750); err != nil {
			return fmt.Errorf("make the demo's folders: %w", err)
		}
	}
	vm := site.VirtualMachine{
		ID: plan.Name, Name: plan.Name, Generation: 2, CPUs: 1, MemoryMiB: 512,
		NICs:  []site.NIC{{Name: "nic0", Network: "production"}},
		Guest: &site.Guest{Command: s.guestCommand(plan), GraceSeconds: cmp.Or(plan.GraceSeconds, 20)},
	}
	for i, size := range plan.Disks {
		id := DiskID(i)
		if err := s.makeSeed(ctx, plan, i); err != nil {
			return err
		}
		if err := copySparse(s.Seed(plan.Name, id), filepath.Join(folder, id+".raw")); err != nil {
			return err
		}
		vm.Disks = append(vm.Disks, site.Disk{ID: id, File: id + ".raw", Format: site.Raw, SizeBytes: size, OS: i == 0})
	}
	text, err := json.MarshalIndent(vm, "", "  ") //nolint:errchkjson // a later field may be one that can fail
	if err != nil {
		return fmt.Errorf("render vm.json: %w", err)
	}
	if err := os.WriteFile(filepath.Join(folder, "vm.json"), text, 0o600); err != nil {
		return fmt.Errorf("write vm.json: %w", err)
	}
	return nil
}

func (s Scene) guestCommand(plan VM) []string {
	command := []string{s.Program, "demo", "guest", "--journal", s.Journal(plan.Name), "--gate", s.Gate(plan.Name)}
	if plan.Stubborn {
		command = append(command, "--stubborn")
	}
	if plan.Pause > 0 {
		command = append(command, "--pause", plan.Pause.String())
	}
	for i, size := range plan.Disks {
		command = append(command, "--disk", fmt.Sprintf("%s:%d:%d", DiskID(i), kept, size))
	}
	return command
}

// makeSeed makes a disk image: a file system with files in it, then nothing, or
// data.
func (s Scene) makeSeed(ctx context.Context, plan VM, i int) (err error) {
	path, size := s.Seed(plan.Name, DiskID(i)), plan.Disks[i]
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("make a seed image: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Truncate(size); err != nil {
		return fmt.Errorf("size a seed image: %w", err)
	}
	if plan.Filled {
		if err := fill(f, size); err != nil {
			return err
		}
	}
	mkfs, err := exec.LookPath("mkfs.ext4")
	if err != nil {
		for _, dir := range []string{"/sbin", "/usr/sbin"} {
			if _, err := os.Stat(filepath.Join(dir, "mkfs.ext4")); err == nil {
				mkfs = filepath.Join(dir, "mkfs.ext4")
			}
		}
	}
	if mkfs == "" {
		return nil
	}
	files, err := os.MkdirTemp(filepath.Dir(path), "files")
	if err != nil {
		return fmt.Errorf("make the file system's files: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(files)) }()
	r := proof.Record{Number: 1, Length: 8 * mib}
	content := make([]byte, r.Length)
	r.Fill(content)
	if err := os.WriteFile(filepath.Join(files, "application.bin"), content, 0o600); err != nil {
		return fmt.Errorf("write the file system's files: %w", err)
	}
	out, err := exec.CommandContext(ctx, mkfs, "-q", "-F", "-d", files, path, strconv.Itoa(kept/1024)+"k").CombinedOutput() //nolint:gosec // the system's own program
	if err != nil {
		return fmt.Errorf("make a file system with %s: %w: %s", mkfs, err, out)
	}
	return nil
}

// fill writes data that neither compresses nor shows a record.
func fill(f *os.File, size int64) error {
	random := rand.NewChaCha8([32]byte{1})
	if _, err := f.Seek(kept, io.SeekStart); err != nil {
		return fmt.Errorf("fill a seed image: %w", err)
	}
	if _, err := io.CopyN(f, random, size-kept); err != nil {
		return fmt.Errorf("fill a seed image: %w", err)
	}
	return nil
}

// copySparse copies an image and keeps its holes.
func copySparse(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("open a seed image: %w", err)
	}
	defer func() { _ = in.Close() }()
	info, err := in.Stat()
	if err != nil {
		return fmt.Errorf("look at a seed image: %w", err)
	}
	out, err := os.Create(to)
	if err != nil {
		return fmt.Errorf("make a disk: %w", err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if err := out.Truncate(info.Size()); err != nil {
		return fmt.Errorf("size a disk: %w", err)
	}
	buf, zero := make([]byte, mib), make([]byte, mib)
	for off := int64(0); off < info.Size(); off += mib {
		p := buf[:min(mib, info.Size()-off)]
		if _, err := io.ReadFull(io.NewSectionReader(in, off, int64(len(p))), p); err != nil {
			return fmt.Errorf("read a seed image: %w", err)
		}
		if string(p) == string(zero[:len(p)]) {
			continue
		}
		if _, err := out.WriteAt(p, off); err != nil {
			return fmt.Errorf("fill a disk: %w", err)
		}
	}
	return nil
}
