package job_test

import (
	"testing"

	"farshore/domain/errorcatalog"
	"farshore/domain/job"
)

func TestATaskTellsWhatItWarnsOf(t *testing.T) {
	t.Parallel()
	task := job.Task{Output: map[string]string{
		"cut": "c-1", job.WarningKey(errorcatalog.NetworkUnmapped, "eth1"): "eth1: LAN", job.WarningKey(errorcatalog.NetworkUnmapped, "eth0"): "eth0: DMZ",
	}}
	got := task.Warnings()
	if len(got) != 2 || got[0].Code != errorcatalog.NetworkUnmapped || got[0].Detail != "eth0: DMZ" || got[1].Detail != "eth1: LAN" {
		t.Errorf("warnings = %+v", got)
	}
	if none := (job.Task{}).Warnings(); len(none) != 0 {
		t.Errorf("warnings = %+v", none)
	}
}
