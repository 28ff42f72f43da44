package errorcatalog

// What goes wrong in Farshore itself.
const (
	InternalError       Code = "internal_error"
	DatabaseUnavailable Code = "database_unavailable"
	ProjectionLagging   Code = "projection_lagging"
	RequestTimeout      Code = "request_timeout"
	Canceled            Code = "canceled"
)

// Refusals of a request before any rule of the domain is asked.
const (
	ValidationFailed     Code = "validation_failed"
	MalformedJSON        Code = "malformed_json"
	UnknownField         Code = "unknown_field"
	UnsupportedMediaType Code = "unsupported_media_type"
	RequestTooLarge      Code = "request_too_large"
	RouteNotFound        Code = "route_not_found"
	MethodNotAllowed     Code = "method_not_allowed"
	InvalidCursor        Code = "invalid_cursor"
	Unauthenticated      Code = "unauthenticated"
	Forbidden            Code = "forbidden"
	RateLimited          Code = "rate_limited"
	PreconditionFailed   Code = "precondition_failed"
	PreconditionRequired Code = "precondition_required"
	IdempotencyKeyReused Code = "idempotency_key_reused"
	ConcurrentUpdate     Code = "concurrent_update"
)

// Refusals because something does not exist, or exists otherwise.
const (
	VaultNotFound                    Code = "vault_not_found"
	PolicyNotFound                   Code = "policy_not_found"
	SiteNotFound                     Code = "site_not_found"
	HostNotFound                     Code = "host_not_found"
	VirtualMachineNotFound           Code = "virtual_machine_not_found"
	StorageAccountNotFound           Code = "storage_account_not_found"
	ProtectedItemNotFound            Code = "protected_item_not_found"
	RecoveryPointNotFound            Code = "recovery_point_not_found"
	RecoveryPlanNotFound             Code = "recovery_plan_not_found"
	JobNotFound                      Code = "job_not_found"
	TaskNotFound                     Code = "task_not_found"
	APIKeyNotFound                   Code = "api_key_not_found" //nolint:gosec // not a key
	AlreadyExistsWithOtherSettings   Code = "already_exists_with_other_settings"
	InUse                            Code = "in_use"
	NothingToDo                      Code = "nothing_to_do"
	JobEnded                         Code = "job_ended"
	JobTasksUnfinished               Code = "job_tasks_unfinished"
	JobNotWaiting                    Code = "job_not_waiting"
	TaskRequired                     Code = "task_required"
	OtherTaskWaits                   Code = "other_task_waits"
	LedByPlan                        Code = "led_by_plan"
	JobNotFailed                     Code = "job_not_failed"
	JobNotRestartable                Code = "job_not_restartable"
	VirtualMachineNotProtectable     Code = "virtual_machine_not_protectable"
	AlreadyProtected                 Code = "already_protected"
	NotProtected                     Code = "not_protected"
	OperationInProgress              Code = "operation_in_progress"
	NoFailoverPending                Code = "no_failover_pending"
	NoRecoveryPoint                  Code = "no_recovery_point"
	ResynchronizationRequiredRefusal Code = "resynchronization_required_refusal"
	StaleJob                         Code = "stale_job"
	CutOutOfOrder                    Code = "cut_out_of_order"
	CutNotShipped                    Code = "cut_not_shipped"
	NewestPointKept                  Code = "newest_point_kept"
	SourceNotStopped                 Code = "source_not_stopped"
	NotFailedOver                    Code = "not_failed_over"
	RecoveryVMMissing                Code = "recovery_vm_missing"
	ConfirmationRequired             Code = "confirmation_required"
	PointPinned                      Code = "point_pinned"
	FailbackOpen                     Code = "failback_open"
	NoFailbackPending                Code = "no_failback_pending"
	NotFailedBack                    Code = "not_failed_back"
	SourceStillRunningRefusal        Code = "source_still_running_refusal"
	VMNameTaken                      Code = "vm_name_taken"
	TestFailoverOpen                 Code = "test_failover_open"
	NoTestFailover                   Code = "no_test_failover"
	ReplicationPausedRefusal         Code = "replication_paused_refusal"
	DiskInRecoveryPoints             Code = "disk_in_recovery_points"
)

// Refusals that concern networks.
const (
	NetworkNotFound        Code = "network_not_found"
	NetworkMappingNotFound Code = "network_mapping_not_found"
	NetworkMappedAlready   Code = "network_mapped_already"
	NetworksUnmapped       Code = "networks_unmapped"
	TestNetworkNotIsolated Code = "test_network_not_isolated"
	NICNotFound            Code = "nic_not_found"
	HostWithoutCloud       Code = "host_without_cloud"
)

// What is found about an item's networks.
const (
	NetworkUnmapped            Code = "network_unmapped"
	RecoveryNetworkMissing     Code = "recovery_network_missing"
	StaticAddressOutsideSubnet Code = "static_address_outside_subnet"
	StaticAddressInUse         Code = "static_address_in_use"
)

// What a VM must be like to be protected.
const (
	PrerequisiteGeneration    Code = "prerequisite_generation"
	PrerequisiteOSDiskSize    Code = "prerequisite_os_disk_size"
	PrerequisiteOSDiskCount   Code = "prerequisite_os_disk_count"
	PrerequisiteDataDiskSize  Code = "prerequisite_data_disk_size"
	PrerequisiteDiskMinimum   Code = "prerequisite_disk_minimum"
	PrerequisiteDiskCount     Code = "prerequisite_disk_count"
	PrerequisiteName          Code = "prerequisite_name"
	PrerequisiteSharedDisk    Code = "prerequisite_shared_disk"
	PrerequisitePassThrough   Code = "prerequisite_pass_through"
	PrerequisiteSectorSize    Code = "prerequisite_sector_size"
	PrerequisiteStoreDiskSize Code = "prerequisite_store_disk_size"
)

// What goes wrong on a host.
const (
	HostUnreachable           Code = "host_unreachable"
	HostDirectoryLocked       Code = "host_directory_locked"
	HostDirectoryUnusable     Code = "host_directory_unusable"
	VMNotFound                Code = "vm_not_found"
	VMDescriptionInvalid      Code = "vm_description_invalid"
	VMExists                  Code = "vm_exists"
	VMNotActive               Code = "vm_not_active"
	VMNotRunning              Code = "vm_not_running"
	DiskNotFound              Code = "disk_not_found"
	DiskUnreadable            Code = "disk_unreadable"
	DiskUnwritable            Code = "disk_unwritable"
	DiskSizeChanged           Code = "disk_size_changed"
	DiskFormatUnsupported     Code = "disk_format_unsupported"
	SnapshotNotFound          Code = "snapshot_not_found"
	RelationshipNotFound      Code = "relationship_not_found"
	CutNotFound               Code = "cut_not_found"
	ReturnNotUndoable         Code = "return_not_undoable"
	BackingUnavailable        Code = "backing_unavailable"
	GuestShutdownTimeout      Code = "guest_shutdown_timeout"
	GuestStartFailed          Code = "guest_start_failed"
	InsufficientSourceSpace   Code = "insufficient_source_space"
	InsufficientRecoverySpace Code = "insufficient_recovery_space"
	FailbackTargetTooSmall    Code = "failback_target_too_small"
	InsufficientMemory        Code = "insufficient_memory"
	FreezeHookMissing         Code = "freeze_hook_missing"
	FreezeHookFailed          Code = "freeze_hook_failed"
	ThawHookFailed            Code = "thaw_hook_failed"
)

// What goes wrong at a replica store or on the way to it.
const (
	ReplicaStoreUnreachable     Code = "replica_store_unreachable"
	ReplicaStoreFull            Code = "replica_store_full"
	ReplicaStoreAuthentication  Code = "replica_store_authentication"
	ReplicaStoreAuthorization   Code = "replica_store_authorization"
	ReplicaStoreUnsupportedKind Code = "replica_store_unsupported_kind"
	ReplicaStoreUnusable        Code = "replica_store_unusable"
	ReplicaDiskNotFound         Code = "replica_disk_not_found"
	ReplicaDiskSizeMismatch     Code = "replica_disk_size_mismatch"
	DiskShrunk                  Code = "disk_shrunk"
	ReplicaCorrupt              Code = "replica_corrupt"
	RunningPointCorrupt         Code = "running_point_corrupt"
	ObjectNotFound              Code = "object_not_found"
	TransferInterrupted         Code = "transfer_interrupted"
	TransferVerificationFailed  Code = "transfer_verification_failed"
	Throttled                   Code = "throttled"
	Fenced                      Code = "fenced"
)

// Why a replica can no longer follow its source.
const (
	LogThresholdExceeded       Code = "log_threshold_exceeded"
	LogWriteFailed             Code = "log_write_failed"
	LogUnclean                 Code = "log_unclean"
	LogMissing                 Code = "log_missing"
	LogChainBroken             Code = "log_chain_broken"
	LogChecksumMismatch        Code = "log_checksum_mismatch"
	LogTruncated               Code = "log_truncated"
	DiskChangedOffline         Code = "disk_changed_offline"
	FreeSpaceReserveReached    Code = "free_space_reserve_reached"
	ResynchronizationRequested Code = "resynchronization_requested"
)

// What a protected item's health tells besides its failures.
const (
	ReplicationBehind            Code = "replication_behind"
	InitialReplicationUnfinished Code = "initial_replication_unfinished"
	NotReplicating               Code = "not_replicating"
	SourceStillRunning           Code = "source_still_running"
	NotReverseProtected          Code = "not_reverse_protected"
	DiskUnprotected              Code = "disk_unprotected"
	DiskNotInRecoveryPoint       Code = "disk_not_in_recovery_point"
	ReplicationPaused            Code = "replication_paused"
	TestFailoverDue              Code = "test_failover_due"
	CyclesMissed                 Code = "cycles_missed"
	RepeatedFailures             Code = "repeated_failures"
	VMLeftBehind                 Code = "vm_left_behind"
	BackgroundCopyUnfinished     Code = "background_copy_unfinished"
)

// What goes wrong in the run of a recovery plan.
const (
	PlanItemFailed      Code = "plan_item_failed"
	PlanStopped         Code = "plan_stopped"
	ScriptNotFound      Code = "script_not_found"
	ScriptFailed        Code = "script_failed"
	ScriptTimeout       Code = "script_timeout"
	ScriptInterrupted   Code = "script_interrupted"
	ScriptsBusy         Code = "scripts_busy"
	PortNotAnswering    Code = "port_not_answering"
	ScriptsNotAvailable Code = "scripts_not_available"
)
