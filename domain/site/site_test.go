package site_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"farshore/domain"
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
	return []site.Event{registered, added, removed, discovered, changed, vanished, troubled}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	type events = []site.Event
	register := site.Register{Name: "Vienna", Kind: site.Local, TimeZone: "Europe/Vienna", At: noon}
	inventory := func(p []site.Problem, vms ...site.VirtualMachine) site.RecordInventory {
		return site.RecordInventory{Host: "hv-1", VMs: vms, Problems: p, At: noon}
	}
	run(t, map[string]scenario{
		"a site is registered":                   {when: register, then: events{registered}},
		"registering it again changes nothing":   {given: events{registered}, when: register},
		"registering it otherwise is refused":    {given: events{registered}, when: site.Register{Name: "Graz", Kind: site.Local}, refused: errorcatalog.AlreadyExistsWithOtherSettings},
		"a site needs a name":                    {when: site.Register{Kind: site.Local}, refused: errorcatalog.ValidationFailed, field: "/name"},
		"a site needs a known kind":              {when: site.Register{Name: "x", Kind: "Cloud"}, refused: errorcatalog.ValidationFailed, field: "/kind"},
		"a site's time zone is no path":          {when: site.Register{Name: "x", Kind: site.Local, TimeZone: "../etc/passwd"}, refused: errorcatalog.ValidationFailed, field: "/timeZone"},
		"a site's time zone is not the server's": {when: site.Register{Name: "x", Kind: site.Local, TimeZone: "Local"}, refused: errorcatalog.ValidationFailed, field: "/timeZone"},
		"a site without a time zone is on UTC":   {when: site.Register{Name: "x", Kind: site.HyperV, At: noon}, then: events{site.Registered{Name: "x", Kind: site.HyperV, At: noon}}},

		"a host is added":                             {given: events{registered}, when: site.AddHost{Host: "hv-1", Directory: "/srv/vms", At: noon}, then: events{added}},
		"adding it again changes nothing":             {given: events{registered, added}, when: site.AddHost{Host: "hv-1", Directory: "/srv/vms", At: noon}},
		"adding it with another directory is refused": {given: events{registered, added}, when: site.AddHost{Host: "hv-1", Directory: "/srv/other"}, refused: errorcatalog.AlreadyExistsWithOtherSettings, field: "/directory"},
		"two hosts do not share a directory":          {given: events{registered, added}, when: site.AddHost{Host: "hv-2", Directory: "/srv/vms"}, refused: errorcatalog.AlreadyExistsWithOtherSettings, field: "/directory"},
		"a host needs an id":                          {given: events{registered}, when: site.AddHost{Host: "HV 1", Directory: "/srv/vms"}, refused: errorcatalog.ValidationFailed, field: "/host"},
		"a local host needs a directory":              {given: events{registered}, when: site.AddHost{Host: "hv-1", Directory: "vms"}, refused: errorcatalog.ValidationFailed, field: "/directory"},
		"a host needs a site":                         {when: site.AddHost{Host: "hv-1", Directory: "/srv/vms"}, refused: errorcatalog.SiteNotFound},
		"a host is removed":                           {given: events{registered, added}, when: site.RemoveHost{Host: "hv-1", At: noon}, then: events{removed}},
		"removing it again changes nothing":           {given: events{registered, added, removed}, when: site.RemoveHost{Host: "hv-1", At: noon}},
		"a host in use is not removed":                {given: events{registered, added}, when: site.RemoveHost{Host: "hv-1", UsedBy: []string{"sql"}}, refused: errorcatalog.InUse},
		"a host of no site is not removed":            {when: site.RemoveHost{Host: "hv-1"}, refused: errorcatalog.SiteNotFound},

		"a VM is discovered":                 {given: events{registered, added}, when: inventory(nil, sql()), then: events{discovered}},
		"the same inventory changes nothing": {given: events{registered, added, discovered, troubled}, when: inventory(problems, sql())},
		"a VM changes":                       {given: events{registered, added, discovered}, when: inventory(nil, bigger()), then: events{changed}},
		"a VM vanishes":                      {given: events{registered, added, discovered}, when: inventory(nil), then: events{vanished}},
		"problems are told":                  {given: events{registered, added, discovered}, when: inventory(problems, sql()), then: events{troubled}},
		"problems that are solved are told": {
			given: events{registered, added, troubled}, when: inventory(nil), then: events{site.ProblemsChanged{Host: "hv-1", Problems: []site.Problem{}, At: noon}},
		},
		"two VMs of one id are refused": {given: events{registered, added}, when: inventory(nil, sql(), sql()), refused: errorcatalog.ValidationFailed, field: "/virtualMachines/1/id"},
		"a VM without an id is refused": {given: events{registered, added}, when: inventory(nil, site.VirtualMachine{}), refused: errorcatalog.ValidationFailed, field: "/virtualMachines/0/id"},
		"an inventory needs a host":     {given: events{registered}, when: inventory(nil), refused: errorcatalog.HostNotFound},
		"an inventory needs a site":     {when: inventory(nil), refused: errorcatalog.SiteNotFound},
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
	if h, _ := later.Host("hv-1"); len(h.VirtualMachines) != 0 {
		t.Errorf("VMs = %+v", h.VirtualMachines)
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
		"disks": func(v *site.VirtualMachine) { v.Disks[0].SizeBytes = 9 }, "no guest": func(v *site.VirtualMachine) { v.Guest = nil },
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

type scenario struct {
	given   []site.Event
	when    site.Command
	then    []site.Event // none and not refused: nothing changes
	refused errorcatalog.Code
	field   string
}

func run(t *testing.T, rows map[string]scenario) {
	t.Helper()
	for name, tt := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := site.Decider
			got, err := d.Decide(d.Fold(site.State{}, tt.given...), tt.when)
			var code errorcatalog.Code
			var field string
			if r, ok := errors.AsType[*domain.RejectionError](err); ok {
				code, field = r.Code, r.Field
				if e, ok := errorcatalog.Lookup(code); !ok || e.Class != errorcatalog.Refusal {
					t.Errorf("%s is not a refusal of the catalogue", code)
				}
			}
			if code != tt.refused || field != tt.field || (err != nil) != (tt.refused != "") {
				t.Fatalf("refusal = %q at %q (%v), want %q at %q", code, field, err, tt.refused, tt.field)
			}
			if !reflect.DeepEqual(got, tt.then) {
				t.Errorf("events = %+v\nwant %+v", got, tt.then)
			}
		})
	}
}
