package proof

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
)

// Image is a disk to read: a seed, or a disk of a recovery point.
type Image interface {
	io.ReaderAt
	Size() int64
}

// Judge knows what a VM's disks held at first and what its guest wrote.
type Judge struct {
	Seeds   []Image // per disk, in the guest's order
	Journal *Journal
}

// Verdict says what a recovery point holds.
type Verdict struct {
	Records int64    // how many records the point holds
	Last    int64    // the highest number among them
	SHA256  []string // per disk, hex: of the replica, and equal to the replayed seed's
}

// DifferenceError reports that a point is not an instant of its VM.
type DifferenceError struct{ Reason string }

func (d *DifferenceError) Error() string { return d.Reason }

func differs(format string, args ...any) error {
	return &DifferenceError{Reason: fmt.Sprintf(format, args...)}
}

const window = 1 << 20 // bytes read at a time

// Examine judges the disks of a point, in the guest's order; nil is a disk that the
// point does not hold, and whose records therefore prove nothing. A point that holds
// anything but one instant of the VM is a DifferenceError.
func (j *Judge) Examine(ctx context.Context, point []Image) (Verdict, error) {
	for d, seed := range j.Seeds {
		if point[d] == nil {
			continue
		}
		if point[d].Size() != seed.Size() {
			return Verdict{}, differs("disk %d holds %d bytes, its source %d", d, point[d].Size(), seed.Size())
		}
	}
	newest, err := j.newest(ctx, point)
	if err != nil {
		return Verdict{}, err
	}
	held, err := j.held(point, newest)
	if err != nil {
		return Verdict{}, err
	}
	v := Verdict{Records: int64(len(held))}
	if len(held) > 0 {
		v.Last = held[len(held)-1].Number
	}
	for d := range point {
		if point[d] == nil {
			v.SHA256 = append(v.SHA256, "")
			continue
		}
		sum, err := j.compare(ctx, d, point[d], held)
		if err != nil {
			return v, err
		}
		v.SHA256 = append(v.SHA256, sum)
	}
	return v, nil
}

// newest returns the highest record number that any disk shows.
func (j *Judge) newest(ctx context.Context, point []Image) (int64, error) {
	var newest int64
	for d, image := range point {
		if image == nil {
			continue
		}
		err := eachWindow(ctx, image, func(p []byte, off int64) error {
			for i := 0; i+SectorSize <= len(p); i += SectorSize {
				n, ok := numberIn(p[i:])
				if !ok {
					continue
				}
				if n > int64(len(j.Journal.Records)) {
					return differs("disk %d shows record %d at %d, which the guest never began", d, n, off+int64(i))
				}
				newest = max(newest, n)
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	return newest, nil
}

// held returns the records that the point holds, in order. All below the window
// of records that were in flight with the newest must be there; for those in the
// window the disks are asked.
func (j *Judge) held(point []Image, newest int64) ([]Record, error) {
	settled := max(0, newest-2*Depth)
	held := append([]Record(nil), j.Journal.Records[:settled]...)
	begun := 0 // the line that began the last record known to be held
	if settled > 0 {
		begun = j.Journal.begun[settled-1]
	}
	var missing []Record
	for i := settled; i < min(newest+Depth, int64(len(j.Journal.Records))); i++ {
		r := j.Journal.Records[i]
		if point[r.Disk] == nil {
			continue
		}
		found, err := presence(point[r.Disk], r)
		switch {
		case err != nil:
			return nil, err
		case found == torn:
			return nil, differs("record %d is torn: disk %d holds a part of it", r.Number, r.Disk)
		case found == absent:
			missing = append(missing, r)
		default:
			held = append(held, r)
			if !r.Zeroes() { // zeroes that were there before prove nothing
				begun = max(begun, j.Journal.begun[i])
			}
		}
	}
	for _, r := range missing {
		if line := j.Journal.acked[r.Number-1]; line != 0 && line < begun {
			return nil, differs("record %d was acknowledged before a record of the point was begun, and is missing", r.Number)
		}
	}
	return held, nil
}

type found int

const (
	absent found = iota
	torn
	present
)

func presence(image Image, r Record) (found, error) {
	got, want := make([]byte, r.Length), make([]byte, r.Length)
	if _, err := image.ReadAt(got, r.Offset); err != nil {
		return absent, fmt.Errorf("read record %d: %w", r.Number, err)
	}
	r.Fill(want)
	same := 0
	for i := 0; i < len(got); i += SectorSize {
		if bytes.Equal(got[i:i+SectorSize], want[i:i+SectorSize]) {
			same++
		}
	}
	switch {
	case same == len(got)/SectorSize:
		return present, nil
	case same == 0 || r.Zeroes():
		return absent, nil
	}
	return torn, nil
}

// compare replays the held records onto the disk's seed and compares the result
// with the image, both by their SHA-256. It returns the sum they share.
func (j *Judge) compare(ctx context.Context, disk int, image Image, held []Record) (string, error) {
	last := make(map[int64]Record) // the record that wrote a sector last
	for _, r := range held {
		if r.Disk != disk {
			continue
		}
		for off := r.Offset; off < r.end(); off += SectorSize {
			last[off] = r
		}
	}
	got, want := sha256.New(), sha256.New()
	seed := make([]byte, window)
	err := eachWindow(ctx, image, func(p []byte, off int64) error {
		replayed := seed[:len(p)]
		if _, err := j.Seeds[disk].ReadAt(replayed, off); err != nil {
			return fmt.Errorf("read the seed of disk %d at %d: %w", disk, off, err)
		}
		for i := int64(0); i+SectorSize <= int64(len(p)); i += SectorSize {
			if r, ok := last[off+i]; ok {
				r.sector(replayed[i:i+SectorSize], off+i)
			}
		}
		if i := firstDifference(p, replayed); i >= 0 {
			return differs("disk %d differs from the replayed source at byte %d", disk, off+int64(i))
		}
		got.Write(p)
		want.Write(replayed)
		return nil
	})
	if err != nil {
		return "", err
	}
	sum := hex.EncodeToString(got.Sum(nil))
	if other := hex.EncodeToString(want.Sum(nil)); other != sum {
		return "", differs("disk %d has SHA-256 %s, the replayed source %s", disk, sum, other)
	}
	return sum, nil
}

func firstDifference(a, b []byte) int {
	if bytes.Equal(a, b) {
		return -1
	}
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}

func eachWindow(ctx context.Context, image Image, visit func(p []byte, off int64) error) error {
	buf := make([]byte, window)
	for off := int64(0); off < image.Size(); off += window {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("read the disk: %w", context.Cause(ctx))
		}
		p := buf[:min(window, image.Size()-off)]
		if _, err := image.ReadAt(p, off); err != nil {
			return fmt.Errorf("read the disk at %d: %w", off, err)
		}
		if err := visit(p, off); err != nil {
			return err
		}
	}
	return nil
}
