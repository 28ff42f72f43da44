package api

import (
	"context"
	"slices"

	"farshore/api/oapi"
	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
	"farshore/projections"
)

// ListRecoveryPoints answers GET …/protectedItems/{item}/recoveryPoints.
func (s *Server) ListRecoveryPoints(ctx context.Context, r oapi.ListRecoveryPointsRequestObject) (oapi.ListRecoveryPointsResponseObject, error) {
	p, err := pagerOf(ctx, r.Params.PageSize, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	row, err := s.queries.ProtectedItem(ctx, r.Vault, r.Item)
	if row, err = found(row, err, errorcatalog.ProtectedItemNotFound, "protected item "+r.Item); err != nil {
		return nil, err
	}
	points, err := s.queries.RecoveryPoints(ctx, r.Vault, r.Item, p.page)
	if err != nil {
		return nil, err
	}
	var body oapi.RecoveryPointPageJSONResponse
	points, body.NextLink = nextLink(p, points, projections.PointKey)
	pinned := row.State.Pinned()
	body.Value = each(points, func(p protecteditem.Point) oapi.RecoveryPoint { return recoveryPointOf(p, pinned) })
	return oapi.ListRecoveryPoints200JSONResponse{RecoveryPointPageJSONResponse: body}, nil
}

// GetRecoveryPoint answers GET …/recoveryPoints/{recoveryPoint}.
func (s *Server) GetRecoveryPoint(ctx context.Context, r oapi.GetRecoveryPointRequestObject) (oapi.GetRecoveryPointResponseObject, error) {
	point, err := s.queries.RecoveryPoint(ctx, r.Vault, r.Item, r.RecoveryPoint)
	if point, err = found(point, err, errorcatalog.RecoveryPointNotFound, "recovery point "+r.RecoveryPoint); err != nil {
		return nil, err
	}
	row, err := s.queries.ProtectedItem(ctx, r.Vault, r.Item)
	if row, err = found(row, err, errorcatalog.ProtectedItemNotFound, "protected item "+r.Item); err != nil {
		return nil, err
	}
	body := recoveryPointOf(point, row.State.Pinned())
	etag := etagOf(1) // a point never changes but for this
	if body.Pinned {
		etag = etagOf(2)
	}
	return oapi.GetRecoveryPoint200JSONResponse{RecoveryPointReadJSONResponse: oapi.RecoveryPointReadJSONResponse{
		Body: body, Headers: oapi.RecoveryPointReadResponseHeaders{ETag: &etag},
	}}, nil
}

func recoveryPointOf(p protecteditem.Point, pinned []string) oapi.RecoveryPoint {
	return oapi.RecoveryPoint{
		ID: p.ID, Instant: p.Instant.UTC(), Consistency: string(p.Consistency), Pinned: slices.Contains(pinned, p.ID),
		Disks: each(p.Disks, func(d protecteditem.PointDisk) oapi.RecoveryPointDisk {
			return oapi.RecoveryPointDisk{ID: d.Disk, SizeBytes: d.SizeBytes, Root: optional(d.Root)}
		}),
	}
}
