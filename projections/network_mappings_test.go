package projections_test

import (
	"testing"

	"farshore/domain/networkmapping"
)

func TestTheMappingsOfAVaultAreItsOwn(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	for _, name := range []string{"lan", "dmz"} {
		tell(m, networkmapping.Category, networkmapping.Decider, "acme", "acme", networkmapping.Command(networkmapping.MapNetwork{At: noon, Mapping: networkmapping.Mapping{
			ID: name, Site: "primary", Network: name, NetworkName: name, RecoverySite: "recovery", RecoveryNetwork: "dr", RecoveryNetworkName: "DR", Addressing: networkmapping.FromDHCP,
		}}))
	}
	tell(m, networkmapping.Category, networkmapping.Decider, "acme", "acme", networkmapping.Command(networkmapping.RemoveMapping{ID: "lan", At: noon}))
	m.settle()
	entries := must[[]networkmapping.Entry](t)(m.NetworkMappings(t.Context(), "acme"))
	if len(entries) != 1 || entries[0].ID != "dmz" || entries[0].Version != 2 {
		t.Errorf("mappings = %+v", entries)
	}
	if other := must[[]networkmapping.Entry](t)(m.NetworkMappings(t.Context(), "umbra")); len(other) != 0 {
		t.Errorf("another vault's = %+v", other)
	}
	if n := m.visible("umbra", "network_mappings_v1"); n != 0 {
		t.Errorf("%d rows seen from another vault", n)
	}
}
