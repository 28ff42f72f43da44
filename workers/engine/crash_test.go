package engine_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"farshore/domain/job"
	"farshore/domain/protecteditem"
)

// slow makes transfers long enough to be killed within.
func slow(pause time.Duration) func(*config) {
	return func(c *config) {
		c.Stretch, c.Slow = 2<<20, pause
		c.Trace = filepath.Join(filepath.Dir(c.Store), "trace")
	}
}

// copied is the lane's checkpoint, as far as it tells how much was copied.
func (s *scene) copied() map[string]int64 {
	s.t.Helper()
	var text *string
	must(s.t, s.pool.QueryRow(s.t.Context(), `SELECT max(checkpoint::text) FROM lanes WHERE item = $1`, itemKey).Scan(&text))
	if text == nil {
		return nil
	}
	var c struct {
		Disks map[string]struct {
			Offset int64 `json:"offset"`
		} `json:"disks"`
	}
	must(s.t, json.Unmarshal([]byte(*text), &c))
	out := map[string]int64{}
	for d, at := range c.Disks {
		out[d] = at.Offset
	}
	return out
}

// disconnected waits until the database has done with a killed worker: what it had
// been asked last may be done after the worker's death.
func (s *scene) disconnected(owner string) {
	s.t.Helper()
	eventually(s.t, 30*time.Second, owner+" is disconnected", func() bool {
		var n int
		const query = `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1`
		return s.pool.QueryRow(s.t.Context(), query, owner).Scan(&n) == nil && n == 0
	})
}

// written returns the first whole line of the trace after n bytes.
func (s *scene) written(n int) string {
	s.t.Helper()
	b, err := os.ReadFile(s.Trace)
	must(s.t, err)
	line, _, whole := strings.Cut(string(b[n:]), "\n")
	if !whole {
		return ""
	}
	return line
}

// traced returns how long the trace is.
func (s *scene) traced() int {
	s.t.Helper()
	st, err := os.Stat(s.Trace)
	must(s.t, err)
	return int(st.Size())
}

func TestAKilledWorkerGoesOnCopyingWhereItWas(t *testing.T) {
	t.Parallel()
	s := newScene(t, slow(15*time.Millisecond))
	s.enable()
	// Killed twice: in the first disk and in the second.
	for n, disk := range disks {
		w := s.child("w" + strconv.Itoa(n))
		eventually(t, time.Minute, "disk "+disk+" is being copied", func() bool { return s.copied()[disk] >= 6<<20 })
		must(t, w.Process.Kill())
		_ = w.Wait()
		s.disconnected("w" + strconv.Itoa(n))
		before, length := s.copied(), 0
		if b, err := os.ReadFile(s.Trace); err == nil {
			length = len(b) - len(b[bytes.LastIndexByte(b, '\n')+1:])
		}
		w = s.child("next" + strconv.Itoa(n))
		// The first write of the next worker tells where it goes on: it may lie
		// within what the checkpoint did not claim yet, never below it.
		var first string
		eventually(t, time.Minute, "the copy goes on", func() bool {
			first = s.written(length)
			return first != ""
		})
		d, text, _ := strings.Cut(first, " ")
		low, err := strconv.ParseInt(text, 10, 64)
		must(t, err)
		if before[disk] < seededBytes && low < before[d] {
			t.Errorf("disk %s was written at %d again, %v was copied", d, low, before)
		}
		must(t, w.Process.Kill())
		_ = w.Wait()
	}
	s.child("last")
	st := s.until("protected", protected)
	s.judge(st.Points[0])
	s.judge(s.replicate())
	jobs := 0
	for _, j := range s.jobsOf() {
		if j.Kind == job.InitialReplication {
			jobs++
		}
	}
	if jobs != 1 {
		t.Errorf("initial replication ran under %d jobs", jobs)
	}
}

// jobsOf lists all jobs.
func (s *scene) jobsOf() []job.State {
	s.t.Helper()
	rows, err := s.pool.Query(s.t.Context(), `SELECT stream FROM heads WHERE stream LIKE 'job-%'`)
	must(s.t, err)
	defer rows.Close()
	var out []job.State
	for rows.Next() {
		var stream string
		must(s.t, rows.Scan(&stream))
		state, _, err := s.jobs.Load(s.t.Context(), strings.TrimPrefix(stream, "job-"))
		must(s.t, err)
		out = append(out, state)
	}
	return out
}

func TestAWorkerKilledDuringDeltasMakesTheSamePoints(t *testing.T) {
	t.Parallel()
	s := newScene(t, slow(4*time.Millisecond))
	w := s.child("w")
	s.enable()
	s.until("protected", protected)
	// At the places where a cycle is: shipped and not applied, being applied, and
	// wherever the delay leads.
	moments := []func(before protecteditem.State, length int) bool{
		func(before protecteditem.State, _ int) bool { return s.state().LastShipped != before.LastShipped },
		func(_ protecteditem.State, length int) bool { return s.traced() > length },
		func(_ protecteditem.State, length int) bool { return s.traced() > length+200 },
		func(before protecteditem.State, _ int) bool { return len(s.state().Points) > len(before.Points) },
	}
	for n, moment := range moments {
		before := s.state()
		length := s.traced()
		s.do(protecteditem.ReplicateNow{At: s.now()})
		eventually(t, 30*time.Second, "moment "+strconv.Itoa(n), func() bool { return moment(before, length) })
		must(t, w.Process.Kill())
		_ = w.Wait()
		w = s.child("w" + strconv.Itoa(n))
		s.judge(s.replicate())
	}
	must(t, w.Process.Kill())
	_ = w.Wait()
	for _, p := range s.state().Points {
		s.judge(p)
	}
	s.gapless()
}

// gapless checks the positions of the whole log.
func (s *scene) gapless() {
	s.t.Helper()
	var count, highest int64
	must(s.t, s.pool.QueryRow(s.t.Context(), `SELECT count(*), max(global_position) FROM events`).Scan(&count, &highest))
	if count != highest {
		s.t.Errorf("the log has %d events and ends at %d", count, highest)
	}
}

func TestAWorkerKilledDuringAFailoverFinishesIt(t *testing.T) {
	t.Parallel()
	s := newScene(t, slow(2*time.Millisecond))
	w := s.child("w")
	s.enable()
	s.until("protected", protected)
	id := newID()
	s.do(protecteditem.StartPlannedFailover{JobID: id, At: s.now()})
	for n, step := range []string{"stop_source", "ship_last_cut", "create_recovery_vm", "copy_disks"} {
		eventually(t, 30*time.Second, step+" begins", func() bool {
			j, _, err := s.jobs.Load(t.Context(), id)
			task, _ := j.Task(step)
			return err == nil && task.Attempts > 0
		})
		must(t, w.Process.Kill())
		_ = w.Wait()
		w = s.child("w" + strconv.Itoa(n))
	}
	st := s.until("failed over", func(st protecteditem.State) bool { return st.Protection == protecteditem.FailoverCommitRequired })
	last, _ := st.NewestPoint()
	s.judge(last)
	s.sameAsSource(last)
	s.sameOnRecovery()
	s.endedWell(id)
}
