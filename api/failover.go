package api

import (
	"context"

	"farshore/api/oapi"
	"farshore/domain/protecteditem"
)

// PlannedFailover answers POST …/plannedFailover.
func (s *Server) PlannedFailover(ctx context.Context, r oapi.PlannedFailoverRequestObject) (oapi.PlannedFailoverResponseObject, error) {
	plan, err := s.itemPlan(ctx, r.Vault, r.Item)
	if err != nil {
		return nil, err
	}
	w := s.newWorkflow(r.Vault, r.Item, protecteditem.PlannedFailoverJob, r.Params.IfMatch, r.Params.IdempotencyKey)
	cmd := protecteditem.StartPlannedFailover{
		JobID: w.job, Resume: value(r.Params.Resume), AllowUnmappedNetworks: value(r.Params.AllowUnmappedNetworks), Networks: &plan, At: s.now(),
	}
	if value(r.Params.ValidateOnly) {
		body := validated(networkWarnings(plan.Findings))
		return oapi.PlannedFailover200JSONResponse{ValidatedJSONResponse: body}, s.tryItem(ctx, r.Vault, r.Item, cmd, r.Params.IfMatch)
	}
	body, err := s.beginJob(ctx, cmd, w)
	return oapi.PlannedFailover202JSONResponse{JobAcceptedJSONResponse: body}, err
}

// UnplannedFailover answers POST …/unplannedFailover.
func (s *Server) UnplannedFailover(ctx context.Context, r oapi.UnplannedFailoverRequestObject) (oapi.UnplannedFailoverResponseObject, error) {
	w := s.newWorkflow(r.Vault, r.Item, protecteditem.UnplannedFailoverJob, r.Params.IfMatch, r.Params.IdempotencyKey)
	in := value(r.Body)
	cmd := protecteditem.StartUnplannedFailover{JobID: w.job, Choice: choiceOf(in.RecoveryPoint), ShutDownSource: value(in.ShutDownSource), At: s.now()}
	if value(r.Params.ValidateOnly) {
		if err := s.tryItem(ctx, r.Vault, r.Item, cmd, r.Params.IfMatch); err != nil {
			return nil, err
		}
		plan, err := s.itemPlan(ctx, r.Vault, r.Item)
		if err != nil {
			return nil, err
		}
		without, err := s.withoutDisks(ctx, r.Vault, r.Item, cmd.Choice)
		return oapi.UnplannedFailover200JSONResponse{ValidatedJSONResponse: validated(append(networkWarnings(plan.Findings), without...))}, err
	}
	body, err := s.beginJob(ctx, cmd, w)
	return oapi.UnplannedFailover202JSONResponse{JobAcceptedJSONResponse: body}, err
}

// choiceOf is the recovery point that a request names; the latest when it names
// none.
func choiceOf(c *oapi.RecoveryPointChoice) protecteditem.PointChoice {
	switch named := value(c); named {
	case "", "Latest":
		return protecteditem.Latest
	case "LatestProcessed":
		return protecteditem.LatestProcessed
	case "LatestAppConsistent":
		return protecteditem.LatestAppConsistent
	default:
		return protecteditem.PointChoice(named)
	}
}

// ApplyRecoveryPoint answers POST …/applyRecoveryPoint.
func (s *Server) ApplyRecoveryPoint(ctx context.Context, r oapi.ApplyRecoveryPointRequestObject) (oapi.ApplyRecoveryPointResponseObject, error) {
	w := s.newWorkflow(r.Vault, r.Item, protecteditem.RecoveryPointChangeJob, r.Params.IfMatch, r.Params.IdempotencyKey)
	cmd := protecteditem.ChangeRecoveryPoint{JobID: w.job, Choice: protecteditem.PointChoice(r.Body.RecoveryPoint), Confirm: r.Body.Confirm, At: s.now()}
	body, err := s.beginJob(ctx, cmd, w)
	return oapi.ApplyRecoveryPoint202JSONResponse{JobAcceptedJSONResponse: body}, err
}

// CancelFailover answers POST …/failoverCancel.
func (s *Server) CancelFailover(ctx context.Context, r oapi.CancelFailoverRequestObject) (oapi.CancelFailoverResponseObject, error) {
	w := s.newWorkflow(r.Vault, r.Item, protecteditem.FailoverCancelJob, r.Params.IfMatch, r.Params.IdempotencyKey)
	cmd := protecteditem.CancelFailover{JobID: w.job, Force: value(r.Params.Force), At: s.now()}
	body, err := s.beginJob(ctx, cmd, w)
	return oapi.CancelFailover202JSONResponse{JobAcceptedJSONResponse: body}, err
}

// CommitFailover answers POST …/failoverCommit.
func (s *Server) CommitFailover(ctx context.Context, r oapi.CommitFailoverRequestObject) (oapi.CommitFailoverResponseObject, error) {
	w := s.newWorkflow(r.Vault, r.Item, protecteditem.FailoverCommitJob, r.Params.IfMatch, r.Params.IdempotencyKey)
	cmd := protecteditem.CommitFailover{JobID: w.job, At: s.now()}
	body, err := s.beginJob(ctx, cmd, w)
	return oapi.CommitFailover202JSONResponse{JobAcceptedJSONResponse: body}, err
}
