package hosttest

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"farshore/domain/errorcatalog"
	"farshore/workers/host"
)

// Beside is a return under test, and what its disks are to be.
type Beside struct {
	s        *Subject
	ID       string
	Original map[string][]byte
	Want     map[string][]byte
}

// BeginReturn begins a return of all disks of the VM, which is off.
func BeginReturn(t *testing.T, s *Subject, id string) *Beside {
	t.Helper()
	b := &Beside{s: s, ID: id, Original: map[string][]byte{}, Want: map[string][]byte{}}
	for _, d := range s.disks() {
		b.Original[d] = s.Content(t, d)
		b.Want[d] = bytes.Clone(b.Original[d])
	}
	if fresh := b.Begin(t); !fresh {
		t.Error("a new return is not fresh")
	}
	return b
}

// Begin begins the return or takes it up.
func (b *Beside) Begin(t *testing.T) bool {
	t.Helper()
	fresh, err := b.s.Host.BeginReturn(t.Context(), b.s.VM.ID, b.ID, b.s.disks())
	must(t, err)
	return fresh
}

// Open opens a disk of the return.
func (b *Beside) Open(t *testing.T, diskID string) host.BesideDisk {
	t.Helper()
	d, err := b.s.Host.OpenBeside(t.Context(), b.s.VM.ID, b.ID, diskID)
	must(t, err)
	return d
}

// Scribble writes beside every disk: whole blocks, parts of blocks, the disk's
// ends, and zeroes.
func (b *Beside) Scribble(t *testing.T) {
	t.Helper()
	for _, id := range b.s.disks() {
		d, want := b.Open(t, id), b.Want[id]
		size := int64(len(want)) - b.s.Footer(id)
		write := func(off, n int64) {
			p := noise(int(n))
			_, err := d.WriteAt(p, off)
			must(t, err)
			copy(want[off:], p)
		}
		zero := func(off, n int64) {
			must(t, d.Zero(off, n))
			clear(want[off : off+n])
		}
		write(0, 512)
		write(size-1024, 1024)
		write(128<<10, 256<<10)
		zero(200<<10, 100<<10)
		write(210<<10, 4<<10)
		zero(384<<10, 64<<10)
		for range 12 {
			off := rand.Int64N(size/512-200) * 512
			write(off, 512*(1+rand.Int64N(200)))
			off = rand.Int64N(size/512-200) * 512
			zero(off, 512*(1+rand.Int64N(100)))
		}
		must(t, d.Flush())
		must(t, d.Close())
	}
}

// Reads compares the merged view with what it is to be.
func (b *Beside) Reads(t *testing.T) {
	t.Helper()
	for _, id := range b.s.disks() {
		d := b.Open(t, id)
		want := b.Want[id][:int64(len(b.Want[id]))-b.s.Footer(id)]
		p := make([]byte, len(want))
		_, err := d.ReadAt(p, 0)
		must(t, err)
		if !bytes.Equal(p, want) {
			t.Errorf("disk %s does not read as what was written beside it", id)
		}
		_, err = d.ReadAt(p[:3000], 63<<10)
		must(t, err)
		if !bytes.Equal(p[:3000], want[63<<10:63<<10+3000]) {
			t.Errorf("a part of disk %s does not read as what was written beside it", id)
		}
		must(t, d.Close())
	}
}

// Holds compares the disks themselves.
func (b *Beside) Holds(t *testing.T, what string, want map[string][]byte) {
	t.Helper()
	for _, d := range b.s.disks() {
		if !bytes.Equal(b.s.Content(t, d), want[d]) {
			t.Errorf("%s: disk %s is not what it is to be", what, d)
		}
	}
}

// Merge merges the return.
func (b *Beside) Merge(t *testing.T) error {
	t.Helper()
	return b.s.Host.MergeReturn(t.Context(), b.s.VM.ID, b.ID)
}

// Undo undoes the return.
func (b *Beside) Undo(t *testing.T) error {
	t.Helper()
	return b.s.Host.UndoReturn(t.Context(), b.s.VM.ID, b.ID)
}

// Settle settles the return.
func (b *Beside) Settle(t *testing.T) error {
	t.Helper()
	return b.s.Host.SettleReturn(t.Context(), b.s.VM.ID, b.ID)
}

// Gone checks that nothing is left of the return.
func (b *Beside) Gone(t *testing.T) {
	t.Helper()
	if left := b.s.Left(t); len(left) > 0 {
		t.Errorf("the return has left %v", left)
	}
}

func returned(t *testing.T, s *Subject) {
	t.Helper()
	b := BeginReturn(t, s, "return-1")
	b.Scribble(t)
	b.Reads(t)
	if b.Begin(t) {
		t.Error("a return that was begun is not taken up")
	}
	b.Reads(t)
	b.Scribble(t)
	b.Holds(t, "before the merge", b.Original)
	must(t, b.Merge(t))
	b.Holds(t, "merged", b.Want)
	must(t, b.Merge(t))
	if b.Begin(t) {
		t.Error("a return that is merged was begun anew")
	}
	b.Holds(t, "merged twice", b.Want)
	must(t, b.Settle(t))
	must(t, b.Settle(t))
	must(t, b.Undo(t)) // too late, and nothing to do
	b.Holds(t, "settled", b.Want)
	b.Gone(t)
}

func undone(t *testing.T, s *Subject) {
	t.Helper()
	b := BeginReturn(t, s, "return-1")
	b.Scribble(t)
	must(t, b.Undo(t))
	b.Holds(t, "given up", b.Original)
	b.Gone(t)
	b = BeginReturn(t, s, "return-1")
	b.Reads(t)
	b.Scribble(t)
	must(t, b.Merge(t))
	must(t, b.Undo(t))
	must(t, b.Undo(t))
	b.Holds(t, "undone", b.Original)
	b.Gone(t)
	must(t, s.Host.Start(t.Context(), s.VM.ID))
	must(t, s.Host.Stop(t.Context(), s.VM.ID))
}

func undoneAfterRunning(t *testing.T, s *Subject) {
	t.Helper()
	ctx, h := t.Context(), s.Host
	b := BeginReturn(t, s, "return-1")
	b.Scribble(t)
	must(t, b.Merge(t))
	for range 3 {
		must(t, h.Start(ctx, s.VM.ID))
		must(t, h.StartReplication(ctx, s.VM.ID, Relationship(s)))
		s.scribble(t, 30)
		must(t, h.Stop(ctx, s.VM.ID))
		must(t, h.StopReplication(ctx, s.VM.ID))
	}
	must(t, b.Merge(t)) // has been
	must(t, b.Undo(t))
	b.Holds(t, "undone after the VM ran", b.Original)
	b.Gone(t)
	b = BeginReturn(t, s, "return-2")
	b.Scribble(t)
	must(t, b.Merge(t))
	must(t, h.Start(ctx, s.VM.ID))
	s.scribble(t, 10)
	must(t, b.Settle(t)) // under the running guest
	b.Gone(t)
	s.scribble(t, 10)
	must(t, h.Stop(ctx, s.VM.ID))
	b.Gone(t)
}

func returnAnew(t *testing.T, s *Subject) {
	t.Helper()
	ctx, h := t.Context(), s.Host
	b := BeginReturn(t, s, "return-1")
	b.Scribble(t)
	d := b.Open(t, s.disks()[0])
	must(t, h.Start(ctx, s.VM.ID)) // nobody kept it off
	s.scribble(t, 10)
	must(t, h.Stop(ctx, s.VM.ID))
	changed := map[string][]byte{}
	for _, id := range s.disks() {
		changed[id] = s.Content(t, id)
	}
	code(t, b.Merge(t), errorcatalog.DiskChangedOffline)
	b.Holds(t, "refused", changed)
	if _, err := h.OpenBeside(ctx, s.VM.ID, b.ID, s.disks()[0]); err == nil {
		t.Error("a return of disks that have changed is written on")
	}
	if !b.Begin(t) {
		t.Fatal("a return of disks that have changed is taken up")
	}
	if _, err := d.WriteAt(noise(512), 0); err == nil {
		// A client opens the disk with each piece, and so has the new return.
		must(t, b.Undo(t))
		b.Begin(t)
	}
	b.Original = changed
	for id, p := range changed {
		b.Want[id] = bytes.Clone(p)
	}
	b.Reads(t)
	b.Scribble(t)
	must(t, b.Merge(t))
	b.Holds(t, "merged", b.Want)
	must(t, b.Undo(t))
	b.Holds(t, "undone", changed)
	BeginReturn(t, s, "return-2") // given up by the next
	b = BeginReturn(t, s, "return-3")
	must(t, b.Undo(t))
	b.Gone(t)
}

func returnRunning(t *testing.T, s *Subject) {
	t.Helper()
	ctx, h := t.Context(), s.Host
	b := BeginReturn(t, s, "return-1")
	b.Scribble(t)
	must(t, h.Start(ctx, s.VM.ID))
	code(t, b.Merge(t), errorcatalog.SourceStillRunningRefusal)
	code(t, b.Undo(t), errorcatalog.SourceStillRunningRefusal)
	_, err := h.BeginReturn(ctx, s.VM.ID, b.ID, s.disks())
	code(t, err, errorcatalog.SourceStillRunningRefusal)
	_, err = h.OpenBeside(ctx, s.VM.ID, b.ID, s.disks()[0])
	code(t, err, errorcatalog.SourceStillRunningRefusal)
	must(t, h.Stop(ctx, s.VM.ID))
	b.Holds(t, "after the refusals", b.Original)
	must(t, b.Merge(t)) // nothing was written
	b.Holds(t, "merged", b.Want)
	must(t, h.Start(ctx, s.VM.ID))
	code(t, b.Undo(t), errorcatalog.SourceStillRunningRefusal)
	must(t, h.Stop(ctx, s.VM.ID))
	must(t, b.Undo(t))
	b.Holds(t, "undone", b.Original)
	b.Gone(t)
}

func returnCodes(t *testing.T, s *Subject) {
	t.Helper()
	ctx, h, vm := t.Context(), s.Host, s.VM.ID
	_, err := h.BeginReturn(ctx, "none", "return-1", s.disks())
	code(t, err, errorcatalog.VMNotFound)
	_, err = h.BeginReturn(ctx, vm, "../return", s.disks())
	code(t, err, errorcatalog.ValidationFailed)
	_, err = h.BeginReturn(ctx, vm, "return-1", nil)
	code(t, err, errorcatalog.ValidationFailed)
	_, err = h.BeginReturn(ctx, vm, "return-1", []string{s.disks()[0], s.disks()[0]})
	code(t, err, errorcatalog.ValidationFailed)
	_, err = h.BeginReturn(ctx, vm, "return-1", []string{"none"})
	code(t, err, errorcatalog.DiskNotFound)
	_, err = h.OpenBeside(ctx, vm, "return-1", s.disks()[0])
	code(t, err, errorcatalog.NoFailbackPending)
	code(t, h.MergeReturn(ctx, vm, "return-1"), errorcatalog.NoFailbackPending)
	must(t, h.UndoReturn(ctx, vm, "return-1"))
	must(t, h.SettleReturn(ctx, vm, "return-1"))
	b := BeginReturn(t, s, "return-1")
	_, err = h.OpenBeside(ctx, vm, b.ID, "none")
	code(t, err, errorcatalog.DiskNotFound)
	code(t, b.Settle(t), errorcatalog.OperationInProgress)
	d := b.Open(t, s.disks()[0])
	size := int64(len(b.Original[s.disks()[0]]))
	for _, off := range []int64{-1, size - 511, size, 1 << 62} {
		_, err := d.WriteAt(make([]byte, 512), off)
		code(t, err, errorcatalog.ValidationFailed)
		_, err = d.ReadAt(make([]byte, 512), off)
		code(t, err, errorcatalog.ValidationFailed)
		code(t, d.Zero(off, 512), errorcatalog.ValidationFailed)
	}
	b.Scribble(t)
	must(t, b.Merge(t))
	_, err = d.WriteAt(make([]byte, 512), 0)
	if err == nil {
		t.Error("a merged return is written on")
	}
	_, err = h.BeginReturn(ctx, vm, "return-2", s.disks())
	code(t, err, errorcatalog.OperationInProgress)
	b.Holds(t, "merged", b.Want)
	must(t, b.Settle(t))
	b.Gone(t)
}

// returnTracked: a VM that returns is not tracked, for its relationship has been
// ended. If it is, its logs know nothing of the merge, and nobody must believe
// that they do.
func returnTracked(t *testing.T, s *Subject) {
	t.Helper()
	ctx, h := t.Context(), s.Host
	must(t, h.StartReplication(ctx, s.VM.ID, Relationship(s)))
	must(t, h.CreateSnapshot(ctx, s.VM.ID, "s1"))
	b := BeginReturn(t, s, "return-1")
	b.Scribble(t)
	r := NewReplica(t, s)
	r.Follow("") // what lies beside a disk is no change of it
	must(t, b.Merge(t))
	trackedAnew(t, s, "merge")
	_, err := h.OpenSnapshot(ctx, s.VM.ID, "s1", s.disks()[0])
	code(t, err, errorcatalog.SnapshotNotFound)
	must(t, b.Undo(t))
	b.Holds(t, "undone", b.Original)
	trackedAnew(t, s, "undo")
	must(t, h.StopReplication(ctx, s.VM.ID))
	b.Gone(t)
}

func trackedAnew(t *testing.T, s *Subject, what string) {
	t.Helper()
	ctx, h := t.Context(), s.Host
	_, err := h.Cut(ctx, s.VM.ID, host.CutRequest{ID: "0198c1d4-0000-7000-8000-000000000001"})
	code(t, err, errorcatalog.DiskChangedOffline)
	state, err := h.Replication(ctx, s.VM.ID)
	must(t, err)
	for _, d := range state.Tracking {
		if d.ResyncReason != string(errorcatalog.DiskChangedOffline) {
			t.Errorf("after the %s, disk %s is %+v", what, d.Disk, d)
		}
	}
	must(t, h.RestartTracking(ctx, s.VM.ID, s.disks()))
	r := NewReplica(t, s)
	must(t, h.Start(ctx, s.VM.ID))
	s.scribble(t, 5)
	must(t, h.Stop(ctx, s.VM.ID))
	r.follow(t)
	r.Equals("tracked anew after the " + what)
}
