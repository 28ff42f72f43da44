package site_test

import (
	"testing"
	"time"

	"farshore/domain/domaintest"
	"farshore/domain/errorcatalog"
	"farshore/domain/site"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func sql() site.VirtualMachine {
	return site.VirtualMachine{
		ID: "sql-1", Name: "sql-1", Generation: 2, CPUs: 2, MemoryMiB: 4096, NICs: []site.NIC{{Name: "eth0", Network: "lan"}},
		Disks: []site.Disk{{ID: "os", File: "os.raw", Format: site.Raw, SizeBytes: 1 << 30, OS: true}},
		Guest: &site.Guest{Command: []string{"/bin/guest"}, GraceSeconds: 5},
	}
}

func bigger() site.VirtualMachine {
	v := sql()
	v.MemoryMiB = 8192
	return v
}

var (
	problems   = []site.Problem{{Subject: "web", Failure: errorcatalog.Failure{Code: errorcatalog.VMDescriptionInvalid, Detail: "vm.json"}}}
	registered = site.Registered{Name: "Vienna", Kind: site.Local, TimeZone: "Europe/Vienna", At: noon}
	added      = site.HostAdded{Host: "hv-1", Directory: "/srv/vms", At: noon}
	removed    = site.HostRemoved{Host: "hv-1", At: noon}
	discovered = site.VirtualMachineDiscovered{Host: "hv-1", VM: sql(), At: noon}
	changed    = site.VirtualMachineChanged{Host: "hv-1", VM: bigger(), At: noon}
	vanished   = site.VirtualMachineVanished{Host: "hv-1", VM: "sql-1", At: noon}
	troubled   = site.ProblemsChanged{Host: "hv-1", Problems: problems, At: noon}
)

func stored() []site.Event {
	return append([]site.Event{registered, added, removed, discovered, changed, vanished, troubled}, storedNetworks()...)
}

func TestDecide(t *testing.T) {
	t.Parallel()
	type events = []site.Event
	register := site.Register{Name: "Vienna", Kind: site.Local, TimeZone: "Europe/Vienna", At: noon}
	inventory := func(p []site.Problem, vms ...site.VirtualMachine) site.RecordInventory {
		return site.RecordInventory{Host: "hv-1", VMs: vms, Problems: p, At: noon}
	}
	broken := errorcatalog.Failure{Code: errorcatalog.HostDirectoryUnusable, Detail: "directory /srv/vms"}
	unusable := site.RecordUnusable{Host: "hv-1", Failure: broken, At: noon}
	notMounted := site.ProblemsChanged{Host: "hv-1", Problems: []site.Problem{{Subject: "/srv/vms", Failure: broken}}, At: noon}
	run(t, map[string]scenario{
		"a site is registered":                   {When: register, Then: events{registered}},
		"registering it again changes nothing":   {Given: events{registered}, When: register},
		"registering it otherwise is refused":    {Given: events{registered}, When: site.Register{Name: "Graz", Kind: site.Local}, Refused: errorcatalog.AlreadyExistsWithOtherSettings},
		"a site needs a name":                    {When: site.Register{Kind: site.Local}, Refused: errorcatalog.ValidationFailed, Field: "/name"},
		"a site needs a known kind":              {When: site.Register{Name: "x", Kind: "Cloud"}, Refused: errorcatalog.ValidationFailed, Field: "/kind"},
		"a site's time zone is no path":          {When: site.Register{Name: "x", Kind: site.Local, TimeZone: "../etc/passwd"}, Refused: errorcatalog.ValidationFailed, Field: "/timeZone"},
		"a site's time zone is not the server's": {When: site.Register{Name: "x", Kind: site.Local, TimeZone: "Local"}, Refused: errorcatalog.ValidationFailed, Field: "/timeZone"},
		"a site without a time zone is on UTC":   {When: site.Register{Name: "x", Kind: site.HyperV, At: noon}, Then: events{site.Registered{Name: "x", Kind: site.HyperV, At: noon}}},

		"a directory that cannot be used is told":     {Given: events{registered, added, discovered}, When: unusable, Then: events{notMounted}},
		"it is told once":                             {Given: events{registered, added, discovered, notMounted}, When: unusable},
		"one of an unknown host is not":               {Given: events{registered}, When: unusable, Refused: errorcatalog.HostNotFound},
		"a host is added":                             {Given: events{registered}, When: site.AddHost{Host: "hv-1", Directory: "/srv/vms", At: noon}, Then: events{added}},
		"adding it again changes nothing":             {Given: events{registered, added}, When: site.AddHost{Host: "hv-1", Directory: "/srv/vms", At: noon}},
		"adding it with another directory is refused": {Given: events{registered, added}, When: site.AddHost{Host: "hv-1", Directory: "/srv/other"}, Refused: errorcatalog.AlreadyExistsWithOtherSettings, Field: "/directory"},
		"two hosts do not share a directory":          {Given: events{registered, added}, When: site.AddHost{Host: "hv-2", Directory: "/srv/vms"}, Refused: errorcatalog.AlreadyExistsWithOtherSettings, Field: "/directory"},
		"a host needs an id":                          {Given: events{registered}, When: site.AddHost{Host: "HV 1", Directory: "/srv/vms"}, Refused: errorcatalog.ValidationFailed, Field: "/host"},
		"a local host needs a directory":              {Given: events{registered}, When: site.AddHost{Host: "hv-1", Directory: "vms"}, Refused: errorcatalog.ValidationFailed, Field: "/directory"},
		"a host needs a site":                         {When: site.AddHost{Host: "hv-1", Directory: "/srv/vms"}, Refused: errorcatalog.SiteNotFound},
		"a host is removed":                           {Given: events{registered, added}, When: site.RemoveHost{Host: "hv-1", At: noon}, Then: events{removed}},
		"removing it again changes nothing":           {Given: events{registered, added, removed}, When: site.RemoveHost{Host: "hv-1", At: noon}},
		"a host in use is not removed":                {Given: events{registered, added}, When: site.RemoveHost{Host: "hv-1", UsedBy: []string{"sql"}}, Refused: errorcatalog.InUse},
		"a host of no site is not removed":            {When: site.RemoveHost{Host: "hv-1"}, Refused: errorcatalog.SiteNotFound},

		"a VM is discovered":                 {Given: events{registered, added}, When: inventory(nil, sql()), Then: events{discovered}},
		"the same inventory changes nothing": {Given: events{registered, added, discovered, troubled}, When: inventory(problems, sql())},
		"a VM changes":                       {Given: events{registered, added, discovered}, When: inventory(nil, bigger()), Then: events{changed}},
		"a VM vanishes":                      {Given: events{registered, added, discovered}, When: inventory(nil), Then: events{vanished}},
		"problems are told":                  {Given: events{registered, added, discovered}, When: inventory(problems, sql()), Then: events{troubled}},
		"problems that are solved are told": {
			Given: events{registered, added, troubled}, When: inventory(nil), Then: events{site.ProblemsChanged{Host: "hv-1", Problems: []site.Problem{}, At: noon}},
		},
		"two VMs of one id are refused": {Given: events{registered, added}, When: inventory(nil, sql(), sql()), Refused: errorcatalog.ValidationFailed, Field: "/virtualMachines/1/id"},
		"a VM without an id is refused": {Given: events{registered, added}, When: inventory(nil, site.VirtualMachine{}), Refused: errorcatalog.ValidationFailed, Field: "/virtualMachines/0/id"},
		"an inventory needs a host":     {Given: events{registered}, When: inventory(nil), Refused: errorcatalog.HostNotFound},
		"an inventory needs a site":     {When: inventory(nil), Refused: errorcatalog.SiteNotFound},
	})
}

func TestASiteKnowsWhatItsHostsHold(t *testing.T) {
	t.Parallel()
	d := site.Decider
	s := d.Fold(site.State{}, registered, added, discovered, changed)
	h, _ := s.Host("hv-1")
	if v, ok := h.VirtualMachine("sql-1"); !ok || !v.Equal(bigger()) {
		t.Errorf("VM = %+v", v)
	}
	later := d.Fold(s, vanished)
	if h, _ := later.Host("hv-1"); len(h.VirtualMachines) != 0 || !h.Inhabited {
		t.Errorf("the host is %+v", h)
	}
	if h, _ := d.Fold(site.State{}, registered, added).Host("hv-1"); h.Inhabited {
		t.Error("a host is inhabited from the start")
	}
	if h, _ := s.Host("hv-1"); len(h.VirtualMachines) != 1 {
		t.Error("folding changed an earlier state")
	}
	if _, ok := d.Fold(s, removed).Host("hv-1"); ok {
		t.Error("the host is still there")
	}
}

func TestEqualSeesEveryDifference(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*site.VirtualMachine){
		"id": func(v *site.VirtualMachine) { v.ID = "x" }, "name": func(v *site.VirtualMachine) { v.Name = "x" },
		"generation": func(v *site.VirtualMachine) { v.Generation = 1 }, "CPUs": func(v *site.VirtualMachine) { v.CPUs = 9 },
		"memory": func(v *site.VirtualMachine) { v.MemoryMiB = 9 }, "NICs": func(v *site.VirtualMachine) { v.NICs[0].Network = "x" },
		"primary": func(v *site.VirtualMachine) { v.NICs[0].Primary = true },
		"address": func(v *site.VirtualMachine) { v.NICs[0].Address = &site.Address{Type: site.DynamicHost} },
		"disks":   func(v *site.VirtualMachine) { v.Disks[0].SizeBytes = 9 }, "no guest": func(v *site.VirtualMachine) { v.Guest = nil },
		"command": func(v *site.VirtualMachine) { v.Guest.Command[0] = "x" }, "grace": func(v *site.VirtualMachine) { v.Guest.GraceSeconds = 9 },
	} {
		v := sql()
		if !v.Equal(sql()) {
			t.Fatal("a VM differs from itself")
		}
		if change(&v); v.Equal(sql()) || sql().Equal(v) {
			t.Errorf("%s: the difference is not seen", name)
		}
	}
}

type scenario = domaintest.Scenario[site.Command, site.Event]

func run(t *testing.T, rows map[string]scenario) {
	t.Helper()
	domaintest.Decide(t, site.Decider, rows)
}
