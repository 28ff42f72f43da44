package job_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
	"farshore/domain/job"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

var (
	unreachable = errorcatalog.Failure{Code: errorcatalog.HostUnreachable, Detail: "hv-1"}
	tasks       = []job.TaskSpec{{Name: "copy_disks", Title: "Copy disks"}, {Name: "apply_logs", Title: "Apply logs"}}
	started     = job.JobStarted{Vault: "acme", Kind: job.InitialReplication, Subject: "acme.sql", Tasks: tasks, At: noon}
	begun       = job.TaskStarted{Task: "copy_disks", At: noon}
	completed   = job.TaskCompleted{Task: "copy_disks", Output: map[string]string{"cut": "cut-1"}, At: noon}
	taskFailed  = job.TaskFailed{Task: "copy_disks", Failure: unreachable, NextAttemptAt: noon.Add(time.Minute), At: noon}
	succeeded   = job.JobSucceeded{At: noon}
	jobFailed   = job.JobFailed{Failure: unreachable, At: noon}
	asked       = job.CancelRequested{By: "apikey:1", At: noon}
	canceled    = job.JobCanceled{At: noon}
)

func stored() []job.Event {
	return []job.Event{started, begun, completed, taskFailed, succeeded, jobFailed, asked, canceled}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	start := job.Start{Vault: "acme", Kind: job.InitialReplication, Subject: "acme.sql", Tasks: tasks, At: noon}
	type events = []job.Event
	run(t, map[string]scenario{
		"a job starts":                            {when: start, then: events{started}},
		"starting it again changes nothing":       {given: events{started, begun}, when: start},
		"starting it for another item is refused": {given: events{started}, when: job.Start{Kind: start.Kind, Subject: "acme.web"}, refused: errorcatalog.AlreadyExistsWithOtherSettings},
		"a job needs a kind":                      {when: job.Start{Subject: "acme.sql"}, refused: errorcatalog.ValidationFailed, field: "/kind"},
		"a job needs a subject":                   {when: job.Start{Kind: start.Kind}, refused: errorcatalog.ValidationFailed, field: "/subject"},
		"tasks are named":                         {when: job.Start{Kind: start.Kind, Subject: "x", Tasks: []job.TaskSpec{{}}}, refused: errorcatalog.ValidationFailed, field: "/tasks"},
		"tasks are named once":                    {when: job.Start{Kind: start.Kind, Subject: "x", Tasks: []job.TaskSpec{tasks[0], tasks[0]}}, refused: errorcatalog.ValidationFailed, field: "/tasks"},

		"a task starts":                      {given: events{started}, when: job.StartTask{Task: "copy_disks", At: noon}, then: events{begun}},
		"a task that runs is not started":    {given: events{started, begun}, when: job.StartTask{Task: "copy_disks", At: noon}},
		"a task that is done is not started": {given: events{started, completed}, when: job.StartTask{Task: "copy_disks", At: noon}},
		"a task that failed starts again":    {given: events{started, begun, taskFailed}, when: job.StartTask{Task: "copy_disks", At: noon}, then: events{begun}},
		"an unknown task is refused":         {given: events{started}, when: job.StartTask{Task: "dance"}, refused: errorcatalog.TaskNotFound},
		"a task of no job is refused":        {when: job.StartTask{Task: "copy_disks"}, refused: errorcatalog.JobNotFound},
		"a task of an ended job is refused":  {given: events{started, canceled}, when: job.StartTask{Task: "copy_disks"}, refused: errorcatalog.JobEnded},
		"a task completes":                   {given: events{started, begun}, when: job.CompleteTask{Task: "copy_disks", Output: completed.Output, At: noon}, then: events{completed}},
		"a task completes without a start":   {given: events{started}, when: job.CompleteTask{Task: "copy_disks", Output: completed.Output, At: noon}, then: events{completed}},
		"a task completes once":              {given: events{started, completed}, when: job.CompleteTask{Task: "copy_disks", At: noon}},
		"an unknown task cannot complete":    {given: events{started}, when: job.CompleteTask{Task: "dance"}, refused: errorcatalog.TaskNotFound},
		"a task fails and is tried again":    {given: events{started, begun}, when: job.FailTask{Task: "copy_disks", Failure: &unreachable, NextAttemptAt: noon.Add(time.Minute), At: noon}, then: events{taskFailed}},
		"a task that is done cannot fail":    {given: events{started, completed}, when: job.FailTask{Task: "copy_disks", Failure: &unreachable}, refused: errorcatalog.NothingToDo},
		"a task of an ended job cannot fail": {given: events{started, succeeded}, when: job.FailTask{Task: "copy_disks", Failure: &unreachable}, refused: errorcatalog.JobEnded},

		"a job succeeds":                            {given: events{started, completed}, when: job.Succeed{At: noon}, then: events{succeeded}},
		"a job succeeds once":                       {given: events{started, succeeded}, when: job.Succeed{At: noon}},
		"a job with a running task cannot succeed":  {given: events{started, begun}, when: job.Succeed{At: noon}, refused: errorcatalog.JobTasksUnfinished},
		"a job with a failed task cannot succeed":   {given: events{started, taskFailed}, when: job.Succeed{At: noon}, refused: errorcatalog.JobTasksUnfinished},
		"a failed job cannot succeed":               {given: events{started, jobFailed}, when: job.Succeed{At: noon}, refused: errorcatalog.JobEnded},
		"no job cannot succeed":                     {when: job.Succeed{At: noon}, refused: errorcatalog.JobNotFound},
		"a job fails":                               {given: events{started, begun}, when: job.Fail{Failure: &unreachable, At: noon}, then: events{jobFailed}},
		"a job fails once":                          {given: events{started, jobFailed}, when: job.Fail{Failure: &unreachable, At: noon}},
		"a job that succeeded cannot fail":          {given: events{started, succeeded}, when: job.Fail{Failure: &unreachable}, refused: errorcatalog.JobEnded},
		"a cancel is asked for":                     {given: events{started}, when: job.RequestCancel{By: "apikey:1", At: noon}, then: events{asked}},
		"asking for a cancel again changes nothing": {given: events{started, asked}, when: job.RequestCancel{By: "apikey:2", At: noon}},
		"a cancel of an ended job is refused":       {given: events{started, canceled}, when: job.RequestCancel{At: noon}, refused: errorcatalog.JobEnded},
		"a job is canceled":                         {given: events{started, asked}, when: job.Cancel{At: noon}, then: events{canceled}},
		"a job is canceled once":                    {given: events{started, canceled}, when: job.Cancel{At: noon}},
		"a job that failed is not canceled":         {given: events{started, jobFailed}, when: job.Cancel{At: noon}, refused: errorcatalog.JobEnded},
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
	s = d.Fold(job.State{}, started, begun, canceled)
	if task, _ := s.Task("copy_disks"); task.Status != job.Canceled || !task.EndedAt.Equal(noon) {
		t.Errorf("a task that ran is %+v in a canceled job", task)
	}
}

type scenario struct {
	given   []job.Event
	when    job.Command
	then    []job.Event // none and not refused: nothing changes
	refused errorcatalog.Code
	field   string
}

func run(t *testing.T, rows map[string]scenario) {
	t.Helper()
	for name, tt := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := job.Decider
			got, err := d.Decide(d.Fold(job.State{}, tt.given...), tt.when)
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
