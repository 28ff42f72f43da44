package recoveryplan_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"farshore/domain/domaintest"
	"farshore/domain/errorcatalog"
	"farshore/domain/recoveryplan"
)

type (
	scenario = domaintest.Scenario[recoveryplan.Command, recoveryplan.Event]
	events   = []recoveryplan.Event
)

var (
	noon   = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	manual = recoveryplan.Action{Name: "Tell the users", Kind: recoveryplan.Manual, Instructions: "Write to them"}
	script = recoveryplan.Action{
		Name: "DNS", Kind: recoveryplan.Script, FailoverTypes: []recoveryplan.Operation{recoveryplan.PlannedFailover}, Script: "dns.sh", Arguments: []string{"--to", "dr"}, TimeoutSeconds: 30,
	}
	port    = recoveryplan.Action{Name: "DB answers", Kind: recoveryplan.AwaitPort, Address: "db.example:5432", TimeoutSeconds: 60}
	defined = recoveryplan.Defined{Definition: shop(), Revision: 1, At: noon}
	checked = recoveryplan.ReadinessChecked{
		Revision: 1, Operation: recoveryplan.PlannedFailover, By: "apikey:1", At: noon,
		Findings: []recoveryplan.Finding{{Group: 1, Item: "db", Action: "a", Code: errorcatalog.NotProtected, Detail: "why"}},
	}
	found   = recoveryplan.ReadinessChecked{Revision: 1, Operation: recoveryplan.PlannedFailover, Ready: true, At: noon}
	running = recoveryplan.RunStarted{
		JobID: "job-1", Operation: recoveryplan.PlannedFailover, Options: recoveryplan.Options{RecoveryPoint: "latest", Network: "lab", ShutDownSource: true, Resume: true, Notes: "n", AllowUnmappedNetworks: true},
		RestartOf: "job-0", Revision: 1, By: "apikey:1", At: noon,
	}
	ended = recoveryplan.RunEnded{
		JobID: "job-1", Outcome: recoveryplan.Failed, Failure: &errorcatalog.Failure{Code: errorcatalog.PlanItemFailed, Detail: "web"},
		Items: []recoveryplan.ItemOutcome{{Item: "web", Job: "job-2", Outcome: recoveryplan.Failed, Detail: "why"}}, At: noon,
	}
	deleted = recoveryplan.Deleted{At: noon}
)

// shop is a plan of three VMs in two groups.
func shop() recoveryplan.Definition {
	return recoveryplan.Definition{Name: "Shop", OnFailure: recoveryplan.Stop, Groups: []recoveryplan.Group{
		{Name: "data", Items: []string{"db"}, PostActions: []recoveryplan.Action{script, port}},
		{Items: []string{"app", "web"}, PreActions: []recoveryplan.Action{manual}},
	}}
}

func TestStoredForm(t *testing.T) {
	t.Parallel()
	domaintest.StoredForm(t, recoveryplan.Category, recoveryplan.Events(), []recoveryplan.Event{defined, deleted, checked, running, ended})
}

// but is the shop with something changed.
func but(change func(d *recoveryplan.Definition)) recoveryplan.Define {
	d := shop()
	change(&d)
	return recoveryplan.Define{Definition: d, Limits: recoveryplan.DefaultLimits(), At: noon}
}

func TestAPlanIsDefined(t *testing.T) {
	t.Parallel()
	define := but(func(*recoveryplan.Definition) {})
	other := but(func(d *recoveryplan.Definition) { d.Name = "Till" })
	changed := recoveryplan.Defined{Definition: other.Definition, Revision: 2, At: noon}
	wrong := func(field string, change func(d *recoveryplan.Definition)) scenario {
		return scenario{When: but(change), Refused: errorcatalog.ValidationFailed, Field: field}
	}
	acts := func(a recoveryplan.Action) func(d *recoveryplan.Definition) {
		return func(d *recoveryplan.Definition) { d.Groups[0].PreActions = []recoveryplan.Action{a} }
	}
	const at = "/groups/0/preActions/0"
	domaintest.Decide(t, recoveryplan.Decider, map[string]scenario{
		"a plan is defined":                     {When: define, Then: events{defined}},
		"defined again it is as it was":         {Given: events{defined}, When: define},
		"a plan is changed":                     {Given: events{defined, found}, When: other, Then: events{changed}},
		"a plan that runs is not changed":       {Given: events{defined, running}, When: other, Refused: errorcatalog.OperationInProgress},
		"a plan that runs may be sent as it is": {Given: events{defined, running}, When: define},
		"a deleted plan may be defined again":   {Given: events{defined, deleted}, When: define, Then: events{recoveryplan.Defined{Definition: shop(), Revision: 2, At: noon}}},
		"a plan is deleted":                     {Given: events{defined}, When: recoveryplan.Delete{At: noon}, Then: events{deleted}},
		"a plan is deleted once":                {Given: events{defined, deleted}, When: recoveryplan.Delete{}, Refused: errorcatalog.RecoveryPlanNotFound},
		"a plan that runs is not deleted":       {Given: events{defined, running}, When: recoveryplan.Delete{}, Refused: errorcatalog.OperationInProgress},
		"a plan has a name":                     wrong("/name", func(d *recoveryplan.Definition) { d.Name = "" }),
		"a plan says what a failure means":      wrong("/onFailure", func(d *recoveryplan.Definition) { d.OnFailure = "Shrug" }),
		"a plan has groups":                     wrong("/groups", func(d *recoveryplan.Definition) { d.Groups = nil }),
		"a plan has at most seven groups":       wrong("/groups", func(d *recoveryplan.Definition) { d.Groups = append(d.Groups, make([]recoveryplan.Group, 6)...) }),
		"a plan has items":                      wrong("/groups", func(d *recoveryplan.Definition) { d.Groups = d.Groups[:1]; d.Groups[0].Items = nil }),
		"a plan has at most a hundred items":    wrong("/groups", func(d *recoveryplan.Definition) { d.Groups[0].Items = strings.Fields(strings.Repeat("a ", 99)) }),
		"a group's name can be read":            wrong("/groups/1/name", func(d *recoveryplan.Definition) { d.Groups[1].Name = "a\nb" }),
		"an item is a name":                     wrong("/groups/1/items/0", func(d *recoveryplan.Definition) { d.Groups[1].Items[0] = "No" }),
		"an item is in a plan once":             wrong("/groups/1/items/1", func(d *recoveryplan.Definition) { d.Groups[1].Items[1] = "db" }),
		"actions have an end":                   wrong("/groups/0/preActions", func(d *recoveryplan.Definition) { d.Groups[0].PreActions = make([]recoveryplan.Action, 21) }),
		"an action has a name":                  wrong(at+"/name", acts(recoveryplan.Action{Kind: recoveryplan.Manual})),
		"an action is of a kind":                wrong(at+"/kind", acts(recoveryplan.Action{Name: "a"})),
		"an action belongs to failovers":        wrong(at+"/failoverTypes/0", acts(recoveryplan.Action{Name: "a", Kind: recoveryplan.Manual, FailoverTypes: []recoveryplan.Operation{recoveryplan.FailoverCommit}})),
		"a manual action says what to do":       wrong(at+"/instructions", acts(recoveryplan.Action{Name: "a", Kind: recoveryplan.Manual})),
		"a manual action runs nothing":          wrong(at+"/script", acts(recoveryplan.Action{Name: "a", Kind: recoveryplan.Manual, Instructions: "i", Script: "s"})),
		"a script is a file":                    wrong(at+"/script", acts(recoveryplan.Action{Name: "a", Kind: recoveryplan.Script, Script: "../sh", TimeoutSeconds: 1})),
		"a script has a time":                   wrong(at+"/timeoutSeconds", acts(recoveryplan.Action{Name: "a", Kind: recoveryplan.Script, Script: "s"})),
		"a script has few arguments":            wrong(at+"/arguments", acts(recoveryplan.Action{Name: "a", Kind: recoveryplan.Script, Script: "s", Arguments: make([]string, 33), TimeoutSeconds: 1})),
		"an argument is short":                  wrong(at+"/arguments/0", acts(recoveryplan.Action{Name: "a", Kind: recoveryplan.Script, Script: "s", Arguments: []string{"\x00"}, TimeoutSeconds: 1})),
		"a script has no address":               wrong(at+"/address", acts(recoveryplan.Action{Name: "a", Kind: recoveryplan.Script, Script: "s", Address: "a:1", TimeoutSeconds: 1})),
		"a port has an address":                 wrong(at+"/address", acts(recoveryplan.Action{Name: "a", Kind: recoveryplan.AwaitPort, Address: "db", TimeoutSeconds: 1})),
		"a port has a time":                     wrong(at+"/timeoutSeconds", acts(recoveryplan.Action{Name: "a", Kind: recoveryplan.AwaitPort, Address: "db:1"})),
		"a port has no instructions":            wrong(at+"/instructions", acts(recoveryplan.Action{Name: "a", Kind: recoveryplan.AwaitPort, Address: "db:1", Instructions: "i", TimeoutSeconds: 1})),
		"the limits are the server's": {
			When: recoveryplan.Define{Definition: shop(), Limits: recoveryplan.Limits{Groups: 1, Items: 9}}, Refused: errorcatalog.ValidationFailed, Field: "/groups",
		},
	})
}

func TestAPlanRuns(t *testing.T) {
	t.Parallel()
	start := recoveryplan.StartRun{JobID: "job-1", Operation: recoveryplan.PlannedFailover, At: noon}
	open := recoveryplan.RunStarted{JobID: "job-1", Operation: recoveryplan.PlannedFailover, Revision: 1, At: noon}
	end := recoveryplan.EndRun{JobID: "job-1", Outcome: recoveryplan.Failed, Failure: ended.Failure, Items: ended.Items, At: noon}
	again := recoveryplan.StartRun{JobID: "job-2", Operation: recoveryplan.PlannedFailover, RestartOf: "job-1", At: noon}
	well := recoveryplan.RunEnded{JobID: "job-1", Outcome: recoveryplan.Succeeded, At: noon}
	changed := recoveryplan.Defined{Definition: shop(), Revision: 2, At: noon}
	domaintest.Decide(t, recoveryplan.Decider, map[string]scenario{
		"a plan is run":                           {Given: events{defined}, When: start, Then: events{open}},
		"a plan is run once":                      {Given: events{defined, open}, When: start},
		"a run that has ended is not begun again": {Given: events{defined, open, ended}, When: start},
		"a second run is refused":                 {Given: events{defined, open}, When: recoveryplan.StartRun{JobID: "job-9", Operation: recoveryplan.Failback}, Refused: errorcatalog.OperationInProgress},
		"no plan is not run":                      {When: start, Refused: errorcatalog.RecoveryPlanNotFound},
		"a run has a job":                         {Given: events{defined}, When: recoveryplan.StartRun{}, Refused: errorcatalog.ValidationFailed, Field: "/jobId"},
		"a run is an operation":                   {Given: events{defined}, When: recoveryplan.StartRun{JobID: "j", Operation: "Dance"}, Refused: errorcatalog.ValidationFailed, Field: "/operation"},
		"notes have an end":                       {Given: events{defined}, When: recoveryplan.StartRun{JobID: "j", Operation: recoveryplan.Failback, Options: recoveryplan.Options{Notes: strings.Repeat("a", 4097)}}, Refused: errorcatalog.ValidationFailed, Field: "/notes"},
		"a run ends":                              {Given: events{defined, open}, When: end, Then: events{ended}},
		"a run ends once":                         {Given: events{defined, open, ended}, When: end},
		"another run does not end":                {Given: events{defined, open}, When: recoveryplan.EndRun{JobID: "job-9", Outcome: recoveryplan.Failed}, Refused: errorcatalog.StaleJob},
		"a run ends somehow":                      {Given: events{defined, open}, When: recoveryplan.EndRun{JobID: "job-1"}, Refused: errorcatalog.ValidationFailed, Field: "/outcome"},
		"a failed run goes on":                    {Given: events{defined, open, ended}, When: again, Then: events{recoveryplan.RunStarted{JobID: "job-2", Operation: recoveryplan.PlannedFailover, RestartOf: "job-1", Revision: 1, At: noon}}},
		"a run that went well does not":           {Given: events{defined, open, well}, When: again, Refused: errorcatalog.JobNotFailed},
		"only the last run goes on":               {Given: events{defined, open, ended}, When: recoveryplan.StartRun{JobID: "job-2", Operation: recoveryplan.PlannedFailover, RestartOf: "job-0"}, Refused: errorcatalog.JobNotRestartable},
		"a run goes on as what it was":            {Given: events{defined, open, ended}, When: recoveryplan.StartRun{JobID: "job-2", Operation: recoveryplan.Failback, RestartOf: "job-1"}, Refused: errorcatalog.JobNotRestartable},
		"a run of a plan that changed does not":   {Given: events{defined, open, ended, changed}, When: again, Refused: errorcatalog.JobNotRestartable},
	})
}

func TestReadinessIsOfThePlanAsItIs(t *testing.T) {
	t.Parallel()
	check := recoveryplan.RecordReadiness{Operation: recoveryplan.PlannedFailover, At: noon}
	domaintest.Decide(t, recoveryplan.Decider, map[string]scenario{
		"a plan is found ready":        {Given: events{defined}, When: check, Then: events{found}},
		"no plan is not":               {When: check, Refused: errorcatalog.RecoveryPlanNotFound},
		"it is found so for something": {Given: events{defined}, When: recoveryplan.RecordReadiness{}, Refused: errorcatalog.ValidationFailed, Field: "/operation"},
	})
	fold := func(e ...recoveryplan.Event) recoveryplan.State {
		return recoveryplan.Decider.Fold(recoveryplan.State{}, e...)
	}
	if s := fold(defined); s.Ready() || s.Lapsed() {
		t.Error("a plan that was never checked is ready or was")
	}
	if s := fold(defined, found); !s.Ready() || s.Lapsed() {
		t.Error("a plan that was found ready is not")
	}
	if s := fold(defined, checked); s.Ready() {
		t.Error("a plan with findings is ready")
	}
	if s := fold(defined, found, recoveryplan.Defined{Definition: shop(), Revision: 2, At: noon}); s.Ready() || !s.Lapsed() {
		t.Error("readiness has outlived the plan's change")
	}
}

// Step names are journaled: a run that began under one must find it again.
func TestStepsAreNamedForEver(t *testing.T) {
	t.Parallel()
	for o, want := range map[recoveryplan.Operation]string{
		recoveryplan.TestFailover:        "group_1_items group_1_post_2 group_2_pre_1 group_2_items",
		recoveryplan.TestFailoverCleanup: "group_2_items group_1_items",
		recoveryplan.PlannedFailover:     "group_2_shut_down group_1_shut_down group_1_items group_1_post_1 group_1_post_2 group_2_pre_1 group_2_items",
		recoveryplan.UnplannedFailover:   "group_1_items group_1_post_2 group_2_pre_1 group_2_items",
		recoveryplan.Failback:            "synchronize group_1_items group_1_post_2 group_2_pre_1 group_2_items",
		recoveryplan.FailoverCommit:      "group_1_items group_2_items",
	} {
		var got []string
		for _, s := range recoveryplan.Steps(shop(), o) {
			got = append(got, s.Name)
			if s.Title == "" || s.Kind == 0 {
				t.Errorf("%s has no title or does nothing", s.Name)
			}
		}
		if !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%s: %v, want %s", o, got, want)
		}
	}
	if len(recoveryplan.Operations()) != 6 || recoveryplan.Failback.Direction() == recoveryplan.PlannedFailover.Direction() {
		t.Error("operations are mixed up")
	}
}
