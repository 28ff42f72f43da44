package protecteditem

// BegunJobs returns the jobs that an event names for the first time: they are to
// be shown as not started.
func BegunJobs(e Event) []JobRef {
	var id, kind string
	switch e := e.(type) {
	case ProtectionEnabling:
		id, kind = e.JobID, EnableProtectionJob
	case InitialReplicationStarted:
		id, kind = e.JobID, InitialReplicationJob
	case InitialReplicationCompleted:
		id, kind = e.FinalizeJobID, FinalizeProtectionJob
	case ResynchronizationRequested:
		id, kind = e.JobID, ResynchronizationJob
	case ResynchronizationStarted:
		id, kind = e.JobID, ResynchronizationJob
	case ResynchronizationCompleted:
		id, kind = e.FinalizeJobID, FinalizeProtectionJob
	case DisksAdding:
		id, kind = e.JobID, DiskReplicationJob
	case DiskGrown:
		id, kind = e.JobID, DiskReplicationJob
	case ProtectionDisabling:
		id, kind = e.JobID, DisableProtectionJob
	default:
		id, kind = begunByFailover(e)
	}
	if id == "" {
		return nil
	}
	return []JobRef{{ID: id, Kind: kind}}
}

// begunByFailover is the job that an event of a failover, a test failover or the
// way back names for the first time.
func begunByFailover(e Event) (id, kind string) {
	switch e := e.(type) {
	case PlannedFailoverStarted:
		return e.JobID, PlannedFailoverJob
	case UnplannedFailoverStarted:
		return e.JobID, UnplannedFailoverJob
	case BackgroundCopyStarted:
		return e.JobID, BackgroundCopyJob
	case RecoveryPointChangeStarted:
		return e.JobID, RecoveryPointChangeJob
	case FailoverCancelStarted:
		return e.JobID, FailoverCancelJob
	case FailoverCommitStarted:
		return e.JobID, FailoverCommitJob
	case TestFailoverStarted:
		return e.JobID, TestFailoverJob
	case TestFailoverCleanupStarted:
		return e.JobID, TestFailoverCleanupJob
	case FailbackStarted:
		return e.JobID, FailbackJob
	case FailbackCancelStarted:
		return e.JobID, FailbackCancelJob
	case FailbackCommitStarted:
		return e.JobID, FailbackCommitJob
	case ReverseReplicationStarted:
		return e.JobID, ReverseReplicationJob
	default:
		return "", ""
	}
}

// OvertakenJobs returns the ids of the jobs that an event ends although they are
// not done.
func OvertakenJobs(e Event) []string {
	var ids []string
	switch e := e.(type) {
	case ResynchronizationRequired:
		ids = []string{e.OvertakenJobID}
	case ResynchronizationCanceled:
		ids = []string{e.JobID}
	case UnplannedFailoverStarted:
		ids = []string{e.OvertakenJobID, e.OvertakenDiskJobID}
	case RecoveryPointChangeCompleted:
		ids = []string{e.OvertakenCopyJobID}
	case RecoveryPointChangeFailed:
		ids = []string{e.OvertakenCopyJobID}
	case FailoverCanceled:
		ids = []string{e.OvertakenCopyJobID}
	case FailoverCancelFailed:
		ids = []string{e.OvertakenCopyJobID}
	case FailbackCancelStarted:
		ids = []string{e.OvertakenJobID}
	case ProtectionDisabling:
		ids = []string{e.OvertakenJobID, e.OvertakenTestJobID, e.OvertakenDiskJobID}
	}
	named := ids[:0]
	for _, id := range ids {
		if id != "" {
			named = append(named, id)
		}
	}
	return named
}
