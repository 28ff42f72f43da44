package local_test

import (
	"os"
	"path/filepath"
	"testing"

	"farshore/domain/site"
	"farshore/workers/disk"
)

// BenchmarkSnapshotRead compares reading a disk of a snapshot, from the host's
// files and through its socket, with reading the disk's own file.
func BenchmarkSnapshotRead(b *testing.B) {
	const size = 512 << 20
	dir, vm := site1(b, nil)
	file := filepath.Join(dir, vm.ID, "os.raw")
	p := make([]byte, 1<<20)
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	must(b, err)
	for off := int64(0); off < size; off += int64(len(p)) {
		for i := range p {
			p[i] = byte(i*7 + int(off>>20))
		}
		_, err := f.WriteAt(p, off)
		must(b, err)
	}
	must(b, f.Close())
	h := servedIn(b, options(dir, filepath.Join(socketDir(b), "h.sock")))
	must(b, h.CreateSnapshot(within(b), vm.ID, "s1"))
	open := map[string]func() (disk.Reader, error){
		"file":     func() (disk.Reader, error) { return disk.Open(file, site.Raw, true) },
		"snapshot": func() (disk.Reader, error) { return h.OpenSnapshot(b.Context(), vm.ID, "s1", "os") },
		"streamed": func() (disk.Reader, error) { return h.StreamSnapshot(b.Context(), vm.ID, "s1", "os") },
	}
	for _, name := range []string{"file", "snapshot", "streamed"} {
		b.Run(name, func(b *testing.B) {
			r, err := open[name]()
			must(b, err)
			defer r.Close() //nolint:errcheck // read only
			buf := make([]byte, 4<<20)
			b.SetBytes(size)
			for b.Loop() {
				for off := int64(0); off < size; off += int64(len(buf)) {
					_, err := r.ReadAt(buf, off)
					must(b, err)
				}
			}
		})
	}
}
