package engine_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
	"farshore/workers/host"
)

// notFollowed waits for the end of a cycle that cannot succeed, however it ends.
func (s *scene) notFollowed() protecteditem.State {
	s.t.Helper()
	return s.until("resynchronization required, or a failure counted", func(st protecteditem.State) bool {
		return st.Resync.State == protecteditem.ResyncRequired || st.Retry.Failure != nil
	})
}

func TestALogThatIsMissingAsksForAResynchronization(t *testing.T) {
	t.Parallel()
	for where, lose := range map[string]func(s *scene, armed *atomic.Bool){
		"at its host": func(s *scene, _ *atomic.Bool) {
			made, err := s.host.Cut(s.t.Context(), "web", host.CutRequest{ID: newID()})
			must(s.t, err)
			n := slices.IndexFunc(made.Disks, func(d host.DiskCut) bool { return d.Disk == "data" })
			must(s.t, os.Remove(filepath.Join(s.source, "data.raw."+made.Disks[n].Logs[0].ID+".hrl")))
		},
		"in the store": func(_ *scene, armed *atomic.Bool) { armed.Store(true) },
	} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, seldom)
			var armed atomic.Bool
			s.damage = func(item, name string) {
				if !strings.HasPrefix(name, "logs/data/") || !armed.CompareAndSwap(true, false) {
					return
				}
				if err := os.Remove(filepath.Join(s.config.Store, item, "objects", name)); err != nil {
					t.Error(err)
				}
			}
			s.work()
			s.enable()
			s.until("protected", protected)
			s.replicate()
			lose(s, &armed)
			s.do(protecteditem.ReplicateNow{At: s.now()})
			st := s.notFollowed()
			if st.Resync.Reason != errorcatalog.LogMissing {
				t.Errorf("resynchronization is %+v after %v", st.Resync, st.Retry.Failure)
			}
		})
	}
}

func TestLogsThatAreDroppedWhileTheyAreShippedSayWhy(t *testing.T) {
	t.Parallel()
	s := newScene(t, seldom)
	var armed atomic.Bool
	shipping, dropped := make(chan struct{}), make(chan struct{})
	s.damage = func(_, name string) {
		if strings.HasPrefix(name, "logs/os/") && armed.CompareAndSwap(true, false) { // data's are next
			close(shipping)
			<-dropped
		}
	}
	s.work()
	s.enable()
	s.until("protected", protected)
	s.replicate()
	armed.Store(true)
	s.do(protecteditem.ReplicateNow{At: s.now()})
	<-shipping
	s.flood("data", 2*diskBytes)
	close(dropped)
	st := s.notFollowed()
	if st.Resync.Reason != errorcatalog.LogThresholdExceeded {
		t.Errorf("resynchronization is %+v after %v", st.Resync, st.Retry.Failure)
	}
}
