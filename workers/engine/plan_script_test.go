package engine_test

import (
	"context"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/recoveryplan"
	"farshore/eventstore/pgtest"
)

// line is a way to the database that can be cut: then nothing comes back on it, and
// nobody is told.
type line struct {
	url string
	cut chan struct{}
}

func newLine(t *testing.T, dir, database string) line {
	t.Helper()
	u, err := url.Parse(database)
	must(t, err)
	const socket = ".s.PGSQL.5432"
	query := u.Query()
	far := filepath.Join(query.Get("host"), socket)
	query.Set("host", dir)
	u.RawQuery = query.Encode()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", filepath.Join(dir, socket))
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	way := line{url: u.String(), cut: make(chan struct{})}
	var carrying sync.WaitGroup
	carrying.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			carrying.Go(func() { way.carry(ctx, near, far) })
		}
	})
	t.Cleanup(func() { stop(); _ = l.Close(); carrying.Wait() })
	return way
}

func (l line) carry(ctx context.Context, near net.Conn, far string) {
	defer near.Close() //nolint:errcheck // nothing is read from it any more
	there, err := (&net.Dialer{}).DialContext(ctx, "unix", far)
	if err != nil {
		return
	}
	over := context.AfterFunc(ctx, func() { _, _ = near.Close(), there.Close() })
	defer over()
	defer there.Close() //nolint:errcheck // likewise
	var both sync.WaitGroup
	for to, from := range map[net.Conn]net.Conn{near: there, there: near} {
		both.Go(func() {
			_, _ = io.Copy(open{to, l.cut, ctx.Done()}, from)
			_ = to.Close()
		})
	}
	both.Wait()
}

// open is one direction of a line.
type open struct {
	net.Conn
	cut, over <-chan struct{}
}

func (o open) Write(p []byte) (int, error) {
	select {
	case <-o.cut:
		<-o.over
		return 0, net.ErrClosed
	default:
		return o.Conn.Write(p)
	}
}

// told are the lines of a file of the scripts directory.
func (s shop) told(name string) []string {
	text, _ := os.ReadFile(filepath.Join(s.Scripts, name))
	return strings.Fields(string(text))
}

// scripted defines a plan that runs a script after its only VM.
func (s shop) scripted() {
	s.t.Helper()
	s.command(recoveryplan.Define{Limits: recoveryplan.DefaultLimits(), At: s.now(), Definition: recoveryplan.Definition{
		Name: "Shop", OnFailure: recoveryplan.Stop, Groups: []recoveryplan.Group{{
			Items: shopVMs[:1], PostActions: []recoveryplan.Action{{Name: "long", Kind: recoveryplan.Script, Script: "long.sh", TimeoutSeconds: 300}},
		}},
	}})
}

// longScript has two processes and does not end by itself the first time; the second
// time it tells whether anything of the first still runs.
const longScript = `if [ -e first ]; then
	for pid in $(cat first); do if grep -qs ') [^Z]' /proc/$pid/stat; then echo beside >> told; fi; done
	echo again >> told
	exit 0
fi
trap 'echo asked >> told; exit 0' TERM
sleep 300 &
echo begun >> told
echo $$ $! > new; mv new first
wait`

// runsAgain checks that what was interrupted has run again, alone, and that the run
// says so.
func (s shop) runsAgain(id string, want ...string) {
	s.t.Helper()
	s.became(s.ends(id, job.Succeeded), "db=Skipped")
	if got := s.told("told"); !slices.Equal(got, want) {
		s.t.Errorf("the scripts told %v, want %v", got, want)
	}
	if task, _ := s.job(id).Task("group_1_post_1"); task.Attempts != 2 {
		s.t.Errorf("the script has succeeded in attempt %d", task.Attempts)
	}
	var code string
	must(s.t, s.pool.QueryRow(s.t.Context(), `SELECT data->'failure'->>'code' FROM events WHERE stream = 'job-' || $1 AND type = 'job.task_failed.v1'`, id).Scan(&code))
	if code != string(errorcatalog.ScriptInterrupted) {
		s.t.Errorf("the journal says %s of the first attempt", code)
	}
}

func TestAWorkerThatIsCutOffEndsItsScriptBeforeAnotherRunsIt(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	s := openShop(t, func(c *config) { c.Database, c.Lease = db.URL, 9*time.Second })
	s.writeScript("long.sh", longScript)
	s.scripted()
	way := newLine(t, s.dir, db.URL)
	direct := s.Database
	s.Database = way.url
	cutOff := s.child("cut-off")
	s.allProtected()
	id := s.start(recoveryplan.Failback, "")
	eventually(t, time.Minute, "the script has begun", func() bool { return len(s.told("first")) == 2 })
	close(way.cut)
	s.Database = direct
	s.child("other")
	s.runsAgain(id, "begun", "asked", "again")
	if cutOff.ProcessState != nil {
		t.Errorf("the worker that was cut off has ended: %v", cutOff.ProcessState)
	}
}

func TestAScriptEndsWithAllOfItWhenItsWorkerIsKilled(t *testing.T) {
	t.Parallel()
	db := pgtest.Database(t)
	s := openShop(t, func(c *config) { c.Database = db.URL })
	s.writeScript("long.sh", longScript)
	s.scripted()
	killed := s.child("killed")
	s.allProtected()
	id := s.start(recoveryplan.Failback, "")
	eventually(t, time.Minute, "the script has begun", func() bool { return len(s.told("first")) == 2 })
	must(t, killed.Process.Kill())
	_ = killed.Wait()
	eventually(t, waitForJob, "both of its processes have ended", func() bool {
		return !slices.ContainsFunc(s.told("first"), alive)
	})
	must(t, s.lanes.Abandon(t.Context(), "killed"))
	s.child("other")
	s.runsAgain(id, "begun", "again")
}

// alive says whether a process runs; one for which nobody has waited does not.
func alive(pid string) bool {
	if _, err := strconv.Atoi(pid); err != nil {
		return true
	}
	text, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	return err == nil && !strings.Contains(string(text), ") Z ")
}
