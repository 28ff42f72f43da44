package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/pb33f/go-yaml"
	"github.com/spf13/cobra"

	"farshore/api/oapi"
)

func (s *session) planCommand() *cobra.Command {
	list := &cobra.Command{Use: "list", Short: "List the recovery plans, their last runs and whether they are ready", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		plans, err := collect[oapi.RecoveryPlan](func(c *string) (*http.Response, error) {
			return s.api.ListRecoveryPlans(cmd.Context(), s.vault, &oapi.ListRecoveryPlansParams{Cursor: c})
		})
		if err != nil {
			return err
		}
		var rows []row
		for _, p := range plans {
			rows = append(rows, row{p.ID, p.Name, len(p.Groups), itemsIn(p), runIn(p), readinessIn(p.Readiness)})
		}
		return s.show(plans, row{"plan", "name", "groups", "items", "last run", "readiness"}, rows)
	}}
	show := &cobra.Command{Use: "show PLAN", Short: "Show a recovery plan, its runs and its readiness", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		a, err := Call[oapi.RecoveryPlan](s.api.GetRecoveryPlan(cmd.Context(), s.vault, args[0], &oapi.GetRecoveryPlanParams{}))
		if err != nil {
			return err
		}
		return s.showPlan(a.Body)
	}}
	remove := &cobra.Command{Use: "delete PLAN", Short: "Delete a recovery plan; its items stay as they are", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		_, err := Call[struct{}](s.api.DeleteRecoveryPlan(cmd.Context(), s.vault, args[0], &oapi.DeleteRecoveryPlanParams{IfMatch: new("*")}))
		return err
	}}
	return group("plan", "Recovery plans: VMs moved in groups, with actions in between", s.planAdd(), list, show, s.planCheck(), s.planRun(), remove)
}

func (s *session) planAdd() *cobra.Command {
	var file, replace string
	add := &cobra.Command{Use: "add PLAN", Short: "Define or change a recovery plan from a YAML or JSON file", Args: cobra.ExactArgs(1)}
	add.Flags().StringVar(&file, "file", "", "the plan: .yaml or .json; - is standard input")
	add.Flags().StringVar(&replace, "if-match", "", "change the plan if it still has this etag; * is any")
	_ = add.MarkFlagRequired("file")
	add.RunE = func(cmd *cobra.Command, args []string) error {
		in, err := readPlan(file, cmd.InOrStdin())
		if err != nil {
			return err
		}
		a, err := Call[oapi.RecoveryPlan](s.api.PutRecoveryPlan(cmd.Context(), s.vault, args[0], &oapi.PutRecoveryPlanParams{IfMatch: ref(replace)}, in))
		if err != nil {
			return err
		}
		return s.showPlan(a.Body)
	}
	return add
}

// readPlan reads a plan from a file. JSON is YAML, too.
func readPlan(file string, stdin io.Reader) (oapi.RecoveryPlanInput, error) {
	var in oapi.RecoveryPlanInput
	text, err := io.ReadAll(stdin)
	if file != "-" {
		text, err = os.ReadFile(file)
	}
	if err != nil {
		return in, fmt.Errorf("read the plan: %w", err)
	}
	var v any
	if err := yaml.Unmarshal(text, &v); err != nil {
		return in, &usageError{fmt.Sprintf("%s is neither YAML nor JSON: %v", file, err)}
	}
	text, err = json.Marshal(v)
	if err != nil {
		return in, &usageError{fmt.Sprintf("%s is not a plan: %v", file, err)}
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		return in, &usageError{fmt.Sprintf("%s is not a plan: %v", file, err)}
	}
	return in, nil
}

func (s *session) planCheck() *cobra.Command {
	var operation string
	check := &cobra.Command{Use: "check PLAN", Short: "Check whether a recovery plan is ready, and record it; exit 1 when it is not", Args: cobra.ExactArgs(1)}
	check.Flags().StringVar(&operation, "operation", "PlannedFailover", "what for: TestFailover, PlannedFailover, UnplannedFailover, Failback, FailoverCommit")
	check.RunE = func(cmd *cobra.Command, args []string) error {
		a, err := Call[oapi.RecoveryPlan](s.api.CheckPlanReadiness(cmd.Context(), s.vault, args[0],
			&oapi.CheckPlanReadinessParams{IdempotencyKey: newIdempotencyKey()}, oapi.CheckPlanInput{Operation: ref(oapi.PlanOperation(operation))}))
		if err != nil {
			return err
		}
		r := a.Body.Readiness
		if err := s.show(r, nil, append([]row{{"readiness", readinessIn(r)}}, findingRows(deref(r.Findings))...)); err != nil {
			return err
		}
		return unready(len(deref(r.Findings)))
	}
	return check
}

// unready is the error of a check that has found something.
func unready(findings int) error {
	if findings == 0 {
		return nil
	}
	return fmt.Errorf("the plan is not ready: %d of its items and actions would fail", findings)
}

func findingRows(findings []oapi.PlanFinding) []row {
	var rows []row
	for _, f := range findings {
		what := "item " + deref(f.Item)
		if f.Action != nil {
			what = "action " + *f.Action
		}
		rows = append(rows, row{fmt.Sprintf("group %d, %s", f.Group, what), fmt.Sprintf("%s [%s]", deref(f.Detail), f.Code), deref(f.Remedy)})
	}
	return rows
}

func (s *session) planRun() *cobra.Command {
	type ask func(ctx context.Context, plan string, only *bool) (*http.Response, error)
	begins := func(use, short string, ask ask) *cobra.Command {
		var w waiting
		cmd := &cobra.Command{Use: use + " PLAN", Short: short, Args: cobra.ExactArgs(1)}
		w.flags(cmd)
		w.validateFlag(cmd)
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			resp, err := ask(cmd.Context(), args[0], ref(w.only))
			if w.only {
				return s.planChecked(resp, err)
			}
			return s.started(cmd.Context(), w, resp, err)
		}
		return cmd
	}
	var (
		point, network, testPoint, notes string
		shutDown, resume, unmapped       bool
	)
	test := begins("test", "Bring copies of the VMs up in an isolated network, group by group", func(ctx context.Context, plan string, only *bool) (*http.Response, error) {
		return s.api.TestFailoverPlan(ctx, s.vault, plan, &oapi.TestFailoverPlanParams{ValidateOnly: only, IdempotencyKey: newIdempotencyKey()},
			oapi.PlanTestFailoverInput{RecoveryPoint: ref(oapi.PlanPoint(testPoint)), Network: ref(network)})
	})
	test.Flags().StringVar(&testPoint, "point", "", "Latest, LatestProcessed or LatestAppConsistent; default Latest")
	test.Flags().StringVar(&network, "network", "", "the isolated network; default none")
	cleanup := begins("cleanup", "Remove what a test of the plan has brought up", func(ctx context.Context, plan string, only *bool) (*http.Response, error) {
		return s.api.CleanUpTestFailoverPlan(ctx, s.vault, plan, &oapi.CleanUpTestFailoverPlanParams{ValidateOnly: only, IdempotencyKey: newIdempotencyKey()},
			oapi.TestFailoverCleanupInput{Notes: ref(notes)})
	})
	cleanup.Flags().StringVar(&notes, "notes", "", "what the drill has shown")
	planned := begins("planned", "Shut the VMs down in reverse order, and start them on the recovery side group by group", func(ctx context.Context, plan string, only *bool) (*http.Response, error) {
		return s.api.PlannedFailoverPlan(ctx, s.vault, plan, &oapi.PlannedFailoverPlanParams{ValidateOnly: only, Resume: ref(resume), AllowUnmappedNetworks: ref(unmapped), IdempotencyKey: newIdempotencyKey()})
	})
	planned.Flags().BoolVar(&unmapped, "allow-unmapped-networks", false, "go on although adapters will not be connected")
	planned.Flags().BoolVar(&resume, "resume", false, "resume replication where it is paused")
	unplanned := begins("unplanned", "Bring the VMs up on the recovery side, whatever has become of their sources", func(ctx context.Context, plan string, only *bool) (*http.Response, error) {
		return s.api.UnplannedFailoverPlan(ctx, s.vault, plan, &oapi.UnplannedFailoverPlanParams{ValidateOnly: only, IdempotencyKey: newIdempotencyKey()},
			oapi.PlanUnplannedFailoverInput{RecoveryPoint: ref(oapi.PlanPoint(point)), ShutDownSource: ref(shutDown)})
	})
	unplanned.Flags().StringVar(&point, "point", "", "Latest, LatestProcessed or LatestAppConsistent; default Latest")
	unplanned.Flags().BoolVar(&shutDown, "shut-down-source", false, "try to stop the sources and to ship their last writes first")
	return group("run", "Run a recovery plan", test, cleanup, planned, unplanned,
		begins("failback", "Bring the VMs back to the primary side, group by group", func(ctx context.Context, plan string, only *bool) (*http.Response, error) {
			return s.api.FailbackPlan(ctx, s.vault, plan, &oapi.FailbackPlanParams{ValidateOnly: only, IdempotencyKey: newIdempotencyKey()})
		}),
		begins("commit", "Commit the failovers and failbacks of the plan", func(ctx context.Context, plan string, only *bool) (*http.Response, error) {
			return s.api.CommitFailoverPlan(ctx, s.vault, plan, &oapi.CommitFailoverPlanParams{ValidateOnly: only, IdempotencyKey: newIdempotencyKey()})
		}))
}

// planChecked shows what would fail of a run.
func (s *session) planChecked(resp *http.Response, err error) error {
	a, err := Call[oapi.PlanCheck](resp, err)
	if err != nil {
		return err
	}
	if err := s.show(a.Body, nil, append([]row{{"ready", a.Body.Ready}}, findingRows(a.Body.Findings)...)); err != nil {
		return err
	}
	return unready(len(a.Body.Findings))
}

func (s *session) showPlan(p oapi.RecoveryPlan) error {
	rows := []row{{"plan", p.ID}, {"name", p.Name}, {"on failure", p.OnFailure}, {"etag", p.Etag}}
	for n, g := range p.Groups {
		rows = append(rows, actionRows("before", g.PreActions)...)
		rows = append(rows, row{strings.TrimSpace(fmt.Sprintf("group %d %s", n+1, deref(g.Name))), strings.Join(g.Items, ", ")})
		rows = append(rows, actionRows("after", g.PostActions)...)
	}
	rows = append(rows, row{"readiness", readinessIn(p.Readiness)})
	rows = append(rows, findingRows(deref(p.Readiness.Findings))...)
	for n, r := range []*oapi.PlanRun{p.CurrentRun, p.LastRun} {
		if r == nil {
			continue
		}
		rows = append(rows, row{[]string{"current run", "last run"}[n], fmt.Sprintf("%s %s, job %s, %s", r.Operation, r.Status, r.Job, ago(&r.StartedAt)), failureIn(r.Error)})
		for _, i := range deref(r.Items) {
			rows = append(rows, row{"  " + i.Item, string(i.Outcome) + ", job " + or(deref(i.Job), "none"), deref(i.Detail)})
		}
	}
	return s.show(p, nil, rows)
}

func actionRows(when string, actions *[]oapi.PlanAction) []row {
	var rows []row
	for _, a := range deref(actions) {
		what := deref(a.Instructions)
		if a.Script != nil {
			what = strings.TrimSpace(*a.Script + " " + strings.Join(deref(a.Arguments), " "))
		}
		if a.Address != nil {
			what = *a.Address
		}
		rows = append(rows, row{"  " + when + ": " + a.Name, fmt.Sprintf("%s: %s", a.Kind, what)})
	}
	return rows
}

func failureIn(f *oapi.Finding) string {
	if f == nil {
		return ""
	}
	return fmt.Sprintf("%s [%s]", f.Detail, f.Code)
}

func itemsIn(p oapi.RecoveryPlan) int {
	n := 0
	for _, g := range p.Groups {
		n += len(g.Items)
	}
	return n
}

func runIn(p oapi.RecoveryPlan) string {
	r := p.LastRun
	if p.CurrentRun != nil {
		r = p.CurrentRun
	}
	if r == nil {
		return "–"
	}
	return fmt.Sprintf("%s %s, %s", r.Operation, r.Status, ago(&r.StartedAt))
}

func readinessIn(r oapi.PlanReadiness) string {
	text := words(string(r.State))
	if r.Operation != nil {
		text += fmt.Sprintf(" (%s, %s)", words(string(*r.Operation)), ago(r.CheckedAt))
	}
	return text
}
