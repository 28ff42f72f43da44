package demo

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"farshore/api/oapi"
	"farshore/cmd/farshore/client"
	"farshore/workers/disk"
	"farshore/workers/proof"
)

// proven is a row of the closing table.
type proven struct {
	vm, step, what string
	records        int64
}

func (p *play) note(vm, step string, records int64, what string) {
	p.proven = append(p.proven, proven{vm: vm, step: step, what: what, records: records})
	p.say("  proven: %s, %s: %s", vm, step, what)
}

func (p *play) table() {
	if len(p.proven) == 0 {
		return
	}
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.AppendHeader(table.Row{"vm", "step", "records", "proven"})
	for _, row := range p.proven {
		t.AppendRow(table.Row{row.vm, row.step, row.records, row.what})
	}
	p.say("\n%s", t.Render())
}

// points returns an item's recovery points, oldest first.
func (p *play) points(ctx context.Context, item string) ([]oapi.RecoveryPoint, error) {
	var (
		all    []oapi.RecoveryPoint
		cursor *string
	)
	for {
		a, err := client.Call[oapi.RecoveryPointList](p.api.ListRecoveryPoints(ctx, vault, item, &oapi.ListRecoveryPointsParams{Cursor: cursor}))
		if err != nil {
			return nil, fmt.Errorf("list the recovery points of %s: %w", item, err)
		}
		all = append(all, a.Body.Value...)
		if a.Body.NextLink == nil {
			break
		}
		next, err := url.Parse(*a.Body.NextLink)
		if err != nil {
			return nil, fmt.Errorf("follow the next page: %w", err)
		}
		cursor = new(next.Query().Get("cursor"))
	}
	slices.SortFunc(all, func(a, b oapi.RecoveryPoint) int { return a.Instant.Compare(b.Instant) })
	return all, nil
}

func oldest(points []oapi.RecoveryPoint) oapi.RecoveryPoint { return points[0] }
func newest(points []oapi.RecoveryPoint) oapi.RecoveryPoint { return points[len(points)-1] }

func (p *play) proveNewest(ctx context.Context, plan VM, step string) error {
	points, err := p.points(ctx, plan.Name)
	if err != nil {
		return err
	}
	return p.prove(ctx, plan, step, newest(points))
}

// prove has the judge examine a recovery point, read from the replica store
// without the server.
func (p *play) prove(ctx context.Context, plan VM, step string, point oapi.RecoveryPoint) error {
	store, err := p.OpenStore(ctx, p.stores[plan.Store])
	if err != nil {
		return err
	}
	var images []proof.Image
	for i := range plan.Disks {
		image, err := store.OpenPoint(ctx, replicaOf(plan), point.ID, DiskID(i))
		if err != nil {
			return fmt.Errorf("open disk %s of point %s: %w", DiskID(i), point.ID, err)
		}
		defer func() { _ = image.Close() }()
		images = append(images, image)
	}
	v, err := p.scene.Examine(ctx, plan, images)
	if err != nil {
		return fmt.Errorf("%s of %s, point %s: %w", step, plan.Name, point.ID, err)
	}
	p.note(plan.Name, step, v.Records, fmt.Sprintf("point %s is the instant after record %d; %s", point.ID[len(point.ID)-8:], v.Last, sums(v)))
	return nil
}

// replicaOf names the replica of an item's first protection cycle in its store.
func replicaOf(plan VM) string { return vault + "." + plan.Name + ".1" }

func sums(v proof.Verdict) string {
	short := make([]string, len(v.SHA256))
	for i, s := range v.SHA256 {
		short[i] = s[:12]
	}
	return "SHA-256 " + strings.Join(short, " ") + " equal"
}

// Examine judges images against the VM's seeds and its guest's journal. The
// journal is read after the images were opened, so it knows all they can hold.
func (s Scene) Examine(ctx context.Context, plan VM, images []proof.Image) (proof.Verdict, error) {
	journal, err := proof.ReadJournal(s.Journal(plan.Name))
	if err != nil {
		return proof.Verdict{}, err
	}
	judge := &proof.Judge{Journal: journal}
	for i := range plan.Disks {
		seed, err := disk.OpenRaw(s.Seed(plan.Name, DiskID(i)), true)
		if err != nil {
			return proof.Verdict{}, fmt.Errorf("open a seed: %w", err)
		}
		defer func() { _ = seed.Close() }()
		judge.Seeds = append(judge.Seeds, seed)
	}
	return judge.Examine(ctx, images)
}

// proveFailover shows that the recovery VM has every acknowledged record, and
// that its disks equal the stopped ones.
func (p *play) proveFailover(ctx context.Context, plan VM, took time.Duration) error {
	i, err := p.item(ctx, plan.Name)
	if err != nil {
		return err
	}
	if i.Recovery == nil || i.Recovery.VirtualMachine == nil {
		return fmt.Errorf("%s failed over, and its recovery VM is not named", plan.Name)
	}
	copying, err := p.copied(ctx, plan)
	if err != nil {
		return err
	}
	var images []proof.Image
	for d := range plan.Disks {
		source := filepath.Join(p.scene.Source(), plan.Name, DiskID(d)+".raw")
		recovered := filepath.Join(p.scene.Recovery(), *i.Recovery.VirtualMachine, DiskID(d)+".raw")
		if out, err := exec.CommandContext(ctx, "qemu-img", "compare", "-U", "-f", "raw", "-F", "raw", source, recovered).CombinedOutput(); err != nil { //nolint:gosec // disks of the demo's own making
			return fmt.Errorf("qemu-img compare %s %s: %w: %s", source, recovered, err, out)
		}
		image, err := disk.OpenRaw(recovered, true)
		if err != nil {
			return fmt.Errorf("open a recovered disk: %w", err)
		}
		defer func() { _ = image.Close() }()
		images = append(images, image)
	}
	v, err := p.scene.Examine(ctx, plan, images)
	if err != nil {
		return fmt.Errorf("planned failover of %s: %w", plan.Name, err)
	}
	return p.nothingLost(plan, "planned failover", v, fmt.Sprintf("the VM ran after %s, its disks were there %s later and equal the stopped ones", took, copying))
}

// copied waits until the recovery VM's disks are there, and returns how long that
// took.
func (p *play) copied(ctx context.Context, plan VM) (time.Duration, error) {
	began := time.Now()
	err := p.until(ctx, "the disks of "+plan.Name+" are copied", func() (bool, error) {
		i, err := p.item(ctx, plan.Name)
		return i.BackgroundCopy == nil, err
	})
	took := time.Since(began).Round(100 * time.Millisecond)
	p.say("  its disks were there %s later", took)
	return took, err
}

// proveCommit shows that one point is left and that the recovery VM's guest went
// on where the source's stopped.
func (p *play) proveCommit(ctx context.Context, plan VM) error {
	points, err := p.points(ctx, plan.Name)
	if err != nil {
		return err
	}
	if len(points) != 1 {
		return fmt.Errorf("%s has %d recovery points after the commit, not 1", plan.Name, len(points))
	}
	i, err := p.item(ctx, plan.Name)
	if err != nil {
		return err
	}
	if i.ProtectionState != oapi.ProtectionStateFailedOver {
		return fmt.Errorf("%s is %s after the commit", plan.Name, i.ProtectionState)
	}
	before, err := proof.ReadJournal(p.scene.Journal(plan.Name))
	if err != nil {
		return err
	}
	err = p.until(ctx, "the guest of the recovery VM writes", func() (bool, error) {
		now, err := proof.ReadJournal(p.scene.Journal(plan.Name))
		return err == nil && now.Acknowledged() > before.Acknowledged(), err
	})
	if err != nil {
		return err
	}
	p.note(plan.Name, "commit", before.Acknowledged(), "one point left, the recovery VM goes on writing")
	return nil
}

// Gate waits until no file stands at path.
func Gate(ctx context.Context, path string) error {
	for path != "" {
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err := client.Pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}
