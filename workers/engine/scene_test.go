package engine_test

import (
	"context"
	"testing"
	"time"

	"farshore/domain/policy"
	"farshore/domain/protecteditem"
	"farshore/eventstore"
)

func (s *scene) do(cmd protecteditem.Command) {
	s.t.Helper()
	how := eventstore.Execution{Metadata: eventstore.Metadata{Actor: "apikey:test", Vault: vault}}
	_, err := s.items.Execute(s.t.Context(), itemKey, cmd, how)
	must(s.t, err)
}

// settings are the policy's, but for a window of resynchronizations that is closed
// whatever the time of day.
func (s *scene) settings() policy.Settings {
	settings, opens := policy.Defaults(), s.now().Add(12*time.Hour)
	settings.ResyncWindow = policy.Window{Start: opens.Format("15:04"), End: opens.Add(time.Hour).Format("15:04")}
	return settings
}

// enable asks for protection.
func (s *scene) enable() {
	s.t.Helper()
	s.do(s.enabling())
}

func (s *scene) enabling() protecteditem.EnableProtection {
	s.t.Helper()
	vm, err := s.host.VirtualMachine(s.t.Context(), "web")
	must(s.t, err)
	protect := disks
	if s.Bare > 0 {
		protect = []string{bareDisk}
	}
	settings := s.settings()
	settings.CopyFrequencySeconds = max(30, s.Frequency)
	if s.Short {
		settings.RetentionHours = 0
	}
	return protecteditem.EnableProtection{
		JobID: newID(), Vault: vault, Item: "web", Site: "s1", Host: "h1", VM: vm, Policy: settings, Disks: protect,
		Store:        protecteditem.StoreRef{ID: "acc", Kind: protecteditem.StoreKind(s.storeAddress().Kind)},
		RecoverySite: "s2", RecoveryHost: "h2", RecoveryVMName: "web-dr", At: s.now(),
	}
}

func (s *scene) state() protecteditem.State {
	s.t.Helper()
	state, _, err := s.items.Load(context.Background(), itemKey)
	must(s.t, err)
	return state
}

// until waits for the item to be in a state.
func (s *scene) until(what string, ok func(protecteditem.State) bool) protecteditem.State {
	s.t.Helper()
	return s.within(60*time.Second, what, ok)
}

func (s *scene) within(patience time.Duration, what string, ok func(protecteditem.State) bool) protecteditem.State {
	s.t.Helper()
	var last protecteditem.State
	eventually(s.t, patience, what, func() bool {
		last = s.state()
		return ok(last)
	})
	return last
}

func protected(st protecteditem.State) bool { return st.Protection == protecteditem.Protected }

// replicate makes a delta cycle happen and returns its point.
func (s *scene) replicate() protecteditem.Point {
	s.t.Helper()
	if p, ok := s.state().NewestPoint(); ok {
		before := p.ID
		s.do(protecteditem.ReplicateNow{At: s.now()})
		st := s.until("another point", func(st protecteditem.State) bool {
			p, _ := st.NewestPoint()
			return p.ID != before && st.Requested.At.IsZero()
		})
		return st.Points[len(st.Points)-1]
	}
	s.t.Fatal("there is no point to follow")
	return protecteditem.Point{}
}

type image []byte

func (i image) ReadAt(p []byte, off int64) (int, error) { return copy(p, i[off:]), nil }
func (i image) Size() int64                             { return int64(len(i)) }

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func eventually(tb testing.TB, within time.Duration, what string, ok func() bool) {
	tb.Helper()
	deadline := time.Now().Add(within)
	for !ok() {
		if time.Now().After(deadline) {
			tb.Fatalf("after %s still not: %s", within, what)
		}
		time.Sleep(tick)
	}
}

const (
	// tick is how often a condition is looked at.
	tick       = 20 * time.Millisecond
	waitForJob = 20 * time.Second
)
