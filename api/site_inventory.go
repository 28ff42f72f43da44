package api

import (
	"context"
	"errors"

	"farshore/api/oapi"
	"farshore/domain/errorcatalog"
	"farshore/domain/site"
	"farshore/eventstore"
)

// raceRetries bounds how often a change is decided afresh whose answer tells of the
// state it was decided on.
const raceRetries = 5

// LoadSiteInventory answers PUT …/sites/{site}/inventory with what has changed.
func (s *Server) LoadSiteInventory(ctx context.Context, r oapi.LoadSiteInventoryRequestObject) (oapi.LoadSiteInventoryResponseObject, error) {
	cmd := inventoryFrom(r.Body)
	cmd.At = s.now()
	for attempt := 1; ; attempt++ {
		state, version, err := s.sites.Load(ctx, r.Vault+"."+r.Site)
		if err != nil {
			return nil, err
		}
		events, err := site.Decider.Decide(state, cmd)
		if err != nil {
			return nil, err
		}
		body, err := s.inventoryChange(ctx, r.Vault, r.Site, events)
		if err != nil {
			return nil, err
		}
		ifMatch := r.Params.IfMatch
		if ifMatch == nil {
			ifMatch = new(etagOf(version))
		}
		out := oapi.SiteInventoryLoadedJSONResponse{Body: body, Headers: oapi.SiteInventoryLoadedResponseHeaders{ETag: new(etagOf(version))}}
		if value(r.Params.ValidateOnly) {
			return oapi.LoadSiteInventory200JSONResponse{SiteInventoryLoadedJSONResponse: out}, holdsAt(version, r.Params.IfMatch)
		}
		d, _, err := execute(ctx, s, s.sites, r.Vault+"."+r.Site, site.Command(cmd), request{vault: r.Vault, ifMatch: ifMatch})
		if errors.Is(err, errStale) && r.Params.IfMatch == nil && attempt < raceRetries {
			continue
		}
		if err != nil {
			return nil, err
		}
		out.Headers.ETag, out.Headers.XEventPosition = d.etag(), d.at()
		return oapi.LoadSiteInventory200JSONResponse{SiteInventoryLoadedJSONResponse: out}, nil
	}
}

// holdsAt refuses a condition that a state of that version does not meet.
func holdsAt(version eventstore.Version, ifMatch *string) error {
	cond, err := conditionOf(ifMatch)
	if err == nil && cond.version != 0 && cond.version != version {
		err = errStale
	}
	return err
}

func inventoryFrom(in *oapi.SiteInventoryInput) site.LoadInventory {
	var cmd site.LoadInventory
	if v := in.Server; v != nil {
		cmd.Server = &site.Server{Name: v.Name, Version: value(v.Version), ConnectionStatus: string(value(v.ConnectionStatus))}
	}
	for _, c := range value(in.Clouds) {
		cmd.Clouds = append(cmd.Clouds, site.Cloud{ID: c.ID, Name: c.Name, Hosts: value(c.Hosts)})
	}
	for _, l := range value(in.LogicalNetworks) {
		cmd.LogicalNetworks = append(cmd.LogicalNetworks, site.LogicalNetwork{ID: l.ID, Name: l.Name})
	}
	for _, n := range in.VMNetworks {
		network := site.Network{ID: n.ID, Name: n.Name, LogicalNetwork: value(n.LogicalNetwork)}
		for _, sub := range value(n.Subnets) {
			subnet := site.Subnet{Name: value(sub.Name), CIDR: sub.Cidr, Gateway: value(sub.Gateway), DNS: value(sub.DNS)}
			for _, p := range value(sub.Pools) {
				subnet.Pools = append(subnet.Pools, site.AddressPool{First: p.First, Last: p.Last})
			}
			network.Subnets = append(network.Subnets, subnet)
		}
		cmd.Networks = append(cmd.Networks, network)
	}
	return cmd
}

// inventoryChange tells what events change, and which mappings lose a network.
func (s *Server) inventoryChange(ctx context.Context, vault, siteID string, events []site.Event) (oapi.SiteInventoryChange, error) {
	out := oapi.SiteInventoryChange{NetworksAdded: []string{}, NetworksChanged: []string{}, NetworksRemoved: []string{}}
	var warnings []oapi.Finding
	mappings, _, err := s.networkMappings.Load(ctx, vault)
	if err != nil {
		return out, err
	}
	for _, e := range events {
		switch e := e.(type) {
		case site.VMMServerChanged:
			out.ServerChanged = true
		case site.CloudsChanged:
			out.CloudsChanged = true
		case site.LogicalNetworksChanged:
			out.LogicalNetworksChanged = true
		case site.NetworkAdded:
			out.NetworksAdded = append(out.NetworksAdded, e.Network.ID)
		case site.NetworkChanged:
			out.NetworksChanged = append(out.NetworksChanged, e.Network.ID)
		case site.NetworkRemoved:
			out.NetworksRemoved = append(out.NetworksRemoved, e.Network)
			for _, m := range mappings.Entries {
				switch {
				case m.Site == siteID && m.Network == e.Network:
					warnings = append(warnings, *undated(errorcatalog.Fail(errorcatalog.NetworkUnmapped, "mapping %s is from network %s, which is gone", m.ID, e.Name)))
				case m.RecoverySite == siteID && m.RecoveryNetwork == e.Network:
					warnings = append(warnings, *undated(errorcatalog.Fail(errorcatalog.RecoveryNetworkMissing, "mapping %s is to network %s, which is gone", m.ID, e.Name)))
				}
			}
		}
	}
	if len(warnings) > 0 {
		out.Warnings = &warnings
	}
	return out, nil
}
