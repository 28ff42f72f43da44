package api_test

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"farshore/api/oapi"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
)

func (i item) addDisks(key *string, only bool, disks ...string) answer {
	i.t.Helper()
	return i.asked(func() (*http.Response, error) {
		return i.client.AddDisks(context.Background(), "acme", i.id, &oapi.AddDisksParams{IdempotencyKey: key, ValidateOnly: &only}, oapi.DisksInput{Disks: disks})
	})
}

func (i item) removeDisks(only bool, disks ...string) answer {
	i.t.Helper()
	return i.asked(func() (*http.Response, error) {
		return i.client.RemoveDisks(context.Background(), "acme", i.id, &oapi.RemoveDisksParams{ValidateOnly: &only}, oapi.DisksInput{Disks: disks})
	})
}

// diskStates are the states of an item's disks as it is shown.
func diskStates(i oapi.ProtectedItem) map[string]string {
	states := map[string]string{}
	for _, d := range i.Disks {
		states[d.ID] = d.State
	}
	return states
}

func TestDisksAreAddedUnderAJobAndRemoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	i := item{w, "web"}
	i.refusing(func() answer { return i.addDisks(nil, false, "logs") }, http.StatusNotFound, "protected_item_not_found")
	i.refusing(func() answer { return i.removeDisks(false, "data") }, http.StatusNotFound, "protected_item_not_found")
	i, enabling := w.enable()
	i.refusing(func() answer { return i.addDisks(nil, false, "logs") }, http.StatusConflict, "not_protected")
	i.may("addDisks", "not_protected")
	i.replicated(enabling.ID)
	i.may("addDisks", "")
	i.may("removeDisks", "")
	i.refusing(func() answer { return i.addDisks(nil, false, "logs") }, http.StatusBadRequest, "disk_not_found")
	vm := goodVM("web")
	vm.Disks = append(vm.Disks, site.Disk{ID: "logs", File: "logs.raw", Format: site.Raw, SizeBytes: 4 << 30})
	w.inventory("acme", "primary", "h1", vm)
	i.refusing(func() answer { return i.addDisks(nil, false, "data") }, http.StatusBadRequest, "validation_failed")
	if a := i.addDisks(nil, true, "logs"); a.status != http.StatusOK {
		t.Errorf("a check answered %d\n%s", a.status, a.body)
	}

	job := jobIn(t, i.addDisks(new("once"), false, "logs"))
	if again := jobIn(t, i.addDisks(new("once"), false, "logs")); again.ID != job.ID || job.Kind != "DiskReplication" {
		t.Errorf("repeated: job %s, first %s %s", again.ID, job.Kind, job.ID)
	}
	shown := i.show()
	if shown.DiskJob == nil || shown.DiskJob.ID != job.ID || diskStates(shown)["logs"] != "Replicating" || diskStates(shown)["os"] != "Protected" {
		t.Errorf("shown: %+v %+v", shown.DiskJob, shown.Disks)
	}
	i.may("addDisks", "operation_in_progress")
	i.may("removeDisks", "operation_in_progress")
	i.may("plannedFailover", "operation_in_progress")
	i.warnsOf("disk_not_in_recovery_point")

	before, p := i.newest(), point(time.Now())
	p.Disks = append(p.Disks, protecteditem.PointDisk{Disk: "logs", SizeBytes: 4 << 30, Root: p.Disks[0].Root})
	i.do(protecteditem.RecordDelta{Cut: p.ID, PreviousCut: before, Instant: p.Instant, At: time.Now()})
	i.do(protecteditem.CompleteDiskReplication{JobID: job.ID, Point: p, At: time.Now()})
	if shown := i.show(); shown.DiskJob != nil || diskStates(shown)["logs"] != "Protected" || len(shown.LatestRecoveryPoint.Disks) != 3 {
		t.Errorf("protected: %+v %+v", shown.DiskJob, shown.Disks)
	}
	i.warnsOf("")

	if kept := unchanged(t, i.removeDisks(true, "logs")); len(kept.Disks) != 3 {
		t.Errorf("a check has removed a disk: %+v", kept.Disks)
	}
	if left := itemIn(t, i.removeDisks(false, "logs")); len(left.Disks) != 2 {
		t.Errorf("left: %+v", left.Disks)
	}
	i.refusing(func() answer { return i.removeDisks(false, "os") }, http.StatusBadRequest, "validation_failed")
	i.refusing(func() answer { return i.addDisks(nil, false, "logs") }, http.StatusConflict, "disk_in_recovery_points")
}

// unchanged is the item that an answer shows which changed nothing.
func unchanged(tb testing.TB, a answer) oapi.ProtectedItem {
	tb.Helper()
	a.header.Set("X-Event-Position", "none")
	return itemIn(tb, a)
}

// warnsOf checks what a failover that is only checked warns of.
func (i item) warnsOf(code string) {
	i.t.Helper()
	a := i.must("POST", "/v1/vaults/acme/protectedItems/web/unplannedFailover?validateOnly=true", `{"recoveryPoint":"LatestProcessed"}`)
	var v oapi.Validation
	if err := json.Unmarshal(a.body, &v); err != nil {
		i.t.Fatal(err)
	}
	got := ""
	if v.Warnings != nil {
		got = (*v.Warnings)[0].Code
	}
	if got != code {
		i.t.Errorf("a failover warns of %q, want %q", got, code)
	}
}
