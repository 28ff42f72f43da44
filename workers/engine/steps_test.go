package engine_test

import (
	"slices"
	"testing"

	"farshore/domain/protecteditem"
	"farshore/workers/diskreplication"
	"farshore/workers/failover"
	"farshore/workers/initialreplication"
	"farshore/workers/protection"
	"farshore/workers/resynchronization"
	"farshore/workers/runbook"
	"farshore/workers/workflow"
)

// Step names are journaled: a job that began under one must find it again.
func TestStepNamesAreNeverChanged(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		steps []runbook.Step
		want  []string
	}{
		"enable":   {protection.Enable{}.Steps(), []string{"check_prerequisites", "create_relationship", "create_replica_disks", "record_relationship"}},
		"finalize": {protection.Finalize{}.Steps(), []string{"apply_policy", "remove_former_replica", "finalize_protection"}},
		"disable":  {protection.Disable{}.Steps(), []string{"end_test_failover", "finish_background_copy", "release_source", "stop_replication", "remove_replica", "complete_disable"}},
		"initial replication": {initialreplication.InitialReplication{}.Steps(), []string{
			"take_snapshot", "copy_disks", "delete_snapshot", "ship_final_cut", "apply_change_logs", "complete_initial_replication",
		}},
		"resynchronization": {resynchronization.Resynchronization{}.Steps(), []string{
			"restart_tracking", "compare_disks", "send_differences", "delete_snapshot", "complete_resynchronization",
		}},
		"disk replication": {diskreplication.DiskReplication{}.Steps(), []string{"track_disks", "copy_disks", "delete_snapshot", "make_recovery_point"}},
		"planned failover": {failover.Planned{}.Steps(), []string{
			"inspect_source", "stop_source", "ship_last_cut", "apply_change_logs", "create_recovery_vm", "copy_disks",
			"start_recovery_vm", "complete_planned_failover",
		}},
		"held planned failover": {failover.Planned{Item: &workflow.Item{State: protecteditem.State{Hold: protecteditem.HoldAsked}}}.Steps(), []string{
			"inspect_source", "stop_source", "ship_last_cut", "apply_change_logs", "create_recovery_vm", "copy_disks",
			"await_release", "start_recovery_vm", "complete_planned_failover",
		}},
		"unplanned failover": {failover.Unplanned{}.Steps(), []string{
			"inspect_hosts", "stop_source", "ship_last_cut", "apply_change_logs", "choose_recovery_point", "create_recovery_vm",
			"copy_disks", "fence_source", "start_recovery_vm", "complete_unplanned_failover",
		}},
		"change of the point": {failover.ChangePoint{}.Steps(), []string{
			"inspect_recovery_point", "remove_recovery_vm", "create_recovery_vm", "copy_disks", "start_recovery_vm", "complete_recovery_point_change",
		}},
		"cancel":          {failover.Cancel{}.Steps(), []string{"inspect_source", "remove_recovery_vm", "release_source", "complete_failover_cancel"}},
		"commit":          {failover.Commit{}.Steps(), []string{"inspect_failover", "finish_background_copy", "complete_failover_commit", "remove_points"}},
		"background copy": {failover.BackgroundCopy{}.Steps(), []string{"copy_blocks", "settle_disks", "complete_background_copy"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := runbook.Names(tt.steps); !slices.Equal(got, tt.want) {
				t.Errorf("steps are %v, want %v", got, tt.want)
			}
			for _, s := range tt.steps {
				if s.Title == "" || s.Run == nil {
					t.Errorf("step %s has no title or does nothing", s.Name)
				}
			}
		})
	}
}
