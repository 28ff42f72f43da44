package api

import (
	"context"
	"slices"

	"farshore/api/oapi"
	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
)

// AddDisks answers POST …/addDisks. What the disks are like is read from the
// inventory of the VM's host and copied into the command.
func (s *Server) AddDisks(ctx context.Context, r oapi.AddDisksRequestObject) (oapi.AddDisksResponseObject, error) {
	w := workflow{
		vault: r.Vault, item: r.Item, kind: protecteditem.DiskReplicationJob, job: s.newID(), ifMatch: r.Params.IfMatch, key: r.Params.IdempotencyKey,
	}
	if !value(r.Params.ValidateOnly) {
		first, ok, err := s.answered(ctx, callOf(ctx).idempotency(r.Vault, r.Params.IdempotencyKey))
		if err != nil {
			return nil, err
		}
		if ok {
			w.job = first.job
			body, err := s.accepted(ctx, w, first)
			return oapi.AddDisks202JSONResponse{JobAcceptedJSONResponse: body}, err
		}
	}
	cmd := protecteditem.AddDisks{JobID: w.job, At: s.now()}
	var err error
	if cmd.Disks, err = s.describe(ctx, r.Vault, r.Item, r.Body.Disks); err != nil {
		return nil, err
	}
	if value(r.Params.ValidateOnly) {
		return oapi.AddDisks200JSONResponse{ValidatedJSONResponse: oapi.ValidatedJSONResponse{Valid: true}}, s.tryItem(ctx, r.Vault, r.Item, cmd, r.Params.IfMatch)
	}
	body, err := s.beginJob(ctx, cmd, w)
	return oapi.AddDisks202JSONResponse{JobAcceptedJSONResponse: body}, err
}

// describe finds disks of an item's VM in the inventory. An item that cannot have
// any added has its own refusal, before that of a disk that is not there.
func (s *Server) describe(ctx context.Context, vault, item string, ids []string) ([]site.Disk, error) {
	state, _, err := s.protectedItems.Load(ctx, vault+"."+item)
	if err != nil {
		return nil, err
	}
	for _, o := range protecteditem.AllowedOperations(state, s.now()) {
		if o.Name == "AddDisks" && !o.Allowed {
			_, err := protecteditem.Decider.Decide(state, protecteditem.AddDisks{JobID: s.newID(), At: s.now()})
			return nil, err
		}
	}
	h, err := s.hostFor(ctx, vault, state.Site, state.Host, "")
	if err != nil {
		return nil, err
	}
	vm, ok := h.VirtualMachine(state.VM.ID)
	if !ok {
		return nil, unknown(errorcatalog.VirtualMachineNotFound, "/disks", "host %q has no virtual machine %q", state.Host, state.VM.ID)
	}
	disks := make([]site.Disk, 0, len(ids))
	for _, id := range ids {
		n := slices.IndexFunc(vm.Disks, func(d site.Disk) bool { return d.ID == id })
		if n < 0 {
			return nil, unknown(errorcatalog.DiskNotFound, "/disks", "the VM has no disk %q; its host is looked at every few seconds", id)
		}
		disks = append(disks, vm.Disks[n])
	}
	return disks, nil
}

// RemoveDisks answers POST …/removeDisks.
func (s *Server) RemoveDisks(ctx context.Context, r oapi.RemoveDisksRequestObject) (oapi.RemoveDisksResponseObject, error) {
	cmd := protecteditem.RemoveDisks{Disks: r.Body.Disks, At: s.now()}
	if value(r.Params.ValidateOnly) {
		if err := s.tryItem(ctx, r.Vault, r.Item, cmd, r.Params.IfMatch); err != nil {
			return nil, err
		}
		body, err := s.itemNow(ctx, r.Vault, r.Item)
		return oapi.RemoveDisks200JSONResponse{ProtectedItemChangedJSONResponse: body}, err
	}
	body, err := s.changeItem(ctx, r.Item, cmd, request{vault: r.Vault, ifMatch: r.Params.IfMatch, key: r.Params.IdempotencyKey})
	return oapi.RemoveDisks200JSONResponse{ProtectedItemChangedJSONResponse: body}, err
}

// withoutDisks warns of the disks of a VM that a recovery point does not hold:
// brought up from it, the VM lacks them.
func (s *Server) withoutDisks(ctx context.Context, vault, item string, choice protecteditem.PointChoice) ([]oapi.Finding, error) {
	state, _, err := s.protectedItems.Load(ctx, vault+"."+item)
	if err != nil {
		return nil, err
	}
	return each(protecteditem.DisksWithout(state, choice), func(f errorcatalog.Failure) oapi.Finding { return *undated(&f) }), nil
}
