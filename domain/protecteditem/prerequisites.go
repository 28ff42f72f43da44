package protecteditem

import (
	"slices"

	"farshore/domain/errorcatalog"
	"farshore/domain/site"
)

const (
	mib = int64(1) << 20
	gib = int64(1) << 30
	tib = int64(1) << 40
)

// StoreLimits is what a kind of replica store can hold and what can be brought up
// from it. A zero value is no limit.
type StoreLimits struct {
	MaxObjectBytes      int64    // of what a disk is stored as
	FooterBytes         int64    // stored behind each disk
	PaddingBytes        int64    // disks are padded to a multiple of it
	MaxOSDiskGeneration [3]int64 // bytes, by generation
	MaxDataDiskBytes    int64
	MaxDisks            int
}

// maxDisks is how many disks can be attached to one VM: LUN 0 to 63.
const maxDisks = 64

// LimitsOf returns the limits of a kind of store. A page blob is a fixed VHD that
// becomes an Azure disk; a directory takes what its volume holds.
func LimitsOf(kind StoreKind) StoreLimits {
	if kind != PageBlobStore {
		return StoreLimits{MaxDisks: maxDisks}
	}
	return StoreLimits{
		MaxObjectBytes:      8 * tib,
		FooterBytes:         512,
		PaddingBytes:        mib,
		MaxOSDiskGeneration: [3]int64{1: 2048 * gib, 2: 4095 * gib},
		MaxDataDiskBytes:    32767 * gib,
		MaxDisks:            maxDisks,
	}
}

// Prerequisites is the outcome of the check: what keeps a VM from being
// protected, and what its operator should know.
type Prerequisites struct {
	Failures []errorcatalog.Failure
	Warnings []errorcatalog.Failure
}

// CheckPrerequisites checks whether the given disks of a VM can be protected in a
// store with the given limits; without disks, all of the VM's. It reports
// everything it finds.
func CheckPrerequisites(vm site.VirtualMachine, disks []string, limits StoreLimits) Prerequisites {
	var p Prerequisites
	if !validVMName(vm.Name) {
		p.fail(errorcatalog.PrerequisiteName, "%q is not 1 to 63 letters, digits and hyphens that begin and end with a letter or digit", vm.Name)
	}
	if vm.Generation != 1 && vm.Generation != 2 {
		p.fail(errorcatalog.PrerequisiteGeneration, "generation %d", vm.Generation)
	}
	for _, id := range disks {
		if !slices.ContainsFunc(vm.Disks, func(d site.Disk) bool { return d.ID == id }) {
			p.fail(errorcatalog.DiskNotFound, "the VM has no disk %q", id)
		}
	}
	var systems, chosen, system int
	for _, d := range vm.Disks {
		if d.OS {
			systems++
		}
		if len(disks) > 0 && !slices.Contains(disks, d.ID) {
			continue
		}
		chosen++
		if d.OS {
			system++
		}
		p.checkDisk(d, vm.Generation, limits)
	}
	if systems != 1 || system != 1 {
		p.fail(errorcatalog.PrerequisiteOSDiskCount, "%d disks are marked as the OS disk, %d of them to be protected", systems, system)
	}
	if chosen == 0 || (limits.MaxDisks > 0 && chosen > limits.MaxDisks) {
		p.fail(errorcatalog.PrerequisiteDiskCount, "%d disks are to be protected", chosen)
	}
	return p
}

func (p *Prerequisites) checkDisk(d site.Disk, generation int, limits StoreLimits) {
	if d.Shared {
		p.fail(errorcatalog.PrerequisiteSharedDisk, "disk %q is shared", d.ID)
	}
	if d.PassThrough {
		p.fail(errorcatalog.PrerequisitePassThrough, "disk %q is a physical disk", d.ID)
	}
	if d.SectorSize != 0 && d.SectorSize != 512 {
		p.fail(errorcatalog.PrerequisiteSectorSize, "disk %q has sectors of %d bytes", d.ID, d.SectorSize)
	}
	if d.Format != site.Raw && d.Format != site.FixedVHD {
		p.fail(errorcatalog.DiskFormatUnsupported, "disk %q has the format %q", d.ID, d.Format)
	}
	p.checkSize(d, generation, limits)
}

func (p *Prerequisites) checkSize(d site.Disk, generation int, limits StoreLimits) {
	if d.SizeBytes <= 0 {
		p.fail(errorcatalog.DiskUnreadable, "the size of disk %q is not known", d.ID)
		return
	}
	if d.SizeBytes < gib {
		p.Warnings = append(p.Warnings, *errorcatalog.Fail(errorcatalog.PrerequisiteDiskMinimum, "disk %q has %d bytes", d.ID, d.SizeBytes))
	}
	stored := d.SizeBytes + limits.FooterBytes
	if pad := limits.PaddingBytes; pad > 0 {
		stored = (d.SizeBytes+pad-1)/pad*pad + limits.FooterBytes
	}
	if limits.MaxObjectBytes > 0 && stored > limits.MaxObjectBytes {
		p.fail(errorcatalog.PrerequisiteStoreDiskSize, "disk %q needs %d bytes, the store holds %d", d.ID, stored, limits.MaxObjectBytes)
	}
	if d.OS {
		if most := limits.osDisk(generation); most > 0 && d.SizeBytes > most {
			p.fail(errorcatalog.PrerequisiteOSDiskSize, "OS disk %q has %d GiB, generation %d allows %d", d.ID, d.SizeBytes/gib, generation, most/gib)
		}
		return
	}
	if limits.MaxDataDiskBytes > 0 && d.SizeBytes > limits.MaxDataDiskBytes {
		p.fail(errorcatalog.PrerequisiteDataDiskSize, "disk %q has %d GiB", d.ID, d.SizeBytes/gib)
	}
}

func (l StoreLimits) osDisk(generation int) int64 {
	if generation < 1 || generation >= len(l.MaxOSDiskGeneration) {
		return 0
	}
	return l.MaxOSDiskGeneration[generation]
}

func (p *Prerequisites) fail(code errorcatalog.Code, format string, args ...any) {
	p.Failures = append(p.Failures, *errorcatalog.Fail(code, format, args...))
}

// validVMName says whether a VM can have this name on either side.
func validVMName(name string) bool {
	const longest = 63
	if name == "" || len(name) > longest || name[0] == '-' || name[len(name)-1] == '-' {
		return false
	}
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
