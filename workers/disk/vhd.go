package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// FooterSize is the length of a VHD footer, in bytes.
const FooterSize = 512

// MiB is the unit of size of the VHDs we make: Azure accepts no other.
const MiB = 1 << 20

// What can be wrong with a VHD.
var (
	ErrNotVHD      = errors.New("not a VHD")
	ErrVHDDamaged  = errors.New("damaged VHD")
	ErrVHDNotFixed = errors.New("not a fixed VHD")
	ErrVHDSize     = errors.New("size is not a positive whole number of MiB")
)

// VHDType says how a VHD holds its content.
type VHDType uint32

// The VHD types of the format's specification.
const (
	VHDFixed        VHDType = 2
	VHDDynamic      VHDType = 3
	VHDDifferencing VHDType = 4
)

// Geometry is a disk's size as old BIOSes count it.
type Geometry struct {
	Cylinders       uint16
	Heads           uint8
	SectorsPerTrack uint8
}

// Footer is the last 512 bytes of a VHD.
type Footer struct {
	Features       uint32
	Version        uint32
	DataOffset     uint64
	Created        time.Time // whole seconds since 2000
	CreatorApp     string    // 4 characters
	CreatorVersion uint32
	CreatorHostOS  string // 4 characters
	OriginalSize   int64
	CurrentSize    int64
	Geometry       Geometry
	Type           VHDType
	ID             [16]byte
	SavedState     bool
}

const (
	vhdCookie     = "conectix"
	vhdVersion    = 0x00010000
	noDataOffset  = ^uint64(0)
	reservedBit   = 2          // always set in the features
	creatorVer    = 0x000A0000 // Windows 10, as Hyper-V writes it
	checksumAt    = 64
	sectorSize    = 512
	maxCHSSectors = 65535 * 16 * 255
)

// FooterFor returns the footer of a fixed VHD of the given size. It names Windows
// as its creator because readers take CurrentSize for the disk's size only from
// creators they know, and else the rounded geometry.
func FooterFor(size int64, id [16]byte, created time.Time) Footer {
	return Footer{
		Features: reservedBit, Version: vhdVersion, DataOffset: noDataOffset,
		Created: created.UTC().Truncate(time.Second), CreatorApp: "win ", CreatorVersion: creatorVer, CreatorHostOS: "Wi2k",
		OriginalSize: size, CurrentSize: size, Geometry: GeometryFor(size), Type: VHDFixed, ID: id,
	}
}

// GeometryFor is the specification's calculation; it may count fewer bytes than
// the disk has.
func GeometryFor(size int64) Geometry {
	total := min(size/sectorSize, maxCHSSectors)
	if total >= 65535*16*63 {
		return geometry(total/255/16, 16, 255)
	}
	sectors := int64(17)
	cylindersTimesHeads := total / sectors
	heads := max((cylindersTimesHeads+1023)/1024, 4)
	if cylindersTimesHeads >= heads*1024 || heads > 16 {
		sectors, heads = 31, 16
		cylindersTimesHeads = total / sectors
	}
	if cylindersTimesHeads >= heads*1024 {
		sectors, heads = 63, 16
		cylindersTimesHeads = total / sectors
	}
	return geometry(cylindersTimesHeads/heads, heads, sectors)
}

func geometry(cylinders, heads, sectors int64) Geometry {
	return Geometry{Cylinders: uint16(cylinders), Heads: uint8(heads), SectorsPerTrack: uint8(sectors)} //nolint:gosec // bounded by maxCHSSectors
}

// epoch is the zero of a VHD's clock.
func epoch() time.Time { return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) }

// Encode returns the footer's 512 bytes.
func (f Footer) Encode() []byte {
	b := make([]byte, FooterSize)
	be := binary.BigEndian
	copy(b[0:8], vhdCookie)
	be.PutUint32(b[8:], f.Features)
	be.PutUint32(b[12:], f.Version)
	be.PutUint64(b[16:], f.DataOffset)
	be.PutUint32(b[24:], uint32(f.Created.Sub(epoch())/time.Second)) //nolint:gosec // the format's clock ends in 2136
	copy(b[28:32], f.CreatorApp)
	be.PutUint32(b[32:], f.CreatorVersion)
	copy(b[36:40], f.CreatorHostOS)
	be.PutUint64(b[40:], uint64(f.OriginalSize))
	be.PutUint64(b[48:], uint64(f.CurrentSize))
	be.PutUint16(b[56:], f.Geometry.Cylinders)
	b[58], b[59] = f.Geometry.Heads, f.Geometry.SectorsPerTrack
	be.PutUint32(b[60:], uint32(f.Type))
	copy(b[68:84], f.ID[:])
	if f.SavedState {
		b[84] = 1
	}
	be.PutUint32(b[checksumAt:], footerChecksum(b))
	return b
}

// ParseFooter reads a footer and verifies its checksum; b holds 512 bytes.
func ParseFooter(b []byte) (Footer, error) {
	be := binary.BigEndian
	if len(b) != FooterSize || string(b[:8]) != vhdCookie {
		return Footer{}, fmt.Errorf("no cookie: %w", ErrNotVHD)
	}
	if stored, want := be.Uint32(b[checksumAt:]), footerChecksum(b); stored != want {
		return Footer{}, fmt.Errorf("footer checksum %08x, computed %08x: %w", stored, want, ErrVHDDamaged)
	}
	f := Footer{
		Features: be.Uint32(b[8:]), Version: be.Uint32(b[12:]), DataOffset: be.Uint64(b[16:]),
		Created:    epoch().Add(time.Duration(be.Uint32(b[24:])) * time.Second),
		CreatorApp: string(b[28:32]), CreatorVersion: be.Uint32(b[32:]), CreatorHostOS: string(b[36:40]),
		OriginalSize: int64(be.Uint64(b[40:])), CurrentSize: int64(be.Uint64(b[48:])), //nolint:gosec // negative ones are refused below
		Geometry: Geometry{Cylinders: be.Uint16(b[56:]), Heads: b[58], SectorsPerTrack: b[59]},
		Type:     VHDType(be.Uint32(b[60:])), ID: [16]byte(b[68:84]), SavedState: b[84] == 1,
	}
	if f.Version>>16 != vhdVersion>>16 {
		return Footer{}, fmt.Errorf("version %08x: %w", f.Version, ErrNotVHD)
	}
	if f.CurrentSize <= 0 || f.OriginalSize < 0 {
		return Footer{}, fmt.Errorf("size %d: %w", f.CurrentSize, ErrVHDDamaged)
	}
	return f, nil
}

// footerChecksum is the one's complement of the sum of all bytes but its own.
func footerChecksum(b []byte) uint32 {
	var sum uint32
	for i, c := range b {
		if i < checksumAt || i >= checksumAt+4 {
			sum += uint32(c)
		}
	}
	return ^sum
}

// OpenVHD opens a fixed VHD and verifies that footer and file agree.
func OpenVHD(path string, readonly bool) (*File, error) {
	f, length, err := openFile(path, readonly)
	if err != nil {
		return nil, err
	}
	var footer Footer
	if length < FooterSize {
		err = fmt.Errorf("%d bytes: %w", length, ErrNotVHD)
	} else {
		b := make([]byte, FooterSize)
		if _, err = f.ReadAt(b, length-FooterSize); err == nil {
			footer, err = ParseFooter(b)
		}
	}
	switch {
	case err != nil:
	case footer.Type != VHDFixed:
		err = fmt.Errorf("type %d: %w", footer.Type, ErrVHDNotFixed)
	case footer.CurrentSize != length-FooterSize:
		err = fmt.Errorf("footer says %d bytes of content, the file has %d: %w", footer.CurrentSize, length-FooterSize, ErrVHDDamaged)
	}
	if err != nil {
		return nil, fmt.Errorf("open VHD %s: %w", path, errors.Join(err, f.Close()))
	}
	return &File{f: f, size: footer.CurrentSize, footer: &footer}, nil
}

// CreateVHD makes a sparse fixed VHD of all zeroes with the given footer; it
// fails if the file exists.
func CreateVHD(path string, footer Footer) error {
	if footer.CurrentSize <= 0 || footer.CurrentSize%MiB != 0 {
		return fmt.Errorf("create VHD %s of %d bytes: %w", path, footer.CurrentSize, ErrVHDSize)
	}
	if footer.Type != VHDFixed {
		return fmt.Errorf("create VHD %s: %w", path, ErrVHDNotFixed)
	}
	return create(path, footer.CurrentSize, footer.Encode())
}
