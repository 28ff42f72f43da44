package api

import (
	"context"
	"errors"

	"farshore/api/oapi"
	"farshore/domain/errorcatalog"
	"farshore/domain/networkmapping"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
	"farshore/eventstore"
)

// ListNetworkMappings answers GET …/networkMappings.
func (s *Server) ListNetworkMappings(ctx context.Context, r oapi.ListNetworkMappingsRequestObject) (oapi.ListNetworkMappingsResponseObject, error) {
	p, err := pagerOf(ctx, r.Params.PageSize, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	entries, err := s.queries.NetworkMappings(ctx, r.Vault)
	if err != nil {
		return nil, err
	}
	var wanted []networkmapping.Entry
	for _, e := range entries {
		if r.Params.Site == nil || *r.Params.Site == e.Site {
			wanted = append(wanted, e)
		}
	}
	key := func(e networkmapping.Entry) string { return e.ID }
	var body oapi.NetworkMappingPageJSONResponse
	rows := pageOf(p, wanted, key)
	rows, body.NextLink = nextLink(p, rows, key)
	body.Value = each(rows, networkMappingOf)
	return oapi.ListNetworkMappings200JSONResponse{NetworkMappingPageJSONResponse: body}, nil
}

// GetNetworkMapping answers GET …/networkMappings/{networkMapping}.
func (s *Server) GetNetworkMapping(ctx context.Context, r oapi.GetNetworkMappingRequestObject) (oapi.GetNetworkMappingResponseObject, error) {
	entries, err := s.queries.NetworkMappings(ctx, r.Vault)
	if err != nil {
		return nil, err
	}
	e, ok := networkmapping.State{Entries: entries}.Find(r.NetworkMapping)
	if !ok {
		return nil, missing(errorcatalog.NetworkMappingNotFound, "network mapping "+r.NetworkMapping)
	}
	body := networkMappingOf(e)
	return oapi.GetNetworkMapping200JSONResponse{NetworkMappingReadJSONResponse: oapi.NetworkMappingReadJSONResponse{
		Body: body, Headers: oapi.NetworkMappingReadResponseHeaders{ETag: &body.Etag},
	}}, nil
}

// PutNetworkMapping answers PUT …/networkMappings/{networkMapping}. A mapping's
// ETag tells when it last changed itself, so it is compared here.
func (s *Server) PutNetworkMapping(ctx context.Context, r oapi.PutNetworkMappingRequestObject) (oapi.PutNetworkMappingResponseObject, error) {
	cmd, err := s.mappingCommand(ctx, r)
	if err != nil {
		return nil, err
	}
	known, d, err := s.changeMapping(ctx, r.Vault, r.NetworkMapping, r.Params.IfMatch, cmd)
	if err != nil {
		return nil, err
	}
	body := networkMappingOf(d.entry)
	if !known {
		return oapi.PutNetworkMapping201JSONResponse{Body: body, Headers: oapi.PutNetworkMapping201ResponseHeaders{ETag: &body.Etag, XEventPosition: d.at()}}, nil
	}
	return oapi.PutNetworkMapping200JSONResponse{NetworkMappingReadJSONResponse: oapi.NetworkMappingReadJSONResponse{
		Body: body, Headers: oapi.NetworkMappingReadResponseHeaders{ETag: &body.Etag, XEventPosition: d.at()},
	}}, nil
}

// mappingCommand finds the networks that a request names by id or name.
func (s *Server) mappingCommand(ctx context.Context, r oapi.PutNetworkMappingRequestObject) (networkmapping.MapNetwork, error) {
	in := r.Body
	cmd := networkmapping.MapNetwork{At: s.now(), Mapping: networkmapping.Mapping{
		ID: r.NetworkMapping, Site: in.Site, RecoverySite: in.RecoverySite, RecoverySubnet: value(in.RecoverySubnet), Addressing: networkmapping.FromDHCP,
	}}
	if in.Addressing != nil {
		cmd.Mapping.Addressing = networkmapping.Addressing(*in.Addressing)
	}
	source, err := s.networkFor(ctx, r.Vault, in.Site, "/site", in.Network, "/network")
	if err != nil {
		return cmd, err
	}
	recovery, err := s.networkFor(ctx, r.Vault, in.RecoverySite, "/recoverySite", in.RecoveryNetwork, "/recoveryNetwork")
	if err != nil {
		return cmd, err
	}
	cmd.Mapping.Network, cmd.Mapping.NetworkName = source.ID, source.Name
	cmd.Mapping.RecoveryNetwork, cmd.Mapping.RecoveryNetworkName = recovery.ID, recovery.Name
	for _, sub := range recovery.Subnets {
		cmd.Subnets = append(cmd.Subnets, sub.CIDR)
	}
	return cmd, nil
}

// networkFor finds a network of a site that a request names.
func (s *Server) networkFor(ctx context.Context, vault, siteID, siteField, ref, field string) (site.Network, error) {
	state, version, err := s.sites.Load(ctx, vault+"."+siteID)
	if err != nil {
		return site.Network{}, err
	}
	if version == 0 {
		return site.Network{}, unknown(errorcatalog.SiteNotFound, siteField, "there is no site %q", siteID)
	}
	n, ok := site.FindNetwork(state.KnownNetworks(), ref)
	if !ok {
		return n, unknown(errorcatalog.NetworkNotFound, field, "site %q has no network %q", siteID, ref)
	}
	return n, nil
}

// DeleteNetworkMapping answers DELETE …/networkMappings/{networkMapping}.
func (s *Server) DeleteNetworkMapping(ctx context.Context, r oapi.DeleteNetworkMappingRequestObject) (oapi.DeleteNetworkMappingResponseObject, error) {
	if r.Params.IfMatch == nil {
		return nil, errUnconditional
	}
	if value(r.Params.ValidateOnly) {
		state, _, err := s.networkMappings.Load(ctx, r.Vault)
		if err != nil {
			return nil, err
		}
		if err := mappingStandsAt(state, r.NetworkMapping, r.Params.IfMatch); err != nil {
			return nil, err
		}
		body, err := s.mappingUses(ctx, r.Vault, state, r.NetworkMapping)
		return oapi.DeleteNetworkMapping200JSONResponse{ValidatedJSONResponse: body}, err
	}
	cmd := networkmapping.RemoveMapping{ID: r.NetworkMapping, At: s.now()}
	known, d, err := s.changeMapping(ctx, r.Vault, r.NetworkMapping, r.Params.IfMatch, cmd)
	if err != nil {
		return nil, err
	}
	if !known {
		return nil, missing(errorcatalog.NetworkMappingNotFound, "network mapping "+r.NetworkMapping)
	}
	return oapi.DeleteNetworkMapping204Response{Headers: oapi.GoneResponseHeaders{XEventPosition: d.at()}}, nil
}

// mappingDone is a mapping after a command, if it is still there.
type mappingDone struct {
	done
	entry networkmapping.Entry
}

// changeMapping executes a command on a mapping that stands where the request
// says, and tells whether it was there before.
func (s *Server) changeMapping(ctx context.Context, vault, id string, ifMatch *string, cmd networkmapping.Command) (bool, mappingDone, error) {
	for attempt := 1; ; attempt++ {
		state, version, err := s.networkMappings.Load(ctx, vault)
		if err != nil {
			return false, mappingDone{}, err
		}
		_, known := state.Find(id)
		if err := mappingMayChange(state, id, ifMatch, cmd); err != nil {
			return known, mappingDone{}, err
		}
		d, after, err := execute(ctx, s, s.networkMappings, vault, cmd, request{vault: vault, ifMatch: streamAt(version), ifNew: version == 0})
		if errors.Is(err, errStale) && attempt < raceRetries { // another mapping has changed
			continue
		}
		entry, _ := after.Find(id)
		return known, mappingDone{d, entry}, err
	}
}

// streamAt is the condition that nothing has been added to a stream that has begun.
func streamAt(version eventstore.Version) *string {
	if version == 0 {
		return nil
	}
	return new(etagOf(version))
}

// mappingMayChange refuses to change a mapping that is not at the state the request
// is based on, or that it says nothing about.
func mappingMayChange(state networkmapping.State, id string, ifMatch *string, cmd networkmapping.Command) error {
	_, known := state.Find(id)
	_, maps := cmd.(networkmapping.MapNetwork)
	switch {
	case ifMatch != nil && maps && !known: // it is based on one that is not there
		return errStale
	case ifMatch != nil:
		return mappingStandsAt(state, id, ifMatch)
	}
	events, err := networkmapping.Decider.Decide(state, cmd)
	if err == nil && known && len(events) > 0 {
		return errUnconditional
	}
	return err
}

func mappingStandsAt(state networkmapping.State, id string, ifMatch *string) error {
	e, known := state.Find(id)
	if !known {
		return missing(errorcatalog.NetworkMappingNotFound, "network mapping "+id)
	}
	cond, err := conditionOf(ifMatch)
	if err != nil || cond.any {
		return err
	}
	if eventstore.Version(e.Version) != cond.version {
		return errStale
	}
	return nil
}

// mappingUses warns of the adapters that only a mapping connects.
func (s *Server) mappingUses(ctx context.Context, vault string, state networkmapping.State, id string) (oapi.ValidatedJSONResponse, error) {
	out := oapi.ValidatedJSONResponse{Valid: true}
	m, _ := state.Find(id)
	rows, err := s.itemsHere(ctx, vault, m.Site, "")
	if err != nil {
		return out, err
	}
	var warnings []oapi.Finding
	for _, row := range rows {
		plan, err := s.planOf(ctx, row.State)
		if err != nil {
			return out, err
		}
		for _, nic := range plan.NICs {
			if nic.Mapping == id && row.State.Site == m.Site {
				warnings = append(warnings, *undated(errorcatalog.Fail(errorcatalog.NetworkUnmapped, "item %s, adapter %s: network %s would not be mapped", row.ID, nic.Name, m.NetworkName)))
			}
		}
	}
	if len(warnings) > 0 {
		out.Warnings = &warnings
	}
	return out, nil
}

// planOf is how a failover of an item would connect its VM now.
func (s *Server) planOf(ctx context.Context, state protecteditem.State) (protecteditem.NetworkPlan, error) {
	var known protecteditem.Networks
	if s.networks != nil {
		var err error
		if known, err = s.networks(ctx, state); err != nil {
			return protecteditem.NetworkPlan{}, err
		}
	}
	return protecteditem.PlanNetworks(state, known), nil
}

func networkMappingOf(e networkmapping.Entry) oapi.NetworkMapping {
	return oapi.NetworkMapping{
		ID: e.ID, Site: e.Site, Network: e.Network, NetworkName: e.NetworkName, RecoverySite: e.RecoverySite, RecoveryNetwork: e.RecoveryNetwork,
		RecoveryNetworkName: e.RecoveryNetworkName, RecoverySubnet: optional(e.RecoverySubnet), Addressing: oapi.NetworkAddressing(e.Addressing),
		Etag: etagOf(eventstore.Version(e.Version)),
	}
}
