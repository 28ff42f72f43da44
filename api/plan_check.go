package api

import (
	"context"
	"errors"

	"farshore/api/oapi"
	"farshore/domain"
	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
	"farshore/domain/recoveryplan"
)

// CheckPlanReadiness answers POST …/checkReadiness.
func (s *Server) CheckPlanReadiness(ctx context.Context, r oapi.CheckPlanReadinessRequestObject) (oapi.CheckPlanReadinessResponseObject, error) {
	op := recoveryplan.PlannedFailover
	if named := value(r.Body).Operation; named != nil {
		op = recoveryplan.Operation(*named)
	}
	key := r.Vault + "." + r.Plan
	before, _, err := s.plans.Load(ctx, key)
	if err != nil {
		return nil, err
	}
	findings, err := s.planFindings(ctx, r.Vault, before.Definition, op, recoveryplan.Options{})
	if err != nil {
		return nil, err
	}
	cmd := recoveryplan.RecordReadiness{Operation: op, Findings: findings, By: callOf(ctx).actor(), At: s.now()}
	d, state, err := execute(ctx, s, s.plans, key, recoveryplan.Command(cmd), request{vault: r.Vault, ifMatch: r.Params.IfMatch, key: r.Params.IdempotencyKey})
	if err != nil {
		return nil, err
	}
	body, err := s.recoveryPlanOf(ctx, r.Plan, state, d.version)
	if err != nil {
		return nil, err
	}
	return oapi.CheckPlanReadiness200JSONResponse{RecoveryPlanReadJSONResponse: oapi.RecoveryPlanReadJSONResponse{
		Body: body, Headers: oapi.RecoveryPlanReadResponseHeaders{ETag: d.etag(), XEventPosition: d.at()},
	}}, nil
}

// planFindings asks each item's own rules, its health, and the scripts directory
// what would make a run fail.
func (s *Server) planFindings(ctx context.Context, vault string, d recoveryplan.Definition, op recoveryplan.Operation, o recoveryplan.Options) ([]recoveryplan.Finding, error) {
	var findings []recoveryplan.Finding
	for n, g := range d.Groups {
		for _, item := range g.Items {
			found, err := s.itemFinding(ctx, vault, item, op, o)
			if err != nil {
				return nil, err
			}
			if found != nil {
				findings = append(findings, recoveryplan.Finding{Group: n + 1, Item: item, Code: found.Code, Detail: found.Detail})
			}
		}
		for _, a := range append(append([]recoveryplan.Action{}, g.PreActions...), g.PostActions...) {
			if a.Kind != recoveryplan.Script || !a.For(op) || s.findScript == nil {
				continue
			}
			if err := s.findScript(a.Script); err != nil {
				f := errorcatalog.Of(err)
				findings = append(findings, recoveryplan.Finding{Group: n + 1, Action: a.Name, Code: f.Code, Detail: f.Detail})
			}
		}
	}
	return findings, nil
}

// itemFinding says why an item could not be moved; nil if it could, or is where it
// would be moved to.
func (s *Server) itemFinding(ctx context.Context, vault, item string, op recoveryplan.Operation, o recoveryplan.Options) (*errorcatalog.Failure, error) {
	state, _, err := s.protectedItems.Load(ctx, vault+"."+item)
	if err != nil {
		return nil, err
	}
	if _, settled := protecteditem.Settled(state, string(op)); settled {
		return nil, nil
	}
	choices := choicesOf(o)
	if op == recoveryplan.PlannedFailover {
		networks, err := s.itemPlan(ctx, vault, item)
		if err != nil {
			return nil, err
		}
		choices.Networks = &networks
	}
	if op == recoveryplan.TestFailover {
		if choices.Known, err = s.drillNetworks(ctx, vault, item, choices.Network); err != nil {
			return nil, err
		}
	}
	_, cmd := protecteditem.PlanCommand(state, string(op), choices, s.newID(), s.now())
	if _, err := protecteditem.Decider.Decide(state, cmd); err != nil {
		r, refused := errors.AsType[*domain.RejectionError](err)
		if !refused {
			return nil, err
		}
		return errorcatalog.Fail(r.Code, "%s", r.Detail), nil
	}
	health, reasons := protecteditem.HealthOf(state, s.now())
	if health != protecteditem.Critical || !op.Acts() || op == recoveryplan.UnplannedFailover || len(reasons) == 0 {
		return nil, nil
	}
	return errorcatalog.Fail(reasons[0].Code, "%s", reasons[0].Detail), nil
}

// choicesOf are a run's options as its items are asked with them.
func choicesOf(o recoveryplan.Options) protecteditem.PlanChoices {
	point := protecteditem.PointChoice(o.RecoveryPoint)
	if point == "" {
		point = protecteditem.Latest
	}
	return protecteditem.PlanChoices{
		Point: point, Network: o.Network, ShutDownSource: o.ShutDownSource, Resume: o.Resume, Notes: o.Notes, AllowUnmappedNetworks: o.AllowUnmappedNetworks,
	}
}

func findingsOf(findings []recoveryplan.Finding) []oapi.PlanFinding {
	return each(findings, func(f recoveryplan.Finding) oapi.PlanFinding {
		out := oapi.PlanFinding{Group: small(f.Group), Item: optional(f.Item), Action: optional(f.Action), Code: string(f.Code), Detail: optional(f.Detail)}
		if e, ok := errorcatalog.Lookup(f.Code); ok {
			out.Remedy = optional(e.Remedy)
		}
		return out
	})
}

// readinessOf shows what the last check has found, and whether it still holds.
func readinessOf(st recoveryplan.State) oapi.PlanReadiness {
	r := st.Readiness
	if r == nil {
		return oapi.PlanReadiness{State: oapi.PlanReadinessStateNeverChecked}
	}
	out := oapi.PlanReadiness{
		State: oapi.PlanReadinessStateNotReady, Operation: new(oapi.PlanOperation(r.Operation)), Revision: new(small(r.Revision)),
		CheckedAt: at(r.At), CheckedBy: optional(r.By), Findings: new(findingsOf(r.Findings)),
	}
	switch {
	case st.Lapsed():
		out.State = oapi.PlanReadinessStateLapsed
	case st.Ready():
		out.State = oapi.PlanReadinessStateReady
	}
	return out
}
