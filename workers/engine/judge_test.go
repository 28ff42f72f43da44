package engine_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"farshore/domain/protecteditem"
	"farshore/workers/proof"
)

// judge examines a point and returns how many records it holds.
func (s *scene) judge(p protecteditem.Point) int64 {
	s.t.Helper()
	return s.verdict(p).Records
}

func (s *scene) verdict(p protecteditem.Point) proof.Verdict {
	s.t.Helper()
	journal, err := proof.ReadJournal(filepath.Join(s.source, "journal"))
	must(s.t, err)
	var images []proof.Image
	for _, d := range s.attached() {
		if !holds(p, d) {
			images = append(images, nil)
			continue
		}
		r, err := s.replica.OpenPoint(s.t.Context(), s.state().ReplicaID(), p.ID, d)
		must(s.t, err)
		defer r.Close() //nolint:errcheck // read only
		images = append(images, r)
	}
	v, err := (&proof.Judge{Seeds: s.seeds, Journal: journal}).Examine(s.t.Context(), images)
	must(s.t, err)
	return v
}

// sameAsSource compares a point with the disks of the stopped source.
func (s *scene) sameAsSource(p protecteditem.Point) {
	s.t.Helper()
	for _, d := range disks {
		want, err := os.ReadFile(filepath.Join(s.source, d+".raw"))
		must(s.t, err)
		r, err := s.replica.OpenPoint(s.t.Context(), s.state().ReplicaID(), p.ID, d)
		must(s.t, err)
		got, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
		must(s.t, errors.Join(err, r.Close()))
		if string(got) != string(want) {
			s.t.Errorf("point %s differs from the source on disk %s", p.ID, d)
		}
	}
}
