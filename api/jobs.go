package api

import (
	"context"
	"errors"

	"farshore/api/oapi"
	"farshore/domain"
	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/projections"
)

// jobRow is a job as its read model has it.
type jobRow = projections.Row[job.State]

// ListJobs answers GET …/jobs.
func (s *Server) ListJobs(ctx context.Context, r oapi.ListJobsRequestObject) (oapi.ListJobsResponseObject, error) {
	p, err := pagerOf(ctx, r.Params.PageSize, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	filter := projections.JobFilter{
		Status: string(value(r.Params.State)), Kind: string(value(r.Params.Kind)), Item: value(r.Params.Item), Plan: value(r.Params.RecoveryPlan), Parent: value(r.Params.Parent),
		Since: value(r.Params.Since), Until: value(r.Params.Until),
	}
	rows, err := s.queries.Jobs(ctx, r.Vault, filter, p.page)
	if err != nil {
		return nil, err
	}
	var body oapi.JobPageJSONResponse
	rows, body.NextLink = nextLink(p, rows, func(row jobRow) string { return row.ID })
	transfers, err := s.queries.Progress(ctx, each(rows, func(row jobRow) string { return row.ID })...)
	if err != nil {
		return nil, err
	}
	body.Value = each(rows, func(row jobRow) oapi.Job { return jobAsOf(row, transfers[row.ID]) })
	return oapi.ListJobs200JSONResponse{JobPageJSONResponse: body}, nil
}

// GetJob answers GET …/jobs/{job}; the answer asks to come back while the job
// goes on.
func (s *Server) GetJob(ctx context.Context, r oapi.GetJobRequestObject) (oapi.GetJobResponseObject, error) {
	row, err := s.queries.Job(ctx, r.Vault, r.Job)
	if row, err = found(row, err, errorcatalog.JobNotFound, "job "+r.Job); err != nil {
		return nil, err
	}
	body, err := s.jobOf(ctx, row)
	if err != nil {
		return nil, err
	}
	headers := oapi.JobReadResponseHeaders{ETag: &body.Etag}
	if row.State.EndedAt.IsZero() {
		headers.RetryAfter = new(pollSeconds)
	}
	return oapi.GetJob200JSONResponse{JobReadJSONResponse: oapi.JobReadJSONResponse{Body: body, Headers: headers}}, nil
}

// CancelJob answers POST …/jobs/{job}/cancel.
func (s *Server) CancelJob(ctx context.Context, r oapi.CancelJobRequestObject) (oapi.CancelJobResponseObject, error) {
	row, err := s.queries.Job(ctx, r.Vault, r.Job)
	if row, err = found(row, err, errorcatalog.JobNotFound, "job "+r.Job); err != nil {
		return nil, err
	}
	d, state, err := execute(ctx, s, s.jobs, r.Job, job.Command(job.RequestCancel{By: callOf(ctx).actor(), At: s.now()}),
		request{vault: r.Vault, job: r.Job, key: r.Params.IdempotencyKey})
	if refused, ok := errors.AsType[*domain.RejectionError](err); ok && refused.Kind == domain.NotFound {
		// The read model knows it from its item; no worker has taken it up.
		return nil, domain.Reject(domain.Conflict, errorcatalog.OperationInProgress, "the job has not been started yet; ask again in a moment")
	}
	if err != nil {
		return nil, err
	}
	row.State, row.Version, row.Status = state, d.version, string(state.Status)
	body, err := s.jobOf(ctx, row)
	if err != nil {
		return nil, err
	}
	return oapi.CancelJob202JSONResponse{JobAcceptedJSONResponse: oapi.JobAcceptedJSONResponse{
		Body: body, Headers: oapi.JobAcceptedResponseHeaders{
			OperationLocation: new(callOf(ctx).base + "/v1/vaults/" + r.Vault + "/jobs/" + r.Job + d.minPosition()),
			RetryAfter:        new(pollSeconds), XEventPosition: d.at(),
		},
	}}, nil
}

func (s *Server) jobOf(ctx context.Context, row jobRow) (oapi.Job, error) {
	transfers, err := s.queries.Progress(ctx, row.ID)
	if err != nil {
		return oapi.Job{}, err
	}
	body := jobAsOf(row, transfers[row.ID])
	body.Children, err = s.childrenOf(ctx, row)
	return body, err
}

func jobAsOf(row jobRow, transfers []projections.Progress) oapi.Job {
	st := row.State
	_, item, _ := cutKey(st.Subject)
	plan := ""
	if st.Kind.OfPlan() {
		item, plan = "", item
	}
	return oapi.Job{
		RecoveryPlan: optional(plan), Parent: optional(st.Parent), Input: inputOf(st.Input),
		ID: row.ID, Kind: oapi.JobKind(st.Kind), Status: oapi.JobStatus(row.Status), Item: item, CreatedAt: at(row.CreatedAt),
		StartedAt: at(st.StartedAt), EndedAt: at(st.EndedAt), CancelRequested: st.CancelRequested,
		Error: undated(st.Failure), Tasks: each(st.Tasks, taskOf), Etag: etagOf(row.Version),
		Progress: progressOf(transfers), RestartOf: optional(st.RestartOf), RestartedAs: optional(st.RestartedAs), Comments: commentsOf(st.Comments),
	}
}

func inputOf(in *job.Input) *oapi.JobInput {
	if in == nil {
		return nil
	}
	return &oapi.JobInput{Task: in.Task, Instructions: optional(in.Instructions), Since: in.Since.UTC()}
}

func commentsOf(comments []job.Comment) *[]oapi.JobComment {
	if len(comments) == 0 {
		return nil
	}
	return new(each(comments, func(c job.Comment) oapi.JobComment {
		return oapi.JobComment{By: optional(c.By), Text: optional(c.Text), At: c.At.UTC()}
	}))
}

func taskOf(t job.Task) oapi.Task {
	out := oapi.Task{
		Name: t.Name, Title: t.Title, Status: string(t.Status), Attempt: small(t.Attempts), StartedAt: at(t.StartedAt),
		EndedAt: at(t.EndedAt), Error: undated(t.Failure), NextAttemptAt: at(t.NextAttemptAt),
		Notes: optional(t.Output["notes"]), Output: optional(t.Output["output"]),
	}
	if warnings := t.Warnings(); len(warnings) > 0 {
		out.Warnings = new(each(warnings, func(f errorcatalog.Failure) oapi.Finding { return *undated(&f) }))
	}
	return out
}
