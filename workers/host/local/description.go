package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"farshore/domain/errorcatalog"
	"farshore/domain/site"
	"farshore/workers/disk"
)

// descriptionFile describes a VM; it lies in the VM's folder.
const descriptionFile = "vm.json"

// maxDescription is far more than any description needs, in bytes.
const maxDescription = 1 << 20

func slug() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`) }

// readDescription reads the vm.json of a folder and fills in the disks' sizes.
func readDescription(dir string) (site.VirtualMachine, error) {
	f, err := os.Open(filepath.Join(dir, descriptionFile))
	if err != nil {
		return site.VirtualMachine{}, errorcatalog.Fail(errorcatalog.VMDescriptionInvalid, "open %s", descriptionFile).Because(err)
	}
	defer f.Close() //nolint:errcheck // read only
	vm, err := decodeDescription(io.LimitReader(f, maxDescription))
	if err != nil {
		return vm, errorcatalog.Fail(errorcatalog.VMDescriptionInvalid, "read %s of %s", descriptionFile, filepath.Base(dir)).Because(err)
	}
	for i, d := range vm.Disks {
		vm.Disks[i].SizeBytes = sizeOf(dir, d)
	}
	return vm, nil
}

func decodeDescription(r io.Reader) (site.VirtualMachine, error) {
	var vm site.VirtualMachine
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	if err := d.Decode(&vm); err != nil {
		return vm, fmt.Errorf("decode: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return vm, errors.New("something follows the description")
	}
	return vm, checkDescription(vm)
}

func checkDescription(vm site.VirtualMachine) error {
	switch {
	case !slug().MatchString(vm.ID):
		return fmt.Errorf("id %q is not 1 to 63 of a-z, 0-9 and - within", vm.ID)
	case vm.Name == "" || len([]rune(vm.Name)) > 63:
		return fmt.Errorf("name %q is not 1 to 63 characters", vm.Name)
	case vm.Generation != 1 && vm.Generation != 2:
		return fmt.Errorf("generation %d is neither 1 nor 2", vm.Generation)
	case vm.CPUs < 0 || vm.MemoryMiB < 0:
		return errors.New("cpus and memoryMiB are not negative")
	case len(vm.Disks) == 0:
		return errors.New("there are no disks")
	case vm.Guest != nil && (vm.Guest.GraceSeconds < 0 || len(vm.Guest.Command) > 0 && vm.Guest.Command[0] == ""):
		return errors.New("guest names no program or a negative graceSeconds")
	}
	for _, n := range vm.NICs {
		if n.Address == nil {
			continue
		}
		if field, why := n.Address.Check(); why != "" {
			return fmt.Errorf("address%s of adapter %s: %s", field, n.Name, why)
		}
	}
	if err := checkFreeze(vm.Freeze); err != nil {
		return err
	}
	ids, files := map[string]bool{}, map[string]bool{}
	for _, d := range vm.Disks {
		if err := checkDisk(d); err != nil {
			return err
		}
		if ids[d.ID] || files[d.File] {
			return fmt.Errorf("disk %q or its file appears twice", d.ID)
		}
		ids[d.ID], files[d.File] = true, true
	}
	return nil
}

func checkFreeze(f *site.Freeze) error {
	switch {
	case f == nil:
		return nil
	case len(f.Pre) == 0 || f.Pre[0] == "" || len(f.Post) == 0 || f.Post[0] == "":
		return errors.New("freeze names no program for pre or post")
	case f.TimeoutSeconds < 0 || f.TimeoutSeconds > site.MaxFreezeSeconds:
		return fmt.Errorf("timeoutSeconds %d of freeze is not 0 to %d", f.TimeoutSeconds, site.MaxFreezeSeconds)
	default:
		return nil
	}
}

func checkDisk(d site.Disk) error {
	switch {
	case !slug().MatchString(d.ID):
		return fmt.Errorf("disk id %q is not 1 to 63 of a-z, 0-9 and - within", d.ID)
	case d.File == "" || d.File != filepath.Base(d.File) || d.File == ".." || d.File == ".":
		return fmt.Errorf("file %q of disk %s is not a plain name in the VM's folder", d.File, d.ID)
	case d.File == descriptionFile || strings.HasPrefix(d.File, "."):
		return fmt.Errorf("file %q of disk %s is a reserved name", d.File, d.ID)
	case d.Format != site.Raw && d.Format != site.FixedVHD:
		return fmt.Errorf("format %q of disk %s is neither raw nor vhd", d.Format, d.ID)
	case d.SectorSize != 0 && d.SectorSize != 512 && d.SectorSize != 4096:
		return fmt.Errorf("sectorSize %d of disk %s is neither 512 nor 4096", d.SectorSize, d.ID)
	}
	return nil
}

// sizeOf tells what the guest sees of a disk, or 0 when the file cannot be asked.
func sizeOf(dir string, d site.Disk) int64 {
	st, err := os.Stat(filepath.Join(dir, d.File))
	switch {
	case err != nil || !st.Mode().IsRegular():
		return 0
	case d.Format == site.FixedVHD:
		return max(st.Size()-disk.FooterSize, 0)
	default:
		return st.Size()
	}
}
