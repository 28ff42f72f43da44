package api

import (
	"context"
	"strings"

	"farshore/api/oapi"
	"farshore/domain"
	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
)

// StartFailback answers POST …/failback. What a target is named with is read from
// the site itself; whatever it can refuse is refused before the 202.
func (s *Server) StartFailback(ctx context.Context, r oapi.StartFailbackRequestObject) (oapi.StartFailbackResponseObject, error) {
	w := s.newWorkflow(r.Vault, r.Item, protecteditem.FailbackJob, r.Params.IfMatch, r.Params.IdempotencyKey)
	only := value(r.Params.ValidateOnly)
	if !only { // a VM that it has made since would be in the way of its repetition
		first, ok, err := s.answered(ctx, callOf(ctx).idempotency(r.Vault, r.Params.IdempotencyKey))
		if err != nil {
			return nil, err
		}
		if ok {
			w.job = first.job
			body, err := s.accepted(ctx, w, first)
			return oapi.StartFailback202JSONResponse{JobAcceptedJSONResponse: body}, err
		}
	}
	cmd := protecteditem.StartFailback{JobID: w.job, Mode: protecteditem.FailbackMode(r.Body.Mode), At: s.now()}
	if to := r.Body.Target; to != nil {
		state, _, err := s.protectedItems.Load(ctx, r.Vault+"."+r.Item)
		if err != nil {
			return nil, err
		}
		cmd.Target = protecteditem.FailbackTarget{Site: to.Site, Host: to.Host, VMName: value(to.VMName)}
		if to.VMName == nil {
			cmd.Target.VMName = state.VM.Name
		}
	}
	if only || !cmd.Target.Original() {
		if err := s.tryItem(ctx, r.Vault, r.Item, cmd, r.Params.IfMatch); err != nil {
			return nil, err
		}
		if err := s.vacant(ctx, r.Vault, cmd.Target); err != nil {
			return nil, err
		}
	}
	if only {
		return oapi.StartFailback200JSONResponse{ValidatedJSONResponse: oapi.ValidatedJSONResponse{Valid: true}}, nil
	}
	body, err := s.beginJob(ctx, cmd, w)
	return oapi.StartFailback202JSONResponse{JobAcceptedJSONResponse: body}, err
}

// vacant refuses a target that the vault does not have, or where a VM of that name
// was found.
func (s *Server) vacant(ctx context.Context, vault string, to protecteditem.FailbackTarget) error {
	if to.Original() {
		return nil
	}
	host, err := s.hostFor(ctx, vault, to.Site, to.Host, "/target")
	if err != nil {
		return err
	}
	for _, vm := range host.VirtualMachines {
		if vm.ID == to.VM() || strings.EqualFold(vm.Name, to.VMName) {
			return domain.Reject(domain.Conflict, errorcatalog.VMNameTaken, "host %q has a virtual machine %q", to.Host, vm.Name).At("/target/vmName")
		}
	}
	return nil
}

// failbackOf shows the failback that is open, if one is.
func failbackOf(f protecteditem.FailbackRun) *oapi.Failback {
	if f.Mode == "" {
		return nil
	}
	out := &oapi.Failback{Mode: oapi.FailbackMode(f.Mode), StartedAt: f.StartedAt.UTC()}
	if t := f.Target; !t.Original() {
		out.Target = &oapi.FailbackTarget{Site: t.Site, Host: t.Host, VMName: &t.VMName}
	}
	return out
}

// CompleteFailback answers POST …/completeFailback with the job that goes on.
func (s *Server) CompleteFailback(ctx context.Context, r oapi.CompleteFailbackRequestObject) (oapi.CompleteFailbackResponseObject, error) {
	state, _, err := s.protectedItems.Load(ctx, r.Vault+"."+r.Item)
	if err != nil {
		return nil, err
	}
	w := workflow{vault: r.Vault, item: r.Item, kind: protecteditem.FailbackJob, ifMatch: r.Params.IfMatch, key: r.Params.IdempotencyKey}
	if state.Job != nil && state.Job.Kind == protecteditem.FailbackJob {
		w.job = state.Job.ID
	}
	_, again, err := s.answered(ctx, callOf(ctx).idempotency(r.Vault, r.Params.IdempotencyKey))
	if err == nil && !again && state.Protection == protecteditem.FailbackAwaitingCompletion {
		err = s.ledByNoPlan(ctx, w.job)
	}
	if err != nil {
		return nil, err
	}
	body, err := s.beginJob(ctx, protecteditem.CompleteFailback{JobID: w.job, At: s.now()}, w)
	return oapi.CompleteFailback202JSONResponse{JobAcceptedJSONResponse: body}, err
}

// ledByNoPlan refuses to complete a failback by hand that is a part of a recovery
// plan's run: that completes it in its turn, after the groups before it.
func (s *Server) ledByNoPlan(ctx context.Context, id string) error {
	part, _, err := s.jobs.Load(ctx, id)
	if err != nil || part.Parent == "" {
		return err
	}
	run, _, err := s.jobs.Load(ctx, part.Parent)
	if err != nil || run.Status.Ended() {
		return err
	}
	_, plan, _ := cutKey(run.Subject)
	return domain.Reject(domain.Conflict, errorcatalog.LedByPlan, "the failback is a part of the run of recovery plan %q (job %s), which completes it in its turn", plan, part.Parent)
}

// CancelFailback answers POST …/failbackCancel.
func (s *Server) CancelFailback(ctx context.Context, r oapi.CancelFailbackRequestObject) (oapi.CancelFailbackResponseObject, error) {
	w := s.newWorkflow(r.Vault, r.Item, protecteditem.FailbackCancelJob, r.Params.IfMatch, r.Params.IdempotencyKey)
	cmd := protecteditem.CancelFailback{JobID: w.job, Force: value(r.Params.Force), At: s.now()}
	body, err := s.beginJob(ctx, cmd, w)
	return oapi.CancelFailback202JSONResponse{JobAcceptedJSONResponse: body}, err
}

// CommitFailback answers POST …/failbackCommit.
func (s *Server) CommitFailback(ctx context.Context, r oapi.CommitFailbackRequestObject) (oapi.CommitFailbackResponseObject, error) {
	w := s.newWorkflow(r.Vault, r.Item, protecteditem.FailbackCommitJob, r.Params.IfMatch, r.Params.IdempotencyKey)
	body, err := s.beginJob(ctx, protecteditem.CommitFailback{JobID: w.job, At: s.now()}, w)
	return oapi.CommitFailback202JSONResponse{JobAcceptedJSONResponse: body}, err
}

// ReProtect answers POST …/reProtect.
func (s *Server) ReProtect(ctx context.Context, r oapi.ReProtectRequestObject) (oapi.ReProtectResponseObject, error) {
	w := s.newWorkflow(r.Vault, r.Item, protecteditem.ReverseReplicationJob, r.Params.IfMatch, r.Params.IdempotencyKey)
	body, err := s.beginJob(ctx, protecteditem.ReProtect{JobID: w.job, At: s.now()}, w)
	return oapi.ReProtect202JSONResponse{JobAcceptedJSONResponse: body}, err
}
