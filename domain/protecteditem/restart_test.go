package protecteditem_test

import (
	"reflect"
	"testing"

	"farshore/domain/domaintest"
	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
)

func TestAFailedJobIsBegunAnewWithItsChoices(t *testing.T) {
	t.Parallel()
	back := protecteditem.FailbackStarted{JobID: "old", Mode: protecteditem.FullDownload, At: noon}
	test := protecteditem.TestFailoverStarted{JobID: "old", Choice: protecteditem.Latest, Point: "cut-1", Network: "lab", At: noon}
	crash := protecteditem.UnplannedFailoverStarted{JobID: "old", Choice: protecteditem.LatestProcessed, ShutDownSource: true, At: noon}
	for kind, tt := range map[string]struct {
		begun   protecteditem.Event
		want    protecteditem.Command
		refused errorcatalog.Code
	}{
		protecteditem.PlannedFailoverJob:     {begun: failingOver, want: protecteditem.StartPlannedFailover{JobID: "new", At: noon}},
		protecteditem.UnplannedFailoverJob:   {begun: crash, want: protecteditem.StartUnplannedFailover{JobID: "new", Choice: protecteditem.LatestProcessed, ShutDownSource: true, At: noon}},
		protecteditem.TestFailoverJob:        {begun: test, want: protecteditem.StartTestFailover{JobID: "new", Choice: protecteditem.Latest, Network: "lab", At: noon}},
		protecteditem.TestFailoverCleanupJob: {begun: cleaning, want: protecteditem.CleanUpTestFailover{JobID: "new", Notes: cleaning.Notes, At: noon}},
		protecteditem.FailoverCancelJob:      {want: protecteditem.CancelFailover{JobID: "new", At: noon}},
		protecteditem.FailoverCommitJob:      {want: protecteditem.CommitFailover{JobID: "new", At: noon}},
		protecteditem.FailbackJob:            {begun: back, want: protecteditem.StartFailback{JobID: "new", Mode: protecteditem.FullDownload, At: noon}},
		protecteditem.FailbackCommitJob:      {want: protecteditem.CommitFailback{JobID: "new", At: noon}},
		protecteditem.FailbackCancelJob:      {want: protecteditem.CancelFailback{JobID: "new", At: noon}},
		protecteditem.ReverseReplicationJob:  {want: protecteditem.ReProtect{JobID: "new", At: noon}},
		protecteditem.ResynchronizationJob:   {want: protecteditem.RepairReplication{JobID: "new", At: noon}},
		protecteditem.EnableProtectionJob:    {begun: enabling, refused: errorcatalog.JobNotRestartable},
		protecteditem.RecoveryPointChangeJob: {begun: changing, refused: errorcatalog.JobNotRestartable},
		protecteditem.InitialReplicationJob:  {begun: copying, refused: errorcatalog.JobNotRestartable},
		protecteditem.DisableProtectionJob:   {begun: disabling, refused: errorcatalog.JobNotRestartable},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			got, err := protecteditem.Restart(kind, tt.begun, "new", noon)
			if code, _ := domaintest.Refusal(t, err); code != tt.refused || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%+v, %v; want %+v, %q", got, err, tt.want, tt.refused)
			}
		})
	}
	for _, kind := range []string{protecteditem.UnplannedFailoverJob, protecteditem.TestFailoverJob, protecteditem.FailbackJob} {
		_, err := protecteditem.Restart(kind, nil, "new", noon)
		if code, _ := domaintest.Refusal(t, err); code != errorcatalog.JobNotRestartable {
			t.Errorf("a %s of unknown choices: %v", kind, err)
		}
	}
}

func TestAJobKnowsItsAttempts(t *testing.T) {
	t.Parallel()
	s := protecteditem.Decider.Fold(protecteditem.State{}, enabling, protecteditem.ReplicationFailed{JobID: "job-enable", Attempt: 2, Failure: *unreachable, At: noon})
	if r, ok := protecteditem.Attempts(s, "job-enable"); !ok || r.Attempt != 2 {
		t.Errorf("attempts %+v, %v", r, ok)
	}
	for _, id := range []string{"", "other"} {
		if _, ok := protecteditem.Attempts(s, id); ok {
			t.Errorf("%q is the item's", id)
		}
	}
}
