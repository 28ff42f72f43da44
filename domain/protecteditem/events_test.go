package protecteditem_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"farshore/domain/protecteditem"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func stored() []protecteditem.Event {
	return []protecteditem.Event{
		enabling, related,
		protecteditem.EnableFailed{JobID: "job-enable", Failure: *unreachable, At: noon},
		copying, copied, finalized,
		protecteditem.ReplicationRequested{At: noon},
		shipped2, secondPoint,
		protecteditem.RecoveryPointsRemoved{IDs: []string{"cut-1"}, Reason: "retention", At: noon},
		failed(3, unreachable, 4*60*1e9),
		required,
		protecteditem.ResynchronizationRequested{JobID: "job-resync", At: noon},
		resyncing,
		protecteditem.ResynchronizationCompleted{JobID: "job-resync", BytesScanned: 9, BytesDiffering: 5, BytesSent: 3, At: noon},
		failingOver, stopped, failedOver,
		protecteditem.PlannedFailoverFailed{JobID: "job-fail", Failure: *unreachable, SourceRestarted: true, At: noon},
		committing, committed, disabling, disabled,
		crashing, fixedPoint, crashed,
		protecteditem.UnplannedFailoverFailed{JobID: "job-crash", Failure: *unreachable, SourceRestarted: true, At: noon},
		changing, changed,
		protecteditem.RecoveryPointChangeFailed{JobID: "job-change", Failure: *unreachable, RecoveryVM: "vm-9", At: noon},
		canceling,
		protecteditem.FailoverCanceled{JobID: "job-cancel", SourceRestarted: true, ChainBroken: true, At: noon},
		protecteditem.FailoverCancelFailed{JobID: "job-cancel", Failure: *unreachable, RecoveryVM: "vm-9", At: noon},
		protecteditem.SourceFoundRunning{Detail: "hv-1", At: noon},
		protecteditem.SourceFenced{Held: []protecteditem.ShippedLog{{Disk: "os", Log: "log-9", Bytes: 512}}, At: noon},
		drilling, testPoint, tested,
		protecteditem.TestFailoverFailed{JobID: "job-test", Failure: *unreachable, VM: "vm-7", At: noon},
		cleaning, cleaned,
		protecteditem.TestFailoverCleanupFailed{JobID: "job-clean", Failure: *unreachable, At: noon},
		paused,
		protecteditem.ReplicationResumed{By: "eva", At: noon},
		protecteditem.FailbackStarted{JobID: "job-back", Mode: protecteditem.FullDownload, Target: protecteditem.FailbackTarget{Site: "vienna", Host: "hv-2", VMName: "sql-2"}, At: noon},
		pulled, switching, switched,
		protecteditem.FailbackRestarted{JobID: "job-back", Reason: "os", At: noon},
		protecteditem.FailbackFailed{JobID: "job-back", Failure: *unreachable, At: noon},
		protecteditem.FailbackCancelStarted{JobID: "job-cancel", OvertakenJobID: "job-back", At: noon},
		protecteditem.FailbackCanceled{JobID: "job-cancel", At: noon},
		accepting, accepted, reversing, reversedOver,
		protecteditem.ReverseReplicationFailed{JobID: "job-reverse", Failure: *unreachable, At: noon},
		adding, grown, diskDone,
		protecteditem.DiskReplicationFailed{JobID: "job-disk", Failure: *unreachable, At: noon},
		protecteditem.DisksRemoved{Disks: []string{"data"}, At: noon},
		protecteditem.RetryRequested{At: noon},
		protecteditem.ResynchronizationCanceled{JobID: "job-resync", At: noon},
		protecteditem.PolicyChanged{PolicyID: "silver", Settings: silver(), At: noon},
	}
}

// TestStoredForm fails when an event's JSON changes: what is in the log stays
// readable for ever. A new shape is a new version of the event.
func TestStoredForm(t *testing.T) {
	t.Parallel()
	shown := map[string]bool{}
	for _, e := range stored() {
		shown[e.EventType()] = true
		t.Run(e.EventType(), func(t *testing.T) {
			t.Parallel()
			got, err := json.MarshalIndent(e, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", e.EventType()+".json")
			if *update {
				if err := os.WriteFile(golden, append(got, '\n'), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if string(got)+"\n" != string(want) {
				t.Errorf("stored form changed:\n got %s\nwant %s", got, want)
			}
			back := reflect.New(reflect.TypeOf(e))
			if err := json.Unmarshal(want, back.Interface()); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(back.Elem().Interface(), e) {
				t.Errorf("read back = %+v, want %+v", back.Elem().Interface(), e)
			}
		})
	}
	for _, e := range protecteditem.Events() {
		if !shown[e.EventType()] {
			t.Errorf("%s has no golden file", e.EventType())
		}
		if !strings.HasPrefix(e.EventType(), protecteditem.Category+".") || !strings.HasSuffix(e.EventType(), ".v1") {
			t.Errorf("%T is stored as %q", e, e.EventType())
		}
	}
	if len(shown) != len(protecteditem.Events()) {
		t.Errorf("%d types are stored, Events lists %d", len(shown), len(protecteditem.Events()))
	}
}
