package pgcluster_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"farshore/eventstore/pgcluster"
)

// dirEnv tells the test binary, run again as a child, to start a cluster there
// and to wait for its end.
const dirEnv = "FARSHORE_TEST_CLUSTER_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(dirEnv); dir != "" {
		c, err := pgcluster.Start(context.Background(), pgcluster.Options{DataDir: dir, NoSync: true})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("up")
		<-c.Done()
	}
	os.Exit(m.Run())
}

func start(t *testing.T, dataDir string) *pgcluster.Cluster {
	t.Helper()
	c, err := pgcluster.Start(t.Context(), pgcluster.Options{DataDir: dataDir, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return c
}

// folder is one that the database's user can reach, unlike t.TempDir's as root.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "farshore-cluster-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "data")
}

func query(t *testing.T, c *pgcluster.Cluster, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), c.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	var answer string
	if err := conn.QueryRow(t.Context(), sql).Scan(&answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestAClusterKeepsItsDataFromStartToStart(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	c, err := pgcluster.Start(t.Context(), pgcluster.Options{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), c.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), `CREATE TABLE kept AS SELECT 'here' AS word`); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close(t.Context())
	if got := query(t, c, `SHOW fsync`); got != "on" {
		t.Errorf("fsync is %s", got)
	}
	if got := query(t, c, `SHOW listen_addresses`); got != "" {
		t.Errorf("it listens on %q", got)
	}
	if err := c.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(c.SocketDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket's folder is left: %v", err)
	}
	if got := query(t, start(t, dir), `SELECT word FROM kept`); got != "here" {
		t.Fatalf("found %q", got)
	}
}

func TestAFolderHasOneOwnerAtATime(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	c := start(t, dir)
	if _, err := pgcluster.Start(t.Context(), pgcluster.Options{DataDir: dir}); !errors.Is(err, pgcluster.ErrInUse) {
		t.Fatalf("a second start: %v", err)
	}
	if got := query(t, c, `SELECT 'unharmed'`); got != "unharmed" {
		t.Fatal(got)
	}
}

func TestTheDatabaseEndsWithItsOwnerHoweverThatEnds(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), dirEnv+"="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 1000)
	if n, err := out.Read(buffer); err != nil || !strings.HasPrefix(string(buffer[:n]), "up") {
		t.Fatalf("%s %v", buffer[:n], err)
	}
	pid, err := pgcluster.Postmaster(dir)
	if err != nil || pid == 0 {
		t.Fatalf("pid %d, %v", pid, err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	gone, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for syscall.Kill(pid, 0) == nil {
		if gone.Err() != nil {
			t.Fatal("the database outlives its owner")
		}
	}
	start(t, dir) // and what it left does not stand in the way
}

func TestALeftOverDatabaseIsStoppedAndReplaced(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	left, err := pgcluster.Start(t.Context(), pgcluster.Options{DataDir: dir, NoSync: true, Detached: true})
	if err != nil {
		t.Fatal(err)
	}
	before, err := pgcluster.Postmaster(dir)
	if err != nil || before == 0 {
		t.Fatalf("pid %d, %v", before, err)
	}
	c := start(t, dir)
	<-left.Done()
	if after, err := pgcluster.Postmaster(dir); err != nil || after == before || after == 0 {
		t.Fatalf("pid %d before, %d after, %v", before, after, err)
	}
	if got := query(t, c, `SELECT 'new'`); got != "new" {
		t.Fatal(got)
	}
}

func TestAPidFileOfADeadDatabaseIsNotBelieved(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	c := start(t, dir)
	c.Kill()
	// The number now belongs to a process of another kind: ours.
	if err := os.WriteFile(filepath.Join(dir, "postmaster.pid"), fmt.Appendf(nil, "%d\n%s\n", os.Getpid(), dir), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestAFolderOutOfReachIsReplacedAsRoot(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		if c := start(t, filepath.Join(t.TempDir(), "data")); !strings.HasPrefix(c.DataDir(), os.TempDir()) {
			t.Fatalf("it went to %s", c.DataDir())
		}
		return
	}
	// As root, t.TempDir lies below a folder that no other user may enter.
	closed := filepath.Join(t.TempDir(), "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	var moved string
	t.Cleanup(func() { // after the database has stopped
		_ = os.RemoveAll(moved)
		_ = os.Remove(moved + ".lock")
	})
	moved = start(t, filepath.Join(closed, "data")).DataDir()
	if !strings.HasPrefix(moved, "/var/lib/farshore/") {
		t.Fatalf("it went to %s", moved)
	}
}
