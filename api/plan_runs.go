package api

import (
	"context"

	"farshore/api/oapi"
	"farshore/domain"
	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/recoveryplan"
)

// planRun is a request to run a plan.
type planRun struct {
	vault, plan  string
	operation    recoveryplan.Operation
	options      recoveryplan.Options
	restartOf    string
	validateOnly *bool
	ifMatch, key *string
}

// startPlan begins a run and answers its job, or what would fail if it is only to
// be checked.
func (s *Server) startPlan(ctx context.Context, r planRun) (oapi.JobAcceptedJSONResponse, *oapi.PlanCheckedJSONResponse, error) {
	var none oapi.JobAcceptedJSONResponse
	key, id := r.vault+"."+r.plan, s.newID()
	cmd := recoveryplan.StartRun{JobID: id, Operation: r.operation, Options: r.options, RestartOf: r.restartOf, By: callOf(ctx).actor(), At: s.now()}
	if value(r.validateOnly) {
		checked, err := s.checkPlan(ctx, r, cmd)
		return none, &checked, err
	}
	d, _, err := execute(ctx, s, s.plans, key, recoveryplan.Command(cmd), request{vault: r.vault, job: id, ifMatch: r.ifMatch, key: r.key})
	if err != nil {
		return none, nil, err
	}
	if d.replayed {
		id = d.job
	}
	body, err := s.accepted(ctx, workflow{vault: r.vault, plan: r.plan, kind: string(job.PlanKind(string(r.operation))), job: id}, d)
	return body, nil, err
}

// checkPlan says for each item and action of a plan what would fail, and records
// nothing.
func (s *Server) checkPlan(ctx context.Context, r planRun, cmd recoveryplan.StartRun) (oapi.PlanCheckedJSONResponse, error) {
	var none oapi.PlanCheckedJSONResponse
	state, version, err := s.plans.Load(ctx, r.vault+"."+r.plan)
	if err != nil {
		return none, err
	}
	if err := holdsAt(version, r.ifMatch); err != nil {
		return none, err
	}
	if _, err := recoveryplan.Decider.Decide(state, cmd); err != nil {
		return none, err
	}
	findings, err := s.planFindings(ctx, r.vault, state.Definition, r.operation, r.options)
	return oapi.PlanCheckedJSONResponse{Operation: oapi.PlanOperation(r.operation), Ready: len(findings) == 0, Findings: findingsOf(findings)}, err
}

func pointOf(p *oapi.PlanPoint) string {
	return string(choiceOf((*oapi.RecoveryPointChoice)(p)))
}

// TestFailoverPlan answers POST …/recoveryPlans/{plan}/testFailover.
func (s *Server) TestFailoverPlan(ctx context.Context, r oapi.TestFailoverPlanRequestObject) (oapi.TestFailoverPlanResponseObject, error) {
	in := value(r.Body)
	body, checked, err := s.startPlan(ctx, planRun{
		vault: r.Vault, plan: r.Plan, operation: recoveryplan.TestFailover, validateOnly: r.Params.ValidateOnly, ifMatch: r.Params.IfMatch, key: r.Params.IdempotencyKey,
		options: recoveryplan.Options{RecoveryPoint: pointOf(in.RecoveryPoint), Network: value(in.Network)},
	})
	if checked != nil {
		return oapi.TestFailoverPlan200JSONResponse{PlanCheckedJSONResponse: *checked}, err
	}
	return oapi.TestFailoverPlan202JSONResponse{JobAcceptedJSONResponse: body}, err
}

// CleanUpTestFailoverPlan answers POST …/recoveryPlans/{plan}/testFailoverCleanup.
func (s *Server) CleanUpTestFailoverPlan(ctx context.Context, r oapi.CleanUpTestFailoverPlanRequestObject) (oapi.CleanUpTestFailoverPlanResponseObject, error) {
	body, checked, err := s.startPlan(ctx, planRun{
		vault: r.Vault, plan: r.Plan, operation: recoveryplan.TestFailoverCleanup, validateOnly: r.Params.ValidateOnly, ifMatch: r.Params.IfMatch, key: r.Params.IdempotencyKey,
		options: recoveryplan.Options{Notes: value(value(r.Body).Notes)},
	})
	if checked != nil {
		return oapi.CleanUpTestFailoverPlan200JSONResponse{PlanCheckedJSONResponse: *checked}, err
	}
	return oapi.CleanUpTestFailoverPlan202JSONResponse{JobAcceptedJSONResponse: body}, err
}

// PlannedFailoverPlan answers POST …/recoveryPlans/{plan}/plannedFailover.
func (s *Server) PlannedFailoverPlan(ctx context.Context, r oapi.PlannedFailoverPlanRequestObject) (oapi.PlannedFailoverPlanResponseObject, error) {
	body, checked, err := s.startPlan(ctx, planRun{
		vault: r.Vault, plan: r.Plan, operation: recoveryplan.PlannedFailover, validateOnly: r.Params.ValidateOnly, ifMatch: r.Params.IfMatch, key: r.Params.IdempotencyKey,
		options: recoveryplan.Options{Resume: value(r.Params.Resume), AllowUnmappedNetworks: value(r.Params.AllowUnmappedNetworks)},
	})
	if checked != nil {
		return oapi.PlannedFailoverPlan200JSONResponse{PlanCheckedJSONResponse: *checked}, err
	}
	return oapi.PlannedFailoverPlan202JSONResponse{JobAcceptedJSONResponse: body}, err
}

// UnplannedFailoverPlan answers POST …/recoveryPlans/{plan}/unplannedFailover.
func (s *Server) UnplannedFailoverPlan(ctx context.Context, r oapi.UnplannedFailoverPlanRequestObject) (oapi.UnplannedFailoverPlanResponseObject, error) {
	in := value(r.Body)
	body, checked, err := s.startPlan(ctx, planRun{
		vault: r.Vault, plan: r.Plan, operation: recoveryplan.UnplannedFailover, validateOnly: r.Params.ValidateOnly, ifMatch: r.Params.IfMatch, key: r.Params.IdempotencyKey,
		options: recoveryplan.Options{RecoveryPoint: pointOf(in.RecoveryPoint), ShutDownSource: value(in.ShutDownSource)},
	})
	if checked != nil {
		return oapi.UnplannedFailoverPlan200JSONResponse{PlanCheckedJSONResponse: *checked}, err
	}
	return oapi.UnplannedFailoverPlan202JSONResponse{JobAcceptedJSONResponse: body}, err
}

// FailbackPlan answers POST …/recoveryPlans/{plan}/failback.
func (s *Server) FailbackPlan(ctx context.Context, r oapi.FailbackPlanRequestObject) (oapi.FailbackPlanResponseObject, error) {
	body, checked, err := s.startPlan(ctx, planRun{
		vault: r.Vault, plan: r.Plan, operation: recoveryplan.Failback, validateOnly: r.Params.ValidateOnly, ifMatch: r.Params.IfMatch, key: r.Params.IdempotencyKey,
	})
	if checked != nil {
		return oapi.FailbackPlan200JSONResponse{PlanCheckedJSONResponse: *checked}, err
	}
	return oapi.FailbackPlan202JSONResponse{JobAcceptedJSONResponse: body}, err
}

// CommitFailoverPlan answers POST …/recoveryPlans/{plan}/failoverCommit.
func (s *Server) CommitFailoverPlan(ctx context.Context, r oapi.CommitFailoverPlanRequestObject) (oapi.CommitFailoverPlanResponseObject, error) {
	body, checked, err := s.startPlan(ctx, planRun{
		vault: r.Vault, plan: r.Plan, operation: recoveryplan.FailoverCommit, validateOnly: r.Params.ValidateOnly, ifMatch: r.Params.IfMatch, key: r.Params.IdempotencyKey,
	})
	if checked != nil {
		return oapi.CommitFailoverPlan200JSONResponse{PlanCheckedJSONResponse: *checked}, err
	}
	return oapi.CommitFailoverPlan202JSONResponse{JobAcceptedJSONResponse: body}, err
}

// restartPlan goes on with a failed run of a plan under a new job.
func (s *Server) restartPlan(ctx context.Context, r oapi.RestartJobRequestObject, row jobRow) (oapi.JobAcceptedJSONResponse, error) {
	if row.State.Status != job.Failed {
		return oapi.JobAcceptedJSONResponse{}, domain.Reject(domain.Conflict, errorcatalog.JobNotFailed, "the job is %s", row.Status)
	}
	_, plan, _ := cutKey(row.State.Subject)
	state, _, err := s.plans.Load(ctx, row.State.Subject)
	if err != nil {
		return oapi.JobAcceptedJSONResponse{}, err
	}
	run := planRun{vault: r.Vault, plan: plan, restartOf: r.Job, key: r.Params.IdempotencyKey, operation: recoveryplan.Operation(row.State.Kind[len(job.PlanKind("")):])}
	if state.LastRun != nil && state.LastRun.JobID == r.Job {
		run.options = state.LastRun.Options
	}
	body, _, err := s.startPlan(ctx, run)
	if err != nil {
		return body, err
	}
	return body, s.recordRestart(ctx, r.Vault, r.Job, body.Body.ID)
}

// childrenOf are the jobs that are parts of another one.
func (s *Server) childrenOf(ctx context.Context, row jobRow) (*[]oapi.JobChild, error) {
	if !row.State.Kind.OfPlan() {
		return nil, nil
	}
	rows, err := s.queries.JobsOf(ctx, row.Vault, row.ID)
	if err != nil {
		return nil, err
	}
	transfers, err := s.queries.Progress(ctx, each(rows, func(row jobRow) string { return row.ID })...)
	if err != nil {
		return nil, err
	}
	return new(each(rows, func(c jobRow) oapi.JobChild {
		_, item, _ := cutKey(c.State.Subject)
		return oapi.JobChild{
			ID: c.ID, Kind: oapi.JobKind(c.State.Kind), Status: oapi.JobStatus(c.Status), Item: item, Error: undated(c.State.Failure), Progress: progressOf(transfers[c.ID]),
		}
	})), nil
}
