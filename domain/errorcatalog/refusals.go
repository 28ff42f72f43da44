package errorcatalog

func serviceEntries() []Entry {
	return []Entry{
		{InternalError, Recoverable, "Farshore met an error it has no code for", []string{"a fault in Farshore", "an answer of the operating system that was not foreseen"}, "Look for the request or job id in the service's log; report it if it repeats."},
		{DatabaseUnavailable, Recoverable, "The event store cannot be reached", []string{"PostgreSQL is being restarted", networkDown, "all of its connections are in use"}, "Repeat the request after the time in Retry-After, with the same Idempotency-Key; replication goes on by itself."},
		{ProjectionLagging, Recoverable, "The read model has not yet reached the position that was asked for", []string{"many events were recorded in a short time", "a read model is being rebuilt"}, "Repeat the query after the time in Retry-After, or without minPosition."},
		{RequestTimeout, Recoverable, "The request took too long and was given up", []string{"the service or its database is overloaded"}, "Repeat the request with the same Idempotency-Key."},
		{Canceled, Recoverable, "The work was stopped before it was done", []string{"an operation with precedence began", "the service is shutting down", "a job was cancelled"}, "None is needed: the work goes on where it stopped, unless it was cancelled for good."},
	}
}

func requestEntries() []Entry {
	return []Entry{
		{ValidationFailed, Refusal, "A field of the request has a value that is not allowed", []string{"a value is missing, of the wrong type or outside its range"}, "Correct the field that the answer names and send the request again."},
		{MalformedJSON, Refusal, "The body is not valid JSON", []string{"the body was cut off", "a quote, comma or bracket is missing"}, "Send one complete JSON object."},
		{UnknownField, Refusal, "The body has a field that the operation does not know", []string{typo, "a field of another version of the API"}, "Remove or rename the field that the answer names; the contract lists those that exist."},
		{UnsupportedMediaType, Refusal, "The body is not of a media type that the operation reads", []string{"the Content-Type header is missing or is not application/json"}, "Send JSON with the header Content-Type: application/json."},
		{RequestTooLarge, Refusal, "The body is larger than the service reads", []string{"a file was sent by mistake"}, "Send a body of at most 1 MiB."},
		{RouteNotFound, Refusal, "There is nothing at this path", []string{"a spelling mistake in the path", "the base path /v1 is missing"}, "Compare the path with the contract at /v1/openapi.json."},
		{MethodNotAllowed, Refusal, "The resource does not offer this method", []string{"another method was meant"}, "Use one of the methods in the Allow header."},
		{InvalidCursor, Refusal, "The page cursor cannot be read", []string{"the cursor was changed or shortened", "it comes from another collection"}, "Follow nextLink exactly as it was given, or begin at the first page."},
		{Unauthenticated, Refusal, "The request carries no valid credential", []string{"the Authorization header is missing", "the API key is unknown, revoked or expired"}, "Send Authorization: Bearer with a valid API key."},
		{Forbidden, Refusal, "The credential does not permit this operation", []string{"its role is too small", otherVault}, "Use a credential with a sufficient role in this vault."},
		{RateLimited, Refusal, "Too many requests arrived in a short time", []string{"a client repeats requests without waiting"}, "Wait for the time in Retry-After."},
		{PreconditionFailed, Refusal, "The resource is no longer at the version in If-Match", []string{"somebody else changed it since it was read"}, "Read the resource again, decide again and send its new ETag."},
		{PreconditionRequired, Refusal, "The operation needs an If-Match header", []string{"the header is missing"}, "Read the resource and send its ETag in If-Match."},
		{IdempotencyKeyReused, Refusal, "The Idempotency-Key was used for another request", []string{"a client does not make a new key for each request", "the body was changed between two attempts"}, "Use a new key for a new request; repeat the old one unchanged."},
		{ConcurrentUpdate, Refusal, "The resource kept changing while the request was decided", []string{"several clients write to it at the same time"}, "Repeat the request."},
	}
}

func existenceEntries() []Entry {
	return []Entry{
		{VaultNotFound, Refusal, "There is no such vault", []string{typo, "it has not been created yet"}, "List the vaults, or create it."},
		{PolicyNotFound, Refusal, "There is no such replication policy in the vault", []string{typo, "it is in another vault"}, "List the vault's policies, or define it."},
		{SiteNotFound, Refusal, "There is no such site in the vault", []string{typo, "it has not been registered yet"}, "List the vault's sites, or register it."},
		{HostNotFound, Refusal, "There is no such host in the site", []string{typo, "it was removed from the site"}, "List the site's hosts, or add it."},
		{VirtualMachineNotFound, Refusal, "No such virtual machine has been discovered in the site", []string{"the host has not been looked at yet", "the VM was removed or is on another host"}, "Wait for the next inventory, and look at the host's problems."},
		{StorageAccountNotFound, Refusal, "There is no such storage account in the vault", []string{typo, "it has not been registered yet"}, "List the vault's storage accounts, or register it."},
		{ProtectedItemNotFound, Refusal, "There is no such protected item in the vault", []string{typo, "its protection was never enabled"}, "List the vault's protected items, or enable protection."},
		{RecoveryPointNotFound, Refusal, "There is no such recovery point", []string{"retention has removed it", "it belongs to another item"}, "List the item's recovery points and choose one that exists."},
		{RecoveryPlanNotFound, Refusal, "There is no such recovery plan in the vault", []string{typo, "it was deleted"}, "List the vault's recovery plans, or define it."},
		{JobNotFound, Refusal, "There is no such job in the vault", []string{typo, otherVault}, "List the vault's jobs."},
		{TaskNotFound, Refusal, "The job has no such task", []string{"the worker and the job are of different versions"}, "Let a worker of the job's version finish it, or start the operation again."},
		{APIKeyNotFound, Refusal, "There is no such API key", []string{typo, otherVault}, "List the API keys."},
		{AlreadyExistsWithOtherSettings, Refusal, "It exists already, with other settings", []string{"the name is taken", "the settings were changed in the request but cannot be changed"}, "Choose another name, or send the settings that it has."},
		{InUse, Refusal, "It is still used by protected items", []string{"items are protected with it"}, "Disable the protection of the items that the answer names, then repeat the request."},
	}
}

func stateEntries() []Entry {
	return []Entry{
		{NothingToDo, Refusal, "The operation would change nothing", []string{"it is under way already", "its result is there already"}, "None is needed."},
		{JobEnded, Refusal, "The job has ended", []string{"it succeeded, failed or was cancelled before"}, "Look at the job's result; start the operation again if it is still wanted."},
		{JobTasksUnfinished, Refusal, "The job has tasks that are neither done nor skipped", []string{"a worker ended the job too early"}, "None is needed: the job goes on with its first unfinished task."},
		{JobNotWaiting, Refusal, "The job does not wait for an operator", []string{"it was let go on before", "it is still at work, or has ended"}, "Look at the job; it goes on by itself unless its status is WaitingForInput."},
		{TaskRequired, Refusal, "The request does not say which task it answers", []string{"the run of a recovery plan may wait for an operator more than once, and two requests would answer two questions"}, "Read the job and repeat the request with the task that its input names."},
		{OtherTaskWaits, Refusal, "The job waits at another task", []string{"somebody else has let the job go on, and it waits for the next answer", "the task has not been reached", typo}, "Read the job: follow the instructions of its input, and answer the task that it names."},
		{LedByPlan, Refusal, "The run of a recovery plan decides when this goes on", []string{"the job is a part of the plan's run, which brings its groups back one after the other"}, "Let the plan's run go on: answer its manual action if it waits at one. To go on without the plan, cancel its job, then ask for the failback again."},
		{JobNotFailed, Refusal, "The job has not failed", []string{"it is at work, it succeeded, or it was cancelled"}, "Wait for the job, or start the operation again if it is still wanted."},
		{JobNotRestartable, Refusal, "The job cannot be begun anew from here", []string{"it is of a kind that needs to be asked for again, with what was decided then", "it goes on by itself under another job", "it was begun anew before"}, "Start the operation again as the answer says, or follow the job that it names."},
		{VirtualMachineNotProtectable, Refusal, "The virtual machine does not meet the prerequisites", []string{"one of its properties is not supported; the answer lists which"}, "Change the VM as the listed codes say, or leave the disks out that do not qualify."},
		{AlreadyProtected, Refusal, "The item is protected already", []string{"protection was enabled before and has not been disabled since"}, "Go on with the item as it is, or disable its protection first."},
		{NotProtected, Refusal, "The operation needs an item that is protected", []string{"initial replication is not complete", movedOver, "protection is being disabled or is disabled"}, "Look at the item's state and wait for it, or use an operation that it allows."},
		{OperationInProgress, Refusal, "Another operation on the item is in progress", []string{"a failover, commit, resynchronization or disable runs"}, "Wait for the job that the answer names."},
		{NoFailoverPending, Refusal, "There is no failover to commit", []string{"no failover was started", "it has not finished", "it was committed before"}, "Look at the item's state; start a failover if one is wanted."},
		{NoRecoveryPoint, Refusal, "The item has no recovery point", []string{"initial replication is not complete"}, "Wait for the first recovery point."},
		{ResynchronizationRequiredRefusal, Refusal, "The replica does not follow its source and is to be resynchronized first", []string{"the change logs can no longer be trusted; the item's state names the reason", "a resynchronization is running"}, "Let the resynchronization finish; repairReplication starts it at once."},
		{StaleJob, Refusal, "The command comes from a job that is no longer the item's", []string{"another operation took its place", "a worker woke late"}, "None is needed: the worker stops."},
		{CutOutOfOrder, Refusal, "The cut does not follow the last one that was shipped", []string{"a worker woke late", "a cut was skipped"}, "None is needed if another worker goes on; otherwise repair the replication."},
		{CutNotShipped, Refusal, "A recovery point needs a cut whose logs are durable at the replica store", []string{"a worker did not record the delta first"}, "None is needed: the cycle is repeated."},
		{NewestPointKept, Refusal, "The newest recovery point is never removed", []string{"it was named among the points to be removed"}, "Leave it out, or disable protection to give up the replica."},
		{NotFailedOver, Refusal, "The operation needs an item whose recovery side is active", []string{"the failover has not finished or was cancelled", "the item has failed back"}, "Look at the item's state, and use an operation that it allows."},
		{RecoveryVMMissing, Refusal, "The failover has no recovery VM", []string{"changing its recovery point or cancelling it failed after the VM had been removed"}, "Choose a recovery point again, or cancel the failover."},
		{ConfirmationRequired, Refusal, "The operation loses data and is to be confirmed", []string{"confirm was not sent, or was false"}, "Repeat the request with confirm=true if the loss that the answer names is meant."},
		{PointPinned, Refusal, "The recovery point is in use", []string{"a failover or a test failover runs from it"}, "Commit or cancel the failover, or clean the test failover up."},
		{TestFailoverOpen, Refusal, "A test failover is open", []string{"an earlier test failover was not cleaned up", "it is still being brought up or cleaned up"}, "Clean the test failover up first; disabling protection does so with cleanup=true."},
		{NoTestFailover, Refusal, "No test failover is open", []string{"none was started", "it failed or was cleaned up before"}, "Start a test failover if one is wanted."},
		{ReplicationPausedRefusal, Refusal, "Replication is paused", []string{"an operator paused it; the item's state says who and why"}, "Resume replication first; a planned failover does so with resume=true."},
		{DiskInRecoveryPoints, Refusal, "Recovery points of before the disk was removed still hold it", []string{"the disk was protected, removed, and is to be added again"}, "Wait until retention has given those points up, then add the disk; or disable protection and enable it with the disk."},
		{FailbackOpen, Refusal, "A failback is open", []string{"it has not been committed or cancelled"}, "Complete and commit the failback, or cancel it; disabling in spite of it needs force=true and the VM that is left named as survivor."},
		{NoFailbackPending, Refusal, "There is no failback that this can be done to", []string{"no failback was started", "it is in another phase", "it was committed or cancelled before"}, "Look at the item's state, and use an operation that it allows."},
		{NotFailedBack, Refusal, "The operation needs an item that has failed back", []string{"the failback is not committed", "the item is protected again"}, "Commit the failback first."},
		{SourceStillRunningRefusal, Refusal, "The source VM runs, and its disks are not written to", []string{"it was started by hand", "its host came back after an unplanned failover"}, "Shut the source VM down, then repeat the request; or fail back to a new VM."},
		{VMNameTaken, Refusal, "The host to fail back to has a VM of that name already", []string{"the name belongs to another VM", "the original VM is still there", "it names the recovery VM itself"}, "Give the new VM another name, or choose another host; fail back without a target to use the original VM."},
		{SourceNotStopped, Refusal, "The source has not been stopped by this failover", []string{"the step that stops it has not been recorded"}, "None is needed: the failover goes on with that step or fails."},
	}
}
