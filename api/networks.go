package api

import (
	"context"

	"farshore/api/oapi"
	"farshore/domain/errorcatalog"
	"farshore/domain/site"
)

// pageOf takes a page out of rows that are all at hand, in the order of their keys.
func pageOf[T any](p pager, rows []T, key func(T) string) []T {
	var out []T
	for _, row := range rows {
		if key(row) > p.page.After && len(out) < p.page.Limit {
			out = append(out, row)
		}
	}
	return out
}

// ListNetworks answers GET …/sites/{site}/networks.
func (s *Server) ListNetworks(ctx context.Context, r oapi.ListNetworksRequestObject) (oapi.ListNetworksResponseObject, error) {
	p, err := pagerOf(ctx, r.Params.PageSize, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	row, err := s.site(ctx, r.Vault, r.Site)
	if err != nil {
		return nil, err
	}
	key := func(n site.Network) string { return n.ID }
	var body oapi.NetworkPageJSONResponse
	rows := pageOf(p, row.State.KnownNetworks(), key)
	rows, body.NextLink = nextLink(p, rows, key)
	body.Value = each(rows, func(n site.Network) oapi.Network { return networkOf(r.Site, row.State, n, etagOf(row.Version)) })
	return oapi.ListNetworks200JSONResponse{NetworkPageJSONResponse: body}, nil
}

// GetNetwork answers GET …/sites/{site}/networks/{network}.
func (s *Server) GetNetwork(ctx context.Context, r oapi.GetNetworkRequestObject) (oapi.GetNetworkResponseObject, error) {
	row, err := s.site(ctx, r.Vault, r.Site)
	if err != nil {
		return nil, err
	}
	for _, n := range row.State.KnownNetworks() {
		if n.ID == r.Network {
			body := networkOf(r.Site, row.State, n, etagOf(row.Version))
			return oapi.GetNetwork200JSONResponse{NetworkReadJSONResponse: oapi.NetworkReadJSONResponse{
				Body: body, Headers: oapi.NetworkReadResponseHeaders{ETag: &body.Etag},
			}}, nil
		}
	}
	return nil, missing(errorcatalog.NetworkNotFound, "network "+r.Network)
}

// ListClouds answers GET …/sites/{site}/clouds.
func (s *Server) ListClouds(ctx context.Context, r oapi.ListCloudsRequestObject) (oapi.ListCloudsResponseObject, error) {
	p, err := pagerOf(ctx, r.Params.PageSize, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	row, err := s.site(ctx, r.Vault, r.Site)
	if err != nil {
		return nil, err
	}
	key := func(c site.Cloud) string { return c.ID }
	var body oapi.CloudPageJSONResponse
	rows := pageOf(p, row.State.CloudsByID(), key)
	rows, body.NextLink = nextLink(p, rows, key)
	body.Value = each(rows, func(c site.Cloud) oapi.Cloud {
		return oapi.Cloud{ID: c.ID, Site: r.Site, Name: c.Name, Hosts: append([]string{}, c.Hosts...)}
	})
	return oapi.ListClouds200JSONResponse{CloudPageJSONResponse: body}, nil
}

func networkOf(siteID string, state site.State, n site.Network, etag string) oapi.Network {
	return oapi.Network{
		ID: n.ID, Site: siteID, Name: n.Name, LogicalNetwork: optional(n.LogicalNetwork), Loaded: state.NetworksLoaded(), Etag: etag,
		Subnets: each(n.Subnets, func(sub site.Subnet) oapi.Subnet {
			out := oapi.Subnet{Cidr: sub.CIDR, Name: optional(sub.Name), Gateway: optional(sub.Gateway)}
			if len(sub.DNS) > 0 {
				out.DNS = &sub.DNS
			}
			if len(sub.Pools) > 0 {
				out.Pools = new(each(sub.Pools, func(p site.AddressPool) oapi.AddressPool { return oapi.AddressPool{First: p.First, Last: p.Last} }))
			}
			return out
		}),
	}
}
