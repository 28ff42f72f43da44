package local

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/domain/site"
)

// defaultGrace is how long a guest's shutdown may take when its vm.json does not say.
const defaultGrace = 30 * time.Second

// powerRecord is what a VM is meant to be.
type powerRecord struct {
	Active  bool            `json:"active"`  // whether it may run here
	Desired site.PowerState `json:"desired"` // whether it shall
}

func (m *machine) powerFile() string { return m.ownFile("power", ".json") }

func (m *machine) savePower(p powerRecord) error {
	if p == m.power {
		return nil
	}
	if err := saveJSON(m.powerFile(), p); err != nil {
		return fmt.Errorf("record power of VM %s: %w", m.id(), err)
	}
	m.power = p
	return nil
}

// PowerState says whether the VM runs.
func (e *Engine) PowerState(_ context.Context, vm string) (site.PowerState, error) {
	m, err := e.find(vm)
	if err != nil {
		return "", err
	}
	return m.powerState(), nil
}

func (m *machine) powerState() site.PowerState {
	if m.running.Load() {
		return site.Running
	}
	return site.Off
}

// Start starts the VM.
func (e *Engine) Start(ctx context.Context, vm string) error {
	if err := e.scan(); err != nil { // its description may have changed
		return err
	}
	m, err := e.find(vm)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running.Load() {
		if m.guest != nil && m.guest.asked.Load() { // it may still shut down
			m.guest.again = true
		}
		return nil
	}
	if m.guest != nil { // it lives, only its disks could not be brought back
		return m.serve(ctx)
	}
	if !m.power.Active {
		return errorcatalog.Fail(errorcatalog.VMNotActive, "VM %s is active elsewhere", vm)
	}
	return m.start(ctx)
}

// start brings the exports up, then the guest.
func (m *machine) start(ctx context.Context) error {
	if err := m.serve(ctx); err != nil {
		return err
	}
	p := m.power
	p.Desired = site.Running
	if err := m.savePower(p); err != nil {
		return errors.Join(err, m.switchOff()) //nolint:contextcheck // an end is not cut short
	}
	if g := m.vm.Load().Guest; g == nil || len(g.Command) == 0 {
		return nil
	}
	g, err := m.spawn()
	if err != nil {
		return errors.Join(err, m.switchOff()) //nolint:contextcheck // an end is not cut short
	}
	m.guest = g
	m.watch(m.e.ctx, g) //nolint:contextcheck // a guest outlives the call that starts it
	return nil
}

// adopt gives a guest that has outlived its host process its exports back.
func (m *machine) adopt(ctx context.Context, g *guest) error {
	m.guest = g
	m.watch(m.e.ctx, g) //nolint:contextcheck // a guest outlives the call that starts it
	return m.serve(ctx)
}

func (m *machine) serve(ctx context.Context) error {
	if m.stack == nil {
		if err := m.openStack(ctx); err != nil {
			return err
		}
	}
	if err := m.export(); err != nil { //nolint:contextcheck // an end is not cut short
		return errors.Join(err, m.closeStack()) //nolint:contextcheck // an end is not cut short
	}
	m.running.Store(true)
	return nil
}

// switchOff is the VM's end: nothing of the guest is left, its clients are gone,
// what it wrote is durable and the disks are closed.
func (m *machine) switchOff() error {
	var errs []error
	if m.guest != nil {
		errs = append(errs, m.guest.signal(syscall.SIGKILL)) // what it has left behind
		m.guest = nil
	}
	m.unexport(drainPatience)
	errs = append(errs, m.closeStack())
	p := m.power
	p.Desired = site.Off
	errs = append(errs, m.savePower(p), removeFile(m.guestFile()))
	m.running.Store(false)
	return errors.Join(errs...)
}

// Stop asks the guest to shut down and waits for it.
func (e *Engine) Stop(ctx context.Context, vm string) error {
	m, err := e.find(vm)
	if err != nil {
		return err
	}
	m.mu.Lock()
	g := m.guest
	if g == nil && !m.running.Load() {
		defer m.mu.Unlock()
		p := m.power
		p.Desired = site.Off
		return m.savePower(p)
	}
	if g == nil {
		defer m.mu.Unlock()
		return m.switchOff() //nolint:contextcheck // an end is not cut short
	}
	g.asked.Store(true)
	g.again = false
	err = g.signal(syscall.SIGTERM)
	m.mu.Unlock()
	if err != nil {
		return err
	}
	return m.await(ctx, g)
}

func (m *machine) await(ctx context.Context, g *guest) error {
	grace := defaultGrace
	if d := m.vm.Load().Guest; d != nil && d.GraceSeconds > 0 {
		grace = time.Duration(d.GraceSeconds) * time.Second
	}
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case <-g.gone:
		return g.err
	case <-t.C:
		return errorcatalog.Fail(errorcatalog.GuestShutdownTimeout, "the guest of VM %s still runs %s after it was asked to stop", m.id(), grace)
	case <-ctx.Done():
		return fmt.Errorf("stop VM %s: %w", m.id(), ctx.Err())
	}
}

// kill ends the guest without asking it.
func (m *machine) kill(ctx context.Context) error {
	m.mu.Lock()
	g := m.guest
	m.mu.Unlock()
	if g == nil {
		return nil
	}
	if err := g.signal(syscall.SIGKILL); err != nil {
		return err
	}
	return m.await(ctx, g)
}

// SetActive tells whether the VM may run here.
func (e *Engine) SetActive(_ context.Context, vm string, active bool) error {
	m, err := e.find(vm)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.power
	p.Active = active
	return m.savePower(p)
}
