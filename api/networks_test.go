package api_test

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"farshore/api/oapi"
	"farshore/domain/networkmapping"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
	"farshore/eventstore"
	"farshore/projections"
	"farshore/workers/networks"
)

// bookOf is what is known of networks, as the program wires it.
func bookOf(store eventstore.Store, queries *projections.Queries) networks.Book {
	return networks.Book{
		Sites:    networks.Sites{Store: store, Category: site.Category, Decider: site.Decider},
		Mappings: networks.Mappings{Store: store, Category: networkmapping.Category, Decider: networkmapping.Decider},
		Items: func(ctx context.Context, vault, siteID string) ([]protecteditem.State, error) {
			rows, err := queries.ItemsAt(ctx, vault, siteID, "")
			var states []protecteditem.State
			for _, r := range rows {
				states = append(states, r.State)
			}
			return states, err
		},
	}
}

const (
	vmmDocument = `{"server":{"name":"vmm.corp","version":"10.22","connectionStatus":"Connected"},
		"clouds":[{"id":"prod","name":"Production","hosts":["h9"]}],
		"logicalNetworks":[{"id":"corp","name":"Corporate"}],
		"vmNetworks":[{"id":"a-lan","name":"lan","logicalNetwork":"corp","subnets":[{"cidr":"10.1.0.0/24","gateway":"10.1.0.1","pools":[{"first":"10.1.0.10","last":"10.1.0.99"}]}]}]}`
	plainDocument = `{"vmNetworks":[{"id":"lan","name":"lan","subnets":[{"cidr":"10.1.0.0/24"}]},{"id":"dmz","name":"dmz"}]}`
	drDocument    = `{"vmNetworks":[{"id":"dr-lan","name":"DR LAN","subnets":[{"cidr":"10.2.0.0/24","gateway":"10.2.0.1","dns":["10.2.0.2"]}]},{"id":"dr-dmz","name":"DR DMZ"}]}`
	lanMapping    = `{"site":"primary","network":"lan","recoverySite":"recovery","recoveryNetwork":"DR LAN"}`
)

func decoded[T any](tb testing.TB, a answer, status int) T {
	tb.Helper()
	var v T
	if a.status != status {
		tb.Fatalf("answered %d, want %d\n%s", a.status, status, a.body)
	}
	if err := json.Unmarshal(a.body, &v); err != nil {
		tb.Fatal(err)
	}
	return v
}

// now asks for what the log has by now.
func (w *world) now(path string) answer {
	w.t.Helper()
	sep := "?"
	if strings.Contains(path, "?") {
		sep = "&"
	}
	return w.send("GET", path+sep+"minPosition="+strconv.FormatInt(int64(w.head()), 10), w.key, "")
}

// networked makes a vault whose sites have networks, and a VM with two adapters.
func networked(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.furnish("acme")
	vm := goodVM("web")
	vm.NICs = []site.NIC{
		{Name: "eth0", Network: "lan", Address: &site.Address{Type: site.StaticAddress, IP: "10.1.0.25"}}, {Name: "eth1", Network: "dmz"},
	}
	w.inventory("acme", "primary", "h1", vm)
	w.must("PUT", "/v1/vaults/acme/sites/primary/inventory", plainDocument)
	w.must("PUT", "/v1/vaults/acme/sites/recovery/inventory", drDocument)
	return w
}

func TestAnInventoryIsLoadedAndShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	const v = "/v1/vaults/acme/sites/vmm"
	w.must("PUT", v, `{"name":"VMM","kind":"VMM"}`)
	w.must("PUT", v+"/hosts/h9", `{"directory":"/srv/h9"}`)
	checked := decoded[oapi.SiteInventoryChange](t, w.send("PUT", v+"/inventory?validateOnly=true", w.key, vmmDocument), http.StatusOK)
	before := w.head()
	loaded := decoded[oapi.SiteInventoryChange](t, w.send("PUT", v+"/inventory", w.key, vmmDocument), http.StatusOK)
	if !loaded.ServerChanged || !loaded.CloudsChanged || !loaded.LogicalNetworksChanged || !slices.Equal(loaded.NetworksAdded, []string{"a-lan"}) || !slices.Equal(checked.NetworksAdded, loaded.NetworksAdded) {
		t.Errorf("loaded %+v, checked %+v", loaded, checked)
	}
	if w.head() != before+4 {
		t.Errorf("the log went from %d to %d", before, w.head())
	}
	again := decoded[oapi.SiteInventoryChange](t, w.send("PUT", v+"/inventory", w.key, vmmDocument), http.StatusOK)
	if again.ServerChanged || len(again.NetworksAdded)+len(again.NetworksChanged)+len(again.NetworksRemoved) > 0 || w.head() != before+4 {
		t.Errorf("loaded again: %+v", again)
	}
	shown := decoded[oapi.Site](t, w.now(v), http.StatusOK)
	if shown.VmmServer == nil || shown.VmmServer.Name != "vmm.corp" || *shown.VmmServer.ConnectionStatus != "Connected" {
		t.Errorf("site: %+v", shown)
	}
	clouds := decoded[oapi.CloudList](t, w.now(v+"/clouds"), http.StatusOK)
	if len(clouds.Value) != 1 || !slices.Equal(clouds.Value[0].Hosts, []string{"h9"}) {
		t.Errorf("clouds: %+v", clouds)
	}
	n := decoded[oapi.Network](t, w.now(v+"/networks/a-lan"), http.StatusOK)
	if n.Name != "lan" || !n.Loaded || len(n.Subnets) != 1 || *n.Subnets[0].Gateway != "10.1.0.1" || (*n.Subnets[0].Pools)[0].Last != "10.1.0.99" {
		t.Errorf("network: %+v", n)
	}
	found := decoded[oapi.NetworkList](t, w.now("/v1/vaults/acme/sites/primary/networks"), http.StatusOK)
	if len(found.Value) != 1 || found.Value[0].ID != "lan" || found.Value[0].Loaded {
		t.Errorf("networks that VMs name: %+v", found)
	}
}

func TestNetworksComeInPages(t *testing.T) {
	t.Parallel()
	w := networked(t)
	const v = "/v1/vaults/acme/sites/recovery/networks"
	page := decoded[oapi.NetworkList](t, w.now(v+"?pageSize=1"), http.StatusOK)
	if len(page.Value) != 1 || page.Value[0].ID != "dr-dmz" || page.NextLink == nil {
		t.Fatalf("first page: %+v", page)
	}
	page = decoded[oapi.NetworkList](t, w.send("GET", strings.TrimPrefix(*page.NextLink, w.url), w.key, ""), http.StatusOK)
	if len(page.Value) != 1 || page.Value[0].ID != "dr-lan" || page.NextLink != nil {
		t.Errorf("second page: %+v", page)
	}
}

func TestABadInventoryIsRefusedWithItsField(t *testing.T) {
	t.Parallel()
	w := networked(t)
	const primary = "/v1/vaults/acme/sites/primary"
	w.must("PUT", "/v1/vaults/acme/sites/vmm", `{"name":"VMM","kind":"VMM"}`)
	w.must("PUT", "/v1/vaults/other", `{"name":"Other"}`)
	for name, r := range map[string]struct {
		path, body string
		status     int
		code       string
		pointer    string
	}{
		"no site":                {"/v1/vaults/acme/sites/gone/inventory", plainDocument, 404, "site_not_found", ""},
		"a server of a plain":    {primary + "/inventory", vmmDocument, 400, "validation_failed", "/server"},
		"a host not registered":  {"/v1/vaults/acme/sites/vmm/inventory", vmmDocument, 400, "host_not_found", "/clouds/0/hosts/0"},
		"a gateway elsewhere":    {primary + "/inventory", `{"vmNetworks":[{"id":"a","name":"a","subnets":[{"cidr":"10.0.0.0/24","gateway":"10.0.1.1"}]}]}`, 400, "validation_failed", "/vmNetworks/0/subnets/0/gateway"},
		"a word for an address":  {primary + "/inventory", `{"vmNetworks":[{"id":"a","name":"a","subnets":[{"cidr":"ten"}]}]}`, 400, "validation_failed", "/vmNetworks/0/subnets/0/cidr"},
		"an unknown field":       {primary + "/inventory", `{"vmNetworks":[{"id":"a","name":"a","vlan":7}]}`, 400, "unknown_field", "/vmNetworks/0"},
		"no networks":            {primary + "/inventory", `{}`, 400, "validation_failed", ""},
		"half a file":            {primary + "/inventory", plainDocument[:30], 400, "malformed_json", ""},
		"a mapping of no site":   {"/v1/vaults/acme/networkMappings/m", strings.Replace(lanMapping, "primary", "gone", 1), 400, "site_not_found", "/site"},
		"a mapping to no site":   {"/v1/vaults/acme/networkMappings/m", strings.Replace(lanMapping, `"recovery"`, `"gone"`, 1), 400, "site_not_found", "/recoverySite"},
		"an unknown network":     {"/v1/vaults/acme/networkMappings/m", strings.Replace(lanMapping, `"lan"`, `"wan"`, 1), 400, "network_not_found", "/network"},
		"an unknown target":      {"/v1/vaults/acme/networkMappings/m", strings.Replace(lanMapping, "DR LAN", "DR WAN", 1), 400, "network_not_found", "/recoveryNetwork"},
		"an unknown subnet":      {"/v1/vaults/acme/networkMappings/m", strings.Replace(lanMapping, `}`, `,"recoverySubnet":"10.9.0.0/24"}`, 1), 400, "validation_failed", "/recoverySubnet"},
		"no way of addressing":   {"/v1/vaults/acme/networkMappings/m", strings.Replace(lanMapping, `}`, `,"addressing":"guess"}`, 1), 400, "validation_failed", "/addressing"},
		"nothing to translate":   {"/v1/vaults/acme/networkMappings/m", strings.Replace(strings.Replace(lanMapping, `}`, `,"addressing":"translateAddress"}`, 1), "DR LAN", "DR DMZ", 1), 400, "validation_failed", "/addressing"},
		"another vault's mapped": {"/v1/vaults/other/networkMappings/m", lanMapping, 400, "site_not_found", "/site"},
	} {
		head := w.head()
		a := w.send("PUT", r.path, w.key, r.body)
		p := a.problem(t)
		if a.status != r.status || p.Code != r.code {
			t.Errorf("%s: answered %d\n%s", name, a.status, a.body)
			continue
		}
		if r.pointer != "" && (p.Errors == nil || !slices.ContainsFunc(*p.Errors, func(e oapi.FieldError) bool { return e.Pointer == r.pointer })) {
			t.Errorf("%s: no field %s in %s", name, r.pointer, a.body)
		}
		if w.head() != head {
			t.Errorf("%s left an event", name)
		}
	}
	if n := decoded[oapi.NetworkList](t, w.now(primary+"/networks"), http.StatusOK); len(n.Value) != 2 {
		t.Errorf("networks: %+v", n)
	}
}

func TestANetworkIsMappedChangedAndUnmapped(t *testing.T) {
	t.Parallel()
	w := networked(t)
	const v = "/v1/vaults/acme/networkMappings"
	a := w.send("PUT", v+"/lan", w.key, lanMapping)
	m := decoded[oapi.NetworkMapping](t, a, http.StatusCreated)
	if m.Network != "lan" || m.RecoveryNetwork != "dr-lan" || m.RecoveryNetworkName != "DR LAN" || m.Addressing != "dhcp" || a.header.Get("ETag") != m.Etag {
		t.Errorf("mapping: %+v", m)
	}
	head := w.head()
	if again := decoded[oapi.NetworkMapping](t, w.send("PUT", v+"/lan", w.key, lanMapping), http.StatusOK); again.Etag != m.Etag || w.head() != head {
		t.Errorf("mapped again: %+v", again)
	}
	other := strings.Replace(lanMapping, `}`, `,"addressing":"translateAddress"}`, 1)
	i := item{w, "web"}
	i.refusing(func() answer { return w.send("PUT", v+"/lan", w.key, other) }, http.StatusPreconditionRequired, "precondition_required")
	i.refusing(func() answer { return w.send("PUT", v+"/lan", w.key, other, "If-Match", `"9"`) }, http.StatusPreconditionFailed, "precondition_failed")
	i.refusing(func() answer { return w.send("PUT", v+"/third", w.key, other, "If-Match", "*") }, http.StatusPreconditionFailed, "precondition_failed")
	i.refusing(func() answer { return w.send("PUT", v+"/second", w.key, other) }, http.StatusConflict, "network_mapped_already")
	w.must("PUT", v+"/dmz", strings.NewReplacer(`"lan"`, `"dmz"`, "DR LAN", "DR DMZ").Replace(lanMapping))
	changed := decoded[oapi.NetworkMapping](t, w.send("PUT", v+"/lan", w.key, other, "If-Match", m.Etag), http.StatusOK)
	if changed.Addressing != "translateAddress" || changed.Etag == m.Etag {
		t.Errorf("changed: %+v", changed)
	}
	list := decoded[oapi.NetworkMappingList](t, w.now(v+"?site=primary"), http.StatusOK)
	if len(list.Value) != 2 || list.Value[0].ID != "dmz" || list.Value[1].Etag != changed.Etag {
		t.Errorf("list: %+v", list)
	}
	if got := decoded[oapi.NetworkMapping](t, w.now(v+"/lan"), http.StatusOK); got.Etag != changed.Etag {
		t.Errorf("read: %+v", got)
	}
	i.refusing(func() answer { return w.send("DELETE", v+"/lan", w.key, "") }, http.StatusPreconditionRequired, "precondition_required")
	i.refusing(func() answer { return w.send("DELETE", v+"/lan", w.key, "", "If-Match", m.Etag) }, http.StatusPreconditionFailed, "precondition_failed")
	i.refusing(func() answer { return w.send("DELETE", v+"/gone", w.key, "", "If-Match", "*") }, http.StatusNotFound, "network_mapping_not_found")
	w.enable()
	head = w.head()
	uses := decoded[oapi.Validation](t, w.send("DELETE", v+"/lan?validateOnly=true", w.key, "", "If-Match", changed.Etag), http.StatusOK)
	if uses.Warnings == nil || len(*uses.Warnings) != 1 || !strings.Contains((*uses.Warnings)[0].Detail, "item web, adapter eth0") || w.head() != head {
		t.Errorf("warnings: %+v", uses.Warnings)
	}
	if gone := w.send("DELETE", v+"/lan", w.key, "", "If-Match", changed.Etag); gone.status != http.StatusNoContent {
		t.Errorf("removed: %d %s", gone.status, gone.body)
	}
	if a := w.now(v + "/lan"); a.status != http.StatusNotFound || a.problem(t).Code != "network_mapping_not_found" {
		t.Errorf("read: %d %s", a.status, a.body)
	}
	change := decoded[oapi.SiteInventoryChange](t, w.send("PUT", "/v1/vaults/acme/sites/recovery/inventory", w.key, `{"vmNetworks":[]}`), http.StatusOK)
	if len(change.NetworksRemoved) != 2 || change.Warnings == nil || len(*change.Warnings) != 1 || (*change.Warnings)[0].Code != "recovery_network_missing" {
		t.Errorf("emptied: %+v", change)
	}
}

func TestAdaptersAreSetAndShown(t *testing.T) {
	t.Parallel()
	w := networked(t)
	w.must("PUT", "/v1/vaults/acme/networkMappings/lan", strings.Replace(lanMapping, `}`, `,"addressing":"translateAddress"}`, 1))
	const path = "/v1/vaults/acme/protectedItems/web/networkSettings"
	i, enabling := item{w, "web"}, strings.Replace(enableWeb, `"policy"`, `"nics":[{"nic":"eth1","network":"DR DMZ","primary":true}],"policy"`, 1)
	i.refusing(func() answer { return w.now(path) }, http.StatusNotFound, "protected_item_not_found")
	i.refusing(func() answer { return w.send("PUT", path, w.key, `{"nics":[]}`) }, http.StatusNotFound, "protected_item_not_found")
	i.refusing(func() answer {
		return w.send("PUT", "/v1/vaults/acme/protectedItems/web", w.key, strings.Replace(enabling, "DR DMZ", "gone", 1))
	}, http.StatusBadRequest, "network_not_found")
	w.must("PUT", "/v1/vaults/acme/protectedItems/web", enabling)
	shown := decoded[oapi.NetworkSettings](t, w.now(path), http.StatusOK)
	eth0, eth1 := shown.Nics[0], shown.Nics[1]
	if *eth0.TargetNetwork != "DR LAN" || *eth0.Mapping != "lan" || *eth0.TargetAddress.IP != "10.2.0.25" || *eth0.TargetAddress.Gateway != "10.2.0.1" || len(eth0.Findings) != 0 || eth0.Settings != nil {
		t.Errorf("eth0: %+v", eth0)
	}
	if *eth1.TargetNetwork != "DR DMZ" || eth1.Mapping != nil || *eth1.Settings.Network != "dr-dmz" || !*eth1.Primary {
		t.Errorf("eth1: %+v", eth1)
	}
	set := `{"nics":[{"nic":"eth0","address":{"type":"static","ip":"10.9.0.1"}},{"nic":"eth1","doNotConnect":true}]}`
	i.refusing(func() answer { return w.send("PUT", path, w.key, set, "If-Match", `"1-9"`) }, http.StatusPreconditionFailed, "precondition_failed")
	i.refusing(func() answer { return w.send("PUT", path, w.key, `{"nics":[{"nic":"eth7"}]}`) }, http.StatusBadRequest, "nic_not_found")
	changed := decoded[oapi.NetworkSettings](t, w.send("PUT", path, w.key, set, "If-Match", shown.Etag), http.StatusOK)
	eth0, eth1 = changed.Nics[0], changed.Nics[1]
	if *eth0.TargetAddress.IP != "10.9.0.1" || len(eth0.Findings) != 1 || eth0.Findings[0].Code != "static_address_outside_subnet" || eth0.Findings[0].Remedy == nil {
		t.Errorf("eth0: %+v", eth0)
	}
	if eth1.TargetNetwork != nil || !*eth1.Settings.DoNotConnect || len(eth1.Findings) != 0 {
		t.Errorf("eth1: %+v", eth1)
	}
	// Another VM that is given the same address on the recovery side.
	db := goodVM("db")
	w.inventory("acme", "primary", "h1", goodVM("web"), db)
	w.must("PUT", "/v1/vaults/acme/protectedItems/db", strings.NewReplacer(`"web"`, `"db"`, `"policy"`, `"nics":[{"nic":"eth0","address":{"type":"static","ip":"10.2.0.7"}}],"policy"`).Replace(enableWeb))
	w.now("/v1/vaults/acme/protectedItems/db")
	both := decoded[oapi.NetworkSettings](t, w.send("PUT", path, w.key, strings.Replace(set, "10.9.0.1", "10.2.0.7", 1)), http.StatusOK)
	if f := both.Nics[0].Findings; len(f) != 1 || f[0].Code != "static_address_in_use" || !strings.Contains(f[0].Detail, "item db") {
		t.Errorf("findings: %+v", f)
	}
}

func TestWhatIsNotMappedIsToldBeforeAFailover(t *testing.T) {
	t.Parallel()
	w := networked(t)
	w.must("PUT", "/v1/vaults/acme/networkMappings/lan", lanMapping)
	warned := decoded[oapi.Validation](t, w.send("PUT", "/v1/vaults/acme/protectedItems/web?validateOnly=true", w.key, enableWeb), http.StatusOK)
	if warned.Warnings == nil || !slices.ContainsFunc(*warned.Warnings, func(f oapi.Finding) bool { return f.Code == "network_unmapped" }) {
		t.Errorf("warnings before enabling: %+v", warned.Warnings)
	}
	i, enabling := w.enable()
	i.replicated(enabling.ID)
	const path = "/v1/vaults/acme/protectedItems/web/"
	i.refusing(func() answer { return w.send("POST", path+"plannedFailover?validateOnly=true", w.key, "") }, http.StatusConflict, "networks_unmapped")
	i.refusing(func() answer { return w.send("POST", path+"plannedFailover", w.key, "") }, http.StatusConflict, "networks_unmapped")
	for _, verb := range []string{"plannedFailover?allowUnmappedNetworks=true&validateOnly=true", "unplannedFailover?validateOnly=true"} {
		v := decoded[oapi.Validation](t, w.send("POST", path+verb, w.key, ""), http.StatusOK)
		if !v.Valid || v.Warnings == nil || len(*v.Warnings) != 1 || (*v.Warnings)[0].Code != "network_unmapped" || (*v.Warnings)[0].Detail != "eth1: network dmz is not mapped" {
			t.Errorf("%s: %+v", verb, v.Warnings)
		}
	}
	i.do(protecteditem.RecordNetworkCheck{Findings: []protecteditem.NetworkFinding{{Code: "network_unmapped", NIC: "eth1", Detail: "eth1: network dmz is not mapped"}}, At: time.Now()})
	i.may("plannedFailover", "networks_unmapped")
	if shown := i.show(); shown.ReplicationHealth != oapi.ReplicationHealthWarning || shown.HealthErrors[0].Code != "network_unmapped" || shown.HealthErrors[0].Remedy == nil {
		t.Errorf("health: %+v", shown.HealthErrors)
	}
	// What is so by now counts, not what was found.
	w.must("PUT", "/v1/vaults/acme/networkMappings/dmz", strings.NewReplacer(`"lan"`, `"dmz"`, "DR LAN", "DR DMZ").Replace(lanMapping))
	if v := decoded[oapi.Validation](t, w.send("POST", path+"plannedFailover?validateOnly=true", w.key, ""), http.StatusOK); v.Warnings != nil {
		t.Errorf("warnings: %+v", v.Warnings)
	}
	// A copy does not come up in a network that VMs fail over to.
	i.refusing(func() answer {
		return w.send("POST", path+"testFailover?validateOnly=true", w.key, `{"network":"DR DMZ"}`)
	}, http.StatusConflict, "test_network_not_isolated")
	i.refusing(func() answer {
		return w.send("POST", path+"testFailover", w.key, `{"network":"DR LAM"}`)
	}, http.StatusBadRequest, "network_not_found")
	jobIn(t, w.send("POST", path+"plannedFailover", w.key, ""))
}

func TestAHostOfAVMMSiteBelongsToACloud(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.furnish("acme")
	const v = "/v1/vaults/acme/sites/vmm"
	w.must("PUT", v, `{"name":"VMM","kind":"VMM"}`)
	w.must("PUT", v+"/hosts/h9", `{"directory":"/srv/h9"}`)
	w.inventory("acme", "vmm", "h9", goodVM("web"))
	enabling := strings.Replace(enableWeb, `"site":"primary","host":"h1"`, `"site":"vmm","host":"h9"`, 1)
	i := item{w, "web"}
	i.refusing(func() answer { return w.send("PUT", "/v1/vaults/acme/protectedItems/web", w.key, enabling) }, http.StatusConflict, "host_without_cloud")
	w.must("PUT", v+"/inventory", vmmDocument)
	jobIn(t, w.send("PUT", "/v1/vaults/acme/protectedItems/web", w.key, enabling))
}
