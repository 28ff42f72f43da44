package workflow_test

import (
	"testing"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
	"farshore/workers/workflow"
)

func TestTheCopyOfARunningVMsDisksIsDue(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	copying := &protecteditem.JobRef{ID: "copy", Kind: protecteditem.BackgroundCopyJob}
	failure := errorcatalog.Fail(errorcatalog.ReplicaStoreUnreachable, "away")
	running := func(kind string) *protecteditem.JobRef { return &protecteditem.JobRef{ID: "j", Kind: kind} }
	for name, tt := range map[string]struct {
		state protecteditem.State
		want  time.Time // zero: nothing is due
	}{
		"there is none":          {protecteditem.State{}, time.Time{}},
		"it has begun":           {protecteditem.State{CopyJob: copying}, now},
		"it waits for its retry": {protecteditem.State{CopyJob: copying, CopyRetry: protecteditem.Retry{Failure: failure, NextAt: now.Add(time.Minute)}}, now.Add(time.Minute)},
		"it waits for somebody":  {protecteditem.State{CopyJob: copying, CopyRetry: protecteditem.Retry{Failure: failure}}, time.Time{}},
		"the point is changed":   {protecteditem.State{CopyJob: copying, Job: running(protecteditem.RecoveryPointChangeJob)}, time.Time{}},
		"the failover is undone": {protecteditem.State{CopyJob: copying, Job: running(protecteditem.FailoverCancelJob)}, time.Time{}},
		"a commit waits for it":  {protecteditem.State{CopyJob: copying, Job: running(protecteditem.FailoverCommitJob)}, now},
		"disabling waits for it": {protecteditem.State{CopyJob: copying, Job: running(protecteditem.DisableProtectionJob)}, now},
	} {
		if got, due := workflow.CopyDue(tt.state, now); due == tt.want.IsZero() || !got.Equal(tt.want) {
			t.Errorf("%s: due at %s (%t), want %s", name, got, due, tt.want)
		}
	}
	waits := protecteditem.State{
		Protection: protecteditem.FailoverCommitRequired, Recovery: protecteditem.RecoveryTarget{VM: "web-dr"},
		CopyJob: copying, Job: running(protecteditem.FailoverCommitJob),
	}
	if !workflow.Guarded(waits) {
		t.Error("a source is not kept off while a commit waits for the copy")
	}
	waits.CopyJob = nil
	if workflow.Guarded(waits) {
		t.Error("a source is looked after in the middle of a commit")
	}
}
