// Package demo plays the main job on this machine: it makes VMs with real disks
// whose guests keep writing, protects them, fails them over, and proves every
// step with a judge that does not trust the engine.
package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"farshore/domain/site"
	"farshore/workers/proof"
)

const (
	mib = 1 << 20
	// kept is the part of each disk that the guest leaves alone: a file system.
	kept = 32 * mib
)

// vmPlan is a VM of the demo.
type vmPlan struct {
	name  string
	disks []int64 // sizes in bytes
	store string  // storage account
}

func plans() []vmPlan {
	return []vmPlan{
		{name: "web", disks: []int64{96 * mib}, store: "blobs"},
		{name: "database", disks: []int64{128 * mib, 256 * mib}, store: "directory"},
	}
}

// scene is the machine's side of the demo: folders, seeds, VMs.
type scene struct {
	root    string // everything lies below it
	program string // this binary
}

func (s scene) source() string              { return filepath.Join(s.root, "source") }
func (s scene) recovery() string            { return filepath.Join(s.root, "recovery") }
func (s scene) replicas() string            { return filepath.Join(s.root, "replicas") }
func (s scene) seed(vm, disk string) string { return filepath.Join(s.root, "seeds", vm, disk+".raw") }
func (s scene) journal(vm string) string    { return filepath.Join(s.root, "journals", vm) }

// gate is a file that keeps a VM's guest from writing while it exists.
func (s scene) gate(vm string) string { return s.journal(vm) + ".gate" }

func diskID(i int) string {
	if i == 0 {
		return "os"
	}
	return "data" + strconv.Itoa(i)
}

// makeVM writes a VM's seeds, disks and vm.json. Each disk holds a file system
// where mkfs.ext4 exists, and room for the guest's records behind it.
func (s scene) makeVM(ctx context.Context, plan vmPlan) error {
	folder := filepath.Join(s.source(), plan.name)
	for _, d := range []string{folder, filepath.Dir(s.seed(plan.name, "")), filepath.Dir(s.journal(plan.name)), s.recovery(), s.replicas()} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return fmt.Errorf("make the demo's folders: %w", err)
		}
	}
	vm := site.VirtualMachine{
		ID: plan.name, Name: plan.name, Generation: 2, CPUs: 1, MemoryMiB: 512,
		NICs:  []site.NIC{{Name: "nic0", Network: "production"}},
		Guest: &site.Guest{Command: s.guestCommand(plan), GraceSeconds: 20},
	}
	for i, size := range plan.disks {
		id := diskID(i)
		if err := makeSeed(ctx, s.seed(plan.name, id), size); err != nil {
			return err
		}
		if err := copySparse(s.seed(plan.name, id), filepath.Join(folder, id+".raw")); err != nil {
			return err
		}
		vm.Disks = append(vm.Disks, site.Disk{ID: id, File: id + ".raw", Format: site.Raw, SizeBytes: size, OS: i == 0})
	}
	text, err := json.MarshalIndent(vm, "", "  ")
	if err != nil {
		return fmt.Errorf("render vm.json: %w", err)
	}
	if err := os.WriteFile(filepath.Join(folder, "vm.json"), text, 0o644); err != nil {
		return fmt.Errorf("write vm.json: %w", err)
	}
	return nil
}

func (s scene) guestCommand(plan vmPlan) []string {
	command := []string{s.program, "demo", "guest", "--journal", s.journal(plan.name), "--gate", s.gate(plan.name)}
	for i, size := range plan.disks {
		command = append(command, "--disk", fmt.Sprintf("%s:%d:%d", diskID(i), kept, size))
	}
	return command
}

// makeSeed makes a disk image: a file system with files in it, then nothing.
func makeSeed(ctx context.Context, path string, size int64) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("make a seed image: %w", err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		return fmt.Errorf("size a seed image: %w", err)
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
	defer os.RemoveAll(files)
	r := proof.Record{Number: 1, Length: 8 * mib}
	content := make([]byte, r.Length)
	r.Fill(content)
	if err := os.WriteFile(filepath.Join(files, "application.bin"), content, 0o644); err != nil {
		return fmt.Errorf("write the file system's files: %w", err)
	}
	out, err := exec.CommandContext(ctx, mkfs, "-q", "-F", "-d", files, path, strconv.Itoa(kept/1024)+"k").CombinedOutput()
	if err != nil {
		return fmt.Errorf("make a file system with %s: %w: %s", mkfs, err, out)
	}
	return nil
}

// copySparse copies an image and keeps its holes.
func copySparse(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("open a seed image: %w", err)
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return fmt.Errorf("look at a seed image: %w", err)
	}
	out, err := os.Create(to)
	if err != nil {
		return fmt.Errorf("make a disk: %w", err)
	}
	defer out.Close()
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
