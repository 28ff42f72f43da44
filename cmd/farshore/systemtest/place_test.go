package systemtest_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"farshore/api/oapi"
	"farshore/cmd/farshore/client"
	"farshore/cmd/farshore/demo"
	"farshore/workers/proof"
	"farshore/workers/replica"
	"farshore/workers/replica/directory"
)

const (
	vault = "default"
	mib   = 1 << 20
	// patience is for what takes some work; long is for what may first have to wait
	// for the lease of a dead worker.
	patience = 60 * time.Second
	long     = 120 * time.Second
)

// place is a source, a recovery side and a replica store, for one test.
type place struct {
	demo.Scene
	t       *testing.T
	s       *server
	name    string // of its policy, and the beginning of its sites' and stores' names
	account string
	store   func() replica.Store // opens what is behind the account
}

// newPlace registers a place with a server.
func newPlace(t *testing.T, s *server) *place {
	t.Helper()
	name := strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(t.Name()))
	name = strings.Trim(name[max(0, len(name)-40):], "-")
	p := &place{t: t, s: s, name: name, Scene: demo.Scene{Root: filepath.Join(shared.root, "places", name), Program: shared.program}}
	for _, dir := range []string{p.Source(), p.Recovery(), p.Replicas()} {
		must(t, os.MkdirAll(dir, 0o755))
	}
	t.Cleanup(p.clear)
	policy := oapi.PolicyInput{
		Name: name, CopyFrequencySeconds: new(oapi.PolicyInputCopyFrequencySeconds(30)), ResyncThresholdPercent: new(int32(100)),
		ResyncWindow: &oapi.ResyncWindow{Start: "00:00", End: "00:00"}, // one that is owed does not wait for the night
	}
	answer(t)(client.Call[oapi.Policy](s.api.PutPolicy(t.Context(), vault, name, &oapi.PutPolicyParams{}, policy)))
	for site, dir := range map[string]string{p.site(): p.Source(), p.recoverySite(): p.Recovery()} {
		answer(t)(client.Call[oapi.Site](s.api.PutSite(t.Context(), vault, site, &oapi.PutSiteParams{}, oapi.SiteInput{Name: site, Kind: oapi.SiteKindLocal})))
		answer(t)(client.Call[oapi.Host](s.api.PutHost(t.Context(), vault, site, site, &oapi.PutHostParams{}, oapi.HostInput{Directory: dir})))
	}
	p.useStore(oapi.StorageAccountInput{Name: name, Kind: oapi.StorageAccountKindDirectory, Directory: new(p.Replicas())}, func() replica.Store {
		return directory.Open(p.Replicas(), time.Now)
	})
	return p
}

func (p *place) useStore(in oapi.StorageAccountInput, open func() replica.Store) {
	p.t.Helper()
	p.store = open
	account := p.name + "-" + strings.ToLower(string(in.Kind))
	answer(p.t)(client.Call[oapi.StorageAccount](p.s.api.PutStorageAccount(p.t.Context(), vault, account, &oapi.PutStorageAccountParams{}, in)))
	p.account = account
}

// clear ends the guests, then the hosts.
func (p *place) clear() {
	for _, word := range []string{" demo guest ", " host run "} {
		end(func() []int { return processes(word, p.Root+"/") })
	}
}

func (p *place) site() string         { return p.name + "-a" }
func (p *place) recoverySite() string { return p.name + "-b" }

// answer returns what the server answered, which must not be a refusal.
func answer(t *testing.T) func(any, error) {
	t.Helper()
	return func(_ any, err error) {
		t.Helper()
		must(t, err)
	}
}

// boot makes a VM and starts it once its host has been found.
func (p *place) boot(vm demo.VM) {
	p.t.Helper()
	must(p.t, p.MakeVM(p.t.Context(), vm))
	p.run(vm)
}

// run starts a VM and waits for its guest.
func (p *place) run(vm demo.VM) {
	p.t.Helper()
	eventually(p.t, patience, "the server has started a host process", func() bool { return len(p.hostPIDs()) == 1 })
	if out, errOut, code := p.s.cli(p.t.Context(), "host", "start", vm.Name, "--directory", p.Source()); code != 0 {
		p.t.Fatalf("host start: exit %d: %s%s", code, out, errOut)
	}
	p.grows(vm, "the guest writes")
	eventually(p.t, patience, "the inventory lists "+vm.Name, func() bool {
		_, err := client.Call[oapi.VirtualMachine](p.s.api.GetVirtualMachine(p.t.Context(), vault, p.site(), vm.Name, &oapi.GetVirtualMachineParams{}))
		return err == nil
	})
}

func (p *place) hostPIDs() []int { return processes(" host run ", "--directory "+p.Source()+" ") }

func (p *place) guestPIDs(vm demo.VM) []int {
	return processes(" demo guest ", "--journal "+p.Journal(vm.Name)+" ")
}

func (p *place) acknowledged(vm demo.VM) int64 {
	p.t.Helper()
	j, err := proof.ReadJournal(p.Journal(vm.Name))
	must(p.t, err)
	return j.Acknowledged()
}

// grows sees the guest's journal grow: its writes are acknowledged.
func (p *place) grows(vm demo.VM, what string) {
	p.t.Helper()
	before := p.acknowledged(vm)
	eventually(p.t, patience, what, func() bool { return p.acknowledged(vm) > before+32 })
}

func (p *place) enabling(vm demo.VM) oapi.EnableProtectionInput {
	return oapi.EnableProtectionInput{
		Site: p.site(), Host: p.site(), VirtualMachine: vm.Name, Policy: p.name, StorageAccount: p.account,
		Recovery: oapi.RecoverySettings{Site: p.recoverySite(), Host: p.recoverySite()},
	}
}

// enable asks for protection. An item has the name of its VM.
func (p *place) enable(vm demo.VM) {
	p.t.Helper()
	a, err := client.Call[oapi.Job](p.s.api.EnableProtection(p.t.Context(), vault, vm.Name, &oapi.EnableProtectionParams{}, p.enabling(vm)))
	must(p.t, err)
	answer(p.t)(client.Call[oapi.ProtectedItem](p.s.api.GetProtectedItem(p.t.Context(), vault, vm.Name, &oapi.GetProtectedItemParams{MinPosition: a.Position})))
}

// protect makes a VM, starts it and waits until it is protected.
func (p *place) protect(vm demo.VM) {
	p.t.Helper()
	p.boot(vm)
	p.enable(vm)
	p.becomesProtected(vm)
}

func (p *place) item(vm demo.VM) oapi.ProtectedItem {
	p.t.Helper()
	a, err := client.Call[oapi.ProtectedItem](p.s.api.GetProtectedItem(p.t.Context(), vault, vm.Name, &oapi.GetProtectedItemParams{}))
	must(p.t, err)
	return a.Body
}

func (p *place) becomesProtected(vm demo.VM) {
	p.t.Helper()
	var last oapi.ProtectedItem
	defer func() {
		if p.t.Failed() {
			p.t.Logf("the item is %s, resynchronization %s, last error %+v", last.ProtectionState, last.ResynchronizationState, last.LastError)
		}
	}()
	eventually(p.t, long, vm.Name+" is protected", func() bool {
		last = p.item(vm)
		return last.ProtectionState == oapi.ProtectionStateProtected
	})
}

// disable ends protection, and leaves no replica.
func (p *place) disable(vm demo.VM) {
	p.t.Helper()
	params := &oapi.DisableProtectionParams{KeepReplica: new(int32(0)), IfMatch: new("*")}
	j := p.wait(client.Call[oapi.Job](p.s.api.DisableProtection(p.t.Context(), vault, vm.Name, params)))
	if j.Status != oapi.JobStatusSucceeded {
		p.t.Fatalf("disable: %s, %+v", j.Status, j.Error)
	}
}

// points returns the item's recovery points, oldest first.
func (p *place) points(vm demo.VM) []oapi.RecoveryPoint {
	p.t.Helper()
	a, err := client.Call[oapi.RecoveryPointList](p.s.api.ListRecoveryPoints(p.t.Context(), vault, vm.Name, &oapi.ListRecoveryPointsParams{}))
	must(p.t, err)
	slices.SortFunc(a.Body.Value, func(a, b oapi.RecoveryPoint) int { return a.Instant.Compare(b.Instant) })
	return a.Body.Value
}

// replicate asks for a delta.
func (p *place) replicate(vm demo.VM) {
	p.t.Helper()
	answer(p.t)(client.Call[oapi.ProtectedItem](p.s.api.ReplicateNow(p.t.Context(), vault, vm.Name, &oapi.ReplicateNowParams{}, oapi.ReplicateNowInput{})))
}

// proveNext ships a delta, and has the judge say that the point made of it is an
// instant of the source, later than everything the guest was told was written.
func (p *place) proveNext(vm demo.VM) {
	p.t.Helper()
	told := p.acknowledged(vm)
	asked := time.Now()
	p.replicate(vm)
	var point oapi.RecoveryPoint
	eventually(p.t, long, vm.Name+" has a new recovery point", func() bool {
		all := p.points(vm)
		if len(all) == 0 {
			return false
		}
		point = all[len(all)-1]
		return point.Instant.After(asked)
	})
	v := p.prove(vm, point)
	if v.Last < told {
		p.t.Errorf("point %s ends with record %d, %d had been acknowledged before its cut", point.ID, v.Last, told)
	}
}

// replica is what the store knows the item by.
func (p *place) replica(vm demo.VM) string {
	p.t.Helper()
	return vault + "." + vm.Name + "." + strconv.FormatInt(p.item(vm).Cycle, 10)
}

// prove has the judge examine a point.
func (p *place) prove(vm demo.VM, point oapi.RecoveryPoint) proof.Verdict {
	p.t.Helper()
	item := p.replica(vm)
	var images []proof.Image
	store := p.store()
	for d := range vm.Disks {
		image, err := store.OpenPoint(p.t.Context(), item, point.ID, demo.DiskID(d))
		must(p.t, err)
		defer func() { _ = image.Close() }()
		images = append(images, image)
	}
	v, err := p.Examine(p.t.Context(), vm, images)
	if err != nil {
		p.t.Fatalf("point %s of %s: %v", point.ID, vm.Name, err)
	}
	return v
}

// wait follows a job to its end.
func (p *place) wait(a client.Answer[oapi.Job], err error) oapi.Job {
	p.t.Helper()
	must(p.t, err)
	j, err := client.WaitForJob(p.t.Context(), p.s.api, vault, a.Body.ID, a.Position, func(oapi.Job) {})
	must(p.t, err)
	return j
}

// counted is how many events of a type an item has.
func (p *place) counted(vm demo.VM, kind string) (n int) {
	p.t.Helper()
	const query = `SELECT count(*) FROM events WHERE stream = 'protected_item-' || $1 AND type = 'protected_item.' || $2 || '.v1'`
	p.look(query, []any{vault + "." + vm.Name, kind}, &n)
	return n
}

// look asks the database, again if need be: it may just have been restarted.
func (p *place) look(query string, args []any, into ...any) {
	p.t.Helper()
	eventually(p.t, patience, "the database answers", func() bool {
		return p.s.pool.QueryRow(p.t.Context(), query, args...).Scan(into...) == nil
	})
}

// unblemished sees that nothing counted as failed, that the replica could always
// follow, and that no position of the log is missing.
func (p *place) unblemished(vm demo.VM) {
	p.t.Helper()
	for _, kind := range []string{"replication_failed", "resynchronization_required"} {
		if n := p.counted(vm, kind); n > 0 {
			p.t.Errorf("%s has %d events %s, want none", vm.Name, n, kind)
		}
	}
	if i := p.item(vm); i.ResynchronizationState != oapi.ResynchronizationStateNone || i.Attempt != nil && *i.Attempt > 0 {
		p.t.Errorf("%s: resynchronization %s, attempt %v", vm.Name, i.ResynchronizationState, i.Attempt)
	}
	var n, last int64
	p.look(`SELECT count(*), max(global_position) FROM events`, nil, &n, &last)
	if n != last {
		p.t.Errorf("%d events up to position %d: there is a gap", n, last)
	}
	out, errOut, code := p.s.cli(p.t.Context(), "events", "list", "--item", vm.Name, "--output", "json")
	var events []oapi.Event
	if err := json.Unmarshal([]byte(out), &events); err != nil || code != 0 {
		p.t.Fatalf("events list: exit %d, %v: %s", code, err, errOut)
	}
	for i, e := range events {
		if i > 0 && e.Position <= events[i-1].Position {
			p.t.Errorf("event %d at position %d follows position %d", i, e.Position, events[i-1].Position)
		}
	}
	if len(events) == 0 {
		p.t.Errorf("events list tells nothing of %s", vm.Name)
	}
}
