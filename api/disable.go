package api

import (
	"context"
	"time"

	"farshore/api/oapi"
	"farshore/domain/protecteditem"
)

// defaultKeepReplica is how many hours the replica is kept unless the request
// says otherwise: 7 days.
const defaultKeepReplica = 168

// DisableProtection answers DELETE …/protectedItems/{item}.
func (s *Server) DisableProtection(ctx context.Context, r oapi.DisableProtectionRequestObject) (oapi.DisableProtectionResponseObject, error) {
	if r.Params.IfMatch == nil {
		return nil, errUnconditional
	}
	hours := int32(defaultKeepReplica)
	if r.Params.KeepReplica != nil {
		hours = *r.Params.KeepReplica
	}
	id := s.newID()
	cmd := protecteditem.DisableProtection{
		JobID: id, KeepReplica: time.Duration(hours) * time.Hour, Reason: value(r.Params.Reason), CleanUp: value(r.Params.Cleanup),
		Force: value(r.Params.Force), Survivor: value(r.Params.Survivor), At: s.now(),
	}
	body, err := s.beginJob(ctx, cmd, workflow{
		vault: r.Vault, item: r.Item, kind: protecteditem.DisableProtectionJob, job: id, ifMatch: r.Params.IfMatch, key: r.Params.IdempotencyKey,
	})
	return oapi.DisableProtection202JSONResponse{JobAcceptedJSONResponse: body}, repoint(err, func(field string) string { return "#/query" + field })
}
