package errorcatalog

func planEntries() []Entry {
	return []Entry{
		{PlanItemFailed, NonRecoverable, "Items of a recovery plan could not be moved", []string{"the jobs of the items that the detail names say why"}, "Mend what those jobs name, then restart the plan's job: what is done is skipped."},
		{PlanStopped, NonRecoverable, "The run of a recovery plan stopped before it came to this item", []string{"an item or an action before it failed, and the plan says Stop", "the run was cancelled"}, "None is needed for the item: it is as it was before. Mend the cause of the stop and restart the plan's job."},
		{ScriptNotFound, NonRecoverable, "The scripts directory has no such program", []string{typo, "the file is not executable", "it is a link that leads out of the directory", "another server runs the plan than the one that was set up"}, "Put the program into the scripts directory of every server and worker, and make it executable."},
		{ScriptsNotAvailable, NonRecoverable, "There is no scripts directory", []string{"it has not been made", "the server was started with another --scripts"}, "Make the directory that the detail names, readable for the server and writable for its administrators only."},
		{ScriptFailed, NonRecoverable, "A script of a recovery plan has failed", []string{"it ended with another exit code than 0; the task shows what it printed"}, "Mend what the script printed, then restart the plan's job; the script is run again."},
		{ScriptTimeout, NonRecoverable, "A script of a recovery plan took too long and was ended", []string{"it waits for something that does not come", "its timeout is too short"}, "Look at what it printed, give it more time or mend the cause, then restart the plan's job."},
		{ScriptInterrupted, Recoverable, "It is not known how a script ended; it runs again", []string{"its worker was ended or killed while the script ran", "its worker lost PostgreSQL for longer than its hold on the run lasts, and ended the script", "its end could not be recorded"}, "None is needed if the script bears to run twice, as it must: FARSHORE_JOB tells it the run. Otherwise look at what its first run has done."},
		{ScriptsBusy, Recoverable, "The script waits for others to end", []string{"as many scripts run on the worker as may run at once", "scripts of other plans take long"}, "None is needed: it begins as soon as one of them ends. Start the worker with a greater --scripts-at-once if that is too late."},
		{PortNotAnswering, NonRecoverable, "A TCP port did not answer in its time", []string{"the service in the VM has not started", "the VM has another address on this side", "a firewall is in between"}, "Look at the VM and at the network between it and the server, then restart the plan's job."},
	}
}
