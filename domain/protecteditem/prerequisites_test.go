package protecteditem_test

import (
	"slices"
	"strings"
	"testing"

	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
)

func TestPrerequisites(t *testing.T) {
	t.Parallel()
	const (
		mib = int64(1) << 20
		tib = int64(1) << 40
	)
	for name, tt := range map[string]struct {
		change  func(*site.VirtualMachine)
		disks   []string
		store   protecteditem.StoreKind // page blobs when empty
		fails   []errorcatalog.Code
		warnsOf []errorcatalog.Code
	}{
		"a sound VM passes":                       {change: func(*site.VirtualMachine) {}},
		"a chosen disk is enough":                 {change: func(v *site.VirtualMachine) { v.Disks[1].Shared = true }, disks: []string{"os"}},
		"P1: a generation that does not exist":    {change: func(v *site.VirtualMachine) { v.Generation = 3 }, fails: codes(errorcatalog.PrerequisiteGeneration)},
		"P1: no generation":                       {change: func(v *site.VirtualMachine) { v.Generation = 0 }, fails: codes(errorcatalog.PrerequisiteGeneration)},
		"P2: the largest OS disk of generation 1": {change: func(v *site.VirtualMachine) { v.Generation, v.Disks[0].SizeBytes = 1, 2048*gib }},
		"P2: a larger one":                        {change: func(v *site.VirtualMachine) { v.Generation, v.Disks[0].SizeBytes = 1, 2048*gib+512 }, fails: codes(errorcatalog.PrerequisiteOSDiskSize)},
		"P2: the largest OS disk of generation 2": {change: func(v *site.VirtualMachine) { v.Disks[0].SizeBytes = 4095 * gib }},
		"P2: an even larger one":                  {change: func(v *site.VirtualMachine) { v.Disks[0].SizeBytes = 4096 * gib }, fails: codes(errorcatalog.PrerequisiteOSDiskSize)},
		"P2: a directory has no such limit":       {change: func(v *site.VirtualMachine) { v.Disks[0].SizeBytes = 4096 * gib }, store: protecteditem.DirectoryStore},
		"P3: no OS disk":                          {change: func(v *site.VirtualMachine) { v.Disks[0].OS = false }, fails: codes(errorcatalog.PrerequisiteOSDiskCount)},
		"P3: two OS disks":                        {change: func(v *site.VirtualMachine) { v.Disks[1].OS = true }, fails: codes(errorcatalog.PrerequisiteOSDiskCount)},
		"P3: an OS disk left out":                 {change: func(*site.VirtualMachine) {}, disks: []string{"data"}, fails: codes(errorcatalog.PrerequisiteOSDiskCount)},
		"P4: a data disk over the limit": {
			change: func(v *site.VirtualMachine) { v.Disks[1].SizeBytes = 32768 * gib },
			fails:  codes(errorcatalog.PrerequisiteStoreDiskSize, errorcatalog.PrerequisiteDataDiskSize),
		},
		"P4: a disk under 1 GiB is a warning": {change: func(v *site.VirtualMachine) { v.Disks[1].SizeBytes = gib - 512 }, warnsOf: codes(errorcatalog.PrerequisiteDiskMinimum)},
		"P5: 64 disks":                        {change: func(v *site.VirtualMachine) { more(v, 62) }},
		"P5: 65 disks":                        {change: func(v *site.VirtualMachine) { more(v, 63) }, fails: codes(errorcatalog.PrerequisiteDiskCount)},
		"P5: 65 disks in a directory":         {change: func(v *site.VirtualMachine) { more(v, 63) }, store: protecteditem.DirectoryStore, fails: codes(errorcatalog.PrerequisiteDiskCount)},
		"P5: no disk":                         {change: func(v *site.VirtualMachine) { v.Disks = nil }, fails: codes(errorcatalog.PrerequisiteOSDiskCount, errorcatalog.PrerequisiteDiskCount)},
		"P6: no name":                         {change: func(v *site.VirtualMachine) { v.Name = "" }, fails: codes(errorcatalog.PrerequisiteName)},
		"P6: a name of 63 characters":         {change: func(v *site.VirtualMachine) { v.Name = strings.Repeat("A", 63) }},
		"P6: a name of 64 characters":         {change: func(v *site.VirtualMachine) { v.Name = strings.Repeat("a", 64) }, fails: codes(errorcatalog.PrerequisiteName)},
		"P6: a name with a bracket":           {change: func(v *site.VirtualMachine) { v.Name = "sql[1]" }, fails: codes(errorcatalog.PrerequisiteName)},
		"P6: a name that ends in a hyphen":    {change: func(v *site.VirtualMachine) { v.Name = "sql-" }, fails: codes(errorcatalog.PrerequisiteName)},
		"P7: a shared disk":                   {change: func(v *site.VirtualMachine) { v.Disks[1].Shared = true }, fails: codes(errorcatalog.PrerequisiteSharedDisk)},
		"P9: a pass-through disk":             {change: func(v *site.VirtualMachine) { v.Disks[1].PassThrough = true }, fails: codes(errorcatalog.PrerequisitePassThrough)},
		"P11: a 4K native disk":               {change: func(v *site.VirtualMachine) { v.Disks[1].SectorSize = 4096 }, fails: codes(errorcatalog.PrerequisiteSectorSize)},
		"P11: a disk of 512-byte sectors":     {change: func(v *site.VirtualMachine) { v.Disks[1].SectorSize = 512 }},
		"the largest page blob":               {change: func(v *site.VirtualMachine) { v.Disks[1].SizeBytes = 8*tib - mib }},
		"a disk whose footer does not fit":    {change: func(v *site.VirtualMachine) { v.Disks[1].SizeBytes = 8 * tib }, fails: codes(errorcatalog.PrerequisiteStoreDiskSize)},
		"a disk whose padding does not fit":   {change: func(v *site.VirtualMachine) { v.Disks[1].SizeBytes = 8*tib - 1024 }, fails: codes(errorcatalog.PrerequisiteStoreDiskSize)},
		"a directory holds any disk":          {change: func(v *site.VirtualMachine) { v.Disks[1].SizeBytes = 40 * tib }, store: protecteditem.DirectoryStore},
		"an unknown disk":                     {change: func(*site.VirtualMachine) {}, disks: []string{"os", "tmp"}, fails: codes(errorcatalog.DiskNotFound)},
		"a disk of unknown size":              {change: func(v *site.VirtualMachine) { v.Disks[1].SizeBytes = 0 }, fails: codes(errorcatalog.DiskUnreadable)},
		"a disk of an unknown format":         {change: func(v *site.VirtualMachine) { v.Disks[1].Format = "vmdk" }, fails: codes(errorcatalog.DiskFormatUnsupported)},
		"everything that is wrong is told": {
			change: func(v *site.VirtualMachine) { v.Name, v.Generation, v.Disks[1].Shared = "", 0, true },
			fails:  codes(errorcatalog.PrerequisiteName, errorcatalog.PrerequisiteGeneration, errorcatalog.PrerequisiteSharedDisk),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tt.store == "" {
				tt.store = protecteditem.PageBlobStore
			}
			v := vm()
			tt.change(&v)
			found := protecteditem.CheckPrerequisites(v, tt.disks, protecteditem.LimitsOf(tt.store))
			if got := codesOf(found.Failures); !slices.Equal(got, tt.fails) {
				t.Errorf("failures = %v, want %v", got, tt.fails)
			}
			if got := codesOf(found.Warnings); !slices.Equal(got, tt.warnsOf) {
				t.Errorf("warnings = %v, want %v", got, tt.warnsOf)
			}
		})
	}
}

func codes(all ...errorcatalog.Code) []errorcatalog.Code { return all }

func codesOf(failures []errorcatalog.Failure) []errorcatalog.Code {
	var all []errorcatalog.Code
	for _, f := range failures {
		all = append(all, f.Code)
	}
	return all
}

func more(v *site.VirtualMachine, disks int) {
	for i := range disks {
		v.Disks = append(v.Disks, site.Disk{ID: "extra" + strings.Repeat("i", i), Format: site.Raw, SizeBytes: gib})
	}
}
