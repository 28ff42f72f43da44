package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/workers/changelog"
	"farshore/workers/host"
)

// cutRecord is a cut as cut-<id>.json keeps it. A cut exists only when its record
// does.
type cutRecord struct {
	host.Cut
	Seq int64 `json:"seq"` // grows with each cut of the relationship
}

func cutFile(id string) string { return "cut-" + id + ".json" }

func isCutFile(name string) bool {
	return strings.HasPrefix(name, "cut-") && (strings.HasSuffix(name, ".json") || strings.HasSuffix(name, ".json.tmp"))
}

// cuts reads the records, oldest first. What one says of a disk that has left the
// relationship since is void: its logs are gone, or about to go.
func (m *machine) cuts() ([]cutRecord, error) {
	entries, err := os.ReadDir(m.dir)
	if err != nil {
		return nil, fmt.Errorf("read folder of VM %s: %w", m.id(), err)
	}
	var out []cutRecord
	for _, entry := range entries {
		if !isCutFile(entry.Name()) || strings.HasSuffix(entry.Name(), ".tmp") {
			continue
		}
		var c cutRecord
		if err := loadJSON(m.path(entry.Name()), &c); err != nil {
			return nil, errorcatalog.Fail(errorcatalog.LogMissing, "the record of a cut of VM %s cannot be read", m.id()).Because(err)
		}
		if m.rel != nil {
			c.Disks = slices.DeleteFunc(c.Disks, func(d host.DiskCut) bool { return !slices.Contains(m.rel.Disks, d.Disk) })
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b cutRecord) int { return cmp.Compare(a.Seq, b.Seq) })
	return out, nil
}

// Cut seals the logs of all tracked disks at one instant.
func (e *Engine) Cut(ctx context.Context, vm string, req host.CutRequest) (host.Cut, error) {
	m, err := e.find(vm)
	if err != nil {
		return host.Cut{}, err
	}
	if err := checkID("cut", req.ID); err != nil {
		return host.Cut{}, err
	}
	if req.Snapshot != "" {
		if err := checkID("snapshot", req.Snapshot); err != nil {
			return host.Cut{}, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.related(); err != nil {
		return host.Cut{}, err
	}
	records, err := m.cuts()
	if err != nil {
		return host.Cut{}, err
	}
	for _, c := range records {
		if c.ID == req.ID {
			return c.Cut, nil
		}
	}
	record := m.nextCut(records, req)
	err = m.opened(ctx, func(st *stack) error { return m.cut(ctx, st, &record, req) })
	if err != nil {
		return host.Cut{}, err
	}
	return record.Cut, nil
}

func (m *machine) nextCut(records []cutRecord, req host.CutRequest) cutRecord {
	c := cutRecord{Cut: host.Cut{ID: req.ID, PreviousID: m.rel.LastCut, Snapshot: req.Snapshot}, Seq: m.rel.LastSeq + 1}
	if n := len(records); n > 0 && records[n-1].Seq >= c.Seq {
		c.PreviousID, c.Seq = records[n-1].ID, records[n-1].Seq+1
	}
	return c
}

// cut makes the cut and writes its record.
func (m *machine) cut(ctx context.Context, st *stack, c *cutRecord, req host.CutRequest) error {
	for _, disk := range m.rel.Disks {
		if f := m.rel.Distrust[disk]; f != nil {
			return f
		}
	}
	if err := m.checkDisks(st, m.rel.Disks...); err != nil {
		return err
	}
	var snap *snapshot
	o := changelog.CutOptions{Around: func(hold holding) error { return m.around(ctx, c, req, hold) }}
	if c.Snapshot != "" {
		var err error
		if snap, err = m.prepareSnapshot(st, c.Snapshot); err != nil {
			return err
		}
		o.InHold = func() error { st.attach(snap); return nil }
	}
	o.Record = func(instant time.Time, disks []changelog.DiskLogs) error {
		if snap != nil {
			if err := m.keepSnapshot(snap); err != nil {
				return err
			}
		}
		c.Instant, c.Disks = instant.UTC(), diskCuts(disks)
		if err := saveJSON(m.path(cutFile(c.ID)), c); err != nil {
			return err
		}
		_ = m.told() // or the next cut tells it once more
		return nil
	}
	err := st.group.Cut(ctx, o)
	m.status = st.group.Status()
	if err != nil && snap != nil {
		err = errors.Join(err, m.dropSnapshot(snap.record.ID))
	}
	return full(err)
}

func diskCuts(disks []changelog.DiskLogs) []host.DiskCut {
	out := make([]host.DiskCut, 0, len(disks))
	for _, d := range disks {
		dc := host.DiskCut{Disk: d.Disk, SizeBytes: d.SizeBytes, Logs: []host.LogFile{}}
		for _, l := range d.Logs {
			dc.Logs = append(dc.Logs, host.LogFile{ID: l.ID, PreviousID: l.PreviousID, Bytes: l.Bytes, Digest: l.Digest, Entries: l.Entries})
		}
		out = append(out, dc)
	}
	return out
}

// OpenLog reads a sealed log of a cut.
func (e *Engine) OpenLog(_ context.Context, vm, disk, log string) (io.ReadCloser, error) {
	m, err := e.find(vm)
	if err != nil {
		return nil, err
	}
	d, err := m.disk(disk)
	if err != nil {
		return nil, err
	}
	if err := checkID("log", log); err != nil {
		return nil, err
	}
	f, err := os.Open(m.path(d.File + "." + log + ".hrl"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errorcatalog.Fail(errorcatalog.LogMissing, "disk %s of VM %s has no log %s", disk, vm, log)
	case err != nil:
		return nil, errorcatalog.Fail(errorcatalog.DiskUnreadable, "log %s of VM %s", log, vm).Because(err)
	}
	return f, nil
}

// ReleaseCut deletes a cut's logs, then its record.
func (e *Engine) ReleaseCut(ctx context.Context, vm, cut string) error {
	m, err := e.find(vm)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.rel == nil {
		return nil
	}
	records, err := m.cuts()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(records, func(c cutRecord) bool { return c.ID == cut })
	if i < 0 {
		return nil
	}
	c := records[i]
	if err := m.passed(c); err != nil {
		return err
	}
	if err := m.opened(ctx, func(st *stack) error { return m.releaseLogs(st, c) }); err != nil {
		return err
	}
	return removeFile(m.path(cutFile(cut)))
}

// passed remembers a cut whose record is to go: the next one has to name it.
func (m *machine) passed(c cutRecord) error {
	if c.Seq <= m.rel.LastSeq {
		return nil
	}
	m.rel.LastCut, m.rel.LastSeq = c.ID, c.Seq
	return m.saveRelationship()
}

// releaseLogs deletes a cut's logs. Only the tracker does: it knows the chain.
func (m *machine) releaseLogs(st *stack, c cutRecord) error {
	for _, d := range c.Disks {
		ids := make([]string, 0, len(d.Logs))
		for _, l := range d.Logs {
			ids = append(ids, l.ID)
		}
		if err := st.group.Release(d.Disk, ids); err != nil {
			return fmt.Errorf("release logs of disk %s of VM %s: %w", d.Disk, m.id(), err)
		}
	}
	m.status = st.group.Status()
	return nil
}

// forgetCuts takes disks out of all cuts; a cut of no disks is gone.
func (m *machine) forgetCuts(disks []string) error {
	records, err := m.cuts()
	if err != nil {
		return err
	}
	for _, c := range records {
		c.Disks = slices.DeleteFunc(c.Disks, func(d host.DiskCut) bool { return slices.Contains(disks, d.Disk) })
		if len(c.Disks) > 0 {
			err = saveJSON(m.path(cutFile(c.ID)), c)
		} else if err = m.passed(c); err == nil {
			err = removeFile(m.path(cutFile(c.ID)))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
