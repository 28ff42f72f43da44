package systemtest_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"farshore/cmd/farshore/client"
	"farshore/cmd/farshore/demo"
	"farshore/domain/site"
)

// TestAVMLandsInTheNetworkThatItsOwnIsMappedTo goes through it as an operator does:
// the server finds by itself what is not mapped, and its workers connect the VM.
func TestAVMLandsInTheNetworkThatItsOwnIsMappedTo(t *testing.T) {
	t.Parallel()
	s := commonServer(t)
	p := newPlace(t, s)
	vm := demo.VM{Name: "networked", Disks: []int64{48 * mib}}
	p.protect(vm)
	load := func(siteID, text string) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "networks.json")
		must(t, os.WriteFile(file, []byte(text), 0o600))
		if out, errOut, code := s.cli(t.Context(), "site", "inventory", "load", siteID, "--file", file); code != 0 || !strings.Contains(out, "added") {
			t.Fatalf("load the networks of %s: exit %d; it said %s%s", siteID, code, errOut, out)
		}
	}
	load(p.site(), `{"vmNetworks":[{"id":"prod","name":"production"}]}`)
	load(p.recoverySite(), `{"vmNetworks":[{"id":"standby","name":"Standby LAN"}]}`)
	unmapped := func() bool {
		for _, e := range p.item(vm).HealthErrors {
			if e.Code == "network_unmapped" {
				return true
			}
		}
		return false
	}
	eventually(t, long, "the item tells that its network is not mapped", unmapped)
	_, errOut, code := s.cli(t.Context(), "failover", "planned", vm.Name)
	if code != client.ExitConflict || !has(errOut, []string{"[networks_unmapped]", "network production is not mapped"}) {
		t.Errorf("failover planned: exit %d; it said %s", code, errOut)
	}
	out, errOut, code := s.cli(t.Context(), "network", "map", p.name, "--from", p.site()+"/production", "--to", p.recoverySite()+"/Standby LAN")
	if code != 0 {
		t.Fatalf("network map: exit %d; it said %s%s", code, errOut, out)
	}
	eventually(t, long, "the item's networks are in order", func() bool { return !unmapped() })
	if out, errOut, code := s.cli(t.Context(), "failover", "planned", vm.Name, "--wait"); code != 0 {
		t.Fatalf("failover planned: exit %d; it said %s%s", code, errOut, out)
	}
	text, err := os.ReadFile(filepath.Join(p.Recovery(), vm.Name, "vm.json"))
	must(t, err)
	var made site.VirtualMachine
	must(t, json.Unmarshal(text, &made))
	if len(made.NICs) != 1 || made.NICs[0].Network != "Standby LAN" {
		t.Errorf("the recovery VM has the adapters %+v", made.NICs)
	}
}
