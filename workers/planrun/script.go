package planrun

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/domain/job"
	"farshore/domain/protecteditem"
	"farshore/domain/recoveryplan"
)

// toldOutput is how much of its output the failure of a script tells.
const toldOutput = 512

// FindScript returns the path of a program in the scripts directory. A link that
// leads out of it is none of them.
func FindScript(dir, name string) (string, error) {
	root, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", errorcatalog.Fail(errorcatalog.ScriptsNotAvailable, "%s", dir).Because(err)
	}
	if !recoveryplan.ValidScript(name) {
		return "", errorcatalog.Fail(errorcatalog.ScriptNotFound, "%q is not the name of a file", name)
	}
	path, err := filepath.EvalSymlinks(filepath.Join(root, name))
	if err != nil {
		return "", errorcatalog.Fail(errorcatalog.ScriptNotFound, "%s", name).Because(err)
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", errorcatalog.Fail(errorcatalog.ScriptNotFound, "%s", name).Because(err)
	case !strings.HasPrefix(path, root+string(filepath.Separator)):
		return "", errorcatalog.Fail(errorcatalog.ScriptNotFound, "%s leads out of %s", name, root)
	case !info.Mode().IsRegular() || info.Mode()&0o111 == 0:
		return "", errorcatalog.Fail(errorcatalog.ScriptNotFound, "%s is not an executable file", name)
	default:
		return path, nil
	}
}

// enter takes a place among the scripts that run at once; without one the task waits.
// Of a script that was begun before, and of whose end nothing is known, the journal
// says so: it runs again.
func (r *run) enter(ctx context.Context, task job.Task) (leave func(), err error) {
	if task.Status == job.Running {
		f := errorcatalog.Fail(errorcatalog.ScriptInterrupted, "attempt %d had begun when its worker was lost or cut off; the script runs again", task.Attempts)
		if err := r.record(ctx, job.FailTask{Task: task.Name, Failure: f, NextAttemptAt: r.Now(), At: r.Now()}); err != nil {
			return nil, err
		}
	}
	if r.Places == nil {
		return func() {}, nil
	}
	select {
	case r.Places <- struct{}{}:
		return func() { <-r.Places }, nil
	default:
	}
	f := errorcatalog.Fail(errorcatalog.ScriptsBusy, "%d scripts run on worker %s, and no more may at once", cap(r.Places), r.Parts.Worker)
	if err := r.record(ctx, job.DeferTask{Task: task.Name, Reason: f, At: r.Now()}); err != nil {
		return nil, err
	}
	r.due = r.Now().Add(knock)
	return nil, errRest
}

// script runs a program while the lane is surely this worker's. After a crash it runs
// again: what it does must bear that, and FARSHORE_JOB tells it the run.
func (r *run) script(ctx context.Context, step recoveryplan.Step, out map[string]string) error {
	path, err := FindScript(r.Scripts, step.Action.Script)
	if err != nil {
		return err
	}
	environment, err := r.environment(ctx, step)
	if err != nil {
		return err
	}
	within := time.Duration(step.Action.TimeoutSeconds) * time.Second
	leased, end := r.hold.Leased(ctx)
	defer end()
	limited, cancel := context.WithTimeout(leased, within)
	defer cancel()
	printed := &tail{}
	err = runProgram(limited, path, step.Action.Arguments, environment, printed)
	out[outputKey] = printed.text()
	said := printed.text()
	if len(said) > toldOutput {
		said = "…" + said[len(said)-toldOutput:]
	}
	switch {
	case err == nil:
		return nil
	case leased.Err() != nil:
		return fmt.Errorf("run script %s: %w", step.Action.Script, errors.Join(err, context.Cause(leased)))
	case limited.Err() != nil:
		return errorcatalog.Fail(errorcatalog.ScriptTimeout, "%s was ended after %s; it printed: %s", step.Action.Script, within, said)
	default:
		return errorcatalog.Fail(errorcatalog.ScriptFailed, "%s: %v; it printed: %s", step.Action.Script, err, said)
	}
}

// environment is all that a script is told: nothing of the server's own is passed
// on.
func (r *run) environment(ctx context.Context, step recoveryplan.Step) ([]string, error) {
	vms := map[string]planVM{}
	for _, item := range r.plan.Definition.Items() {
		state, _, err := r.Items.Load(ctx, r.vault+"."+item)
		if err != nil {
			return nil, fmt.Errorf("load protected item %s: %w", item, err)
		}
		vms[item] = vmOf(state)
	}
	text, err := json.Marshal(vms) //nolint:errchkjson // a later field may be one that can fail
	if err != nil {
		return nil, fmt.Errorf("encode the VMs of the plan: %w", err)
	}
	_, plan, _ := strings.Cut(r.key, ".")
	return []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"FARSHORE_VAULT=" + r.vault, "FARSHORE_PLAN=" + plan, "FARSHORE_JOB=" + r.now.JobID,
		"FARSHORE_FAILOVER_TYPE=" + string(r.now.Operation), "FARSHORE_DIRECTION=" + r.now.Operation.Direction(),
		"FARSHORE_GROUP=" + strconv.Itoa(step.Group), "FARSHORE_ACTION=" + step.Action.Name, "FARSHORE_VMS=" + string(text),
	}, nil
}

// planVM is a VM as scripts are told of it.
type planVM struct {
	VM            string `json:"vm"`
	Name          string `json:"name"`
	Site          string `json:"site"`
	Host          string `json:"host"`
	State         string `json:"state"`
	Active        string `json:"activeLocation"`
	RecoverySite  string `json:"recoverySite"`
	RecoveryHost  string `json:"recoveryHost"`
	RecoveryVM    string `json:"recoveryVm,omitempty"`
	RecoveryPoint string `json:"recoveryPoint,omitempty"`
	TestVM        string `json:"testVm,omitempty"`
}

func vmOf(s protecteditem.State) planVM {
	return planVM{
		VM: s.VM.ID, Name: s.VM.Name, Site: s.Site, Host: s.Host, State: string(s.Protection), Active: string(s.ActiveLocation),
		RecoverySite: s.Recovery.Site, RecoveryHost: s.Recovery.Host, RecoveryVM: s.Recovery.VM, RecoveryPoint: s.FailoverPoint, TestVM: s.Test.VM,
	}
}
