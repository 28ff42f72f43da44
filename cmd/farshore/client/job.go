package client

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"farshore/api/oapi"
)

func (s *session) jobCommand() *cobra.Command {
	var state, item string
	list := &cobra.Command{Use: "list", Short: "List the jobs, newest first", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		params := &oapi.ListJobsParams{Item: ref(item), State: ref(oapi.JobStatusFilter(state))}
		jobs, err := collect[oapi.Job](func(c *string) (*http.Response, error) {
			params.Cursor = c
			return s.api.ListJobs(cmd.Context(), s.vault, params)
		})
		if err != nil {
			return err
		}
		var rows []row
		for _, j := range jobs {
			rows = append(rows, row{j.ID, j.Kind, j.Item, j.Status, ago(j.CreatedAt), deref(j.Error).Code})
		}
		return s.show(jobs, row{"job", "kind", "item", "status", "created", "error"}, rows)
	}}
	list.Flags().StringVar(&state, "state", "", "only those with this status: Running")
	list.Flags().StringVar(&item, "item", "", "only those of this item")
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
	return group("job", "Jobs: long work and its tasks", list, show, watch, cancel)
}

func withTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d > 0 {
		return context.WithTimeout(ctx, d)
	}
	return ctx, func() {}
}

func (s *session) showJob(j oapi.Job) error {
	rows := []row{{"job", j.ID}, {"kind", j.Kind}, {"item", j.Item}, {"status", j.Status}}
	if p := j.Progress; p != nil {
		rows = append(rows, row{"transferred", fmt.Sprintf("%s of %s", size(p.BytesDone), size(p.BytesTotal))})
	}
	for _, t := range j.Tasks {
		took := ""
		if t.StartedAt != nil && t.EndedAt != nil {
			took = t.EndedAt.Sub(*t.StartedAt).Round(time.Millisecond).String()
		}
		rows = append(rows, row{"  " + t.Title, t.Status + failureOf(t), took})
	}
	if e := j.Error; e != nil {
		rows = append(rows, row{"error", fmt.Sprintf("%s [%s]", e.Detail, e.Code)}, row{"remedy", deref(e.Remedy)})
	}
	return s.show(j, nil, rows)
}
