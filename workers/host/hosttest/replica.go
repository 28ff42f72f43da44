package hosttest

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"testing"

	"github.com/google/uuid"
	"github.com/zeebo/blake3"

	"farshore/workers/changelog"
	"farshore/workers/host"
)

// Replica follows a VM by its cuts.
type Replica struct {
	t     *testing.T
	s     *Subject
	Disks map[string][]byte // what the logs lead to
	last  map[string]string // the newest log applied, by disk
	cut   string
}

// NewReplica returns a replica of the VM as it is now, off.
func NewReplica(t *testing.T, s *Subject) *Replica {
	t.Helper()
	r := &Replica{t: t, s: s, Disks: map[string][]byte{}, last: map[string]string{}}
	for _, d := range s.disks() {
		r.Disks[d] = s.Content(t, d)
	}
	return r
}

// Follow makes a cut, applies and releases it.
func (r *Replica) Follow(snapshot string) host.Cut {
	r.t.Helper()
	c, err := r.s.Host.Cut(r.t.Context(), r.s.VM.ID, host.CutRequest{ID: uuid.NewString(), Snapshot: snapshot})
	must(r.t, err)
	r.Apply(c)
	must(r.t, r.s.Host.ReleaseCut(r.t.Context(), r.s.VM.ID, c.ID))
	must(r.t, r.s.Host.ReleaseCut(r.t.Context(), r.s.VM.ID, c.ID))
	return c
}

// follow makes and applies a cut, whatever it follows.
func (r *Replica) follow(t *testing.T) {
	t.Helper()
	c, err := r.s.Host.Cut(t.Context(), r.s.VM.ID, host.CutRequest{ID: uuid.NewString()})
	must(t, err)
	r.cut = c.PreviousID
	r.Apply(c)
}

// Apply brings the replica to a cut.
func (r *Replica) Apply(c host.Cut) {
	r.t.Helper()
	if c.PreviousID != r.cut {
		r.t.Fatalf("cut %s follows %q, not %q", c.ID, c.PreviousID, r.cut)
	}
	r.cut = c.ID
	for _, d := range c.Disks {
		var logs []*changelog.Reader
		for _, l := range d.Logs {
			if last := r.last[d.Disk]; last != "" && l.PreviousID != last {
				r.t.Fatalf("log %s follows %q, not %q", l.ID, l.PreviousID, last)
			}
			r.last[d.Disk] = l.ID
			logs = append(logs, r.open(d.Disk, l))
		}
		if len(logs) == 0 {
			continue
		}
		x, err := changelog.Open(logs)
		must(r.t, err)
		for _, e := range x.Extents() {
			if _, err := x.Overlay(r.Disks[d.Disk][e.Offset:e.End()], e.Offset); err != nil {
				r.t.Fatal(err)
			}
		}
	}
}

func (r *Replica) open(diskID string, l host.LogFile) *changelog.Reader {
	r.t.Helper()
	f, err := r.s.Host.OpenLog(r.t.Context(), r.s.VM.ID, diskID, l.ID)
	must(r.t, err)
	p, err := io.ReadAll(f)
	must(r.t, errors.Join(err, f.Close()))
	sum := blake3.Sum256(p)
	if int64(len(p)) != l.Bytes || hex.EncodeToString(sum[:]) != l.Digest {
		r.t.Fatalf("log %s has %d bytes of another digest than its cut says", l.ID, len(p))
	}
	log, err := changelog.NewReader(bytes.NewReader(p), l.Bytes)
	must(r.t, err)
	return log
}

// Equals compares the replica with the stopped VM's disks.
func (r *Replica) Equals(what string) {
	r.t.Helper()
	r.equals(what, func(d string) []byte { return r.s.Content(r.t, d) })
}

func (r *Replica) equals(what string, content func(disk string) []byte) {
	r.t.Helper()
	for _, d := range r.s.disks() {
		if !bytes.Equal(r.Disks[d], content(d)) {
			r.t.Errorf("%s: disk %s is not what its logs lead to", what, d)
		}
	}
}
