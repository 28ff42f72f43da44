package client_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"farshore/cmd/farshore/client"
)

func TestEventsAreToldInSentences(t *testing.T) {
	t.Parallel()
	const failure = `"failure":{"code":"host_unreachable","detail":"no answer"}`
	for _, tt := range []struct{ event, data, says string }{
		{"unplanned_failover_started", `{"jobId":"j","choice":"latest","shutDownSource":true}`, "unplanned failover began, to the latest state that was shipped, with a try to stop the source first"},
		{"unplanned_failover_started", `{"jobId":"j","choice":"p1","point":"p1"}`, "unplanned failover began, to recovery point p1"},
		{"failover_point_chosen", `{"point":"p1"}`, "the failover is to recovery point p1"},
		{"unplanned_failover_completed", `{"point":"p1","recoveryVm":"web"}`, "the VM runs on the recovery side as web, from recovery point p1"},
		{"unplanned_failover_failed", `{` + failure + `}`, "unplanned failover failed: no answer [host_unreachable]"},
		{"recovery_point_change_started", `{"point":"p2"}`, "one from recovery point p2; what it wrote is given up"},
		{"recovery_point_change_completed", `{"point":"p2","recoveryVm":"web"}`, "as web, from recovery point p2"},
		{"recovery_point_change_failed", `{` + failure + `}`, "the recovery point was not changed: no answer"},
		{"failover_cancel_started", `{}`, "the failover is being taken back"},
		{"failover_canceled", `{"sourceRestarted":true}`, "the failover was taken back; replication goes on"},
		{"failover_canceled", `{"chainBroken":true}`, "the replica is to be resynchronized"},
		{"failback_started", `{"mode":"minimizeDowntime","target":{}}`, "failback began, while the recovery VM runs"},
		{"failback_started", `{"mode":"fullDownload","target":{}}`, "failback began, with the recovery VM shut down first"},
		{"failback_synchronized", `{"bytesScanned":4096,"bytesDiffering":1024,"bytesSent":1024}`, "the primary side has caught up: "},
		{"failback_completion_started", `{}`, "the recovery VM makes way"},
		{"failback_completed", `{"vm":"web"}`, "the VM runs on the primary side again"},
		{"failback_completed", `{"vm":"web","bytesScanned":4096,"bytesDiffering":1024,"bytesSent":1024}`, "again; last changes: 4"},
		{"failback_completed", `{"vm":"web","bytesScanned":4096,"compared":"log_unclean: os"}`, "; all was compared, because log_unclean: os"},
		{"failback_started", `{"mode":"minimizeDowntime","target":{"site":"office","host":"hv3","vmName":"web-2"}}`, "failback to a new VM web-2 on office/hv3 began, while"},
		{"failback_canceled", `{"left":true}`, "goes on; the new VM is removed when its host answers"},
		{"left_behind_settled", `{"site":"office","host":"hv1","vm":"web"}`, "the host office/hv1 knows that the VM web is no longer"},
		{"released_points_settled", `{"ids":["a","b"]}`, "2 recovery points have left the store"},
		{"failback_failed", `{` + failure + `}`, "failback failed: no answer [host_unreachable]"},
		{"failback_cancel_started", `{}`, "the failback is being taken back"},
		{"failback_canceled", `{}`, "the recovery VM goes on"},
		{"failback_cancel_failed", `{` + failure + `}`, "the failback was not taken back: no answer"},
		{"failback_commit_started", `{}`, "the failback is being committed"},
		{"failback_committed", `{"target":{},"vm":"web"}`, "the failback is final"},
		{"reverse_replication_started", `{}`, "the VM is being replicated again"},
		{"reverse_replication_completed", `{"bytesScanned":4096,"bytesDiffering":1024,"bytesSent":1024}`, "the VM is protected again: "},
		{"reverse_replication_failed", `{` + failure + `}`, "the VM was not replicated again: no answer"},
		{"failover_cancel_failed", `{` + failure + `}`, "the failover was not taken back: no answer"},
		{"source_found_running", `{"detail":"web on h1"}`, "the source VM runs although the recovery side is active: web on h1"},
		{"source_fenced", `{"held":[{},{}]}`, "2 of its logs were never replicated"},
		{"test_failover_started", `{"choice":"latestAppConsistent","network":"lab"}`, "test failover began, to the newest app-consistent recovery point, in the network lab"},
		{"test_failover_started", `{"choice":"latestProcessed"}`, "test failover began, to the newest recovery point"},
		{"test_failover_point_chosen", `{"point":"p1"}`, "the test failover is to recovery point p1"},
		{"test_failover_completed", `{"point":"p1","vm":"web-test"}`, "a copy of the VM runs as web-test, from recovery point p1"},
		{"test_failover_failed", `{` + failure + `}`, "test failover failed: no answer"},
		{"test_failover_cleanup_started", `{"notes":"good"}`, "the test failover is being cleaned up: good"},
		{"test_failover_cleanup_started", `{}`, "the test failover is being cleaned up"},
		{"test_failover_cleaned_up", `{}`, "nothing of the test failover is left"},
		{"test_failover_cleanup_failed", `{` + failure + `}`, "the test failover was not cleaned up: no answer"},
		{"network_settings_changed", `{"nics":[{"nic":"eth0"},{"nic":"eth1"}]}`, "set for the recovery side: eth0, eth1"},
		{"network_settings_changed", `{"nics":null}`, "all adapters follow the mappings"},
		{"networks_checked", `{"findings":[{"code":"network_unmapped","nic":"eth1","detail":"eth1: network DMZ is not mapped"}]}`, "not in order: eth1: network DMZ is not mapped"},
		{"networks_checked", `{}`, "the networks are in order"},
		{"connections_decided", `{"nics":[{"name":"eth0","network":"DR LAN"},{"name":"eth1"}]}`, "made with eth0 in DR LAN, eth1 in no network"},
		{"replication_paused", `{"reason":"night"}`, "replication is paused: night"},
		{"replication_paused", `{}`, "replication is paused"},
		{"replication_resumed", `{}`, "replication goes on"},
		{"health_changed", `{"health":"Critical","previous":"Warning","reasons":[{"code":"log_missing"},{"code":"host_unreachable"}]}`, "health is Critical, it was Warning: log_missing, host_unreachable"},
		{"health_changed", `{"health":"Warning","previous":"Warning","reasons":[{"code":"replication_paused"}]}`, "health is still Warning: replication_paused"},
		{"health_changed", `{"health":"Normal","previous":"Warning","reasons":[]}`, "health is Normal, it was Warning"},
		{"test_failover_due", `{"reminderDays":90}`, "a test failover is due: none has come up, and 90 days have passed"},
		{"test_failover_due", `{"reminderDays":90,"lastTestFailover":"2026-01-02T12:00:00Z"}`, "the last one came up on 2026-01-02, more than 90 days ago"},
		{"replication_requested", `{}`, "a delta is due now"},
		{"replication_requested", `{"consistency":"AppConsistent"}`, "an application-consistent delta is due now"},
		{"delta_shipped", `{"bytes":4096,"logs":[{}],"instant":"` + since + `"}`, "is durable at the replica side"},
		{"delta_shipped", `{"consistency":"AppConsistent","freeze":{"milliseconds":120}}`, "; application-consistent, frozen for 120ms"},
		{"delta_shipped", `{"freeze":{"failure":{"code":"freeze_hook_failed","detail":"busy"}}}`, "; crash-consistent only: busy [freeze_hook_failed]"},
		{"delta_shipped", `{"consistency":"AppConsistent","freeze":{"failure":{"code":"thaw_hook_failed","detail":"stuck"}}}`, "stuck [thaw_hook_failed]"},
		{"delta_shipped", `{"freeze":{}}`, "; the applications were thawed"},
		{"retry_requested", `{}`, "what has failed is tried again now"},
		{"policy_changed", `{"policyId":"seldom","settings":{}}`, "protected by policy seldom from here on"},
		{"resynchronization_requested", `{}`, "a resynchronization is due now"},
		{"resynchronization_started", `{}`, "source and replica are being compared"},
		{"resynchronization_canceled", `{}`, "the resynchronization was stopped"},
		{"protection_enabling", `{"cycle":2,"disks":["os"],"site":"office","host":"h1","vm":{"id":"web"}}`, "protection cycle 2 began: disks os of a VM on office/h1"},
	} {
		t.Run(tt.event+tt.data, func(t *testing.T) {
			t.Parallel()
			if told := story(t, tt.event, tt.data); !strings.Contains(told, tt.says) {
				t.Errorf("told as\n%s\nwant %q", told, tt.says)
			}
		})
	}
}

// story is the list of events that holds one of a protected item.
func story(t *testing.T, event, data string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"lastPosition":1,"value":[{"position":1,"id":"`+jobID+`","stream":"protected_item-acme.web","version":1,
			"type":"protected_item.`+event+`.v1","at":"`+since+`","item":"web","data":`+data+`}]}`)
	}))
	defer server.Close()
	root := &cobra.Command{Use: "farshore", SilenceErrors: true, SilenceUsage: true}
	root.AddCommand(client.Commands(root)...)
	var out strings.Builder
	root.SetOut(&out)
	root.SetArgs([]string{"events", "list", "--server", server.URL, "--key", "k"})
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
