package api

import (
	"context"
	"errors"
	"strings"
	"time"

	"farshore/api/oapi"
	"farshore/domain"
	"farshore/domain/errorcatalog"
	"farshore/domain/policy"
	"farshore/projections"
)

// ListPolicies answers GET …/policies.
func (s *Server) ListPolicies(ctx context.Context, r oapi.ListPoliciesRequestObject) (oapi.ListPoliciesResponseObject, error) {
	p, err := pagerOf(ctx, r.Params.PageSize, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	rows, err := s.queries.Policies(ctx, r.Vault, p.page)
	if err != nil {
		return nil, err
	}
	var body oapi.PolicyPageJSONResponse
	rows, body.NextLink = nextLink(p, rows, func(row projections.Row[policy.State]) string { return row.ID })
	body.Value = each(rows, func(row projections.Row[policy.State]) oapi.Policy {
		return policyOf(row.ID, row.State, etagOf(row.Version))
	})
	return oapi.ListPolicies200JSONResponse{PolicyPageJSONResponse: body}, nil
}

// GetPolicy answers GET …/policies/{policy}.
func (s *Server) GetPolicy(ctx context.Context, r oapi.GetPolicyRequestObject) (oapi.GetPolicyResponseObject, error) {
	row, err := s.queries.Policy(ctx, r.Vault, r.Policy)
	if row, err = found(row, err, errorcatalog.PolicyNotFound, "policy "+r.Policy); err != nil {
		return nil, err
	}
	body := policyOf(row.ID, row.State, etagOf(row.Version))
	return oapi.GetPolicy200JSONResponse{PolicyReadJSONResponse: oapi.PolicyReadJSONResponse{
		Body: body, Headers: oapi.PolicyReadResponseHeaders{ETag: &body.Etag},
	}}, nil
}

// PutPolicy answers PUT …/policies/{policy}.
func (s *Server) PutPolicy(ctx context.Context, r oapi.PutPolicyRequestObject) (oapi.PutPolicyResponseObject, error) {
	cmd := policy.Define{Name: r.Body.Name, Settings: settingsFrom(r.Body), At: s.now()}
	d, state, err := execute(ctx, s, s.policies, r.Vault+"."+r.Policy, policy.Command(cmd), request{vault: r.Vault, ifMatch: r.Params.IfMatch})
	if err != nil {
		return nil, repoint(err, func(field string) string { return strings.TrimPrefix(field, "/settings") })
	}
	body := policyOf(r.Policy, state, etagOf(d.version))
	if d.created() {
		return oapi.PutPolicy201JSONResponse{Body: body, Headers: oapi.PutPolicy201ResponseHeaders{ETag: d.etag(), XEventPosition: d.at()}}, nil
	}
	return oapi.PutPolicy200JSONResponse{PolicyReadJSONResponse: oapi.PolicyReadJSONResponse{
		Body: body, Headers: oapi.PolicyReadResponseHeaders{ETag: d.etag(), XEventPosition: d.at()},
	}}, nil
}

// settingsFrom fills in the defaults for what a request leaves out.
func settingsFrom(in *oapi.PolicyInput) policy.Settings {
	out := policy.Defaults()
	if in.CopyFrequencySeconds != nil {
		out.CopyFrequencySeconds = int(*in.CopyFrequencySeconds)
	}
	if in.RetentionHours != nil {
		out.RetentionHours = int(*in.RetentionHours)
	}
	if in.AppConsistentFrequencyHours != nil {
		out.AppConsistentFrequencyHours = int(*in.AppConsistentFrequencyHours)
	}
	if in.ResyncThresholdPercent != nil {
		out.ResyncThresholdPercent = int(*in.ResyncThresholdPercent)
	}
	if in.ResyncWindow != nil {
		out.ResyncWindow = policy.Window{Start: in.ResyncWindow.Start, End: in.ResyncWindow.End}
	}
	// The default is what a policy that says nothing has.
	if hours := int(value(in.MonitoringWindowHours)); time.Duration(hours)*time.Hour != out.MonitoringWindow() {
		out.MonitoringWindowHours = hours
	}
	out.DrillReminderDays = int(value(in.DrillReminderDays))
	out.StartTime = value(in.StartTime)
	return out
}

func policyOf(id string, state policy.State, etag string) oapi.Policy {
	p := settingsOf(state.Settings)
	return oapi.Policy{
		ID: id, Name: state.Name, Etag: etag,
		CopyFrequencySeconds: p.CopyFrequencySeconds, RetentionHours: p.RetentionHours,
		AppConsistentFrequencyHours: p.AppConsistentFrequencyHours, StartTime: p.StartTime,
		ResyncWindow: p.ResyncWindow, ResyncThresholdPercent: p.ResyncThresholdPercent,
		MonitoringWindowHours: p.MonitoringWindowHours, DrillReminderDays: p.DrillReminderDays,
	}
}

// repoint turns the pointer of a refusal into one of the request's body, where
// that has another shape than the command.
func repoint(err error, pointer func(field string) string) error {
	if r, ok := errors.AsType[*domain.RejectionError](err); ok && r.Field != "" {
		moved := *r
		return moved.At(pointer(r.Field))
	}
	return err
}
