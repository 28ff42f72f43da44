package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"farshore/api/oapi"
)

// poll is how often a job is looked at.
const poll = 300 * time.Millisecond

// waiting holds the flags of commands that start a job.
type waiting struct {
	wait    bool
	only    bool // to be checked and not begun
	timeout time.Duration
}

func (w *waiting) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&w.wait, "wait", false, "wait until the job ends; exit 1 when it does not succeed")
	cmd.Flags().DurationVar(&w.timeout, "timeout", 0, "with --wait: give up waiting after this long; the job goes on")
}

// validateFlag adds the flag of commands that can be checked without a trace.
func (w *waiting) validateFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&w.only, "validate-only", false, "check everything and do nothing")
}

// started reports a job that was accepted, or waits for it, or reports that the
// request was found good when it was only to be checked.
func (s *session) started(ctx context.Context, w waiting, resp *http.Response, err error) error {
	if w.only {
		return s.validated(resp, err)
	}
	a, err := Call[oapi.Job](resp, err)
	if err != nil {
		return err
	}
	if !w.wait {
		if s.output == "json" {
			return s.showJob(a.Body)
		}
		_, err := fmt.Fprintf(s.out, "%s %s\n  follow it: farshore job watch %s\n", a.Body.Kind, a.Body.ID, a.Body.ID)
		return err //nolint:wrapcheck // standard output
	}
	if w.timeout > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, w.timeout)
		defer stop()
	}
	return s.watchJob(ctx, a.Body.ID, a.Position)
}

// watchJob shows a job's progress until it ends, or waits for an operator.
func (s *session) watchJob(ctx context.Context, id string, position *int64) error {
	job, err := WaitForJob(ctx, s.api, s.vault, id, position, s.display())
	if err != nil {
		return err
	}
	if err := s.showJob(job); err != nil {
		return err
	}
	if job.Status != oapi.JobStatusSucceeded && job.Status != oapi.JobStatusWaitingForInput {
		return &JobError{Job: job}
	}
	return nil
}

// WaitForJob looks at a job until it has ended, or waits for an operator, and
// returns it. Each look is
// passed to seen.
func WaitForJob(ctx context.Context, api *oapi.Client, vault, id string, position *int64, seen func(oapi.Job)) (oapi.Job, error) {
	params := &oapi.GetJobParams{MinPosition: position}
	for {
		a, err := Call[oapi.Job](api.GetJob(ctx, vault, id, params))
		if err != nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return a.Body, err
		}
		params = &oapi.GetJobParams{}
		seen(a.Body)
		switch a.Body.Status {
		case oapi.JobStatusSucceeded, oapi.JobStatusFailed, oapi.JobStatusCanceled, oapi.JobStatusWaitingForInput:
			return a.Body, nil
		default:
		}
		if err := Pause(ctx, poll); err != nil {
			return a.Body, err
		}
	}
}

// Pause waits for d, or until ctx is done.
func Pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("wait: %w", context.Cause(ctx))
	case <-t.C:
		return nil
	}
}

// display returns what shows a job's progress: a bar on a terminal, else a line
// for each task.
func (s *session) display() func(oapi.Job) {
	if s.quiet {
		return func(oapi.Job) {}
	}
	return NewDisplay(s.errOut)
}

// NewDisplay returns a function that shows each look at a job on w.
func NewDisplay(w io.Writer) func(oapi.Job) {
	f, ok := w.(*os.File)
	if ok {
		info, err := f.Stat()
		ok = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	if !ok {
		return taskLines(w)
	}
	return bar(w)
}

func taskLines(w io.Writer) func(oapi.Job) {
	seen := map[string]string{}
	return func(j oapi.Job) {
		for _, t := range j.Tasks {
			if seen[t.Name] == t.Status || t.Status == "NotStarted" {
				continue
			}
			seen[t.Name] = t.Status
			_, _ = fmt.Fprintf(w, "  %-12s %s%s\n", strings.ToLower(t.Status), t.Title, failureOf(t))
		}
	}
}

func failureOf(t oapi.Task) string {
	if t.Error == nil {
		return ""
	}
	text := fmt.Sprintf(": %s [%s]", t.Error.Detail, t.Error.Code)
	if t.NextAttemptAt != nil {
		text += ", tried again at " + ago(t.NextAttemptAt)
	}
	return text
}

// bar draws bytes, rate and time left of the job's transfer on a terminal.
func bar(w io.Writer) func(oapi.Job) {
	lines := taskLines(w)
	var (
		progress *mpb.Progress
		transfer *mpb.Bar
		latest   oapi.Progress
	)
	return func(j oapi.Job) {
		if j.Progress != nil && j.Progress.BytesTotal > 0 {
			latest = *j.Progress
			if progress == nil {
				progress = mpb.New(mpb.WithOutput(w), mpb.WithWidth(40))
				transfer = progress.AddBar(latest.BytesTotal,
					mpb.PrependDecorators(decor.CountersKibiByte("  % .1f / % .1f")),
					mpb.AppendDecorators(decor.Percentage(), decor.Any(func(decor.Statistics) string {
						return fmt.Sprintf("  %s/s  %s left", size(latest.BytesPerSecond), seconds(latest.EtaSeconds))
					})))
			}
			transfer.SetTotal(latest.BytesTotal, false)
			transfer.SetCurrent(latest.BytesDone)
		}
		if j.EndedAt != nil && progress != nil {
			transfer.SetTotal(-1, true)
			progress.Wait()
			progress = nil
		}
		if progress == nil {
			lines(j)
		}
	}
}
