package projections_test

import (
	"slices"
	"testing"

	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/domain/recoveryplan"
	"farshore/projections"
)

func (m *mirror) jobs() []string {
	m.t.Helper()
	m.settle()
	var out []string
	for _, row := range must[[]projections.Row[job.State]](m.t)(m.Jobs(m.t.Context(), "acme", projections.JobFilter{Item: "web"}, projections.Page{Limit: 20})) {
		if row.ID > id(3) { // those of enabling protection are not the question
			out = append(out, string(row.State.Kind)+" "+row.Status)
		}
	}
	return out
}

func TestFailoversAndDrillsHaveTheirJobsAtOnce(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	m.item("web", protecting()...)
	m.item("web",
		protecteditem.StartTestFailover{JobID: id(10), Choice: protecteditem.LatestProcessed, At: noon},
		protecteditem.CompleteTestFailover{JobID: id(10), Point: id(10), VM: "copy", At: noon},
		protecteditem.CleanUpTestFailover{JobID: id(11), At: noon},
		protecteditem.RepairReplication{JobID: id(12), At: noon},
		protecteditem.StartUnplannedFailover{JobID: id(13), Choice: protecteditem.LatestProcessed, At: noon},
		protecteditem.CompleteUnplannedFailover{JobID: id(13), Point: id(10), RecoveryVM: "web", At: noon},
		protecteditem.ChangeRecoveryPoint{JobID: id(14), Choice: protecteditem.PointChoice(id(10)), Confirm: true, At: noon},
		protecteditem.CompleteRecoveryPointChange{JobID: id(14), RecoveryVM: "web", At: noon},
		protecteditem.CancelFailover{JobID: id(15), At: noon})
	want := []string{
		"FailoverCancel NotStarted", "ApplyRecoveryPoint NotStarted", "UnplannedFailover NotStarted",
		"Resynchronization Canceled", "TestFailoverCleanup NotStarted", "TestFailover NotStarted",
	}
	if got := m.jobs(); !slices.Equal(got, want) {
		t.Errorf("jobs %q, want %q", got, want)
	}
}

func TestAJobThatIsOvertakenBeforeItBeginsIsCanceled(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		cmds []protecteditem.Command
		want []string
	}{
		"a resynchronization that is cancelled": {
			[]protecteditem.Command{protecteditem.RepairReplication{JobID: id(12), At: noon}, protecteditem.CancelResynchronization{At: noon}},
			[]string{"Resynchronization Canceled"},
		},
		"a resynchronization that begins anew": {
			[]protecteditem.Command{
				protecteditem.RepairReplication{JobID: id(12), At: noon},
				protecteditem.StartResynchronization{JobID: id(12), At: noon},
				protecteditem.RequireResynchronization{JobID: id(12), Reason: errorcatalog.LogMissing, ScheduledFor: noon, At: noon},
			},
			[]string{"Resynchronization Canceled"},
		},
		"a failback that is cancelled": {
			[]protecteditem.Command{
				protecteditem.StartUnplannedFailover{JobID: id(12), Choice: protecteditem.LatestProcessed, At: noon},
				protecteditem.CompleteUnplannedFailover{JobID: id(12), Point: id(10), RecoveryVM: "web", At: noon},
				protecteditem.CommitFailover{JobID: id(13), At: noon},
				protecteditem.CompleteFailoverCommit{JobID: id(13), At: noon},
				protecteditem.RecordSourceFenced{At: noon},
				protecteditem.StartFailback{JobID: id(14), Mode: protecteditem.FullDownload, At: noon},
				protecteditem.CancelFailback{JobID: id(15), At: noon},
			},
			[]string{"FailbackCancel NotStarted", "Failback Canceled", "FailoverCommit NotStarted", "UnplannedFailover NotStarted"},
		},
		"the copy of a disk's growth": {
			[]protecteditem.Command{
				protecteditem.RecordDiskGrown{JobID: id(12), Disk: "os", SizeBytes: 3 << 30, At: noon},
				protecteditem.StartUnplannedFailover{JobID: id(13), Choice: protecteditem.LatestProcessed, At: noon},
			},
			[]string{"UnplannedFailover NotStarted", "DiskReplication Canceled"},
		},
		"a test failover of what is disabled": {
			[]protecteditem.Command{
				protecteditem.StartTestFailover{JobID: id(12), Choice: protecteditem.LatestProcessed, At: noon},
				protecteditem.DisableProtection{JobID: id(13), CleanUp: true, At: noon},
			},
			[]string{"DisableProtection NotStarted", "TestFailover Canceled"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMirror(t)
			m.item("web", protecting()...)
			m.item("web", tt.cmds...)
			if got := m.jobs(); !slices.Equal(got, tt.want) {
				t.Errorf("jobs %q, want %q", got, tt.want)
			}
		})
	}
}

func TestARunOfAPlanHasItsJobAtOnceAndItsPartsUnderIt(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	def := recoveryplan.Definition{Name: "Shop", OnFailure: recoveryplan.Stop, Groups: []recoveryplan.Group{{Items: []string{"web"}}}}
	for _, cmd := range []recoveryplan.Command{
		recoveryplan.Define{Definition: def, Limits: recoveryplan.DefaultLimits(), At: noon},
		recoveryplan.StartRun{JobID: id(10), Operation: recoveryplan.PlannedFailover, At: noon},
	} {
		tell(m, recoveryplan.Category, recoveryplan.Decider, "acme", "acme.web", cmd) // a plan may be named as an item is
	}
	tell(m, job.Category, job.Decider, "acme", id(11), job.Command(job.Announce{Vault: "acme", Kind: job.PlannedFailover, Subject: "acme.web", Parent: id(10), At: noon}))
	if got := m.jobs(); !slices.Equal(got, []string{"PlannedFailover NotStarted"}) {
		t.Errorf("the item's jobs are %q", got)
	}
	list := must[[]projections.Row[job.State]](t)
	runs := list(m.Jobs(t.Context(), "acme", projections.JobFilter{Plan: "web"}, projections.Page{Limit: 20}))
	if len(runs) != 1 || runs[0].ID != id(10) || runs[0].Status != "NotStarted" || runs[0].State.Kind != job.RecoveryPlanPlannedFailover {
		t.Errorf("the plan's jobs are %+v", runs)
	}
	for name, parts := range map[string][]projections.Row[job.State]{
		"listed": list(m.Jobs(t.Context(), "acme", projections.JobFilter{Parent: id(10)}, projections.Page{Limit: 20})),
		"asked":  list(m.JobsOf(t.Context(), "acme", id(10))),
	} {
		if len(parts) != 1 || parts[0].ID != id(11) {
			t.Errorf("%s, the run's parts are %+v", name, parts)
		}
	}
	if got := list(m.JobsOf(t.Context(), "acme", "")); len(got) != 0 {
		t.Errorf("%d jobs are parts of none", len(got))
	}
	row := must[projections.Row[recoveryplan.State]](t)(m.RecoveryPlan(t.Context(), "acme", "web"))
	if row.Status != "Running" || row.State.Run == nil || row.State.Run.JobID != id(10) {
		t.Errorf("the plan is %+v", row)
	}
}
