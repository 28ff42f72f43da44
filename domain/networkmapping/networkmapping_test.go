package networkmapping_test

import (
	"testing"
	"time"

	"farshore/domain/domaintest"
	"farshore/domain/errorcatalog"
	"farshore/domain/networkmapping"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// lan is a mapping that is in order, changed as a row wants it.
func lan(change func(*networkmapping.Mapping)) networkmapping.Mapping {
	m := networkmapping.Mapping{
		ID: "lan", Site: "vienna", Network: "vm-lan", NetworkName: "LAN", RecoverySite: "graz", RecoveryNetwork: "vm-dr", RecoveryNetworkName: "DR LAN",
		RecoverySubnet: "10.2.0.0/24", Addressing: networkmapping.TranslateAddress,
	}
	if change != nil {
		change(&m)
	}
	return m
}

func ask(change func(*networkmapping.Mapping)) networkmapping.MapNetwork {
	return networkmapping.MapNetwork{Mapping: lan(change), Subnets: []string{"10.2.0.0/24", "10.3.0.0/24"}, At: noon}
}

var (
	mapped  = networkmapping.NetworkMapped{Mapping: lan(nil), At: noon}
	removed = networkmapping.MappingRemoved{ID: "lan", Site: "vienna", Network: "vm-lan", RecoverySite: "graz", At: noon}
)

func TestDecide(t *testing.T) {
	t.Parallel()
	type (
		events  = []networkmapping.Event
		mapping = networkmapping.Mapping
	)
	elsewhere := func(m *mapping) { m.RecoveryNetwork, m.RecoveryNetworkName = "vm-other", "Other" }
	domaintest.Decide(t, networkmapping.Decider, map[string]domaintest.Scenario[networkmapping.Command, networkmapping.Event]{
		"a network is mapped":                      {When: ask(nil), Then: events{mapped}},
		"mapping it again changes nothing":         {Given: events{mapped}, When: ask(nil)},
		"it is mapped elsewhere":                   {Given: events{mapped}, When: ask(elsewhere), Then: events{networkmapping.NetworkMapped{Mapping: lan(elsewhere), At: noon}}},
		"a second mapping of it is refused":        {Given: events{mapped}, When: ask(func(m *mapping) { m.ID = "lan-2" }), Refused: errorcatalog.NetworkMappedAlready, Field: "/network"},
		"it is mapped again once it is not":        {Given: events{mapped, removed}, When: ask(func(m *mapping) { m.ID = "lan-2" }), Then: events{networkmapping.NetworkMapped{Mapping: lan(func(m *mapping) { m.ID = "lan-2" }), At: noon}}},
		"it may be mapped to another site, too":    {Given: events{mapped}, When: ask(func(m *mapping) { m.ID, m.RecoverySite = "lan-2", "linz" }), Then: events{networkmapping.NetworkMapped{Mapping: lan(func(m *mapping) { m.ID, m.RecoverySite = "lan-2", "linz" }), At: noon}}},
		"a mapping stays that of its network":      {Given: events{mapped}, When: ask(func(m *mapping) { m.Network = "vm-dmz" }), Refused: errorcatalog.AlreadyExistsWithOtherSettings},
		"a mapping needs an id":                    {When: ask(func(m *mapping) { m.ID = "No slug" }), Refused: errorcatalog.ValidationFailed, Field: "/id"},
		"a mapping needs a site":                   {When: ask(func(m *mapping) { m.Site = "" }), Refused: errorcatalog.ValidationFailed, Field: "/site"},
		"a mapping needs a recovery site":          {When: ask(func(m *mapping) { m.RecoverySite = "" }), Refused: errorcatalog.ValidationFailed, Field: "/recoverySite"},
		"a network that is unknown is not mapped":  {When: ask(func(m *mapping) { m.NetworkName = "" }), Refused: errorcatalog.NetworkNotFound, Field: "/network"},
		"nor mapped to one that is unknown":        {When: ask(func(m *mapping) { m.RecoveryNetworkName = "" }), Refused: errorcatalog.NetworkNotFound, Field: "/recoveryNetwork"},
		"the subnet is one of the network's":       {When: ask(func(m *mapping) { m.RecoverySubnet = "10.9.0.0/24" }), Refused: errorcatalog.ValidationFailed, Field: "/recoverySubnet"},
		"an address is had in a known way":         {When: ask(func(m *mapping) { m.Addressing = "guess" }), Refused: errorcatalog.ValidationFailed, Field: "/addressing"},
		"an address is translated to a subnet":     {When: networkmapping.MapNetwork{Mapping: lan(func(m *mapping) { m.RecoverySubnet = "" })}, Refused: errorcatalog.ValidationFailed, Field: "/addressing"},
		"removing needs an id":                     {When: networkmapping.RemoveMapping{}, Refused: errorcatalog.ValidationFailed, Field: "/id"},
		"a mapping is removed":                     {Given: events{mapped}, When: networkmapping.RemoveMapping{ID: "lan", At: noon}, Then: events{removed}},
		"removing it again changes nothing":        {Given: events{mapped, removed}, When: networkmapping.RemoveMapping{ID: "lan", At: noon}},
		"removing one that never was changes none": {When: networkmapping.RemoveMapping{ID: "lan", At: noon}},
	})
}

func TestAMappingKnowsItsLastChange(t *testing.T) {
	t.Parallel()
	d := networkmapping.Decider
	other := networkmapping.NetworkMapped{Mapping: lan(func(m *networkmapping.Mapping) { m.ID, m.Network = "dmz", "vm-dmz" }), At: noon}
	s := d.Fold(networkmapping.State{}, mapped, other)
	if e, ok := s.Find("lan"); !ok || e.Version != 1 || s.Entries[0].ID != "dmz" || s.Entries[0].Version != 2 {
		t.Errorf("entries = %+v", s.Entries)
	}
	if later := d.Fold(s, mapped); later.Entries[1].Version != 3 || s.Entries[1].Version != 1 {
		t.Errorf("entries = %+v after %+v", later.Entries, s.Entries)
	}
	if between := s.Between("vienna", "graz"); len(between) != 2 || len(s.Between("graz", "vienna")) != 0 {
		t.Errorf("mappings = %+v", between)
	}
	if last := d.Fold(networkmapping.State{}, mapped, removed); !last.Ever("vienna", "graz") || last.Ever("graz", "vienna") {
		t.Errorf("mapped once: %+v", last.Mapped)
	}
	if after := d.Fold(s, removed); len(after.Entries) != 1 || len(s.Entries) != 2 {
		t.Errorf("entries = %+v after %+v", after.Entries, s.Entries)
	}
}
