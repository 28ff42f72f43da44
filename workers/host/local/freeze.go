package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"
	"unicode"

	"farshore/domain/errorcatalog"
	"farshore/domain/site"
	"farshore/workers/host"
)

// defaultFreeze is how long a guest may be frozen when its vm.json does not say.
const defaultFreeze = 10 * time.Second

// How long a watcher waits between its attempts to thaw a guest: twice as long each time.
const (
	firstThawDelay   = time.Second
	longestThawDelay = time.Minute
)

// toldOfLog is how much of what a command has written last its failure tells, in
// bytes.
const toldOfLog = 300

// freezeRecord lies beside the guest's own from before its applications are asked
// to come to rest until they have been let go on: whoever finds it thaws them.
type freezeRecord struct {
	Pre            guestRecord `json:"pre"` // the process that freezes
	Post           []string    `json:"post"`
	TimeoutSeconds int         `json:"timeoutSeconds"`
}

func (m *machine) freezeFile() string { return m.ownFile("freeze", ".json") }
func (m *machine) freezeLog() string  { return m.ownFile("freeze", ".log") }

// leftFile is there from when the guest was left frozen until a cut has told that it is
// thawed, whoever has thawed it.
func (m *machine) leftFile() string { return m.ownFile("freeze", ".left") }

// holding is a cut's hold. It may be called again if it has failed.
type holding = func(ctx context.Context) error

// around calls a cut's hold, with the guest's applications at rest if they are to
// be and can be. It says in the cut's record what came of it. A guest that was left
// frozen is thawed first, whatever the cut is to be.
func (m *machine) around(ctx context.Context, c *cutRecord, req host.CutRequest, hold holding) error {
	defer m.thawLater(firstThawDelay) //nolint:contextcheck // it outlives the cut
	began := m.e.o.Now()
	left, failure := m.thaw() //nolint:contextcheck // an end is not cut short
	left = left || exists(m.leftFile())
	if !req.AppConsistent || failure != nil {
		if left {
			c.Freeze = &host.Freeze{Failure: failure}
		}
		_ = hold(ctx) // the cut tells of it
		return nil
	}
	held, failure, stuck := m.freeze(ctx, hold)
	if err := ctx.Err(); err != nil && !held {
		return fmt.Errorf("freeze VM %s: %w", m.id(), err)
	}
	c.AppConsistent = failure == nil
	if !held {
		_ = hold(ctx) // as above
	}
	if stuck != nil {
		failure = stuck
	}
	c.Freeze = &host.Freeze{Milliseconds: m.e.o.Now().Sub(began).Milliseconds(), Failure: failure}
	return nil
}

// freeze calls the hold while the guest's applications are at rest. If they cannot
// be brought to it, or the hold takes longer than they can be trusted to stay at
// rest, it lets them go on and returns why. Stuck says that they may not have gone on:
// a watcher tries that again, for whom nobody has to wait.
func (m *machine) freeze(ctx context.Context, hold holding) (held bool, failure, stuck *errorcatalog.Failure) {
	hooks := m.hooks()
	switch {
	case hooks == nil:
		return false, errorcatalog.Fail(errorcatalog.FreezeHookMissing, "VM %s describes no freeze", m.id()), nil
	case !m.running.Load():
		return false, errorcatalog.Fail(errorcatalog.VMNotRunning, "VM %s is off", m.id()), nil
	}
	frozen, cancel := context.WithTimeout(ctx, bounded(hooks.TimeoutSeconds))
	defer cancel()
	err := m.hook(frozen, hooks.Pre, os.O_TRUNC, func(r guestRecord) error {
		return saveJSON(m.freezeFile(), freezeRecord{Pre: r, Post: hooks.Post, TimeoutSeconds: hooks.TimeoutSeconds})
	})
	if held = err == nil && frozen.Err() == nil; held {
		held = hold(frozen) == nil || frozen.Err() == nil
	}
	if err == nil {
		err = frozen.Err()
	}
	_, stuck = m.thaw() //nolint:contextcheck // an end is not cut short
	if err != nil {
		failure = errorcatalog.Fail(errorcatalog.FreezeHookFailed, "pre of VM %s", m.id()).Because(err)
	}
	return held, failure, stuck
}

// hooks are the VM's as its description has them now: a guest that runs need not
// be started anew for them.
func (m *machine) hooks() *site.Freeze {
	if vm, err := readDescription(m.dir); err == nil && vm.ID == m.id() {
		return vm.Freeze
	}
	return m.vm.Load().Freeze
}

func bounded(seconds int) time.Duration {
	if seconds <= 0 {
		return defaultFreeze
	}
	return time.Duration(seconds) * time.Second
}

// thaw lets a guest's applications go on if anybody has asked them to come to rest
// and they have not been let go on since; left tells whether that is so. Until it
// succeeds the record stays, and a watcher, the next cut and the next host process try
// again.
func (m *machine) thaw() (left bool, failure *errorcatalog.Failure) {
	if !exists(m.freezeFile()) {
		return false, nil
	}
	if err := m.tryThaw(); err != nil {
		return true, errorcatalog.Fail(errorcatalog.ThawHookFailed, "post of VM %s", m.id()).Because(err)
	}
	return true, nil
}

func (m *machine) tryThaw() error {
	var r freezeRecord
	if err := loadJSON(m.freezeFile(), &r); err != nil {
		return err
	}
	if m.lives(r.Pre) { // of a host process that was killed: it must not freeze after this
		if err := syscall.Kill(-r.Pre.PID, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("end what froze: %w", err)
		}
	}
	if now := m.hooks(); now != nil { // it may have been corrected
		r.Post, r.TimeoutSeconds = now.Post, now.TimeoutSeconds
	}
	ctx, cancel := context.WithTimeout(context.Background(), bounded(r.TimeoutSeconds))
	defer cancel()
	if err := m.hook(ctx, r.Post, os.O_APPEND, func(guestRecord) error { return nil }); err != nil {
		return err
	}
	return removeFile(m.freezeFile())
}

// thawLater lets the applications of a guest go on that a killed host process or a post
// that failed has left frozen. It tries until they do, whatever becomes of the VM's
// replication, or until this process ends: then the next one goes on.
func (m *machine) thawLater(wait time.Duration) {
	if m.thawing || !exists(m.freezeFile()) {
		return
	}
	m.thawing = true
	if err := saveJSON(m.leftFile(), struct{}{}); err != nil {
		m.e.o.Log.ErrorContext(m.e.ctx, "no cut will tell that the guest is thawed", "vm", m.id(), "error", err)
	}
	m.e.watchers.Go(func() {
		for pause(m.e.ctx, wait) && !m.thawNow() {
			wait = min(max(2*wait, firstThawDelay), longestThawDelay)
		}
	})
}

// told forgets that the guest was left frozen, once a cut's record says how it is now.
func (m *machine) told() error {
	if exists(m.freezeFile()) || !exists(m.leftFile()) {
		return nil
	}
	return removeFile(m.leftFile())
}

// thawNow is an attempt of a watcher, and tells whether there is nothing left to do.
func (m *machine) thawNow() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	left, failure := m.thaw()
	switch {
	case failure != nil:
		m.e.o.Log.ErrorContext(m.e.ctx, "guest may be frozen still", "vm", m.id(), "error", failure)
		return false
	case left:
		m.e.o.Log.InfoContext(m.e.ctx, "guest was left frozen and is thawed", "vm", m.id())
	}
	m.thawing = false
	return true
}

// pause waits and returns true, or false once ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// hook runs a command of the VM's description to its end, or until ctx ends. keep
// puts its process on record before it begins.
func (m *machine) hook(ctx context.Context, command []string, mode int, keep func(guestRecord) error) error {
	log, err := os.OpenFile(m.freezeLog(), os.O_RDWR|os.O_CREATE|mode, 0o600)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	defer log.Close() //nolint:errcheck // it is there to be read by people
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("run: %w", err)
	}
	cmd, r, err := m.launch(command, log, keep)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err = <-ended:
	case <-ctx.Done():
		_ = syscall.Kill(-r.PID, syscall.SIGKILL) // it may have ended by itself
		<-ended                                   //nolint:errcheck // it was killed
		err = fmt.Errorf("it was given up: %w", context.Cause(ctx))
	}
	if err != nil {
		return fmt.Errorf("%w%s", err, lastWords(log))
	}
	return nil
}

// lastWords is the end of what a command has written, on one line.
func lastWords(log io.ReadSeeker) string {
	end, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return ""
	}
	if _, err := log.Seek(max(0, end-toldOfLog), io.SeekStart); err != nil {
		return ""
	}
	p, err := io.ReadAll(io.LimitReader(log, toldOfLog))
	if err != nil || len(bytes.TrimSpace(p)) == 0 {
		return ""
	}
	words := strings.FieldsFunc(strings.ToValidUTF8(string(p), ""), func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) })
	return ": " + strings.Join(words, " ")
}
