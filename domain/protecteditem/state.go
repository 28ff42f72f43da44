package protecteditem

import (
	"slices"
	"strconv"
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
	"farshore/domain/policy"
	"farshore/domain/site"
)

// ProtectionState is a protected item's place in its life cycle. The empty value
// belongs to an item whose protection was never enabled.
type ProtectionState string

// The life cycle of a protected item.
const (
	Unprotected                  ProtectionState = "Unprotected"
	EnablingProtection           ProtectionState = "EnablingProtection"
	InitialReplicationPending    ProtectionState = "InitialReplicationPending"
	InitialReplicationInProgress ProtectionState = "InitialReplicationInProgress"
	FinalizingProtection         ProtectionState = "FinalizingProtection"
	Protected                    ProtectionState = "Protected"
	PlannedFailoverInProgress    ProtectionState = "PlannedFailoverInProgress"
	UnplannedFailoverInProgress  ProtectionState = "UnplannedFailoverInProgress"
	FailoverCommitRequired       ProtectionState = "FailoverCommitRequired"
	FailedOver                   ProtectionState = "FailedOver"
	FailbackSynchronizing        ProtectionState = "FailbackSynchronizing"
	FailbackAwaitingCompletion   ProtectionState = "FailbackAwaitingCompletion"
	FailbackCompleting           ProtectionState = "FailbackCompleting"
	FailbackCommitRequired       ProtectionState = "FailbackCommitRequired"
	FailedBack                   ProtectionState = "FailedBack"
	ReverseReplicating           ProtectionState = "ReverseReplicating"
	DisablingProtection          ProtectionState = "DisablingProtection"
)

// ResynchronizationState says whether the replica can follow its source.
type ResynchronizationState string

// The resynchronization states.
const (
	ResyncNone       ResynchronizationState = "None"
	ResyncRequired   ResynchronizationState = "Required"
	ResyncInProgress ResynchronizationState = "InProgress"
)

// TestFailoverState says whether a test failover is open.
type TestFailoverState string

// The test failover states.
const (
	TestFailoverNone            TestFailoverState = "None"
	TestFailoverInProgress      TestFailoverState = "InProgress"
	TestFailoverAwaitingCleanup TestFailoverState = "AwaitingCleanup"
	TestFailoverCleaningUp      TestFailoverState = "CleaningUp"
)

// Location says where the VM is meant to run.
type Location string

// The locations.
const (
	Primary  Location = "Primary"
	Recovery Location = "Recovery"
)

// StoreKind names an implementation of the replica store, as a storage account
// is registered with it.
type StoreKind string

// The kinds of replica store.
const (
	DirectoryStore StoreKind = "Directory"
	PageBlobStore  StoreKind = "AzurePageBlob"
)

// The kinds of the jobs that a protected item's workflows run under.
const (
	EnableProtectionJob   = "EnableProtection"
	InitialReplicationJob = "InitialReplication"
	FinalizeProtectionJob = "FinalizeProtection"
	ResynchronizationJob  = "Resynchronization"
	PlannedFailoverJob    = "PlannedFailover"
	FailoverCommitJob     = "FailoverCommit"
	DisableProtectionJob  = "DisableProtection"

	UnplannedFailoverJob   = "UnplannedFailover"
	RecoveryPointChangeJob = "ApplyRecoveryPoint"
	FailoverCancelJob      = "FailoverCancel"
	TestFailoverJob        = "TestFailover"
	TestFailoverCleanupJob = "TestFailoverCleanup"
	FailbackJob            = "Failback"
	FailbackCommitJob      = "FailbackCommit"
	FailbackCancelJob      = "FailbackCancel"
	ReverseReplicationJob  = "ReverseReplication"
	DiskReplicationJob     = "DiskReplication"
	BackgroundCopyJob      = "BackgroundCopy"
)

// State is everything a rule needs to know about a protected item.
type State struct {
	Vault string
	Item  string
	Cycle int // grows by one with each time protection is enabled

	Protection     ProtectionState
	Resync         Resync
	TestFailover   TestFailoverState
	ActiveLocation Location

	Site     string
	Host     string
	VM       site.VirtualMachine
	Disks    []string // ids of the protected disks
	PolicyID string
	Policy   policy.Settings
	Store    StoreRef
	Recovery RecoveryTarget

	Job      *JobRef               // the workflow that runs now
	Forced   bool                  // it goes on without hosts and stores that do not answer
	Ended    EndedJob              // the one that ended last
	Retry    Retry                 // of what is being attempted now
	Failure  *errorcatalog.Failure // why enabling or a failover ended; gone with the next recovery point
	FailedAt time.Time

	StartAt           time.Time // when initial replication may start
	Snapshot          string    // the one being copied
	InitialReplicated bool
	Requested         CycleRequest

	LastShipped Shipped   // the newest cut that is durable at the replica store
	Pending     []Shipped // cuts shipped since the newest point, oldest first
	LastCut     string    // the cut that the replica disks were last brought to
	Points      []Point   // oldest first

	AppConsistency AppConsistency
	Cycles         Cycles
	Reported       Reported
	Reminded       time.Time // of a test failover, last

	SourceStopped     bool        // Farshore shut the source down
	Hold              Hold        // of the planned failover that runs
	FailoverChoice    PointChoice // of an unplanned failover
	ShutDownSource    bool        // an unplanned failover tries to
	FailoverPoint     string      // the point the recovery VM was or is to be made from
	NextFailoverPoint string      // the one it is being changed to
	Fencing           Fencing
	Owed              *Resync // the resynchronization that the source needs when it is replicated again: its chain of cuts is broken

	Failback FailbackRun // while one is open
	Base     *Base       // from a failover's commit until the item is protected again

	LeftBehind []LeftBehind // VMs that hosts which do not answer have not been told of
	Released   []string     // points given up since a failover's commit that the store may still hold

	Test             TestRun // while a test failover is open
	TestJob          *JobRef // its workflow that runs now, beside the item's
	EndedTest        EndedJob
	TestRetry        Retry                 // of the test failover's job
	TestFailure      *errorcatalog.Failure // why the last one, or its cleanup, came to nothing
	TestFailedAt     time.Time
	LastTestFailover time.Time // when a test failover last came up

	NewDisks   []site.Disk // being added, or grown to this size
	DiskJob    *JobRef     // which replicates them, beside the item's
	EndedDisks EndedJob
	DiskRetry  Retry
	// FormerDisks are disks that are no longer protected, or were given up before they
	// were, and of which the replica store may still hold something.
	FormerDisks []string

	NICs              []NICSettings // what was set for adapters
	NetworkFindings   []NetworkFinding
	NetworksCheckedAt time.Time    // with another outcome than before
	AllowUnmapped     bool         // of the planned failover: adapters may come up unconnected
	Connections       *Connections // of the recovery VM that was made or is to be

	Copy      BackgroundCopy // while the failed-over VM runs from its recovery point
	CopyJob   *JobRef        // which copies its disks, beside the item's
	EndedCopy EndedJob
	CopyRetry Retry

	Paused      *Pause
	ProtectedAt time.Time // when the item became protected

	KeepReplica  time.Duration // how long the replica is kept after disabling
	DisabledAt   time.Time
	ReplicaUntil time.Time // when the replica of a disabled item may be removed
}

// Resync is the state of the resynchronization.
type Resync struct {
	State        ResynchronizationState
	Reason       errorcatalog.Code
	Detail       string
	Since        time.Time
	ScheduledFor time.Time
	Job          string // the job it runs or is to run under, if that is known
	Unscheduled  bool   // required, and started by an operator alone
}

// CycleRequest is an operator's wish for a cycle at once.
type CycleRequest struct {
	At          time.Time // zero: there is none
	Passed      bool      // a cut made before it has been shipped since
	Consistency Consistency
}

// StoreRef names a storage account.
type StoreRef struct {
	ID   string    `json:"id"`
	Kind StoreKind `json:"kind"`
}

// RecoveryTarget is where the VM is brought up.
type RecoveryTarget struct {
	Site   string
	Host   string
	VMName string
	VM     string // its id on the recovery host, once it exists
}

// JobRef names a job.
type JobRef struct {
	ID   string
	Kind string
}

// EndedJob is the outcome of a job that is no longer the item's.
type EndedJob struct {
	ID     string
	Failed bool
}

// Shipped is a cut whose logs are durable at the replica store.
type Shipped struct {
	Cut     string
	Instant time.Time
}

// Consistency says what a recovery point guarantees to the applications in it.
type Consistency string

// The kinds of recovery point.
const (
	CrashConsistent Consistency = "CrashConsistent"
	AppConsistent   Consistency = "AppConsistent"
	Planned         Consistency = "Planned" // made after the guest was shut down
)

// Point is a recovery point: all protected disks at one instant.
type Point struct {
	ID          string      `json:"id"` // that of its cut
	Instant     time.Time   `json:"instant"`
	Consistency Consistency `json:"consistency"`
	Disks       []PointDisk `json:"disks"`
}

// PointDisk is a disk as a recovery point holds it.
type PointDisk struct {
	Disk      string `json:"disk"`
	SizeBytes int64  `json:"sizeBytes"`
	Root      string `json:"root"` // of its manifest, hex
}

// Key names the item among those of all vaults.
func (s State) Key() string { return s.Vault + "." + s.Item }

// ReplicaID names the replica of the item's present cycle in its store.
func (s State) ReplicaID() string { return s.Key() + "." + strconv.Itoa(s.Cycle) }

// FailedOverDisks describes the disks that the item has failed over with, which are
// those of the failover's recovery point, as they are on the primary side: one may
// have grown after the point. Before a failover it is the protected ones.
func (s State) FailedOverDisks() []site.Disk {
	ids := s.Disks
	if point, ok := s.Point(s.FailoverPoint); ok {
		ids = nil
		for _, d := range point.Disks {
			ids = append(ids, d.Disk)
		}
	}
	var out []site.Disk
	for _, id := range ids {
		if n := slices.IndexFunc(s.VM.Disks, func(d site.Disk) bool { return d.ID == id }); n >= 0 {
			out = append(out, s.VM.Disks[n])
		}
	}
	return out
}

// NewestPoint returns the point made last.
func (s State) NewestPoint() (Point, bool) {
	if len(s.Points) == 0 {
		return Point{}, false
	}
	return s.Points[len(s.Points)-1], true
}

// Point returns the point of the given id.
func (s State) Point(id string) (Point, bool) {
	i := slices.IndexFunc(s.Points, func(p Point) bool { return p.ID == id })
	if i < 0 {
		return Point{}, false
	}
	return s.Points[i], true
}

// startJob makes a job the item's; its attempts are counted afresh.
func (s State) startJob(id, kind string) State {
	s.Job, s.Forced, s.Retry = &JobRef{ID: id, Kind: kind}, false, Retry{}
	return s
}

// endJob leaves the item without a job.
func (s State) endJob(failed bool) State {
	if s.Job != nil {
		s.Ended = EndedJob{ID: s.Job.ID, Failed: failed}
	}
	s.Job, s.Forced, s.Retry = nil, false, Retry{}
	return s
}

// repeats says whether a command only repeats what its job has ended with.
func (s State) repeats(job string, failed bool) bool {
	return job != "" && s.Ended == EndedJob{ID: job, Failed: failed}
}

// runs says whether a job is the item's.
func (s State) runs(job string) bool { return s.Job != nil && s.Job.ID == job }

// requireJob refuses a command of a job that is not the item's.
func (s State) requireJob(job string) error {
	if s.runs(job) {
		return nil
	}
	return domain.Reject(domain.Conflict, errorcatalog.StaleJob, "job %q is not the item's present one (%s)", job, s.jobName())
}

// requireNoJob refuses a command that begins a workflow while another one runs.
func (s State) requireNoJob() error {
	if s.Job == nil {
		return nil
	}
	return domain.Reject(domain.Conflict, errorcatalog.OperationInProgress, "%s is in progress (job %s)", s.Job.Kind, s.Job.ID)
}

// requireItem refuses a command to an item whose protection was never enabled.
func (s State) requireItem() error {
	if s.Protection == "" {
		return domain.Reject(domain.NotFound, errorcatalog.ProtectedItemNotFound, "protection was never enabled")
	}
	return nil
}

// requireEnabled refuses a command to an item without protection.
func (s State) requireEnabled() error {
	if err := s.requireItem(); err != nil {
		return err
	}
	if s.Protection == Unprotected {
		return domain.Reject(domain.Conflict, errorcatalog.NotProtected, "protection is disabled")
	}
	return nil
}

// requireState refuses a command outside the given states.
func (s State) requireState(allowed ...ProtectionState) error {
	if err := s.requireItem(); err != nil {
		return err
	}
	if slices.Contains(allowed, s.Protection) {
		return nil
	}
	return domain.Reject(domain.Conflict, errorcatalog.NotProtected, "the item is in the state %s", s.Protection)
}

// requireInSync refuses what needs a replica that follows its source.
func (s State) requireInSync() error {
	switch s.Resync.State {
	case ResyncRequired:
		return domain.Reject(domain.Conflict, errorcatalog.ResynchronizationRequiredRefusal,
			"resynchronization is required since %s: %s", s.Resync.Since.UTC().Format(time.RFC3339), s.Resync.Reason)
	case ResyncInProgress:
		return domain.Reject(domain.Conflict, errorcatalog.ResynchronizationRequiredRefusal,
			"resynchronization is in progress (job %s)", s.Resync.Job)
	default:
	}
	if s.ChainBroken() {
		return domain.Reject(domain.Conflict, errorcatalog.ResynchronizationRequiredRefusal,
			"the chain of cuts is broken since %s: %s", s.Owed.Since.UTC().Format(time.RFC3339), s.Owed.Reason)
	}
	return nil
}

// ChainBroken says whether the source's cuts cannot be followed any more when a
// failover is taken back.
func (s State) ChainBroken() bool { return s.Owed != nil }

func (s State) jobName() string {
	if s.Job == nil {
		return "none runs"
	}
	return s.Job.Kind + " " + s.Job.ID
}

func requireID(field, id string) error {
	if id != "" {
		return nil
	}
	return invalid(field, "an id is required")
}

func invalid(field, format string, args ...any) error {
	return domain.Reject(domain.Invalid, errorcatalog.ValidationFailed, format, args...).At(field)
}

// plain is a failure as it is stored: without the error behind it.
func plain(f *errorcatalog.Failure) errorcatalog.Failure {
	if f == nil {
		return errorcatalog.Failure{Code: errorcatalog.InternalError, Detail: "no failure was given"}
	}
	return errorcatalog.Failure{Code: f.Code, Detail: f.Detail}
}
