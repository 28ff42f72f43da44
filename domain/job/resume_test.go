package job_test

import (
	"strings"
	"testing"

	"farshore/domain/errorcatalog"
	"farshore/domain/job"
)

func TestAJobIsLetGoOnOrBegunAnew(t *testing.T) {
	t.Parallel()
	type events = []job.Event
	resume := job.Resume{By: resumed.By, Comments: resumed.Comments, Awaited: true, At: noon}
	restart := job.Restart{Job: "job-2", By: "apikey:1", At: noon}
	named := resume
	named.Task, named.Awaited = awaited.Task, false
	other, nameless := named, named
	other.Task, nameless.Task = "validate", ""
	plan := started
	plan.Kind = job.RecoveryPlanTestFailover
	anywhere := resumed
	anywhere.Task = "copy_disks"
	run(t, map[string]scenario{
		"what waits is let go on":                {Given: events{started, begun, awaited}, When: resume, Then: events{resumed}},
		"what waits by its item is let go on":    {Given: events{started, begun}, When: resume, Then: events{job.JobResumed{By: resumed.By, Comments: resumed.Comments, At: noon}}},
		"a job that waits for nobody is not":     {Given: events{started, begun}, When: job.Resume{At: noon}, Refused: errorcatalog.JobNotWaiting},
		"the task that waits is answered":        {Given: events{plan, begun, awaited}, When: named, Then: events{resumed}},
		"a task is answered once":                {Given: events{plan, begun, awaited, resumed}, When: named},
		"a task was answered, and the job ended": {Given: events{plan, begun, awaited, resumed, canceled}, When: named},
		"another task than waits is not":         {Given: events{plan, begun, awaited}, When: other, Refused: errorcatalog.OtherTaskWaits, Field: "/task"},
		"a plan's run is told which task":        {Given: events{plan, begun, awaited}, When: nameless, Refused: errorcatalog.TaskRequired, Field: "/task"},
		"a plan's run that waits for nobody":     {Given: events{plan, begun}, When: nameless, Refused: errorcatalog.JobNotWaiting},
		"what waits by its item may be named":    {Given: events{started, begun}, When: job.Resume{Task: "copy_disks", By: resumed.By, Comments: resumed.Comments, Awaited: true, At: noon}, Then: events{anywhere}},
		"another task than the item waits at":    {Given: events{started, begun}, When: job.Resume{Task: "validate", Awaited: true}, Refused: errorcatalog.OtherTaskWaits, Field: "/task"},
		"an ended job is not let go on":          {Given: events{started, succeeded}, When: resume, Refused: errorcatalog.JobEnded},
		"no job is not let go on":                {When: resume, Refused: errorcatalog.JobNotFound},
		"comments have an end":                   {Given: events{started}, When: job.Resume{Comments: strings.Repeat("a", 4097), Awaited: true}, Refused: errorcatalog.ValidationFailed, Field: "/comments"},
		"a failed job is begun anew":             {Given: events{started, jobFailed}, When: restart, Then: events{restarted}},
		"it is begun anew once":                  {Given: events{started, jobFailed, restarted}, When: restart},
		"it is not begun anew by a second job":   {Given: events{started, jobFailed, restarted}, When: job.Restart{Job: "job-3"}, Refused: errorcatalog.JobNotRestartable},
		"a job that runs is not begun anew":      {Given: events{started}, When: restart, Refused: errorcatalog.JobNotFailed},
		"a job that succeeded is not":            {Given: events{started, succeeded}, When: restart, Refused: errorcatalog.JobNotFailed},
		"no job is not begun anew":               {When: restart, Refused: errorcatalog.JobNotFound},
		"another job has an id":                  {Given: events{started, jobFailed}, When: job.Restart{}, Refused: errorcatalog.ValidationFailed, Field: "/job"},
	})
}

func TestAJobKeepsWhatWasSaid(t *testing.T) {
	t.Parallel()
	s := job.Decider.Fold(job.State{}, started, begun, awaited)
	if s.Status != job.WaitingForInput || s.Input == nil || s.Input.Instructions != "look at it" {
		t.Errorf("%s for %+v", s.Status, s.Input)
	}
	s = job.Decider.Fold(s, resumed)
	if c, ok := s.Answered("copy_disks"); !ok || c.By != "apikey:1" || s.Input != nil {
		t.Errorf("answered %+v, %v, waits for %+v", c, ok, s.Input)
	}
	if len(s.Comments) != 1 || s.Comments[0].Text != resumed.Comments || s.Status != job.Running {
		t.Errorf("comments %+v, %s", s.Comments, s.Status)
	}
}

func TestAJobWaitsForInput(t *testing.T) {
	t.Parallel()
	type events = []job.Event
	await := job.AwaitInput{Task: "copy_disks", Instructions: "look at it", At: noon}
	run(t, map[string]scenario{
		"a job waits at a task":             {Given: events{started, begun}, When: await, Then: events{awaited}},
		"waiting again changes nothing":     {Given: events{started, begun, awaited}, When: await},
		"an ended job does not wait":        {Given: events{started, canceled}, When: await, Refused: errorcatalog.JobEnded},
		"a job waits at a task that it has": {Given: events{started}, When: job.AwaitInput{Task: "dance"}, Refused: errorcatalog.TaskNotFound},
	})
}

func TestAJobIsAnnouncedAsAPartOfAnother(t *testing.T) {
	t.Parallel()
	type events = []job.Event
	announce := job.Announce{Vault: "acme", Kind: job.InitialReplication, Subject: "acme.sql", Parent: "job-0", At: noon}
	start := job.Start{Vault: "acme", Kind: job.InitialReplication, Subject: "acme.sql", Tasks: tasks, At: noon}
	run(t, map[string]scenario{
		"a job is announced":                         {When: announce, Then: events{announced}},
		"announced again changes nothing":            {Given: events{announced, started}, When: announce},
		"announced as another's is refused":          {Given: events{announced}, When: job.Announce{Kind: announce.Kind, Subject: announce.Subject, Parent: "job-9"}, Refused: errorcatalog.AlreadyExistsWithOtherSettings},
		"what is announced has a kind":               {When: job.Announce{Subject: "x", Parent: "y"}, Refused: errorcatalog.ValidationFailed, Field: "/kind"},
		"what is announced has a subject":            {When: job.Announce{Kind: announce.Kind, Parent: "y"}, Refused: errorcatalog.ValidationFailed, Field: "/subject"},
		"what is announced has a parent":             {When: job.Announce{Kind: announce.Kind, Subject: "x"}, Refused: errorcatalog.ValidationFailed, Field: "/parent"},
		"an announced job starts":                    {Given: events{announced}, When: start, Then: events{started}},
		"an announced job starts as what it is":      {Given: events{announced}, When: job.Start{Kind: start.Kind, Subject: "acme.web"}, Refused: errorcatalog.AlreadyExistsWithOtherSettings},
		"an announced job that is not to be may end": {Given: events{announced}, When: job.Fail{Failure: &unreachable, At: noon}, Then: events{jobFailed}},
		"an announced job can be asked to stop":      {Given: events{announced}, When: job.RequestCancel{By: "apikey:1", At: noon}, Then: events{asked}},
	})
	s := job.Decider.Fold(job.State{}, announced, asked, started)
	if s.Parent != "job-0" || !s.CancelRequested || !s.Begun() {
		t.Errorf("a started job has forgotten: %+v", s)
	}
	if !job.RecoveryPlanFailback.OfPlan() || job.Failback.OfPlan() {
		t.Error("kinds of plans are mixed up")
	}
}
