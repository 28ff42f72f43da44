package pageblob_test

import (
	"testing"

	"farshore/workers/replica"
	"farshore/workers/replica/pageblob"
	"farshore/workers/replica/pageblob/azuritetest"
)

// BenchmarkWrite measures writes of 16 MiB to the emulator, read back and
// compared.
func BenchmarkWrite(b *testing.B) {
	const size = 16 * mib
	s := open(b, azuritetest.Shared(b).ServiceURL(), newContainerName(), nil)
	d := benchDisk(b, s, size)
	data := noise(50, size)
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.WriteAt(data, 0); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRead measures reads of 16 MiB.
func BenchmarkRead(b *testing.B) {
	const size = 16 * mib
	s := open(b, azuritetest.Shared(b).ServiceURL(), newContainerName(), nil)
	d := benchDisk(b, s, size)
	data := noise(51, size)
	if _, err := d.WriteAt(data, 0); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.ReadAt(data, 0); err != nil {
			b.Fatal(err)
		}
	}
}

func benchDisk(b *testing.B, s *pageblob.Store, size int64) replica.Disk {
	b.Helper()
	if err := s.CreateDisk(b.Context(), replica.DiskSpec{Item: item, Disk: "os", SizeBytes: size}, 1); err != nil {
		b.Fatal(err)
	}
	d, err := s.OpenDisk(b.Context(), item, "os", 1)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = d.Close() })
	return d
}
