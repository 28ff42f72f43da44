package client

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"farshore/api/oapi"
)

func (s *session) jobCommand() *cobra.Command {
	show := &cobra.Command{Use: "show JOB", Short: "Show a job and its tasks", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		a, err := Call[oapi.Job](s.api.GetJob(cmd.Context(), s.vault, args[0], &oapi.GetJobParams{}))
		if err != nil {
			return err
		}
		return s.showJob(a.Body)
	}}
	var timeout time.Duration
	watch := &cobra.Command{Use: "watch JOB", Short: "Follow a job to its end", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		ctx, stop := withTimeout(cmd.Context(), timeout)
		defer stop()
		return s.watchJob(ctx, args[0], nil)
	}}
	watch.Flags().DurationVar(&timeout, "timeout", 0, "give up after this long; the job goes on")
	cancel := &cobra.Command{Use: "cancel JOB", Short: "Ask a job to stop", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		a, err := Call[oapi.Job](s.api.CancelJob(cmd.Context(), s.vault, args[0], &oapi.CancelJobParams{IdempotencyKey: newIdempotencyKey()}))
		if err != nil {
			return err
		}
		return s.showJob(a.Body)
	}}
	return group("job", "Jobs: long work and its tasks", s.jobList(), show, watch, cancel, s.jobRestart(), s.jobResume())
}

func (s *session) jobList() *cobra.Command {
	var state, kind, item, since, until string
	list := &cobra.Command{Use: "list", Short: "List the jobs, newest first", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		params := &oapi.ListJobsParams{Item: ref(item), State: ref(oapi.JobStatusFilter(state)), Kind: ref(oapi.JobKindFilter(kind))}
		var err error
		if params.Since, err = instant("since", since, time.Now()); err != nil {
			return err
		}
		if params.Until, err = instant("until", until, time.Now()); err != nil {
			return err
		}
		jobs, err := collect[oapi.Job](func(c *string) (*http.Response, error) {
			params.Cursor = c
			return s.api.ListJobs(cmd.Context(), s.vault, params)
		})
		if err != nil {
			return err
		}
		var rows []row
		for _, j := range jobs {
			rows = append(rows, row{j.ID, j.Kind, or(j.Item, deref(j.RecoveryPlan)), j.Status, ago(j.CreatedAt), deref(j.Error).Code})
		}
		return s.show(jobs, row{"job", "kind", "item or plan", "status", "created", "error"}, rows)
	}}
	f := list.Flags()
	f.StringVar(&state, "state", "", "only those with this status: NotStarted, Running, WaitingForInput, Succeeded, Failed or Canceled")
	f.StringVar(&kind, "kind", "", "only those of this kind: PlannedFailover")
	f.StringVar(&item, "item", "", "only those of this item")
	f.StringVar(&since, "since", "", "only those created then or later: 24h ago as 24h, or 2026-11-25T08:00:00Z")
	f.StringVar(&until, "until", "", "only those created before: 1h, or 2026-11-25T18:00:00Z")
	return list
}

// instant reads a point in time: an instant, or how long before now.
func instant(flag, text string, now time.Time) (*time.Time, error) {
	if text == "" {
		return nil, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return new(now.Add(-d).UTC()), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return nil, &usageError{fmt.Sprintf("--%s %q: use a duration like 24h, or an instant like 2026-11-25T08:00:00Z", flag, text)}
	}
	return &t, nil
}

func (s *session) jobRestart() *cobra.Command {
	var w waiting
	cmd := &cobra.Command{Use: "restart JOB", Short: "Try the failed step of a job again, or begin a failed job anew", Args: cobra.ExactArgs(1)}
	cmd.Long = cmd.Short + `.

A job that waits after a failed step tries it at once. A job that has failed was
taken back: a new job with the same choices begins, and names it.`
	w.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		resp, err := s.api.RestartJob(cmd.Context(), s.vault, args[0], &oapi.RestartJobParams{IdempotencyKey: newIdempotencyKey()})
		return s.started(cmd.Context(), w, resp, err)
	}
	return cmd
}

func (s *session) jobResume() *cobra.Command {
	var (
		w              waiting
		task, comments string
	)
	cmd := &cobra.Command{Use: "resume JOB", Short: "Let a job go on that waits for input", Args: cobra.ExactArgs(1)}
	cmd.Long = cmd.Short + `.

The answer is for one task. Name it with --task, as "job show" does: then the same
answer given twice, or by two people, counts once. Without, it is for the task at which
the job waits when this command reads it.`
	cmd.Flags().StringVar(&task, "task", "", "the task that is answered; default the one that waits now")
	cmd.Flags().StringVar(&comments, "comments", "", "what was seen or done meanwhile; kept with the job")
	w.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if task == "" {
			a, err := Call[oapi.Job](s.api.GetJob(cmd.Context(), s.vault, args[0], &oapi.GetJobParams{}))
			if err != nil {
				return err
			}
			task = deref(a.Body.Input).Task
		}
		resp, err := s.api.ResumeJob(cmd.Context(), s.vault, args[0], &oapi.ResumeJobParams{IdempotencyKey: newIdempotencyKey()},
			oapi.ResumeJobInput{Task: ref(task), Comments: ref(comments)})
		return s.started(cmd.Context(), w, resp, err)
	}
	return cmd
}

func withTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d > 0 {
		return context.WithTimeout(ctx, d)
	}
	return ctx, func() {}
}

// about says what a job is about.
func about(j oapi.Job) string {
	if j.RecoveryPlan != nil {
		return "plan"
	}
	return "item"
}

func (s *session) showJob(j oapi.Job) error {
	rows := []row{{"job", j.ID}, {"kind", j.Kind}, {about(j), or(j.Item, deref(j.RecoveryPlan))}, {"status", j.Status}}
	if in := j.Input; in != nil {
		rows = append(rows, row{"waits for", deref(in.Instructions), "then: farshore job resume " + j.ID + " --task " + in.Task + " --comments …"})
	}
	if p := j.Progress; p != nil {
		rows = append(rows, row{"transferred", fmt.Sprintf("%s of %s", size(p.BytesDone), size(p.BytesTotal))})
	}
	for _, t := range j.Tasks {
		took := ""
		if t.StartedAt != nil && t.EndedAt != nil {
			took = t.EndedAt.Sub(*t.StartedAt).Round(time.Millisecond).String()
		}
		rows = append(rows, row{"  " + t.Title, t.Status + failureOf(t), took})
		for _, w := range deref(t.Warnings) {
			rows = append(rows, row{"    " + w.Code, w.Detail})
		}
		for note := range strings.Lines(deref(t.Notes)) {
			rows = append(rows, row{"", strings.TrimSpace(note)})
		}
		if t.Output != nil {
			rows = append(rows, row{"", "printed: " + strings.TrimSpace(*t.Output)})
		}
	}
	for _, c := range deref(j.Children) {
		rows = append(rows, row{"  job of " + c.Item, strings.TrimSpace(string(c.Status) + " " + failureIn(c.Error)), c.ID})
	}
	for _, c := range deref(j.Comments) {
		rows = append(rows, row{"resumed", ago(&c.At) + " by " + deref(c.By), deref(c.Text)})
	}
	if j.RestartOf != nil {
		rows = append(rows, row{"begins anew", *j.RestartOf})
	}
	if j.RestartedAs != nil {
		rows = append(rows, row{"begun anew as", *j.RestartedAs})
	}
	if e := j.Error; e != nil {
		rows = append(rows, row{"error", fmt.Sprintf("%s [%s]", e.Detail, e.Code)}, row{"remedy", deref(e.Remedy)})
	}
	return s.show(j, nil, rows)
}
