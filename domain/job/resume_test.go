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
	run(t, map[string]scenario{
		"what waits is let go on":              {Given: events{started, begun}, When: resume, Then: events{resumed}},
		"a job that waits for nobody is not":   {Given: events{started, begun}, When: job.Resume{At: noon}, Refused: errorcatalog.JobNotWaiting},
		"an ended job is not let go on":        {Given: events{started, succeeded}, When: resume, Refused: errorcatalog.JobEnded},
		"no job is not let go on":              {When: resume, Refused: errorcatalog.JobNotFound},
		"comments have an end":                 {Given: events{started}, When: job.Resume{Comments: strings.Repeat("a", 4097), Awaited: true}, Refused: errorcatalog.ValidationFailed, Field: "/comments"},
		"a failed job is begun anew":           {Given: events{started, jobFailed}, When: restart, Then: events{restarted}},
		"it is begun anew once":                {Given: events{started, jobFailed, restarted}, When: restart},
		"it is not begun anew by a second job": {Given: events{started, jobFailed, restarted}, When: job.Restart{Job: "job-3"}, Refused: errorcatalog.JobNotRestartable},
		"a job that runs is not begun anew":    {Given: events{started}, When: restart, Refused: errorcatalog.JobNotFailed},
		"a job that succeeded is not":          {Given: events{started, succeeded}, When: restart, Refused: errorcatalog.JobNotFailed},
		"no job is not begun anew":             {When: restart, Refused: errorcatalog.JobNotFound},
		"another job has an id":                {Given: events{started, jobFailed}, When: job.Restart{}, Refused: errorcatalog.ValidationFailed, Field: "/job"},
	})
}

func TestAJobKeepsWhatWasSaid(t *testing.T) {
	t.Parallel()
	s := job.Decider.Fold(job.State{}, started, begun, resumed)
	if len(s.Comments) != 1 || s.Comments[0].Text != resumed.Comments || s.Status != job.Running {
		t.Errorf("comments %+v, %s", s.Comments, s.Status)
	}
}
