package planrun

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"farshore/domain"
	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/domain/recoveryplan"
	"farshore/workers/workflow"
)

// standing is how far an item is in a run.
type standing int

const (
	unasked standing = iota
	skipped
	underWay
	prepared // and waits for the run
	succeeded
	failed
	failedBefore // it was not prepared
)

// child is an item in a run, with its own job.
type child struct {
	item    string
	id      string // of its job
	state   protecteditem.State
	journal job.State
	standing
	note string // why it is skipped or has failed
}

// ChildID is the id of an item's job in a run. It is the same after a crash, and
// lies in time where the run does.
func ChildID(runJob, item string) string {
	sum := sha256.Sum256([]byte(runJob + "/" + item))
	id := uuid.UUID(sum[:16])
	if of, err := uuid.Parse(runJob); err == nil {
		copy(id[:6], of[:6])
	}
	id[6] = id[6]&0x0f | 0x70 // version 7
	id[8] = id[8]&0x3f | 0x80
	return id.String()
}

// look reads how far an item is.
func (r *run) look(ctx context.Context, item string) (child, error) {
	c := child{item: item, id: ChildID(r.now.JobID, item)}
	var err error
	if c.state, _, err = r.Items.Load(ctx, r.vault+"."+item); err != nil {
		return c, fmt.Errorf("load protected item %s: %w", item, err)
	}
	if c.journal, _, err = r.Jobs.Load(ctx, c.id); err != nil {
		return c, fmt.Errorf("load job %s of item %s: %w", c.id, item, err)
	}
	c.standing, c.note = r.standingOf(c)
	return c, nil
}

func (r *run) standingOf(c child) (standing, string) {
	switch {
	case c.journal.Status == "":
		if why, settled := protecteditem.Settled(c.state, string(r.now.Operation)); settled {
			return skipped, why
		}
		return unasked, ""
	case c.journal.Status == job.Succeeded:
		return succeeded, ""
	case c.journal.Status.Ended():
		return r.failureOf(c)
	case c.journal.Status == job.NotStarted && !c.state.Knows(c.id):
		return unasked, ""
	case ready(c.state, c.id):
		return prepared, ""
	default:
		return underWay, ""
	}
}

// failureOf tells an item that has failed on its way from one that was never
// prepared, and why.
func (r *run) failureOf(c child) (standing, string) {
	why := "its job was canceled"
	if f := c.journal.Failure; f != nil {
		why = told(f.Code, f.Detail)
	}
	if r.now.Operation != recoveryplan.PlannedFailover && r.now.Operation != recoveryplan.Failback {
		return failed, why
	}
	for _, step := range []string{"await_release", "await_completion"} {
		if t, _ := c.journal.Task(step); t.Status == job.Succeeded {
			return failed, why
		}
	}
	return failedBefore, why
}

// ready says whether an item waits under a job for the run to let it go on.
func ready(s protecteditem.State, id string) bool {
	if s.Job == nil || s.Job.ID != id {
		return false
	}
	return s.Protection == protecteditem.FailbackAwaitingCompletion ||
		s.Protection == protecteditem.PlannedFailoverInProgress && s.Hold == protecteditem.HoldReady
}

// move brings the items of a step on, all at the same time, and comes back until
// none is under way.
func (r *run) move(ctx context.Context, step recoveryplan.Step, out map[string]string) error {
	var notes, failures []string
	waiting := false
	for _, item := range step.Items {
		c, err := r.bring(ctx, step, item)
		if err != nil {
			return err
		}
		switch c.standing {
		case skipped:
			notes = append(notes, item+" is skipped: "+c.note)
		case failedBefore:
			if step.Kind == recoveryplan.Move && r.toldBefore(item) {
				notes = append(notes, item+" is left out, it has failed before: "+c.note)
			} else {
				failures = append(failures, item+" (job "+c.id+"): "+c.note)
			}
		case failed:
			failures = append(failures, item+" (job "+c.id+"): "+c.note)
		case succeeded:
		case prepared:
			waiting = waiting || step.Kind != recoveryplan.Prepare
		default:
			waiting = true
		}
	}
	if waiting {
		r.due = r.Now().Add(floor)
		return errRest
	}
	notes = append(notes, failures...)
	out[noteKey] = strings.Join(notes, "\n")
	if len(failures) > 0 {
		return errorcatalog.Fail(errorcatalog.PlanItemFailed, "%s", strings.Join(notes, "; "))
	}
	return nil
}

// toldBefore says whether the step that was to prepare an item has failed: then the
// run has. An item whose job ends only after that step is told of where it is missed.
func (r *run) toldBefore(item string) bool {
	return slices.ContainsFunc(r.steps, func(s recoveryplan.Step) bool {
		t, _ := r.journal.Task(s.Name)
		return s.Kind == recoveryplan.Prepare && t.Status == job.Failed && slices.Contains(s.Items, item)
	})
}

// bring asks an item for what the step is for, or lets it go on, and tells how far
// it is. It repeats safely: the job has its id before the item is asked, and an
// item that knows the job is not asked again.
func (r *run) bring(ctx context.Context, step recoveryplan.Step, item string) (child, error) {
	c, err := r.look(ctx, item)
	if err != nil {
		return c, err
	}
	switch {
	case c.standing == unasked:
		return r.request(ctx, step, c)
	case c.standing == prepared && step.Kind == recoveryplan.Move:
		return r.release(ctx, c)
	default:
		return c, nil
	}
}

// request announces the item's job, then asks the item. What the item refuses is
// the job's failure.
func (r *run) request(ctx context.Context, step recoveryplan.Step, c child) (child, error) {
	choices := r.choices()
	choices.Hold = step.Kind == recoveryplan.Prepare
	drill := r.now.Operation == recoveryplan.TestFailover && choices.Network != ""
	if (drill || r.now.Operation == recoveryplan.PlannedFailover) && r.Networks != nil {
		known, err := r.Networks(ctx, c.state)
		if err != nil {
			return c, fmt.Errorf("look for the networks of %s: %w", c.item, err)
		}
		choices.Networks, choices.Known = new(protecteditem.PlanNetworks(c.state, known)), &known
	}
	kind, cmd := protecteditem.PlanCommand(c.state, string(r.now.Operation), choices, c.id, r.Now())
	if err := r.tell(ctx, c, job.Announce{Vault: r.vault, Kind: job.Kind(kind), Subject: r.vault + "." + c.item, Parent: r.now.JobID, At: r.Now()}); err != nil {
		return c, err
	}
	_, err := r.Items.Execute(ctx, r.vault+"."+c.item, cmd, r.execution(c.id))
	if refused, ok := errors.AsType[*domain.RejectionError](err); ok {
		f := errorcatalog.Fail(refused.Code, "%s", refused.Detail)
		if err := r.tell(ctx, c, job.Fail{Failure: f, At: r.Now()}); err != nil {
			return c, err
		}
		c.standing, c.note = failed, told(f.Code, f.Detail)
		return c, nil
	}
	if err != nil {
		return c, fmt.Errorf("ask %s for %s: %w", c.item, r.now.Operation, err)
	}
	c.standing = underWay
	return c, nil
}

// choices are the run's, as its items are asked.
func (r *run) choices() protecteditem.PlanChoices {
	o := r.now.Options
	point := protecteditem.PointChoice(o.RecoveryPoint)
	if point == "" {
		point = protecteditem.Latest
	}
	return protecteditem.PlanChoices{
		Point: point, Network: o.Network, ShutDownSource: o.ShutDownSource, Resume: o.Resume, Notes: o.Notes, AllowUnmappedNetworks: o.AllowUnmappedNetworks,
	}
}

// release lets an item go on that waits.
func (r *run) release(ctx context.Context, c child) (child, error) {
	var cmd protecteditem.Command = protecteditem.ReleasePlannedFailover{JobID: c.id, At: r.Now()}
	if c.state.Protection == protecteditem.FailbackAwaitingCompletion {
		cmd = protecteditem.CompleteFailback{JobID: c.id, At: r.Now()}
	}
	_, err := r.Items.Execute(ctx, r.vault+"."+c.item, cmd, r.execution(c.id))
	if refused, ok := errors.AsType[*domain.RejectionError](err); ok {
		c.standing, c.note = failed, told(refused.Code, refused.Detail)
		return c, nil
	}
	if err != nil {
		return c, fmt.Errorf("let %s go on: %w", c.item, err)
	}
	c.standing = underWay
	return c, nil
}

// tell records a command on an item's job.
func (r *run) tell(ctx context.Context, c child, cmd job.Command) error {
	if _, err := r.Jobs.Execute(ctx, c.id, cmd, r.execution(c.id)); err != nil {
		return fmt.Errorf("record %T of job %s: %w", cmd, c.id, err)
	}
	return nil
}

// rest stops what is under way, as far as that can be taken back, and reports
// whether every item is at rest. What waits for a retry or an operator is not
// waited for: it goes on by itself.
func (r *run) rest(ctx context.Context) (bool, error) {
	resting := true
	for _, item := range r.plan.Definition.Items() {
		c, err := r.look(ctx, item)
		if err != nil {
			return false, err
		}
		switch {
		case c.journal.Status == "" || c.journal.Status.Ended():
		case c.standing == unasked: // announced and no more
			err = r.tell(ctx, c, job.Cancel{At: r.Now()})
		case !c.journal.CancelRequested:
			resting, err = false, r.tell(ctx, c, job.RequestCancel{By: "recovery plan " + r.key, At: r.Now()})
		default:
			tries, _ := protecteditem.Attempts(c.state, c.id)
			resting = resting && tries.Failure != nil
		}
		if err != nil && workflow.OutcomeOf(ctx, err) != workflow.Overtaken {
			return false, err
		}
	}
	return resting, nil
}

// outcomes tells what has become of each item.
func (r *run) outcomes(ctx context.Context) ([]recoveryplan.ItemOutcome, error) {
	var all []recoveryplan.ItemOutcome
	for _, item := range r.plan.Definition.Items() {
		c, err := r.look(ctx, item)
		if err != nil {
			return nil, err
		}
		all = append(all, r.outcome(c))
	}
	return all, nil
}

func (r *run) outcome(c child) recoveryplan.ItemOutcome {
	o := recoveryplan.ItemOutcome{Item: c.item, Job: c.id, Detail: c.note}
	switch {
	case c.journal.Status == "":
		o.Job, o.Outcome = "", recoveryplan.NotReached
		if c.standing == skipped && r.reached(c.item) {
			o.Outcome = recoveryplan.Skipped
		} else {
			o.Detail = told(errorcatalog.PlanStopped, "the run ended before it came to this item")
		}
	case c.standing == succeeded:
		o.Outcome = recoveryplan.Succeeded
	case c.journal.Status == job.Canceled:
		o.Outcome, o.Detail = recoveryplan.Canceled, told(errorcatalog.PlanStopped, "it was taken back")
	case c.standing == failed || c.standing == failedBefore:
		o.Outcome = recoveryplan.Failed
	default:
		o.Outcome, o.Detail = recoveryplan.Failed, "it has not come to its end and goes on by itself"
	}
	return o
}

// told is a reason as it is kept with an item's outcome.
func told(code errorcatalog.Code, detail string) string { return string(code) + ": " + detail }

// reached says whether a step that moves an item has ended.
func (r *run) reached(item string) bool {
	for _, s := range r.steps {
		for _, i := range s.Items {
			if t, _ := r.journal.Task(s.Name); i == item && (t.Status == job.Succeeded || t.Status == job.Failed) {
				return true
			}
		}
	}
	return false
}
