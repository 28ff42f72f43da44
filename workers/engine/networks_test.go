package engine_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/networkmapping"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
	"farshore/eventstore"
	"farshore/workers/networks"
)

// book is what a worker knows of networks.
func (w *worker) book() networks.Book {
	return networks.Book{
		Sites:    networks.Sites{Store: w.store, Category: site.Category, Decider: site.Decider},
		Mappings: networks.Mappings{Store: w.store, Category: networkmapping.Category, Decider: networkmapping.Decider},
		Items: func(ctx context.Context, _, _ string) ([]protecteditem.State, error) {
			state, version, err := w.items.Load(ctx, itemKey)
			if version == 0 {
				return nil, err
			}
			return []protecteditem.State{state}, err
		},
	}
}

// tell executes a command that is not the item's.
func tell[C any, E domain.Event, S any](s *scene, repo eventstore.Repository[C, E, S], id string, cmd C) {
	s.t.Helper()
	_, err := repo.Execute(s.t.Context(), id, cmd, eventstore.Execution{Metadata: eventstore.Metadata{Actor: "apikey:test", Vault: vault}})
	must(s.t, err)
}

// networks makes the networks of both sites known, and maps one of them.
func (s *scene) networks() {
	s.t.Helper()
	b := s.book()
	for id, known := range map[string][]site.Network{
		"s1": {{ID: "lan", Name: "LAN", Subnets: []site.Subnet{{CIDR: "10.1.0.0/24"}}}, {ID: "dmz", Name: "DMZ"}},
		"s2": {{ID: "dr-lan", Name: "DR LAN", Subnets: []site.Subnet{{CIDR: "10.2.0.0/24", Gateway: "10.2.0.1", DNS: []string{"10.2.0.2"}}}}, {ID: "dr-dmz", Name: "DR DMZ"}},
	} {
		tell(s, b.Sites, vault+"."+id, site.Command(site.Register{Name: id, Kind: site.Local, At: s.now()}))
		tell(s, b.Sites, vault+"."+id, site.Command(site.LoadInventory{Networks: known, At: s.now()}))
	}
	s.mapped(networkmapping.Mapping{ID: "lan", Network: "lan", NetworkName: "LAN", RecoveryNetwork: "dr-lan", RecoveryNetworkName: "DR LAN", Addressing: networkmapping.TranslateAddress})
}

func (s *scene) mapped(m networkmapping.Mapping) {
	s.t.Helper()
	m.Site, m.RecoverySite = "s1", "s2"
	s.maps(m, "10.2.0.0/24")
}

func (s *scene) maps(m networkmapping.Mapping, subnets ...string) {
	s.t.Helper()
	tell(s, s.book().Mappings, vault, networkmapping.Command(networkmapping.MapNetwork{Mapping: m, Subnets: subnets, At: s.now()}))
}

func (s *scene) mapDMZ() {
	s.mapped(networkmapping.Mapping{ID: "dmz", Network: "dmz", NetworkName: "DMZ", RecoveryNetwork: "dr-dmz", RecoveryNetworkName: "DR DMZ", Addressing: networkmapping.FromDHCP})
}

// twoAdapters gives the VM one with a static address and one without.
func twoAdapters(vm *site.VirtualMachine) {
	vm.NICs = []site.NIC{
		{Name: "eth0", MACAddress: "00:15:5d:00:00:01", Network: "LAN", Primary: true, Address: &site.Address{Type: site.StaticAddress, IP: "10.1.0.25"}},
		{Name: "eth1", MACAddress: "00:15:5d:00:00:02", Network: "DMZ"},
	}
}

// checks looks after the item's networks as a server does.
func (s *scene) checks() {
	s.t.Helper()
	sub, err := eventstore.NewSubscriber(s.store, eventstore.SubscriberConfig{Group: networks.Group, Takeover: 100 * time.Millisecond})
	must(s.t, err)
	c := &networks.Checker{Book: s.book(), Items: s.items, Now: s.now, Logger: slog.New(slog.DiscardHandler)}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx, sub) }()
	s.t.Cleanup(func() { stop(); must(s.t, <-ended) })
}

// found waits until what is known to be wrong with the item's networks is what is
// wanted.
func (s *scene) found(want ...errorcatalog.Code) {
	s.t.Helper()
	s.until("the networks are looked at", func(st protecteditem.State) bool {
		var codes []errorcatalog.Code
		for _, f := range st.NetworkFindings {
			codes = append(codes, f.Code)
		}
		return slices.Equal(codes, want)
	})
}

// adaptersAre reads those of a VM on the recovery host from its vm.json.
func (s *scene) adaptersAre(vm string, want ...site.NIC) {
	s.t.Helper()
	s.adaptersIn(filepath.Join(s.dir, "away", vm), want...)
}

func (s *scene) adaptersIn(vm string, want ...site.NIC) {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(vm, "vm.json"))
	must(s.t, err)
	var described site.VirtualMachine
	must(s.t, json.Unmarshal(text, &described))
	if got := described.NICs; !slices.EqualFunc(got, want, site.NIC.Equal) {
		s.t.Errorf("the adapters of %s are %+v, want %+v", vm, got, want)
	}
}

// What the adapters of the recovery VM are to be.
var (
	inDRLAN = site.NIC{
		Name: "eth0", MACAddress: "00:15:5d:00:00:01", Network: "DR LAN", Primary: true,
		Address: &site.Address{Type: site.StaticAddress, IP: "10.2.0.25", Subnet: "10.2.0.0/24", Gateway: "10.2.0.1", DNS: []string{"10.2.0.2"}},
	}
	nowhere = site.NIC{Name: "eth1", MACAddress: "00:15:5d:00:00:02"}
	inDRDMZ = site.NIC{Name: "eth1", MACAddress: "00:15:5d:00:00:02", Network: "DR DMZ"}
)

func TestAdaptersLandWhereTheirNetworksAreMapped(t *testing.T) {
	t.Parallel()
	s := newScene(t, seldom)
	s.networks()
	s.work()
	s.checks()
	s.enableShort(twoAdapters)
	s.found(errorcatalog.NetworkUnmapped)

	// A test failover is in its own network, whatever is mapped.
	s.drill(newID(), protecteditem.LatestProcessed)
	s.adaptersAre(testVM, site.NIC{Name: "eth0", Network: "isolated"}, site.NIC{Name: "eth1", Network: "isolated"})
	s.cleanUp()

	// A planned failover is refused, and gives up in its first task if it comes to it.
	s.refused(protecteditem.StartPlannedFailover{JobID: newID(), At: s.now()}, errorcatalog.NetworksUnmapped)
	planned := newID()
	s.do(protecteditem.StartPlannedFailover{JobID: planned, Networks: &protecteditem.NetworkPlan{}, At: s.now()})
	s.jobIs(planned, job.Failed)
	if first := s.job(planned).Tasks[0]; first.Failure == nil || first.Failure.Code != errorcatalog.NetworkUnmapped || first.Failure.Detail != "eth1: network DMZ is not mapped" {
		t.Errorf("the first task failed with %v", first.Failure)
	}
	s.until("protected again", protected)
	s.power(site.Running)

	// An unplanned one goes on, and says what is not connected.
	crash := newID()
	s.do(protecteditem.StartUnplannedFailover{JobID: crash, Choice: protecteditem.LatestProcessed, At: s.now()})
	st := s.until("failed over", uncommitted)
	s.endedWell(crash)
	s.adaptersAre("web-dr", inDRLAN, nowhere)
	if warnings := s.job(crash).Tasks[0].Warnings(); len(warnings) != 1 || warnings[0].Code != errorcatalog.NetworkUnmapped {
		t.Errorf("the first task warns of %+v", warnings)
	}

	// Once the other network is mapped, another point is connected altogether.
	s.mapDMZ()
	s.found()
	s.adaptersAre("web-dr", inDRLAN, nowhere)
	change := newID()
	s.do(protecteditem.ChangeRecoveryPoint{JobID: change, Choice: protecteditem.PointChoice(st.FailoverPoint), Confirm: true, At: s.now()})
	s.endedWell(change)
	s.until("made again", uncommitted)
	s.adaptersAre("web-dr", inDRLAN, inDRDMZ)
	if warnings := s.job(change).Tasks[0].Warnings(); len(warnings) != 0 {
		t.Errorf("the first task warns of %+v", warnings)
	}

	// Taken back, the VM is what it was; led elsewhere, it moves as it is told.
	s.do(protecteditem.CancelFailover{JobID: newID(), At: s.now()})
	s.until("taken back", protected)
	s.do(protecteditem.ChangeNetworkSettings{NICs: []protecteditem.NICSettings{
		{NIC: "eth0", Disconnected: true}, {NIC: "eth1", Network: "dr-lan", NetworkName: "DR LAN", Address: &site.Address{Type: site.StaticAddress, IP: "10.7.0.7"}, Primary: true},
	}, At: s.now()})
	s.found(errorcatalog.StaticAddressOutsideSubnet)
	again := newID()
	s.do(protecteditem.StartPlannedFailover{JobID: again, At: s.now()})
	s.until("moved", uncommitted)
	s.endedWell(again)
	s.adaptersAre("web-dr", site.NIC{Name: "eth0", MACAddress: "00:15:5d:00:00:01"},
		site.NIC{Name: "eth1", MACAddress: "00:15:5d:00:00:02", Network: "DR LAN", Primary: true, Address: &site.Address{Type: site.StaticAddress, IP: "10.7.0.7"}})
	if warnings := s.job(again).Tasks[0].Warnings(); len(warnings) != 1 || warnings[0].Code != errorcatalog.StaticAddressOutsideSubnet {
		t.Errorf("the first task warns of %+v", warnings)
	}
}

// TestAWorkerKilledAfterItsDecisionKeepsIt kills workers all through an unplanned
// failover whose networks are mapped otherwise meanwhile: the first decision holds,
// also when it was recorded and its step was not.
func TestAWorkerKilledAfterItsDecisionKeepsIt(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(c *config) { seldom(c); slow(2 * time.Millisecond)(c) })
	s.networks()
	s.work()
	s.enableShort(twoAdapters)
	s.stopWorker()
	id := newID()
	s.do(protecteditem.StartUnplannedFailover{JobID: id, Choice: protecteditem.LatestProcessed, At: s.now()})
	known, err := s.book().Of(t.Context(), s.state())
	must(t, err)
	// As a worker that died between the decision and the end of its first step.
	s.do(protecteditem.RecordConnections{JobID: id, Plan: protecteditem.PlanNetworks(s.state(), known), At: s.now()})
	s.mapDMZ()
	for n, step := range []string{"inspect_hosts", "choose_recovery_point", "create_recovery_vm", "copy_disks"} {
		w := s.child("w" + string(rune('0'+n)))
		eventually(t, 30*time.Second, step+" begins", func() bool {
			task, _ := s.job(id).Task(step)
			return task.Attempts > 0
		})
		must(t, w.Process.Kill())
		_ = w.Wait()
	}
	s.child("last")
	s.until("failed over", uncommitted)
	s.endedWell(id)
	s.adaptersAre("web-dr", inDRLAN, nowhere)
	if warnings := s.job(id).Tasks[0].Warnings(); len(warnings) != 1 {
		t.Errorf("the first task warns of %+v", warnings)
	}
	decisions := 0
	for rec, err := range s.store.Stream(t.Context(), s.items.StreamOf(itemKey), 0) {
		must(t, err)
		if _, ok := rec.Event.(protecteditem.ConnectionsDecided); ok {
			decisions++
		}
	}
	if decisions != 1 {
		t.Errorf("it was decided %d times how the VM is connected", decisions)
	}
	s.gapless()
}

func TestANewVMOnAnotherSiteIsConnectedAsItsNetworksAreMapped(t *testing.T) {
	t.Parallel()
	s := newScene(t, seldom)
	e := s.third()
	s.networks()
	spare := []site.Network{{ID: "spare", Name: "Spare LAN", Subnets: []site.Subnet{{CIDR: "10.3.0.0/24"}}}}
	tell(s, s.book().Sites, vault+".s3", site.Command(site.Register{Name: "s3", Kind: site.Local, At: s.now()}))
	tell(s, s.book().Sites, vault+".s3", site.Command(site.LoadInventory{Networks: spare, At: s.now()}))
	s.maps(networkmapping.Mapping{
		ID: "back", Site: "s1", RecoverySite: "s3", Network: "lan", NetworkName: "LAN", RecoveryNetwork: "spare", RecoveryNetworkName: "Spare LAN",
		Addressing: networkmapping.TranslateAddress,
	}, "10.3.0.0/24")
	s.work()
	s.enableShort(twoAdapters)
	s.do(protecteditem.StartUnplannedFailover{JobID: newID(), Choice: protecteditem.LatestProcessed, ShutDownSource: true, At: s.now()})
	s.until("failed over", uncommitted)
	s.do(protecteditem.CommitFailover{JobID: newID(), At: s.now()})
	s.until("committed", is(protecteditem.FailedOver))
	id := newID()
	e.start(id, protecteditem.FullDownload)
	s.until("failed back", is(protecteditem.FailbackCommitRequired))
	s.adaptersIn(e.vm, site.NIC{
		Name: "eth0", MACAddress: "00:15:5d:00:00:01", Network: "Spare LAN", Primary: true,
		Address: &site.Address{Type: site.StaticAddress, IP: "10.3.0.25", Subnet: "10.3.0.0/24"},
	}, nowhere)
	w := s.job(id).Tasks[1].Warnings()
	if len(w) != 1 || w[0].Code != errorcatalog.NetworkUnmapped || w[0].Detail != "eth1: network DMZ is not mapped" {
		t.Errorf("the task warns of %+v", w)
	}
}
