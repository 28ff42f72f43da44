package client_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"farshore/cmd/farshore/client"
)

func TestANetworkCommandAsksForWhatItSays(t *testing.T) {
	t.Parallel()
	const v = "/v1/vaults/acme"
	file := filepath.Join(t.TempDir(), "vmm.json")
	if err := os.WriteFile(file, []byte(`{"vmNetworks":[]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	enabling := `PUT ` + v + `/protectedItems/web {"host":"h","nics":[{"address":{"ip":"10.2.0.9","type":"static"},"network":"dr","nic":"eth0"},{"doNotConnect":true,"nic":"eth1"}],` +
		`"policy":"default","recovery":{"host":"h2","site":"b"},"site":"a","storageAccount":"s","virtualMachine":"web"}`
	const mapping = `{"addressing":"dhcp","network":"LAN","recoveryNetwork":"DR/LAN","recoverySite":"b","site":"a"}`
	for args, want := range map[string][]string{
		"site inventory load a --file " + file:                 {"PUT " + v + `/sites/a/inventory {"vmNetworks":[]}`},
		"site inventory load a --validate-only --file " + file: {"PUT " + v + `/sites/a/inventory?validateOnly=true {"vmNetworks":[]}`},
		"site show a":                                    {"GET " + v + "/sites/a"},
		"network list --site a":                          {"GET " + v + "/sites/a/networks"},
		"network clouds --site a":                        {"GET " + v + "/sites/a/clouds"},
		"network mappings --site a":                      {"GET " + v + "/networkMappings?site=a"},
		"network map lan --from a/LAN --to b/DR/LAN":     {"PUT " + v + "/networkMappings/lan " + mapping},
		"network unmap lan --validate-only":              {"DELETE " + v + "/networkMappings/lan?validateOnly=true"},
		"network unmap lan":                              {"DELETE " + v + "/networkMappings/lan?validateOnly=true", "DELETE " + v + "/networkMappings/lan"},
		"item nics web":                                  {"GET " + v + "/protectedItems/web/networkSettings"},
		"failover planned web --allow-unmapped-networks": {"POST " + v + "/protectedItems/web/plannedFailover?allowUnmappedNetworks=true"},
		"item nics web --nic eth0 --network dr --address 10.2.0.9 --dns 1.1.1.1": {
			"GET " + v + "/protectedItems/web/networkSettings",
			"PUT " + v + `/protectedItems/web/networkSettings {"nics":[{"address":{"dns":["1.1.1.1"],"ip":"10.2.0.9","type":"static"},"network":"dr","nic":"eth0"}]}`,
		},
		"item nics web --nic eth0 --dhcp --primary": {
			"GET " + v + "/protectedItems/web/networkSettings",
			"PUT " + v + `/protectedItems/web/networkSettings {"nics":[{"address":{"type":"dhcp"},"nic":"eth0","primary":true}]}`,
		},
		"item nics web --nic eth0 --clear": {"GET " + v + "/protectedItems/web/networkSettings", "PUT " + v + `/protectedItems/web/networkSettings {"nics":[]}`},
		"item enable web --site a --host h --store s --recovery b/h2 --nic eth0=dr,10.2.0.9 --nic eth1=none": {enabling},
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			s := run(t, "Succeeded", strings.Fields(args)...)
			if s.code != 0 || !slices.Equal(s.requests, want) {
				t.Errorf("exit %d, sent %q, want %q; it printed %s", s.code, s.requests, want, s.out)
			}
		})
	}
}

func TestANetworkCommandLineThatIsWrongSendsNothing(t *testing.T) {
	t.Parallel()
	broken := filepath.Join(t.TempDir(), "vmm.json")
	if err := os.WriteFile(broken, []byte("{\n\"vmNetworks\": [,]}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, code := range map[string]int{
		"site inventory load a":                                                  client.ExitUsage,
		"site inventory load --file x":                                           client.ExitUsage,
		"site inventory load a --file " + broken:                                 client.ExitFailure,
		"site inventory load a --file /no/such/file":                             client.ExitFailure,
		"network map lan --from a/LAN":                                           client.ExitUsage,
		"network map lan --from LAN --to b/DR":                                   client.ExitUsage,
		"network map lan --from a/LAN --to DR":                                   client.ExitUsage,
		"network list":                                                           client.ExitUsage,
		"item nics web --dhcp":                                                   client.ExitUsage,
		"item nics web --nic eth0 --dhcp --disconnect":                           client.ExitUsage,
		"item nics web --nic eth0 --network x --clear":                           client.ExitUsage,
		"item enable web --site a --host h --store s --recovery b/h2 --nic eth0": client.ExitUsage,
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			if s := run(t, "Succeeded", strings.Fields(args)...); s.code != code || len(s.requests) != 0 {
				t.Errorf("exit %d, want %d; sent %q", s.code, code, s.requests)
			}
		})
	}
}
