package pageblob_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/workers/replica"
	"farshore/workers/replica/pageblob"
	"farshore/workers/replica/pageblob/faultproxy"
)

func comp(name string) func(*http.Request) bool {
	return func(r *http.Request) bool { return r.Method == http.MethodPut && r.URL.Query().Get("comp") == name }
}

func TestAWriterThatWakesLateChangesNothing(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	late := y.store(t, nil)
	before := noise(6, mib)
	old := createDisk(t, late, "os", 8*mib, 1)
	mustWrite(t, old, before, 0)
	mustCommit(t, late, "cut-1", 1, "os")
	if err := late.BeginApply(t.Context(), item, "cut-2", 1, change(0, mib)); err != nil {
		t.Fatalf("begin apply: %v", err)
	}

	arrived, release, passed := make(chan struct{}, 1), make(chan struct{}), make(chan int, 1)
	y.proxy.Add(faultproxy.Rule{When: faultproxy.IsPut, Times: 1, Do: faultproxy.Hold(arrived, release, passed)})
	failed := make(chan error, 1)
	go func() {
		_, err := old.WriteAt(noise(7, mib), 0)
		failed <- err
	}()
	<-arrived

	s := y.other(t)
	if err := s.BeginApply(t.Context(), item, "cut-2", 2, change(0, mib)); err != nil {
		t.Fatalf("begin apply: %v", err)
	}
	after := noise(8, mib)
	mustWrite(t, openDisk(t, s, "os", 2), after, 0)
	mustCommit(t, s, "cut-2", 2, "os")

	close(release)
	if status := <-passed; status != http.StatusPreconditionFailed {
		t.Errorf("the late write was answered with %d", status)
	}
	wantCode(t, <-failed, errorcatalog.Fenced)
	mustHold(t, openDisk(t, s, "os", 2), after, 0)
	mustPoint(t, s, "cut-1", "os", before, 0)
	mustPoint(t, s, "cut-2", "os", after, 0)

	ctx := t.Context()
	_, opened := late.OpenDisk(ctx, item, "os", 1)
	for name, err := range map[string]error{
		"begin":  late.BeginApply(ctx, item, "cut-3", 1, change(0, mib)),
		"commit": late.CommitPoint(ctx, item, spec("cut-3", "os"), 1),
		"undo":   late.Rollback(ctx, item, 1),
		"open":   opened,
		"create": late.CreateDisk(ctx, replica.DiskSpec{Item: item, Disk: "os", SizeBytes: 8 * mib}, 1),
		"thin":   late.RemovePoint(ctx, item, "cut-1", 1),
		"remove": late.RemoveItem(ctx, item, 1),
		"zero":   old.Zero(0, mib),
		"flush":  old.Flush(ctx),
	} {
		if err == nil || errorcatalog.Of(err).Code != errorcatalog.Fenced {
			t.Errorf("%s by a late writer: %v", name, err)
		}
	}
	mustPoint(t, s, "cut-1", "os", before, 0)
}

// Two attempts of one write are the same bytes, but between the second and the
// late arrival of the first, another write may have come.
func TestARequestThatWasGivenUpAndArrivesLateChangesNothing(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	s := y.store(t, func(o *pageblob.Options) { o.TryTimeout = 400 * time.Millisecond })
	d := createDisk(t, s, "os", 8*mib, 1)
	arrived, release, passed := make(chan struct{}, 1), make(chan struct{}), make(chan int, 1)
	y.proxy.Add(faultproxy.Rule{When: faultproxy.IsPut, Times: 1, Do: faultproxy.Hold(arrived, release, passed)})
	mustWrite(t, d, noise(9, mib), 0)
	newer := noise(10, mib)
	mustWrite(t, d, newer, 0)
	if err := d.Flush(t.Context()); err != nil {
		t.Fatalf("flush: %v", err)
	}
	close(release)
	if status := <-passed; status != http.StatusPreconditionFailed {
		t.Errorf("the late request was answered with %d", status)
	}
	mustHold(t, d, newer, 0)
}

func TestALateCommitNeverMakesAPoint(t *testing.T) {
	t.Parallel()
	for name, when := range map[string]func(*http.Request) bool{
		"its snapshot wakes late": faultproxy.IsSnapshot,
		"its index wakes late":    faultproxy.IsTo(http.MethodPut, "/index.json"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			y := newYard(t)
			late := y.store(t, nil)
			first := noise(11, mib)
			mustWrite(t, createDisk(t, late, "os", 8*mib, 1), first, 0)
			mustCommit(t, late, "cut-1", 1, "os")
			if err := late.BeginApply(t.Context(), item, "cut-2", 1, change(0, mib)); err != nil {
				t.Fatalf("begin apply: %v", err)
			}
			mustWrite(t, openDisk(t, late, "os", 1), noise(12, mib), 0)
			arrived, release, passed := make(chan struct{}, 1), make(chan struct{}), make(chan int, 1)
			y.proxy.Add(faultproxy.Rule{When: when, Times: 1, Do: faultproxy.Hold(arrived, release, passed)})
			failed := make(chan error, 1)
			go func() { failed <- late.CommitPoint(context.WithoutCancel(t.Context()), item, spec("cut-2", "os"), 1) }()
			<-arrived

			s := y.other(t)
			if err := s.Rollback(t.Context(), item, 2); err != nil {
				t.Fatalf("rollback: %v", err)
			}
			close(release)
			<-passed
			wantCode(t, <-failed, errorcatalog.Fenced)
			points, err := s.ListPoints(t.Context(), item)
			if err != nil || len(points) != 1 || points[0].ID != "cut-1" {
				t.Fatalf("points %v, %v", points, err)
			}
			mustHold(t, openDisk(t, s, "os", 2), first, 0)
			mustPoint(t, s, "cut-1", "os", first, 0)
		})
	}
}

func TestADiskIsNotRemovedByAWriterThatWakesLate(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	late := y.store(t, nil)
	createDisk(t, late, "os", 8*mib, 1)
	createDisk(t, late, "logs", 8*mib, 1)
	mustCommit(t, late, "cut-1", 1, "os")
	arrived, release, passed := make(chan struct{}, 1), make(chan struct{}), make(chan int, 1)
	isDelete := func(r *http.Request) bool { return r.Method == http.MethodDelete }
	y.proxy.Add(faultproxy.Rule{When: isDelete, Times: 1, Do: faultproxy.Hold(arrived, release, passed)})
	failed := make(chan error, 1)
	go func() { failed <- late.RemoveDisk(t.Context(), item, "logs", 1) }()
	<-arrived

	s := y.other(t)
	if err := s.BeginApply(t.Context(), item, "cut-2", 2, change(0, mib)); err != nil {
		t.Fatalf("begin apply: %v", err)
	}
	data := noise(9, mib)
	mustWrite(t, openDisk(t, s, "logs", 2), data, 0)
	mustCommit(t, s, "cut-2", 2, "os", "logs")

	close(release)
	if status := <-passed; status != http.StatusPreconditionFailed {
		t.Errorf("the late removal was answered with %d", status)
	}
	wantCode(t, <-failed, errorcatalog.Fenced)
	mustPoint(t, s, "cut-2", "logs", data, 0)
}
