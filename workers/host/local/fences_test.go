package local_test

import (
	"testing"

	"farshore/domain/errorcatalog"
	"farshore/workers/host"
	"farshore/workers/host/hosttest"
)

func TestAHostTurnsAwayWhoHasLostALane(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	early, other := l.client.Fenced("v.vm/replication", 3), l.client.Fenced("v.vm/drill", 1)
	must(t, early.SetActive(within(t), l.vm.ID, true))
	b := hosttest.BeginReturn(t, l.subject, "return-1")
	d, err := early.OpenBeside(within(t), l.vm.ID, "return-1", "os")
	must(t, err)
	_, err = d.WriteAt(make([]byte, 512), 0)
	must(t, err)
	copy(b.Want["os"], make([]byte, 512))
	late := l.client.Fenced("v.vm/replication", 4)
	must(t, late.SetActive(within(t), l.vm.ID, true))

	_, err = d.WriteAt([]byte("by a worker that was asleep"), 4096)
	wantCode(t, err, errorcatalog.Fenced)
	wantCode(t, d.Zero(8192, 4096), errorcatalog.Fenced)
	wantCode(t, d.Flush(), errorcatalog.Fenced)
	wantCode(t, early.Start(within(t), l.vm.ID), errorcatalog.Fenced)
	wantCode(t, early.SetActive(within(t), l.vm.ID, false), errorcatalog.Fenced)
	b.Reads(t)
	for _, h := range []host.Host{late, other, l.client} {
		if _, err := h.VirtualMachine(within(t), l.vm.ID); err != nil {
			t.Error(err)
		}
	}
	must(t, late.Start(within(t), l.vm.ID))
	must(t, late.Stop(within(t), l.vm.ID))
}
