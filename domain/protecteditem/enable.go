package protecteditem

import (
	"slices"
	"strings"
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
	"farshore/domain/policy"
	"farshore/domain/site"
)

// EnableProtection begins to protect a VM. What the item is to be protected with
// is copied into it: a policy or VM that changes later does not change it.
type EnableProtection struct {
	JobID          string
	Vault          string
	Item           string
	Site           string
	Host           string
	VM             site.VirtualMachine // as the host's inventory describes it
	PolicyID       string
	Policy         policy.Settings
	Store          StoreRef
	Disks          []string // none: all of the VM's
	RecoverySite   string
	RecoveryHost   string
	RecoveryVMName string // empty: the VM's name
	NICs           []NICSettings
	At             time.Time
}

func (c EnableProtection) decide(s State) ([]Event, error) {
	if s.runs(c.JobID) && s.Protection == EnablingProtection {
		return nil, nil
	}
	if s.Protection != "" && s.Protection != Unprotected {
		return nil, domain.Reject(domain.Conflict, errorcatalog.AlreadyProtected, "protection is enabled already (%s)", s.Protection)
	}
	if c.RecoveryVMName == "" {
		c.RecoveryVMName = c.VM.Name
	}
	if len(c.Disks) == 0 {
		for _, d := range c.VM.Disks {
			c.Disks = append(c.Disks, d.ID)
		}
	}
	if err := c.validate(); err != nil {
		return nil, err
	}
	return []Event{ProtectionEnabling{
		JobID: c.JobID, Vault: c.Vault, Item: c.Item, Cycle: s.Cycle + 1, Site: c.Site, Host: c.Host, VM: c.VM,
		PolicyID: c.PolicyID, Policy: c.Policy, Store: c.Store, Disks: slices.Clone(c.Disks),
		RecoverySite: c.RecoverySite, RecoveryHost: c.RecoveryHost, RecoveryVMName: c.RecoveryVMName, NICs: c.NICs, At: c.At,
	}}, nil
}

func (c EnableProtection) validate() error {
	for _, f := range []struct{ field, slug string }{
		{"/vault", c.Vault},
		{"/item", c.Item},
		{"/site", c.Site},
		{"/host", c.Host},
		{"/storageAccount", c.Store.ID},
		{"/recoverySite", c.RecoverySite},
		{"/recoveryHost", c.RecoveryHost},
	} {
		if err := domain.CheckSlug(f.field, f.slug); err != nil {
			return err
		}
	}
	if err := requireID("/jobId", c.JobID); err != nil {
		return err
	}
	if c.Store.Kind != DirectoryStore && c.Store.Kind != PageBlobStore {
		return invalid("/storageAccount", "%q is not a kind of replica store", c.Store.Kind)
	}
	if err := c.Policy.Validate("/policy"); err != nil {
		return err
	}
	if !validVMName(c.RecoveryVMName) {
		return invalid("/recoveryVmName", "%q is not 1 to 63 letters, digits and hyphens that begin and end with a letter or digit", c.RecoveryVMName)
	}
	if c.Site == c.RecoverySite && c.Host == c.RecoveryHost && c.RecoveryVMName == c.VM.Name {
		return invalid("/recoveryHost", "the VM cannot be brought up on its own host under its own name")
	}
	for i, d := range c.Disks {
		if slices.Contains(c.Disks[:i], d) {
			return invalid("/disks", "disk %q is named twice", d)
		}
	}
	if err := checkNICs(c.NICs, c.VM); err != nil {
		return err
	}
	if found := CheckPrerequisites(c.VM, c.Disks, LimitsOf(c.Store.Kind)).Failures; len(found) > 0 {
		all := make([]string, len(found))
		for i := range found {
			all[i] = found[i].Error()
		}
		return domain.Reject(domain.Conflict, errorcatalog.VirtualMachineNotProtectable, "%s", strings.Join(all, "; ")).At("/virtualMachine")
	}
	return nil
}

// ProtectionEnabling begins a cycle of protection.
type ProtectionEnabling struct {
	JobID          string              `json:"jobId"`
	Vault          string              `json:"vault"`
	Item           string              `json:"item"`
	Cycle          int                 `json:"cycle"`
	Site           string              `json:"site"`
	Host           string              `json:"host"`
	VM             site.VirtualMachine `json:"vm"`
	PolicyID       string              `json:"policyId,omitempty"`
	Policy         policy.Settings     `json:"policy"`
	Store          StoreRef            `json:"store"`
	Disks          []string            `json:"disks"`
	RecoverySite   string              `json:"recoverySite"`
	RecoveryHost   string              `json:"recoveryHost"`
	RecoveryVMName string              `json:"recoveryVmName"`
	NICs           []NICSettings       `json:"nics,omitempty"`
	At             time.Time           `json:"at"`
}

// EventType implements domain.Event.
func (ProtectionEnabling) EventType() string { return "protected_item.protection_enabling.v1" }

func (e ProtectionEnabling) evolve(before State) State {
	s := State{
		Reported: before.Reported, LeftBehind: before.LeftBehind,

		Vault: e.Vault, Item: e.Item, Cycle: e.Cycle, Protection: EnablingProtection,
		Resync: Resync{State: ResyncNone}, TestFailover: TestFailoverNone, ActiveLocation: Primary,
		Site: e.Site, Host: e.Host, VM: e.VM, Disks: e.Disks, PolicyID: e.PolicyID, Policy: e.Policy, Store: e.Store,
		Recovery: RecoveryTarget{Site: e.RecoverySite, Host: e.RecoveryHost, VMName: e.RecoveryVMName}, NICs: e.NICs,
	}
	return s.forget(e.Site, e.Host, e.VM.ID).startJob(e.JobID, EnableProtectionJob)
}

// RecordRelationship reports that the host tracks the VM's disks for Farshore.
// Initial replication starts at StartAt.
type RecordRelationship struct {
	JobID   string
	StartAt time.Time
	At      time.Time
}

func (c RecordRelationship) decide(s State) ([]Event, error) {
	if s.repeats(c.JobID, false) {
		return nil, nil
	}
	if err := s.requireStep(c.JobID, EnablingProtection); err != nil {
		return nil, err
	}
	return []Event{RelationshipCreated(c)}, nil
}

// RelationshipCreated leaves the item waiting for its initial replication.
type RelationshipCreated struct {
	JobID   string    `json:"jobId"`
	StartAt time.Time `json:"startAt"`
	At      time.Time `json:"at"`
}

// EventType implements domain.Event.
func (RelationshipCreated) EventType() string { return "protected_item.relationship_created.v1" }

func (e RelationshipCreated) evolve(s State) State {
	s.Protection, s.StartAt = InitialReplicationPending, e.StartAt
	return s.endJob(false)
}

// FailEnable gives up enabling protection; nothing is left on the host.
type FailEnable struct {
	JobID   string
	Failure *errorcatalog.Failure
	At      time.Time
}

func (c FailEnable) decide(s State) ([]Event, error) {
	if s.repeats(c.JobID, true) {
		return nil, nil
	}
	if err := s.requireStep(c.JobID, EnablingProtection); err != nil {
		return nil, err
	}
	return []Event{EnableFailed{JobID: c.JobID, Failure: plain(c.Failure), At: c.At}}, nil
}

// EnableFailed leaves the item unprotected, with the reason.
type EnableFailed struct {
	JobID   string               `json:"jobId"`
	Failure errorcatalog.Failure `json:"failure"`
	At      time.Time            `json:"at"`
}

// EventType implements domain.Event.
func (EnableFailed) EventType() string { return "protected_item.enable_failed.v1" }

func (e EnableFailed) evolve(s State) State {
	s.Protection, s.Failure, s.FailedAt = Unprotected, &e.Failure, e.At
	return s.endJob(true)
}

// requireStep refuses a step of a workflow outside its states, or by a job that
// is not the item's.
func (s State) requireStep(job string, allowed ...ProtectionState) error {
	if err := s.requireItem(); err != nil {
		return err
	}
	if err := s.requireJob(job); err != nil {
		return err
	}
	return s.requireState(allowed...)
}
