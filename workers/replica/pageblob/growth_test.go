package pageblob_test

import (
	"bytes"
	"strconv"
	"testing"

	"farshore/workers/disk"
	"farshore/workers/replica"
	"farshore/workers/replica/pageblob/faultproxy"
)

func TestAGrowthThatIsCutOffAfterAnyRequestLeavesNoFooterBehind(t *testing.T) {
	t.Parallel()
	const before, first, larger = mib + 512, 3*mib + 512, 5 * mib
	for how, second := range map[string]int64{"and is repeated": first, "and is repeated with more": larger} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			y := newYard(t)
			was := noise(60, before)
			s, n := y.store(t, nil), 0
			for cut := true; cut; n++ {
				name := "disk-" + strconv.Itoa(n)
				mustWrite(t, createDisk(t, s, name, before, 1), was, 0)
				restore := y.cutAfter(n, faultproxy.Always)
				cut = s.GrowDisk(t.Context(), replica.DiskSpec{Item: item, Disk: name, SizeBytes: first}, 1) != nil
				restore()
				other := y.other(t)
				mustHold(t, openDisk(t, other, name, 1), was, 0)
				if err := other.GrowDisk(t.Context(), replica.DiskSpec{Item: item, Disk: name, SizeBytes: second}, 1); err != nil {
					t.Fatalf("cut off after %d requests: %v", n, err)
				}
				y.mustBeVHD(t, name, append(bytes.Clone(was), make([]byte, second-before)...))
			}
			if n < 10 {
				t.Errorf("a growth is only %d requests", n)
			}
		})
	}
}

// mustBeVHD compares all of a disk's blob with what it should hold, and nothing but
// the footer behind it.
func (y yard) mustBeVHD(t *testing.T, name string, content []byte) {
	t.Helper()
	blob := y.download(t, item+"/disks/"+name+".vhd")
	whole := (len(content) + mib - 1) / mib * mib
	if len(blob) != whole+disk.FooterSize {
		t.Fatalf("the blob has %d bytes, not %d and a footer", len(blob), whole)
	}
	if !bytes.Equal(blob[:len(content)], content) || !bytes.Equal(blob[len(content):whole], make([]byte, whole-len(content))) {
		t.Fatal("the blob holds something else")
	}
	if f, err := disk.ParseFooter(blob[whole:]); err != nil || f.CurrentSize != int64(whole) {
		t.Fatalf("the footer says %d bytes, %v", f.CurrentSize, err)
	}
}
