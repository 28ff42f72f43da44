package engine_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
	"farshore/eventstore/pgtest"
)

// The commands by which the guest, which lies in the same folder, comes to rest,
// and goes on. What it says is its last record then is kept.
const (
	pre  = "rm -f freeze.frozen; touch freeze; until [ -e freeze.frozen ]; do sleep 0.01; done; cat freeze.frozen >> rests; echo >> rests"
	post = "rm -f freeze; echo thawed >> thaws"
)

// freezes gives the VM freeze commands, while it runs; none if pre is empty.
func (s *scene) freezes(pre, post string) {
	s.t.Helper()
	path := filepath.Join(s.source, "vm.json")
	text, err := os.ReadFile(path)
	must(s.t, err)
	var vm site.VirtualMachine
	must(s.t, json.Unmarshal(text, &vm))
	vm.Freeze = nil
	if pre != "" {
		vm.Freeze = &site.Freeze{Pre: []string{"/bin/sh", "-c", pre}, Post: []string{"/bin/sh", "-c", post}}
	}
	text, err = json.Marshal(vm)
	must(s.t, err)
	must(s.t, os.WriteFile(path+".new", text, 0o600))
	must(s.t, os.Rename(path+".new", path))
}

func (s *scene) lines(file string) []string {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.source, file))
	if !os.IsNotExist(err) {
		must(s.t, err)
	}
	return strings.Fields(string(text))
}

// exact checks that a point ends with the last record that the guest had written
// when it came to rest.
func (s *scene) exact(p protecteditem.Point) {
	s.t.Helper()
	if p.Consistency != protecteditem.AppConsistent {
		s.t.Errorf("point %s is %s", p.ID, p.Consistency)
	}
	v := s.verdict(p)
	if rests := s.lines("rests"); v.Records != v.Last || !slices.Contains(rests, strconv.FormatInt(v.Last, 10)) {
		s.t.Errorf("point %s ends with record %d and holds %d, the guest was at rest after %v", p.ID, v.Last, v.Records, rests)
	}
}

// atRest asks for an app-consistent point and returns what became of it.
func (s *scene) atRest() protecteditem.Point {
	s.t.Helper()
	before := s.state()
	s.do(protecteditem.ReplicateNow{Consistency: protecteditem.AppConsistent, At: s.now()})
	st := s.until("the guest was asked, and there is a point", func(st protecteditem.State) bool {
		return st.AppConsistency.AskedAt.After(before.AppConsistency.AskedAt) && len(st.Pending) == 0 && st.Requested.At.IsZero()
	})
	i := slices.IndexFunc(st.Points, func(p protecteditem.Point) bool { return p.Instant.Equal(st.AppConsistency.AskedAt) })
	if i < 0 {
		s.t.Fatalf("no point is of the cut of %s", st.AppConsistency.AskedAt)
	}
	return st.Points[i]
}

func TestAnAppConsistentPointEndsWhereTheGuestCameToRest(t *testing.T) {
	t.Parallel()
	s := newScene(t, seldom)
	s.freezes(pre, post)
	s.work()
	s.enable()
	s.until("protected", protected)
	s.replicate()
	point := s.atRest()
	s.exact(point)
	st := s.state()
	if a := st.AppConsistency; a.Failure != nil || !a.ReachedAt.Equal(point.Instant) || a.Milliseconds > 10_000 {
		t.Errorf("the state says %+v", a)
	}
	if newer := s.replicate(); newer.Consistency != protecteditem.CrashConsistent {
		t.Errorf("a point for which nobody asked is %s", newer.Consistency)
	}
	// Under a policy it comes by itself, with the next cycle and not with the one after.
	settings := st.Policy
	settings.AppConsistentFrequencyHours = 1
	s.do(protecteditem.ChangePolicy{PolicyID: "hourly", Settings: settings, At: s.now()})
	if due := protecteditem.NextAppConsistent(s.state()); due.Before(s.now()) {
		t.Errorf("due at %s", due)
	}

	id := newID()
	s.do(protecteditem.StartUnplannedFailover{JobID: id, Choice: protecteditem.LatestAppConsistent, At: s.now()})
	if st = s.until("failed over", uncommitted); st.FailoverPoint != point.ID {
		t.Errorf("failed over to %s, the app-consistent point is %s", st.FailoverPoint, point.ID)
	}
	s.recoveredFrom(point.ID)
	s.exact(point)
}

func TestAFreezeThatFailsLeavesACrashConsistentPointAndAWarning(t *testing.T) {
	t.Parallel()
	s := newScene(t, seldom)
	s.work()
	s.enable()
	s.until("protected", protected)
	for _, tt := range []struct {
		pre, post string
		want      errorcatalog.Code
	}{
		{"", "", errorcatalog.FreezeHookMissing},
		{"touch freeze; echo the database is busy; exit 1", post, errorcatalog.FreezeHookFailed},
	} {
		s.freezes(tt.pre, tt.post)
		p := s.atRest()
		s.judge(p)
		st := s.state()
		health, reasons := protecteditem.HealthOf(st, s.now())
		if p.Consistency != protecteditem.CrashConsistent || health != protecteditem.Warning || len(reasons) != 1 || reasons[0].Code != tt.want {
			t.Errorf("the point is %s, health %s: %+v", p.Consistency, health, reasons)
		}
		before := s.judge(s.replicate())
		eventually(t, waitForJob, "the guest writes on", func() bool { return s.judge(s.replicate()) > before })
	}
	if thaws := len(s.lines("thaws")); thaws != 1 || s.exists("freeze") {
		t.Errorf("the guest was thawed %d times", thaws)
	}
	s.freezes(pre, post)
	s.exact(s.atRest())
	if health, reasons := protecteditem.HealthOf(s.state(), s.now()); health != protecteditem.Normal {
		t.Errorf("health is %s after a success: %+v", health, reasons)
	}
	if n := count(s.events(), "replication_failed"); n != 0 {
		t.Errorf("%d attempts were counted as failed", n)
	}
}

func (s *scene) exists(file string) bool {
	_, err := os.Stat(filepath.Join(s.source, file))
	return err == nil
}

// holdEvents makes the database hold what is recorded of a chosen type.
func (s *scene) holdEvents(owner *pgxpool.Pool) hold {
	s.t.Helper()
	for _, stmt := range []string{
		`CREATE TABLE held (task text)`,
		`INSERT INTO held VALUES ('')`,
		`CREATE FUNCTION hold_event() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			IF EXISTS (SELECT FROM public.held WHERE task = NEW.type) THEN PERFORM pg_catalog.pg_sleep(3600); END IF;
			RETURN NEW;
		END $$`,
		`CREATE TRIGGER hold_event BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION hold_event()`,
	} {
		_, err := owner.Exec(s.t.Context(), stmt)
		must(s.t, err)
	}
	return hold{s, owner}
}

func TestAWorkerKilledDuringAnAppConsistentCycleMakesItsPoint(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	s := newScene(t, func(c *config) { seldom(c); c.Database = db.URL })
	// The guest stays at rest for as long as it is to be met there.
	s.freezes(pre+"; touch reached; while [ -e stay ]; do sleep 0.01; done", post)
	w := s.child("w")
	s.enable()
	s.until("protected", protected)
	h := s.holdEvents(pgtest.Open(t, db.OwnerURL))
	stay := filepath.Join(s.source, "stay")
	must(t, os.WriteFile(stay, nil, 0o600))
	for n, moment := range []string{"", protecteditem.DeltaShipped{}.EventType(), protecteditem.RecoveryPointCreated{}.EventType()} {
		before := s.state()
		h.at(moment)
		s.do(protecteditem.ReplicateNow{Consistency: protecteditem.AppConsistent, At: s.now()})
		if moment == "" { // the guest is at rest, and there is no cut yet
			eventually(t, waitForJob, "the guest is at rest", func() bool { return s.exists("reached") })
		} else {
			h.await(moment)
		}
		must(t, w.Process.Kill())
		_ = w.Wait()
		if moment == "" {
			eventually(t, waitForJob, "the guest is thawed", func() bool { return !s.exists("freeze") })
			must(t, os.Remove(stay))
		}
		h.at("")
		w = s.child("w" + strconv.Itoa(n))
		st := s.until("the request is met", func(st protecteditem.State) bool {
			return st.Requested.At.IsZero() && len(st.Pending) == 0 && st.AppConsistency.ReachedAt.After(before.AppConsistency.ReachedAt)
		})
		made := slices.DeleteFunc(slices.Clone(st.Points), func(p protecteditem.Point) bool {
			_, old := before.Point(p.ID)
			return old || p.Consistency != protecteditem.AppConsistent
		})
		if len(made) != 1 {
			t.Fatalf("moment %d: %d app-consistent points were made", n, len(made))
		}
		s.exact(made[0])
	}
	if s.exists("freeze") || len(s.lines("thaws")) != 4 { // one of them of the cycle that came to nothing
		t.Errorf("the guest was thawed %d times", len(s.lines("thaws")))
	}
	s.gapless()
}
