package errorcatalog

func prerequisiteEntries() []Entry {
	return []Entry{
		{PrerequisiteGeneration, NonRecoverable, "The VM is of a generation that is not supported", []string{"the generation is neither 1 nor 2", "the description of the VM does not name it"}, "Recreate the VM as generation 1 or 2."},
		{PrerequisiteOSDiskSize, NonRecoverable, "The OS disk is too large for the store", []string{"over 2,048 GiB on generation 1 or 4,095 GiB on generation 2"}, "Shrink the OS disk, or choose a storage account without the limit."},
		{PrerequisiteOSDiskCount, NonRecoverable, "The VM needs exactly one OS disk, and it must be replicated", []string{"no disk is marked as the OS disk, or several are", "the OS disk was left out of the protected disks"}, "Mark the disk the VM boots from, and include it."},
		{PrerequisiteDataDiskSize, NonRecoverable, "A data disk is too large for the store", []string{"it is over 32,767 GiB"}, "Split or shrink the disk, leave it out, or choose a storage account without the limit."},
		{PrerequisiteDiskMinimum, NonRecoverable, "A disk is smaller than 1 GiB", []string{"the disk is very small"}, "None is needed on local hosts, where this is a warning; elsewhere grow the disk to 1 GiB."},
		{PrerequisiteDiskCount, NonRecoverable, "The VM has more disks to protect than can be attached to one VM", []string{"more than 64 disks, or none"}, "Leave disks out so that 1 to 64 remain."},
		{PrerequisiteName, NonRecoverable, "The VM's name is not allowed on the recovery side", []string{"it is not 1 to 63 letters, digits and hyphens", "it begins or ends with a hyphen"}, "Rename the VM, or give another name for the recovery side."},
		{PrerequisiteSharedDisk, NonRecoverable, "A disk is shared between VMs", []string{"the disk is attached to several VMs as in a guest cluster"}, "Leave the disk out and replicate it within the guests."},
		{PrerequisitePassThrough, NonRecoverable, "A disk is a physical disk", []string{"the VM uses a pass-through disk or a LUN"}, "Convert it to a virtual disk, or leave it out."},
		{PrerequisiteSectorSize, NonRecoverable, "A disk has sectors of a size that is not supported", []string{"the disk is 4K native"}, "Convert it to 512-byte or 512e sectors, or leave it out."},
		{PrerequisiteStoreDiskSize, NonRecoverable, "A disk is larger than the replica store can hold", []string{"a page blob holds at most 8 TiB, footer included"}, "Shrink the disk, leave it out, or choose a storage account of another kind."},
	}
}

func hostEntries() []Entry {
	return []Entry{
		{HostUnreachable, Recoverable, "The host does not answer", []string{"its process is not running", "it is overloaded", networkDown}, "Start the host's process and look at its log; Farshore tries again by itself."},
		{HostDirectoryLocked, NonRecoverable, "The host's directory is in use by another process", []string{"a second host process was started for the same directory"}, "Stop the other process."},
		{HostDirectoryUnusable, NonRecoverable, "The host's directory cannot be used", []string{"its volume is not mounted", "it does not exist", "Farshore may not read or write it"}, "Mount the volume, or create the directory, and give Farshore the rights to it."},
		{VMNotFound, NonRecoverable, "The host has no such VM", []string{"the VM was deleted, renamed or moved to another host"}, "Bring the VM back, or disable its protection."},
		{VMDescriptionInvalid, NonRecoverable, "The VM's description cannot be read", []string{"vm.json is damaged or of another version"}, "Correct the file that the detail names."},
		{VMExists, NonRecoverable, "A VM of that name exists on the recovery host", []string{"it is left from an earlier failover", "the name is taken by another VM"}, "Remove or rename the VM on the recovery host."},
		{VMNotActive, NonRecoverable, "The VM is active elsewhere and is kept off on this host", []string{movedOver, "it had failed over when its protection ended"}, "Use the VM on the recovery side; fail back to run it here again. Without protection, farshore host start --here runs it here, once it does not run there any more."},
		{VMNotRunning, Recoverable, "The VM does not run", []string{"its guest ended", "it was switched off"}, "Start the VM."},
		{DiskNotFound, NonRecoverable, "The VM has no such disk", []string{"the disk's file was removed or renamed", "the disk was detached from the VM"}, "Bring the disk back under its name, or disable protection and enable it without the disk."},
		{DiskUnreadable, Recoverable, "A disk cannot be read", []string{"the storage below it reports errors", "Farshore may not read the file", "another process holds it"}, "Look at the host's system log, and repair the storage or the file's rights."},
		{DiskUnwritable, Recoverable, "A disk cannot be written", []string{"the storage below it reports errors", "the volume is full or mounted read-only"}, "Look at the host's system log, and repair the storage or free space."},
		{DiskSizeChanged, NonRecoverable, "A disk's size has changed since its copy began", []string{"the disk was grown or shrunk", "its file was cut off"}, "Restore the size; a disk that is being added is added again, for others disable protection and enable it again."},
		{DiskFormatUnsupported, NonRecoverable, "A disk's format is not supported or its file is damaged", []string{"the file is neither raw nor a fixed VHD", "its footer is damaged"}, "Convert the disk to raw or fixed VHD."},
		{SnapshotNotFound, Recoverable, "The host no longer has the snapshot", []string{"the host was restarted", "the snapshot was removed because space ran out"}, "None is needed: a new snapshot is taken and the copy goes on at its block."},
		{RelationshipNotFound, NonRecoverable, "The host has no replication relationship for the VM", []string{"the VM's folder was replaced or restored from a copy", "the relationship was removed on the host"}, "Disable protection and enable it again."},
		{CutNotFound, Recoverable, "The host has no such cut", []string{"the cut was released before", "its record was removed"}, "None is needed: the next cycle makes a new cut; if logs are missing, resynchronization follows."},
		{ReturnNotUndoable, NonRecoverable, "The original content of the disks cannot be given back", []string{"a disk was changed while its VM was off after the failback", "there was no space to keep what the VM overwrote since", "the host lost power while the VM ran"}, "Nothing was written. Go on with the VM where its disks are, or restore them from a copy of your own."},
		{BackingUnavailable, NonRecoverable, "The recovery host cannot read the recovery point in its place", []string{"the store's credential is not a file that the host process can read", "the host does not reach the replica store"}, "None is needed: the disks are copied before the VM starts. Register the storage account with a credential file on the recovery host to have VMs start at once."},
		{GuestShutdownTimeout, NonRecoverable, "The guest did not shut down in its time", []string{"the guest ignores the request to stop", "an application in it takes longer than the grace time"}, "Shut the guest down from within, or give it more grace time, and repeat the failover."},
		{GuestStartFailed, Recoverable, "The VM could not be started", []string{"its guest command is wrong or not executable", "a resource it needs is missing on the host"}, "Look at the VM's log on the host and correct the cause."},
		{InsufficientSourceSpace, Recoverable, "The source volume has too little free space", []string{"snapshot and change logs need up to the size of the disks during initial replication and half of it later"}, "Free space on the volume where the VM's disks lie."},
		{InsufficientRecoverySpace, Recoverable, "The recovery host has too little free space for the VM's disks", []string{"the volume is smaller than the disks"}, "Free space on the recovery host's volume."},
		{FailbackTargetTooSmall, NonRecoverable, "The host to fail back to has too little free space for the new VM", []string{"its volume has less free than the disks' full size and the reserve"}, "Free space on the host's volume, or fail back to another host; the recovery VM runs on."},
		{InsufficientMemory, Recoverable, "There is too little memory for the work", []string{"too many transfers run at the same time"}, "Give the service more memory, or run fewer transfers at once."},
		{FreezeHookMissing, NonRecoverable, "The VM has no freeze commands, so its recovery points are crash-consistent", []string{"vm.json has no freeze section"}, "Add a freeze section to vm.json; it is read at the next attempt. Or set the policy's app-consistent frequency to 0."},
		{FreezeHookFailed, Recoverable, "The guest's applications were not brought to rest, so the recovery point is crash-consistent", []string{"the command pre failed or took longer than the timeout", "an application in the guest does not flush in time"}, "Run pre and post by hand and look at .farshore/freeze-VM.log in the host's folder; give more timeoutSeconds if it is only slow. It is tried again at the policy's frequency; `farshore item replicate ITEM --app-consistent` tries now."},
		{ThawHookFailed, NonRecoverable, "The guest's applications may be frozen still", []string{"the command post failed or took longer than the timeout"}, "Let the applications go on by hand. The host runs the command again every minute at least, as vm.json has it by then: correct it there."},
	}
}

func replicaEntries() []Entry {
	return []Entry{
		{ReplicaStoreUnreachable, Recoverable, "The replica store does not answer", []string{networkDown, "the endpoint is wrong", "the store is down"}, "Check the storage account's endpoint and the network; Farshore tries again by itself."},
		{ReplicaStoreFull, Recoverable, "The replica store has no space left", []string{"the volume or the account's quota is used up"}, "Free or add space, or shorten the policy's retention."},
		{ReplicaStoreAuthentication, NonRecoverable, "The replica store does not accept the credential", []string{"the key was changed", "the credential reference names the wrong variable or file", "the clock is wrong"}, "Correct the credential, then ask for a replication cycle."},
		{ReplicaStoreAuthorization, NonRecoverable, "The credential may not do this in the replica store", []string{"a right is missing", "a firewall rule or policy of the account forbids it"}, "Give the credential the right to read, write and delete in the container, then ask for a replication cycle."},
		{ReplicaStoreUnsupportedKind, NonRecoverable, "The storage account is of a kind that cannot hold replicas", []string{"it is a premium page-blob account, which allows too few snapshots", "it has no page blobs"}, "Use a standard general-purpose account."},
		{ReplicaStoreUnusable, NonRecoverable, "The replica store cannot be used as it is configured", []string{"the directory or container does not exist or may not be written", "the address is not valid"}, "Create the directory or container, or register a storage account with the right address."},
		{ReplicaDiskNotFound, NonRecoverable, "The replica store has lost a disk of the replica", []string{deleted, "the storage account was replaced"}, "Restore it in the store, or disable protection and enable it again."},
		{DiskShrunk, NonRecoverable, "A disk has become smaller than its replica", []string{"the source disk was shrunk, or replaced by a smaller one"}, "Give the disk its size back; or remove it from the protection, and add it again once no recovery point holds it."},
		{ReplicaDiskSizeMismatch, NonRecoverable, "A replica disk is not of its source's size", []string{"the source disk was resized", tampered}, "Disable protection and enable it again."},
		{ReplicaCorrupt, NonRecoverable, "The replica's content does not match its checksums", []string{"the store returned other bytes than were written", tampered}, "Repair the replication, and have the store examined."},
		{RunningPointCorrupt, NonRecoverable, "The recovery point that the failed-over VM runs from does not match its checksums", []string{"the store returned other bytes than were written", tampered}, "The VM cannot read the damaged blocks. Change the failover to another recovery point, or cancel it; or restore the store's content, then retry. Have the store examined."},
		{ObjectNotFound, NonRecoverable, "An object of the replica is missing in the store", []string{deleted, "a lifecycle rule of the account removed it"}, "Remove such rules, and repair the replication."},
		{TransferInterrupted, Recoverable, "A transfer to the replica store was cut off", []string{"the network was interrupted", "the store was restarted"}, "None is needed: the transfer goes on where it stopped."},
		{TransferVerificationFailed, Recoverable, "What the replica store holds is not what was sent", []string{"bytes were changed or lost on the way or in the store"}, "None is needed unless it repeats: the data is sent again. If it repeats, have the network and the store examined."},
		{Throttled, Recoverable, "The replica store asks for fewer requests", []string{"the account's limits are reached"}, "Spread the items over more storage accounts, or copy less often."},
		{Fenced, Recoverable, "Another worker has taken over the item", []string{"this worker was too slow to renew its lease"}, "None is needed: the other worker goes on."},
	}
}

func resynchronizationEntries() []Entry {
	return []Entry{
		{LogThresholdExceeded, Resynchronize, "The change logs that wait to be shipped have outgrown the policy's threshold", []string{"the guest writes more than can be shipped", "the replica store was away for long"}, "Let the resynchronization run; raise the threshold or the bandwidth if it repeats."},
		{LogWriteFailed, Resynchronize, "A change log could not be written", []string{"the volume is full", "the storage reports errors"}, "Free space or repair the storage, then let the resynchronization run."},
		{LogUnclean, Resynchronize, "A change log was not closed and cannot be completed", []string{"the host lost power or was restarted"}, letItRun},
		{LogMissing, Resynchronize, "A change log is missing", []string{deleted, "the VM's folder was restored from a copy"}, "Keep .hrl files of protected VMs untouched, and let the resynchronization run."},
		{LogChainBroken, Resynchronize, "A change log does not follow the one before it", []string{"a log between them was lost or replaced"}, letItRun},
		{LogChecksumMismatch, Resynchronize, "A change log's content does not match its checksum", []string{"the storage returned other bytes than were written", "the file was changed"}, "Have the storage examined, and let the resynchronization run."},
		{LogTruncated, Resynchronize, "A change log is shorter than it should be", []string{"the file was cut off", "the storage lost writes"}, "Have the storage examined, and let the resynchronization run."},
		{DiskChangedOffline, Resynchronize, "A disk was changed while its writes were not tracked", []string{"the disk was mounted or edited while the VM was off"}, letItRun},
		{FreeSpaceReserveReached, Resynchronize, "Tracking stopped because the source volume ran out of space", []string{"the volume's free space fell below the reserve"}, "Free space on the volume, then let the resynchronization run."},
		{ResynchronizationRequested, Resynchronize, "An operator asked for a resynchronization", []string{"repairReplication was called"}, "None is needed: it runs at once."},
	}
}

func healthEntries() []Entry {
	return []Entry{
		{ReplicationBehind, Recoverable, "The replica is more than an hour behind its source", []string{"the guest writes more than can be shipped", "cycles fail; see the other health errors"}, "Raise the bandwidth, or mend what the other health errors name."},
		{InitialReplicationUnfinished, Recoverable, "Initial replication is not complete, so there is nothing to fail over to yet", []string{"the disks are still being copied"}, "Wait for the job to finish; it shows its progress."},
		{SourceStillRunning, NonRecoverable, "The source VM runs although the VM has failed over", []string{"its host came back after an unplanned failover", "the VM was started by hand"}, "Shut the source VM down; nothing it writes is replicated. Cancel the failover if it is to go on instead."},
		{ReplicationPaused, NonRecoverable, "Replication is paused", []string{"an operator paused it"}, "Resume replication; writes are tracked up to the policy's threshold."},
		{TestFailoverDue, NonRecoverable, "The last test failover is longer ago than the policy allows", []string{"no drill was held since"}, "Run a test failover and clean it up."},
		{VMLeftBehind, Recoverable, "A VM that is no longer the item's is on a host that does not answer", []string{"the VM has failed back to another host, and its former host is away", "a failback was cancelled or committed while a host was away", "protection was ended by force while a host was away"}, "None is needed: as soon as the host answers, Farshore ends the tracking of a former source and keeps it off if it runs elsewhere, and removes a VM that it has made. Remove the host from its site if it will not come back."},
		{NotReverseProtected, NonRecoverable, "The VM has failed back and is not replicated yet", []string{"the failback is not committed", "reverse replication was not started or has not finished"}, "Commit the failback and protect the item again."},
		{DiskNotInRecoveryPoint, Recoverable, "A recovery point does not hold a disk of the VM", []string{"the disk was added after the point, or is being added", "it was removed from the protection before the point"}, "Choose a newer recovery point, or wait until the disk is protected; the VM comes up without the disk otherwise."},
		{BackgroundCopyUnfinished, Recoverable, "The failed-over VM runs from its recovery point while its disks are being copied", []string{"the background copy has not finished"}, "Wait for the job to finish; it shows its progress. Keep the replica store reachable from the recovery host until then."},
		{DiskUnprotected, Recoverable, "A disk that was added or grown is not in the recovery points yet", []string{"it is still being copied"}, "Wait for the job to finish; it shows its progress."},
		{CyclesMissed, Recoverable, "More than a fifth of the cycles in the policy's monitoring window were missed", []string{"the guest writes more than can be shipped in a copy frequency", "the host, the network or the replica store was away"}, "Copy less often or raise the bandwidth if it repeats; it ends by itself once the window has moved on."},
		{RepeatedFailures, Recoverable, "Attempts have failed again and again", []string{"what the failure beside it names does not pass by itself"}, "Mend what the failure names, then `farshore item retry ITEM`; Farshore tries on every 30 minutes."},
		{NotReplicating, NonRecoverable, "The VM runs on the recovery side and is not replicated", []string{movedOver}, "Commit the failover and fail back, or disable protection to stay on the recovery side."},
	}
}
