package job_test

import (
	"testing"
	"time"

	"farshore/domain/domaintest"
	"farshore/domain/errorcatalog"
	"farshore/domain/job"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

var (
	unreachable = errorcatalog.Failure{Code: errorcatalog.HostUnreachable, Detail: "hv-1"}
	tasks       = []job.TaskSpec{{Name: "copy_disks", Title: "Copy disks"}, {Name: "apply_logs", Title: "Apply logs"}}
	started     = job.JobStarted{Vault: "acme", Kind: job.InitialReplication, Subject: "acme.sql", Tasks: tasks, At: noon}
	begun       = job.TaskStarted{Task: "copy_disks", At: noon}
	deferred    = job.TaskDeferred{Task: "copy_disks", Reason: unreachable, At: noon}
	completed   = job.TaskCompleted{Task: "copy_disks", Output: map[string]string{"cut": "cut-1"}, At: noon}
	taskFailed  = job.TaskFailed{Task: "copy_disks", Failure: unreachable, NextAttemptAt: noon.Add(time.Minute), At: noon}
	succeeded   = job.JobSucceeded{At: noon}
	jobFailed   = job.JobFailed{Failure: unreachable, At: noon}
	asked       = job.CancelRequested{By: "apikey:1", At: noon}
	canceled    = job.JobCanceled{At: noon}
	announced   = job.JobAnnounced{Vault: "acme", Kind: job.InitialReplication, Subject: "acme.sql", Parent: "job-0", At: noon}
	awaited     = job.InputAwaited{Task: "copy_disks", Instructions: "look at it", At: noon}
	resumed     = job.JobResumed{Task: "copy_disks", By: "apikey:1", Comments: "the till works", At: noon}
	restarted   = job.JobRestarted{Job: "job-2", By: "apikey:1", At: noon}
)

func stored() []job.Event {
	return []job.Event{started, begun, completed, taskFailed, succeeded, jobFailed, asked, canceled, resumed, restarted, announced, awaited, deferred}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	start := job.Start{Vault: "acme", Kind: job.InitialReplication, Subject: "acme.sql", Tasks: tasks, At: noon}
	type events = []job.Event
	run(t, map[string]scenario{
		"a job starts":                            {When: start, Then: events{started}},
		"starting it again changes nothing":       {Given: events{started, begun}, When: start},
		"starting it for another item is refused": {Given: events{started}, When: job.Start{Kind: start.Kind, Subject: "acme.web"}, Refused: errorcatalog.AlreadyExistsWithOtherSettings},
		"a job needs a kind":                      {When: job.Start{Subject: "acme.sql"}, Refused: errorcatalog.ValidationFailed, Field: "/kind"},
		"a job needs a subject":                   {When: job.Start{Kind: start.Kind}, Refused: errorcatalog.ValidationFailed, Field: "/subject"},
		"tasks are named":                         {When: job.Start{Kind: start.Kind, Subject: "x", Tasks: []job.TaskSpec{{}}}, Refused: errorcatalog.ValidationFailed, Field: "/tasks"},
		"tasks are named once":                    {When: job.Start{Kind: start.Kind, Subject: "x", Tasks: []job.TaskSpec{tasks[0], tasks[0]}}, Refused: errorcatalog.ValidationFailed, Field: "/tasks"},

		"a task starts":                      {Given: events{started}, When: job.StartTask{Task: "copy_disks", At: noon}, Then: events{begun}},
		"a task that runs is not started":    {Given: events{started, begun}, When: job.StartTask{Task: "copy_disks", At: noon}},
		"a task that is done is not started": {Given: events{started, completed}, When: job.StartTask{Task: "copy_disks", At: noon}},
		"a task that failed starts again":    {Given: events{started, begun, taskFailed}, When: job.StartTask{Task: "copy_disks", At: noon}, Then: events{begun}},
		"an unknown task is refused":         {Given: events{started}, When: job.StartTask{Task: "dance"}, Refused: errorcatalog.TaskNotFound},
		"a task of no job is refused":        {When: job.StartTask{Task: "copy_disks"}, Refused: errorcatalog.JobNotFound},
		"a task of an ended job is refused":  {Given: events{started, canceled}, When: job.StartTask{Task: "copy_disks"}, Refused: errorcatalog.JobEnded},
		"a task is deferred":                 {Given: events{started}, When: job.DeferTask{Task: "copy_disks", Reason: &unreachable, At: noon}, Then: events{deferred}},
		"a task that waits waits on":         {Given: events{started, deferred}, When: job.DeferTask{Task: "copy_disks", Reason: &unreachable, At: noon}},
		"a task that was deferred starts":    {Given: events{started, deferred}, When: job.StartTask{Task: "copy_disks", At: noon}, Then: events{begun}},
		"a task that runs is not deferred":   {Given: events{started, begun}, When: job.DeferTask{Task: "copy_disks"}, Refused: errorcatalog.NothingToDo},
		"an unknown task is not deferred":    {Given: events{started}, When: job.DeferTask{Task: "dance"}, Refused: errorcatalog.TaskNotFound},
		"a task completes":                   {Given: events{started, begun}, When: job.CompleteTask{Task: "copy_disks", Output: completed.Output, At: noon}, Then: events{completed}},
		"a task completes without a start":   {Given: events{started}, When: job.CompleteTask{Task: "copy_disks", Output: completed.Output, At: noon}, Then: events{completed}},
		"a task completes once":              {Given: events{started, completed}, When: job.CompleteTask{Task: "copy_disks", At: noon}},
		"an unknown task cannot complete":    {Given: events{started}, When: job.CompleteTask{Task: "dance"}, Refused: errorcatalog.TaskNotFound},
		"a task fails and is tried again":    {Given: events{started, begun}, When: job.FailTask{Task: "copy_disks", Failure: &unreachable, NextAttemptAt: noon.Add(time.Minute), At: noon}, Then: events{taskFailed}},
		"a task that is done cannot fail":    {Given: events{started, completed}, When: job.FailTask{Task: "copy_disks", Failure: &unreachable}, Refused: errorcatalog.NothingToDo},
		"a task of an ended job cannot fail": {Given: events{started, succeeded}, When: job.FailTask{Task: "copy_disks", Failure: &unreachable}, Refused: errorcatalog.JobEnded},

		"a job succeeds":                            {Given: events{started, completed}, When: job.Succeed{At: noon}, Then: events{succeeded}},
		"a job succeeds once":                       {Given: events{started, succeeded}, When: job.Succeed{At: noon}},
		"a job with a running task cannot succeed":  {Given: events{started, begun}, When: job.Succeed{At: noon}, Refused: errorcatalog.JobTasksUnfinished},
		"a job with a failed task cannot succeed":   {Given: events{started, taskFailed}, When: job.Succeed{At: noon}, Refused: errorcatalog.JobTasksUnfinished},
		"a failed job cannot succeed":               {Given: events{started, jobFailed}, When: job.Succeed{At: noon}, Refused: errorcatalog.JobEnded},
		"no job cannot succeed":                     {When: job.Succeed{At: noon}, Refused: errorcatalog.JobNotFound},
		"a job fails":                               {Given: events{started, begun}, When: job.Fail{Failure: &unreachable, At: noon}, Then: events{jobFailed}},
		"a job fails once":                          {Given: events{started, jobFailed}, When: job.Fail{Failure: &unreachable, At: noon}},
		"a job that succeeded cannot fail":          {Given: events{started, succeeded}, When: job.Fail{Failure: &unreachable}, Refused: errorcatalog.JobEnded},
		"a cancel is asked for":                     {Given: events{started}, When: job.RequestCancel{By: "apikey:1", At: noon}, Then: events{asked}},
		"asking for a cancel again changes nothing": {Given: events{started, asked}, When: job.RequestCancel{By: "apikey:2", At: noon}},
		"a cancel of an ended job is refused":       {Given: events{started, canceled}, When: job.RequestCancel{At: noon}, Refused: errorcatalog.JobEnded},
		"a job is canceled":                         {Given: events{started, asked}, When: job.Cancel{At: noon}, Then: events{canceled}},
		"a job is canceled once":                    {Given: events{started, canceled}, When: job.Cancel{At: noon}},
		"a job that failed is not canceled":         {Given: events{started, jobFailed}, When: job.Cancel{At: noon}, Refused: errorcatalog.JobEnded},
	})
}

func TestAJobIsItsJournal(t *testing.T) {
	t.Parallel()
	d := job.Decider
	s := d.Fold(job.State{}, started, begun, taskFailed, begun, completed)
	if task, _ := s.Task("copy_disks"); task.Attempts != 2 || task.Status != job.Succeeded || task.Failure != nil || !task.NextAttemptAt.IsZero() {
		t.Errorf("task = %+v", task)
	}
	if got := s.Output("copy_disks")["cut"]; got != "cut-1" {
		t.Errorf("output = %q", got)
	}
	s.Output("copy_disks")["cut"] = "changed"
	if got := s.Output("copy_disks")["cut"]; got != "cut-1" {
		t.Errorf("a caller changed the journal: %q", got)
	}
	s = d.Fold(s, succeeded)
	if task, _ := s.Task("apply_logs"); task.Status != job.Skipped || !s.Status.Ended() {
		t.Errorf("a task never started is %s in a job that is %s", task.Status, s.Status)
	}
	s = d.Fold(job.State{}, started, deferred)
	if task, _ := s.Task("copy_disks"); task.Status != job.Waiting || task.Failure == nil || task.Attempts != 0 {
		t.Errorf("a task that waits = %+v", task)
	}
	if task, _ := d.Fold(s, begun).Task("copy_disks"); task.Status != job.Running || task.Failure != nil || task.Attempts != 1 {
		t.Errorf("a task that has waited = %+v", task)
	}
	if task, _ := d.Fold(s, canceled).Task("copy_disks"); task.Status != job.Skipped || task.Failure != nil {
		t.Errorf("a task that waited as its job ended = %+v", task)
	}
	s = d.Fold(job.State{}, started, begun, canceled)
	if task, _ := s.Task("copy_disks"); task.Status != job.Canceled || !task.EndedAt.Equal(noon) {
		t.Errorf("a task that ran is %+v in a canceled job", task)
	}
}

type scenario = domaintest.Scenario[job.Command, job.Event]

func run(t *testing.T, rows map[string]scenario) {
	t.Helper()
	domaintest.Decide(t, job.Decider, rows)
}
