package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"farshore/api/oapi"
	"farshore/cmd/farshore/client"
	"farshore/workers/proof"
	"farshore/workers/replica"
)

// Options say where the demo runs and what it may use.
type Options struct {
	Program string    // this binary
	Root    string    // an empty folder, for everything the demo makes
	Keep    bool      // leave the server running when done
	Out     io.Writer // what happens, for a person
	// OpenStore opens a storage account of the demo without the server.
	OpenStore func(ctx context.Context, account oapi.StorageAccountInput) (replica.Store, error)
	// StartVM starts a VM on a local host.
	StartVM func(ctx context.Context, directory, vm string) error
	// Attach reads a disk of a running VM as its guest sees it.
	Attach func(ctx context.Context, directory, vm, disk string) (Attached, error)
	// StopHost ends the process of a local host.
	StopHost func(directory string) error
}

// Attached is a disk of a running VM.
type Attached interface {
	proof.Image
	io.Closer
}

const (
	vault     = "default"
	cycles    = 3
	frequency = 30 // seconds
	patience  = 3 * time.Minute
)

// play is a demo under way.
type play struct {
	Options
	scene  Scene
	server *server
	api    *oapi.Client
	stores map[string]oapi.StorageAccountInput
	began  time.Time
	proven []proven
}

// Run plays the demo and prints what was proven. An error means that something
// differed, or did not happen.
func Run(ctx context.Context, o Options) (err error) {
	p := &play{Options: o, scene: Scene{Root: o.Root, Program: o.Program}, stores: map[string]oapi.StorageAccountInput{}}
	defer func() { err = errors.Join(err, p.end(ctx, err)) }()
	if err := p.start(ctx); err != nil {
		return err
	}
	p.began = time.Now()
	for _, step := range []func(context.Context) error{
		p.register, p.protect, p.replicate, p.resynchronize, p.drill, p.canceled, p.failOver, p.failBack, p.disaster,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (p *play) say(format string, args ...any) {
	_, _ = fmt.Fprintf(p.Out, format+"\n", args...)
}

func (p *play) title(format string, args ...any) {
	at := ""
	if !p.began.IsZero() {
		at = time.Since(p.began).Round(time.Second).String()
	}
	p.say("\n%-6s %s", at, fmt.Sprintf(format, args...))
}

// start makes the VMs, then starts Azurite and the server.
func (p *play) start(ctx context.Context) (err error) {
	p.title("making two virtual machines, starting Azurite, PostgreSQL and the server")
	for _, plan := range plans() {
		if err := p.scene.MakeVM(ctx, plan); err != nil {
			return err
		}
		p.say("  %s: %d disks, its guest numbers its writes across them", plan.Name, len(plan.Disks))
	}
	if p.server, err = startServer(ctx, p.Options, p.scene); err != nil {
		return err
	}
	if p.api, err = client.NewAPI(p.server.url, p.server.key); err != nil {
		return err
	}
	p.say("  server ready at %s", p.server.url)
	return nil
}

// register tells the server of sites, hosts, stores and the policy, and starts
// the VMs.
func (p *play) register(ctx context.Context) error {
	p.title("registering two sites, two replica stores and a policy of %d seconds", frequency)
	policy := oapi.PolicyInput{Name: "demo", CopyFrequencySeconds: new(oapi.PolicyInputCopyFrequencySeconds(frequency))}
	if _, err := client.Call[oapi.Policy](p.api.PutPolicy(ctx, vault, "demo", &oapi.PutPolicyParams{}, policy)); err != nil {
		return fmt.Errorf("define the policy: %w", err)
	}
	for site, directory := range map[string]string{"source": p.scene.Source(), "recovery": p.scene.Recovery()} {
		if _, err := client.Call[oapi.Site](p.api.PutSite(ctx, vault, site, &oapi.PutSiteParams{}, oapi.SiteInput{Name: site, Kind: oapi.SiteKindLocal})); err != nil {
			return fmt.Errorf("register site %s: %w", site, err)
		}
		if _, err := client.Call[oapi.Host](p.api.PutHost(ctx, vault, site, site+"-host", &oapi.PutHostParams{}, oapi.HostInput{Directory: directory})); err != nil {
			return fmt.Errorf("add the host of site %s: %w", site, err)
		}
	}
	p.stores["directory"] = oapi.StorageAccountInput{Name: "directory", Kind: oapi.StorageAccountKindDirectory, Directory: new(p.scene.Replicas())}
	p.stores["blobs"] = oapi.StorageAccountInput{
		Name: "Azurite", Kind: oapi.StorageAccountKindAzurePageBlob, Endpoint: new(p.server.azurite.ServiceURL()),
		Container: new("replicas"), Credential: new("file:" + p.server.credential),
	}
	for id, account := range p.stores {
		if _, err := client.Call[oapi.StorageAccount](p.api.PutStorageAccount(ctx, vault, id, &oapi.PutStorageAccountParams{}, account)); err != nil {
			return fmt.Errorf("register store %s: %w", id, err)
		}
	}
	for _, plan := range plans() {
		if err := p.discovered(ctx, plan.Name); err != nil {
			return err
		}
		if err := p.StartVM(ctx, p.scene.Source(), plan.Name); err != nil {
			return fmt.Errorf("start %s: %w", plan.Name, err)
		}
		p.say("  %s runs and writes", plan.Name)
	}
	return nil
}

// discovered waits until the inventory lists a VM.
func (p *play) discovered(ctx context.Context, vm string) error {
	return p.until(ctx, "the inventory lists "+vm, func() (bool, error) {
		_, err := client.Call[oapi.VirtualMachine](p.api.GetVirtualMachine(ctx, vault, "source", vm, &oapi.GetVirtualMachineParams{}))
		if problem, ok := errors.AsType[*client.ProblemError](err); ok && problem.Status == 404 {
			return false, nil
		}
		return err == nil, err
	})
}

// until polls for a condition, at most as long as patience.
func (p *play) until(ctx context.Context, what string, met func() (bool, error)) error {
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	for {
		ok, err := met()
		if ok || err != nil {
			return err
		}
		if err := client.Pause(ctx, 200*time.Millisecond); err != nil {
			return fmt.Errorf("%s: not within %s", what, patience)
		}
	}
}

// protect enables replication and waits for both to be protected.
func (p *play) protect(ctx context.Context) error {
	p.title("protecting both, while their guests write")
	for _, plan := range plans() {
		in := oapi.EnableProtectionInput{
			Site: "source", Host: "source-host", VirtualMachine: plan.Name, Policy: "demo", StorageAccount: plan.Store,
			Recovery: oapi.RecoverySettings{Site: "recovery", Host: "recovery-host"},
		}
		resp, err := p.api.EnableProtection(ctx, vault, plan.Name, &oapi.EnableProtectionParams{}, in)
		if err := p.run(ctx, "enable protection of "+plan.Name, resp, err); err != nil {
			return err
		}
	}
	for _, plan := range plans() {
		if err := p.protected(ctx, plan.Name); err != nil {
			return err
		}
		if err := p.proveNewest(ctx, plan, "initial replication"); err != nil {
			return err
		}
	}
	return nil
}

// protected follows an item through its initial replication.
func (p *play) protected(ctx context.Context, item string) error {
	shown := int64(-1)
	return p.until(ctx, item+" is protected", func() (bool, error) {
		i, err := p.item(ctx, item)
		if err != nil {
			return false, err
		}
		if e := i.LastError; e != nil {
			p.say("  %s: %s [%s]", item, e.Detail, e.Code)
		}
		if t := i.Progress; t != nil && t.BytesTotal > 0 {
			if percent := t.BytesDone * 100 / t.BytesTotal; percent/20 > shown/20 || shown < 0 {
				shown = percent
				p.say("  %s: initial replication %d %% of %d MiB, %d MiB/s", item, percent, t.BytesTotal/mib, t.BytesPerSecond/mib)
			}
		}
		return i.ProtectionState == oapi.ProtectionStateProtected, nil
	})
}

func (p *play) item(ctx context.Context, item string) (oapi.ProtectedItem, error) {
	a, err := client.Call[oapi.ProtectedItem](p.api.GetProtectedItem(ctx, vault, item, &oapi.GetProtectedItemParams{}))
	if err != nil {
		return a.Body, fmt.Errorf("look at %s: %w", item, err)
	}
	return a.Body, nil
}

// follow shows a job until it has succeeded.
func (p *play) follow(ctx context.Context, a client.Answer[oapi.Job]) error {
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	job, err := client.WaitForJob(ctx, p.api, vault, a.Body.ID, a.Position, client.NewDisplay(p.Out))
	if err != nil {
		return err
	}
	if job.Status != oapi.JobStatusSucceeded {
		return &client.JobError{Job: job}
	}
	return nil
}

// replicate waits for delta cycles and proves each new recovery point.
func (p *play) replicate(ctx context.Context) error {
	p.title("shipping deltas: %d cycles of %d seconds", cycles, frequency)
	for cycle := 1; cycle <= cycles; cycle++ {
		for _, plan := range plans() {
			err := p.until(ctx, plan.Name+" has a new recovery point", func() (bool, error) {
				points, err := p.points(ctx, plan.Name)
				return len(points) > cycle, err
			})
			if err != nil {
				return err
			}
			if err := p.proveNewest(ctx, plan, fmt.Sprintf("delta %d", cycle)); err != nil {
				return err
			}
		}
	}
	for _, plan := range plans() { // the first point is still what it was
		points, err := p.points(ctx, plan.Name)
		if err != nil {
			return err
		}
		p.say("  %s has %d recovery points", plan.Name, len(points))
		if err := p.prove(ctx, plan, "first point, again", oldest(points)); err != nil {
			return err
		}
	}
	return nil
}

// failOver moves the first VM to the recovery side and compares the disks.
func (p *play) failOver(ctx context.Context) error {
	plan := plans()[0]
	p.title("planned failover of %s", plan.Name)
	// The guest of the recovery VM waits until its disks have been compared.
	if err := p.closeGate(plan.Name); err != nil {
		return err
	}
	began := time.Now()
	resp, err := p.api.PlannedFailover(ctx, vault, plan.Name, &oapi.PlannedFailoverParams{})
	if err := p.run(ctx, "fail "+plan.Name+" over", resp, err); err != nil {
		return err
	}
	took := time.Since(began).Round(100 * time.Millisecond)
	if err := p.proveFailover(ctx, plan, took); err != nil {
		return err
	}
	if err := p.changePoint(ctx, plan); err != nil {
		return err
	}
	if err := p.openGate(plan.Name); err != nil {
		return err
	}
	return p.commit(ctx, plan)
}

// commit accepts a failover and sees the recovery VM write.
func (p *play) commit(ctx context.Context, plan VM) error {
	p.title("committing the failover of %s", plan.Name)
	resp, err := p.api.CommitFailover(ctx, vault, plan.Name, &oapi.CommitFailoverParams{})
	if err := p.run(ctx, "commit the failover of "+plan.Name, resp, err); err != nil {
		return err
	}
	return p.proveCommit(ctx, plan)
}

// end prints the table and leaves the machine as it was, unless asked to keep it.
func (p *play) end(ctx context.Context, failed error) error {
	p.table()
	if failed == nil {
		p.say("\nproven in %s from \"server ready\"", time.Since(p.began).Round(time.Second))
	}
	if p.server == nil {
		return nil
	}
	if p.Keep {
		p.say("\nthe server goes on at %s; its key is in %s", p.server.url, filepath.Join(p.server.data, "admin.key"))
		p.say("  export FARSHORE_SERVER=%s FARSHORE_DATA=%s", p.server.url, p.server.data)
		p.say("  bin/farshore item list")
		p.say("press Ctrl-C to end it")
		select {
		case <-p.server.exited:
		case <-ctx.Done():
		}
	}
	err := p.server.stop()
	for _, directory := range []string{p.scene.Source(), p.scene.Recovery()} {
		err = errors.Join(err, p.StopHost(directory))
	}
	if failed != nil {
		p.say("what the demo made is left in %s", p.Root)
		return err
	}
	return errors.Join(err, os.RemoveAll(p.Root))
}
