package planrun

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
	"farshore/domain/recoveryplan"
)

// The bounds of what a script's output may take: the task keeps its end.
const (
	keptOutput  = 8 << 10
	toldOutput  = 512 // of it, in the failure
	scriptGrace = 2 * time.Second
)

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

// script runs a program. After a crash it runs again: what it does must bear that,
// and FARSHORE_JOB tells it the run.
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
	limited, cancel := context.WithTimeout(ctx, within)
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
	case ctx.Err() != nil:
		return fmt.Errorf("run script %s: %w", step.Action.Script, err)
	case limited.Err() != nil:
		return errorcatalog.Fail(errorcatalog.ScriptTimeout, "%s was ended after %s; it printed: %s", step.Action.Script, within, said)
	default:
		return errorcatalog.Fail(errorcatalog.ScriptFailed, "%s: %v; it printed: %s", step.Action.Script, err, said)
	}
}

// runProgram runs a program and everything it starts, in a process group that ends
// with the program or with ctx. The program itself ends with this process, too.
func runProgram(ctx context.Context, path string, arguments, environment []string, printed *tail) error {
	ended := make(chan error, 1)
	go func() {
		// The signal at the parent's death is bound to the thread that starts the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		cmd := exec.CommandContext(ctx, path, arguments...) //nolint:gosec // from the scripts directory, which is the administrator's
		cmd.Env, cmd.Dir = environment, filepath.Dir(path)
		cmd.Stdout, cmd.Stderr = printed, printed
		cmd.SysProcAttr = ownGroup()
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
		cmd.WaitDelay = scriptGrace
		err := cmd.Run()
		if cmd.Process != nil { // what it has left in the background ends with it
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		}
		if errors.Is(err, exec.ErrWaitDelay) { // only what it has left still held its output
			err = nil
		}
		ended <- err
	}()
	if err := <-ended; err != nil {
		return fmt.Errorf("run %s: %w", filepath.Base(path), errors.Join(err, ctx.Err()))
	}
	return nil
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

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	kept []byte
	cut  bool
}

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - keptOutput; over > 0 {
		t.kept, t.cut = append([]byte(nil), t.kept[over:]...), true
	}
	return len(p), nil
}

// text is the end of the output, as text that can be stored.
func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := strings.ReplaceAll(strings.ToValidUTF8(string(t.kept), "?"), "\x00", "?")
	if t.cut {
		return "…" + text
	}
	return text
}
