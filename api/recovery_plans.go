package api

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"farshore/api/oapi"
	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/recoveryplan"
	"farshore/eventstore"
	"farshore/projections"
)

// planRow is a recovery plan as its read model has it.
type planRow = projections.Row[recoveryplan.State]

// defaultActionSeconds is how long scripts and ports may take that name no time.
const defaultActionSeconds = 300

// ListRecoveryPlans answers GET …/recoveryPlans.
func (s *Server) ListRecoveryPlans(ctx context.Context, r oapi.ListRecoveryPlansRequestObject) (oapi.ListRecoveryPlansResponseObject, error) {
	p, err := pagerOf(ctx, r.Params.PageSize, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	rows, err := s.queries.RecoveryPlans(ctx, r.Vault, p.page)
	if err != nil {
		return nil, err
	}
	var body oapi.RecoveryPlanPageJSONResponse
	rows, body.NextLink = nextLink(p, rows, func(row planRow) string { return row.ID })
	body.Value = make([]oapi.RecoveryPlan, 0, len(rows))
	for _, row := range rows {
		plan, err := s.recoveryPlanOf(ctx, row.ID, row.State, row.Version)
		if err != nil {
			return nil, err
		}
		body.Value = append(body.Value, plan)
	}
	return oapi.ListRecoveryPlans200JSONResponse{RecoveryPlanPageJSONResponse: body}, nil
}

// GetRecoveryPlan answers GET …/recoveryPlans/{plan}.
func (s *Server) GetRecoveryPlan(ctx context.Context, r oapi.GetRecoveryPlanRequestObject) (oapi.GetRecoveryPlanResponseObject, error) {
	row, err := s.queries.RecoveryPlan(ctx, r.Vault, r.Plan)
	if row, err = found(row, err, errorcatalog.RecoveryPlanNotFound, "recovery plan "+r.Plan); err != nil {
		return nil, err
	}
	body, err := s.recoveryPlanOf(ctx, r.Plan, row.State, row.Version)
	if err != nil {
		return nil, err
	}
	return oapi.GetRecoveryPlan200JSONResponse{RecoveryPlanReadJSONResponse: oapi.RecoveryPlanReadJSONResponse{
		Body: body, Headers: oapi.RecoveryPlanReadResponseHeaders{ETag: &body.Etag},
	}}, nil
}

// PutRecoveryPlan answers PUT …/recoveryPlans/{plan}.
func (s *Server) PutRecoveryPlan(ctx context.Context, r oapi.PutRecoveryPlanRequestObject) (oapi.PutRecoveryPlanResponseObject, error) {
	d, err := s.definePlan(ctx, r)
	if err != nil {
		return nil, err
	}
	body, err := s.recoveryPlanOf(ctx, r.Plan, d.state, d.version)
	if err != nil {
		return nil, err
	}
	if !d.known {
		return oapi.PutRecoveryPlan201JSONResponse{Body: body, Headers: oapi.PutRecoveryPlan201ResponseHeaders{ETag: d.etag(), XEventPosition: d.at()}}, nil
	}
	return oapi.PutRecoveryPlan200JSONResponse{RecoveryPlanReadJSONResponse: oapi.RecoveryPlanReadJSONResponse{
		Body: body, Headers: oapi.RecoveryPlanReadResponseHeaders{ETag: d.etag(), XEventPosition: d.at()},
	}}, nil
}

// defined is a plan as a request has left it.
type defined struct {
	done

	known bool // it was there before
	state recoveryplan.State
}

// definePlan defines a plan that stands where the request says. Of two requests at once
// one comes after the other: it finds the plan.
func (s *Server) definePlan(ctx context.Context, r oapi.PutRecoveryPlanRequestObject) (defined, error) {
	cmd := recoveryplan.Define{Definition: definitionFrom(r.Plan, r.Body), Limits: s.planLimits, At: s.now()}
	for attempt := 1; ; attempt++ {
		before, version, err := s.plans.Load(ctx, r.Vault+"."+r.Plan)
		if err == nil {
			err = holdsAt(version, r.Params.IfMatch)
		}
		if err == nil && r.Params.IfMatch == nil && before.Defined && !before.Definition.Equal(cmd.Definition) {
			err = errUnconditional
		}
		if err != nil {
			return defined{}, err
		}
		d, state, err := execute(ctx, s, s.plans, r.Vault+"."+r.Plan, recoveryplan.Command(cmd), request{vault: r.Vault, ifMatch: streamAt(version), ifNew: version == 0})
		if errors.Is(err, errStale) && attempt < raceRetries {
			continue
		}
		return defined{done: d, known: before.Defined, state: state}, err
	}
}

// DeleteRecoveryPlan answers DELETE …/recoveryPlans/{plan}.
func (s *Server) DeleteRecoveryPlan(ctx context.Context, r oapi.DeleteRecoveryPlanRequestObject) (oapi.DeleteRecoveryPlanResponseObject, error) {
	if r.Params.IfMatch == nil {
		return nil, errUnconditional
	}
	d, _, err := execute(ctx, s, s.plans, r.Vault+"."+r.Plan, recoveryplan.Command(recoveryplan.Delete{At: s.now()}), request{vault: r.Vault, ifMatch: r.Params.IfMatch})
	if err != nil {
		return nil, err
	}
	return oapi.DeleteRecoveryPlan204Response{Headers: oapi.GoneResponseHeaders{XEventPosition: d.at()}}, nil
}

func definitionFrom(id string, in *oapi.RecoveryPlanInput) recoveryplan.Definition {
	d := recoveryplan.Definition{Name: id, OnFailure: recoveryplan.Stop}
	if in.Name != nil {
		d.Name = *in.Name
	}
	if in.OnFailure != nil {
		d.OnFailure = recoveryplan.OnFailure(*in.OnFailure)
	}
	d.Groups = each(in.Groups, func(g oapi.PlanGroup) recoveryplan.Group {
		return recoveryplan.Group{Name: value(g.Name), Items: g.Items, PreActions: actionsFrom(g.PreActions), PostActions: actionsFrom(g.PostActions)}
	})
	return d
}

func actionsFrom(in *[]oapi.PlanAction) []recoveryplan.Action {
	if in == nil || len(*in) == 0 {
		return nil
	}
	return each(*in, func(a oapi.PlanAction) recoveryplan.Action {
		out := recoveryplan.Action{
			Name: a.Name, Kind: recoveryplan.ActionKind(a.Kind), Instructions: value(a.Instructions), Script: value(a.Script), Arguments: value(a.Arguments),
			Address: value(a.Address), TimeoutSeconds: int(value(a.TimeoutSeconds)),
		}
		for _, o := range value(a.FailoverTypes) {
			out.FailoverTypes = append(out.FailoverTypes, recoveryplan.Operation(o))
		}
		if a.TimeoutSeconds == nil && out.Kind != recoveryplan.Manual {
			out.TimeoutSeconds = defaultActionSeconds
		}
		return out
	})
}

// recoveryPlanOf shows a plan, with the status of its runs as their jobs have it.
func (s *Server) recoveryPlanOf(ctx context.Context, id string, st recoveryplan.State, version eventstore.Version) (oapi.RecoveryPlan, error) {
	body := oapi.RecoveryPlan{
		ID: id, Name: st.Definition.Name, OnFailure: oapi.PlanOnFailure(st.Definition.OnFailure), Revision: small(st.Revision), Etag: etagOf(version),
		Readiness: readinessOf(st), AllowedOperations: s.planOperations(st),
		Groups: each(st.Definition.Groups, func(g recoveryplan.Group) oapi.PlanGroup {
			return oapi.PlanGroup{Name: optional(g.Name), Items: append([]string{}, g.Items...), PreActions: actionsOf(g.PreActions), PostActions: actionsOf(g.PostActions)}
		}),
	}
	if last := st.LastRun; last != nil {
		run := runOf(last.Run, oapi.JobStatus(last.Outcome))
		run.EndedAt, run.Error = at(last.EndedAt), undated(last.Failure)
		run.Items = new(each(last.Items, func(i recoveryplan.ItemOutcome) oapi.PlanItemOutcome {
			return oapi.PlanItemOutcome{Item: i.Item, Job: optional(i.Job), Outcome: oapi.PlanItemOutcomeOutcome(i.Outcome), Detail: optional(i.Detail)}
		}))
		body.LastRun = &run
	}
	if st.Run != nil {
		state, _, err := s.jobs.Load(ctx, st.Run.JobID)
		if err != nil {
			return body, err
		}
		status := state.Status
		if status == "" {
			status = job.NotStarted
		}
		body.CurrentRun = new(runOf(*st.Run, oapi.JobStatus(status)))
	}
	return body, nil
}

func runOf(r recoveryplan.Run, status oapi.JobStatus) oapi.PlanRun {
	return oapi.PlanRun{
		Job: r.JobID, Operation: oapi.PlanOperation(r.Operation), Status: status, RestartOf: optional(r.RestartOf), StartedAt: r.StartedAt.UTC(), StartedBy: optional(r.By),
	}
}

func actionsOf(actions []recoveryplan.Action) *[]oapi.PlanAction {
	if len(actions) == 0 {
		return nil
	}
	return new(each(actions, func(a recoveryplan.Action) oapi.PlanAction {
		out := oapi.PlanAction{Name: a.Name, Kind: oapi.PlanActionKind(a.Kind), Instructions: optional(a.Instructions), Script: optional(a.Script), Address: optional(a.Address)}
		if len(a.Arguments) > 0 {
			out.Arguments = &a.Arguments
		}
		if len(a.FailoverTypes) > 0 {
			out.FailoverTypes = new(each(a.FailoverTypes, func(o recoveryplan.Operation) oapi.PlanActionFailoverTypes { return oapi.PlanActionFailoverTypes(o) }))
		}
		if a.TimeoutSeconds > 0 {
			out.TimeoutSeconds = new(small(a.TimeoutSeconds))
		}
		return out
	}))
}

// planOperations says what can be asked of a plan; each answer is that of the rule
// itself.
func (s *Server) planOperations(st recoveryplan.State) []oapi.Operation {
	const asked = "asked"
	commands := []struct {
		name string
		cmd  recoveryplan.Command
	}{{"deleteRecoveryPlan", recoveryplan.Delete{}}}
	for _, o := range recoveryplan.Operations() {
		commands = append(commands, struct {
			name string
			cmd  recoveryplan.Command
		}{planRoute(o), recoveryplan.StartRun{JobID: asked, Operation: o}})
	}
	out := make([]oapi.Operation, 0, len(commands))
	for _, c := range commands {
		o := oapi.Operation{Name: c.name, Allowed: true}
		if _, err := recoveryplan.Decider.Decide(st, c.cmd); err != nil {
			p := problemFor(err)
			o.Allowed, o.Code, o.Reason = p.Status < http.StatusBadRequest, &p.Code, p.Detail
		}
		out = append(out, o)
	}
	return out
}

// planRoute is the last word of the route of a plan's operation.
func planRoute(o recoveryplan.Operation) string {
	return strings.ToLower(string(o[:1])) + string(o[1:])
}
