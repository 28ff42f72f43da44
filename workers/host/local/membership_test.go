package local_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/uuid"

	"farshore/workers/host"
	"farshore/workers/host/hosttest"
	"farshore/workers/host/local"
)

// A host that is killed, or has no room, once it has recorded that a disk is tracked
// no longer leaves cuts that name it. Nobody sees it in them, and it can be tracked
// again.
func TestADiskThatLeftIsInNoCutAfterACrash(t *testing.T) {
	t.Parallel()
	dir, vm := site1(t, nil)
	socket := filepath.Join(socketDir(t), "h.sock")
	s := subject(t, dir, socket, vm)
	e, err := local.Open(options(dir, socket))
	must(t, err)
	s.Host = e
	all := hosttest.Relationship(s)
	must(t, e.StartReplication(within(t), vm.ID, all))
	first, err := e.Cut(within(t), vm.ID, host.CutRequest{ID: uuid.NewString()})
	must(t, err)
	must(t, cut(t, e))
	must(t, e.Close())
	rewrite(t, filepath.Join(dir, vm.ID, "replication.json"), "disks", all.Disks[:1])

	s.Host = engine(t, options(dir, socket))
	state, err := s.Host.Replication(within(t), vm.ID)
	must(t, err)
	if len(state.Cuts) != 2 {
		t.Fatalf("cuts are %+v", state.Cuts)
	}
	for _, c := range state.Cuts {
		if len(c.Disks) != 1 || c.Disks[0].Disk != all.Disks[0] {
			t.Errorf("a cut is of %+v", c.Disks)
		}
	}
	must(t, s.Host.ReleaseCut(within(t), vm.ID, first.ID))
	must(t, s.Host.UpdateRelationship(within(t), vm.ID, all))
	state, err = s.Host.Replication(within(t), vm.ID)
	must(t, err)
	if len(state.Cuts) != 1 || len(state.Cuts[0].Disks) != 1 {
		t.Errorf("a disk that is tracked again is in a cut of before: %+v", state.Cuts)
	}
	last, err := s.Host.Cut(within(t), vm.ID, host.CutRequest{ID: uuid.NewString()})
	must(t, err)
	if len(last.Disks) != len(all.Disks) || last.PreviousID != state.Cuts[0].ID {
		t.Errorf("the next cut is %+v", last)
	}
	for _, c := range []string{state.Cuts[0].ID, last.ID} {
		must(t, s.Host.ReleaseCut(within(t), vm.ID, c))
	}
}

// rewrite changes a value of a record.
func rewrite(t *testing.T, path, key string, value any) {
	t.Helper()
	p, err := os.ReadFile(path)
	must(t, err)
	var record map[string]any
	must(t, json.Unmarshal(p, &record))
	record[key] = value
	p, err = json.Marshal(record)
	must(t, err)
	must(t, os.WriteFile(path, p, 0o600))
}
