package api

import (
	"context"

	"farshore/api/oapi"
	"farshore/domain/errorcatalog"
	"farshore/domain/site"
	"farshore/projections"
)

// ListHosts answers GET …/sites/{site}/hosts.
func (s *Server) ListHosts(ctx context.Context, r oapi.ListHostsRequestObject) (oapi.ListHostsResponseObject, error) {
	p, err := pagerOf(ctx, r.Params.PageSize, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	if _, err := s.site(ctx, r.Vault, r.Site); err != nil {
		return nil, err
	}
	rows, err := s.queries.Hosts(ctx, r.Vault, r.Site, "", p.page)
	if err != nil {
		return nil, err
	}
	var body oapi.HostPageJSONResponse
	rows, body.NextLink = nextLink(p, rows, func(h projections.FoundHost) string { return h.ID })
	body.Value = each(rows, func(h projections.FoundHost) oapi.Host { return hostOf(r.Site, h) })
	return oapi.ListHosts200JSONResponse{HostPageJSONResponse: body}, nil
}

// GetHost answers GET …/sites/{site}/hosts/{host}.
func (s *Server) GetHost(ctx context.Context, r oapi.GetHostRequestObject) (oapi.GetHostResponseObject, error) {
	if _, err := s.site(ctx, r.Vault, r.Site); err != nil {
		return nil, err
	}
	rows, err := s.queries.Hosts(ctx, r.Vault, r.Site, r.Host, projections.Page{Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, missing(errorcatalog.HostNotFound, "host "+r.Host)
	}
	body := hostOf(r.Site, rows[0])
	return oapi.GetHost200JSONResponse{HostReadJSONResponse: oapi.HostReadJSONResponse{
		Body: body, Headers: oapi.HostReadResponseHeaders{ETag: &body.Etag},
	}}, nil
}

// PutHost answers PUT …/sites/{site}/hosts/{host}.
func (s *Server) PutHost(ctx context.Context, r oapi.PutHostRequestObject) (oapi.PutHostResponseObject, error) {
	cmd := site.AddHost{Host: r.Host, Directory: r.Body.Directory, At: s.now()}
	d, state, err := execute(ctx, s, s.sites, r.Vault+"."+r.Site, site.Command(cmd), request{vault: r.Vault, ifMatch: r.Params.IfMatch})
	if err != nil {
		return nil, err
	}
	h, _ := state.Host(r.Host)
	body := hostOf(r.Site, projections.FoundHost{
		ID: r.Host, Directory: h.Directory, VirtualMachines: len(h.VirtualMachines), Problems: h.Problems, Version: d.version,
	})
	if !d.unchanged {
		return oapi.PutHost201JSONResponse{Body: body, Headers: oapi.PutHost201ResponseHeaders{ETag: d.etag(), XEventPosition: d.at()}}, nil
	}
	return oapi.PutHost200JSONResponse{HostReadJSONResponse: oapi.HostReadJSONResponse{
		Body: body, Headers: oapi.HostReadResponseHeaders{ETag: d.etag(), XEventPosition: d.at()},
	}}, nil
}

// DeleteHost answers DELETE …/sites/{site}/hosts/{host}. A host's ETag tells
// when it last changed itself, not the site's version, so it is compared here.
func (s *Server) DeleteHost(ctx context.Context, r oapi.DeleteHostRequestObject) (oapi.DeleteHostResponseObject, error) {
	if r.Params.IfMatch == nil {
		return nil, errUnconditional
	}
	if err := s.hostStandsAt(ctx, r.Vault, r.Site, r.Host, r.Params.IfMatch); err != nil {
		return nil, err
	}
	rows, err := s.itemsHere(ctx, r.Vault, r.Site, r.Host)
	if err != nil {
		return nil, err
	}
	cmd := site.RemoveHost{Host: r.Host, UsedBy: each(rows, func(row itemRow) string { return row.ID }), At: s.now()}
	d, _, err := execute(ctx, s, s.sites, r.Vault+"."+r.Site, site.Command(cmd), request{vault: r.Vault})
	if err != nil {
		return nil, err
	}
	return oapi.DeleteHost204Response{Headers: oapi.GoneResponseHeaders{XEventPosition: d.at()}}, nil
}

func (s *Server) hostStandsAt(ctx context.Context, vault, siteID, host string, ifMatch *string) error {
	state, version, err := s.sites.Load(ctx, vault+"."+siteID)
	if err != nil {
		return err
	}
	if version == 0 {
		return missing(errorcatalog.SiteNotFound, "site "+siteID)
	}
	if _, ok := state.Host(host); !ok {
		return missing(errorcatalog.HostNotFound, "host "+host)
	}
	cond, err := conditionOf(ifMatch)
	if err != nil || cond.any {
		return err
	}
	rows, err := s.queries.Hosts(ctx, vault, siteID, host, projections.Page{Limit: 1})
	if err != nil {
		return err
	}
	if len(rows) == 0 || rows[0].Version != cond.version {
		return errStale
	}
	return nil
}

func hostOf(siteID string, h projections.FoundHost) oapi.Host {
	return oapi.Host{
		ID: h.ID, Site: siteID, Directory: h.Directory, VirtualMachines: small(h.VirtualMachines), Etag: etagOf(h.Version),
		Problems: each(h.Problems, func(p site.Problem) oapi.HostProblem {
			return oapi.HostProblem{Subject: p.Subject, Finding: *undated(&p.Failure)}
		}),
	}
}
