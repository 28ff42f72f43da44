package planrun

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/recoveryplan"
	"farshore/workers/runbook"
	"farshore/workers/workflow"
)

// What tasks keep besides.
const (
	noteKey     = "notes"    // what there is to say about the items
	outputKey   = "output"   // what a script has printed
	commentsKey = "comments" // what an operator has said
	byKey       = "by"
)

// errRest ends a turn in which nothing else can be done.
var errRest = runbook.ErrWaiting

// waits is the error of a turn that ends because of what it waits for.
func waits(err error) error {
	if errors.Is(err, errRest) {
		return nil
	}
	return err
}

// take takes one step, unless the journal says how it has ended.
func (r *run) take(ctx context.Context, step recoveryplan.Step) error {
	task, _ := r.journal.Task(step.Name)
	if task.Status == job.Succeeded || task.Status == job.Failed && task.NextAttemptAt.IsZero() {
		return nil
	}
	if step.Action.Kind == recoveryplan.Script {
		leave, err := r.enter(ctx, task)
		if err != nil {
			return err
		}
		defer leave()
	}
	if err := r.record(ctx, job.StartTask{Task: step.Name, At: r.Now()}); err != nil {
		return err
	}
	out := map[string]string{}
	err := r.perform(ctx, step, out)
	switch {
	case err == nil:
		return r.record(ctx, job.CompleteTask{Task: step.Name, Output: out, At: r.Now()})
	case errors.Is(err, errRest) || workflow.OutcomeOf(ctx, err) != workflow.Failed:
		return err
	default:
		r.Logger.WarnContext(ctx, "step of a recovery plan has failed", "plan", r.key, "step", step.Name, "error", err)
		return r.record(ctx, job.FailTask{Task: step.Name, Failure: errorcatalog.Of(err), At: r.Now()})
	}
}

func (r *run) perform(ctx context.Context, step recoveryplan.Step, out map[string]string) error {
	if step.Kind != recoveryplan.Act {
		return r.move(ctx, step, out)
	}
	switch step.Action.Kind {
	case recoveryplan.Manual:
		return r.ask(ctx, step, out)
	case recoveryplan.Script:
		return r.script(ctx, step, out)
	case recoveryplan.AwaitPort:
		return r.awaitPort(ctx, step, out)
	default:
		return fmt.Errorf("do action %q: no kind %q: %w", step.Action.Name, step.Action.Kind, errUnknown)
	}
}

var errUnknown = errors.New("of another version")

// ask makes the job wait for an operator, whose word is in the journal when it
// goes on.
func (r *run) ask(ctx context.Context, step recoveryplan.Step, out map[string]string) error {
	if c, ok := r.journal.Answered(step.Name); ok {
		out[commentsKey], out[byKey] = c.Text, c.By
		return nil
	}
	if err := r.record(ctx, job.AwaitInput{Task: step.Name, Instructions: step.Action.Instructions, At: r.Now()}); err != nil {
		return err
	}
	return errRest
}

// awaitPort tries a port once and comes back while there is time: nobody's lane is
// held by a VM that boots.
func (r *run) awaitPort(ctx context.Context, step recoveryplan.Step, out map[string]string) error {
	const patience = 2 * time.Second
	conn, err := (&net.Dialer{Timeout: patience}).DialContext(ctx, "tcp", step.Action.Address)
	if err == nil {
		_ = conn.Close()
		out[noteKey] = step.Action.Address + " answers"
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("dial %s: %w", step.Action.Address, err)
	}
	task, _ := r.journal.Task(step.Name)
	within := time.Duration(step.Action.TimeoutSeconds) * time.Second
	if r.Now().Sub(task.StartedAt) >= within {
		return errorcatalog.Fail(errorcatalog.PortNotAnswering, "%s does not answer within %s", step.Action.Address, within).Because(err)
	}
	r.due = r.Now().Add(knock)
	return errRest
}
