package api

import (
	"context"

	"farshore/api/oapi"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
)

// TestFailover answers POST …/testFailover.
func (s *Server) TestFailover(ctx context.Context, r oapi.TestFailoverRequestObject) (oapi.TestFailoverResponseObject, error) {
	w := s.newWorkflow(r.Vault, r.Item, protecteditem.TestFailoverJob, r.Params.IfMatch, r.Params.IdempotencyKey)
	in := value(r.Body)
	known, err := s.drillNetworks(ctx, r.Vault, r.Item, value(in.Network))
	if err != nil {
		return nil, err
	}
	cmd := protecteditem.StartTestFailover{JobID: w.job, Choice: choiceOf(in.RecoveryPoint), Network: value(in.Network), Known: known, At: s.now()}
	if value(r.Params.ValidateOnly) {
		if err := s.tryItem(ctx, r.Vault, r.Item, cmd, r.Params.IfMatch); err != nil {
			return nil, err
		}
		without, err := s.withoutDisks(ctx, r.Vault, r.Item, cmd.Choice)
		return oapi.TestFailover200JSONResponse{ValidatedJSONResponse: validated(without)}, err
	}
	body, err := s.beginJob(ctx, cmd, w)
	return oapi.TestFailover202JSONResponse{JobAcceptedJSONResponse: body}, err
}

// CleanUpTestFailover answers POST …/testFailoverCleanup.
func (s *Server) CleanUpTestFailover(ctx context.Context, r oapi.CleanUpTestFailoverRequestObject) (oapi.CleanUpTestFailoverResponseObject, error) {
	w := s.newWorkflow(r.Vault, r.Item, protecteditem.TestFailoverCleanupJob, r.Params.IfMatch, r.Params.IdempotencyKey)
	in := value(r.Body)
	cmd := protecteditem.CleanUpTestFailover{JobID: w.job, Notes: value(in.Notes), At: s.now()}
	body, err := s.beginJob(ctx, cmd, w)
	return oapi.CleanUpTestFailover202JSONResponse{JobAcceptedJSONResponse: body}, err
}

// drillNetworks is what is known of the networks around an item before a copy of its
// VM is attached to one of them; nil if it is to be attached to none.
func (s *Server) drillNetworks(ctx context.Context, vault, item, network string) (*protecteditem.Networks, error) {
	if network == "" || s.networks == nil {
		return nil, nil //nolint:nilnil // there is nothing to look at
	}
	state, _, err := s.protectedItems.Load(ctx, vault+"."+item)
	if err != nil {
		return nil, err
	}
	known, err := s.networks(ctx, state)
	if err != nil {
		return nil, err
	}
	rows, err := s.itemsHere(ctx, vault, state.Recovery.Site, "")
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		for _, set := range row.State.NICs {
			if row.State.Recovery.Site == state.Recovery.Site && set.Network != "" {
				known.Led = append(known.Led, site.Network{ID: set.Network, Name: set.NetworkName})
			}
		}
	}
	return &known, nil
}
