package api

import (
	"context"
	"time"

	"farshore/api/oapi"
	"farshore/domain"
	"farshore/domain/errorcatalog"
	"farshore/domain/site"
	"farshore/projections"
)

// ListSites answers GET …/sites.
func (s *Server) ListSites(ctx context.Context, r oapi.ListSitesRequestObject) (oapi.ListSitesResponseObject, error) {
	p, err := pagerOf(ctx, r.Params.PageSize, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	rows, err := s.queries.Sites(ctx, r.Vault, p.page)
	if err != nil {
		return nil, err
	}
	var body oapi.SitePageJSONResponse
	rows, body.NextLink = nextLink(p, rows, func(row projections.Row[site.State]) string { return row.ID })
	body.Value = each(rows, func(row projections.Row[site.State]) oapi.Site { return siteOf(row.ID, row.State, etagOf(row.Version)) })
	return oapi.ListSites200JSONResponse{SitePageJSONResponse: body}, nil
}

// GetSite answers GET …/sites/{site}.
func (s *Server) GetSite(ctx context.Context, r oapi.GetSiteRequestObject) (oapi.GetSiteResponseObject, error) {
	row, err := s.site(ctx, r.Vault, r.Site)
	if err != nil {
		return nil, err
	}
	body := siteOf(row.ID, row.State, etagOf(row.Version))
	return oapi.GetSite200JSONResponse{SiteReadJSONResponse: oapi.SiteReadJSONResponse{
		Body: body, Headers: oapi.SiteReadResponseHeaders{ETag: &body.Etag},
	}}, nil
}

// PutSite answers PUT …/sites/{site}.
func (s *Server) PutSite(ctx context.Context, r oapi.PutSiteRequestObject) (oapi.PutSiteResponseObject, error) {
	zone := value(r.Body.TimeZone)
	if zone == "" {
		zone = "UTC"
	}
	if _, err := time.LoadLocation(zone); err != nil || zone == "Local" {
		return nil, domain.Reject(domain.Invalid, errorcatalog.ValidationFailed, "%q is not a time zone of the IANA database", zone).At("/timeZone")
	}
	cmd := site.Register{Name: r.Body.Name, Kind: site.Kind(r.Body.Kind), TimeZone: zone, At: s.now()}
	d, state, err := execute(ctx, s, s.sites, r.Vault+"."+r.Site, site.Command(cmd), request{vault: r.Vault, ifMatch: r.Params.IfMatch})
	if err != nil {
		return nil, err
	}
	body := siteOf(r.Site, state, etagOf(d.version))
	if d.created() {
		return oapi.PutSite201JSONResponse{Body: body, Headers: oapi.PutSite201ResponseHeaders{ETag: d.etag(), XEventPosition: d.at()}}, nil
	}
	return oapi.PutSite200JSONResponse{SiteReadJSONResponse: oapi.SiteReadJSONResponse{
		Body: body, Headers: oapi.SiteReadResponseHeaders{ETag: d.etag(), XEventPosition: d.at()},
	}}, nil
}

func (s *Server) site(ctx context.Context, vault, id string) (projections.Row[site.State], error) {
	row, err := s.queries.Site(ctx, vault, id)
	return found(row, err, errorcatalog.SiteNotFound, "site "+id)
}

func siteOf(id string, state site.State, etag string) oapi.Site {
	zone := state.TimeZone
	if zone == "" {
		zone = "UTC"
	}
	out := oapi.Site{ID: id, Name: state.Name, Kind: oapi.SiteKind(state.Kind), TimeZone: zone, Hosts: small(len(state.Hosts)), Etag: etag}
	if v := state.Server; v != nil {
		out.VmmServer = &oapi.VMMServer{Name: v.Name, Version: optional(v.Version), ConnectionStatus: optional(v.ConnectionStatus)}
	}
	return out
}
