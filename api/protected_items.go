package api

import (
	"context"
	"errors"
	"slices"
	"time"

	"farshore/api/oapi"
	"farshore/domain/errorcatalog"
	"farshore/domain/policy"
	"farshore/domain/protecteditem"
	"farshore/projections"
)

// itemRow is a protected item as its read model has it.
type itemRow = projections.Row[protecteditem.State]

// ListProtectedItems answers GET …/protectedItems.
func (s *Server) ListProtectedItems(ctx context.Context, r oapi.ListProtectedItemsRequestObject) (oapi.ListProtectedItemsResponseObject, error) {
	p, err := pagerOf(ctx, r.Params.PageSize, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	rows, err := s.itemsWith(ctx, r.Vault, protecteditem.ProtectionState(value(r.Params.ProtectionState)), r.Params.ReplicationHealth, p.page)
	if err != nil {
		return nil, err
	}
	var body oapi.ProtectedItemPageJSONResponse
	rows, body.NextLink = nextLink(p, rows, func(row itemRow) string { return row.ID })
	if body.Value, err = s.shown(ctx, rows...); err != nil {
		return nil, err
	}
	return oapi.ListProtectedItems200JSONResponse{ProtectedItemPageJSONResponse: body}, nil
}

// itemsWith lists items of a health, which depends on the clock and is therefore
// no column: it reads on until the page is full.
func (s *Server) itemsWith(ctx context.Context, vault string, state protecteditem.ProtectionState, health *oapi.ReplicationHealth, page projections.Page) ([]itemRow, error) {
	var out []itemRow
	next := page
	for {
		rows, err := s.queries.ProtectedItems(ctx, vault, state, next)
		if err != nil || health == nil {
			return rows, err
		}
		for _, row := range rows {
			if h, _ := protecteditem.HealthOf(row.State, s.now()); string(h) == string(*health) {
				out = append(out, row)
			}
			next.After = row.ID
		}
		if len(rows) < page.Limit || len(out) >= page.Limit {
			return out[:min(len(out), page.Limit)], nil
		}
	}
}

// GetProtectedItem answers GET …/protectedItems/{item}.
func (s *Server) GetProtectedItem(ctx context.Context, r oapi.GetProtectedItemRequestObject) (oapi.GetProtectedItemResponseObject, error) {
	row, err := s.queries.ProtectedItem(ctx, r.Vault, r.Item)
	if row, err = found(row, err, errorcatalog.ProtectedItemNotFound, "protected item "+r.Item); err != nil {
		return nil, err
	}
	items, err := s.shown(ctx, row)
	if err != nil {
		return nil, err
	}
	item := items[0]
	return oapi.GetProtectedItem200JSONResponse{ProtectedItemReadJSONResponse: oapi.ProtectedItemReadJSONResponse{
		Body: item, Headers: oapi.ProtectedItemReadResponseHeaders{ETag: &item.Etag},
	}}, nil
}

// shown shows items with the progress of their present jobs.
func (s *Server) shown(ctx context.Context, rows ...itemRow) ([]oapi.ProtectedItem, error) {
	var running []string
	for _, row := range rows {
		for _, j := range []*protecteditem.JobRef{row.State.Job, row.State.DiskJob} {
			if j != nil {
				running = append(running, j.ID)
			}
		}
	}
	transfers, err := s.queries.Progress(ctx, running...)
	if err != nil {
		return nil, err
	}
	out := make([]oapi.ProtectedItem, 0, len(rows))
	for _, row := range rows {
		var own []projections.Progress
		for _, j := range []*protecteditem.JobRef{row.State.Job, row.State.DiskJob} {
			if j != nil {
				own = append(own, transfers[j.ID]...)
			}
		}
		item := itemAsOf(row, own, s.now())
		if err := s.leaveToPlan(ctx, row.State, item.AllowedOperations); err != nil {
			return nil, err
		}
		out = append(out, item)
	}
	return out, nil
}

func itemAsOf(row itemRow, transfers []projections.Progress, now time.Time) oapi.ProtectedItem {
	st := row.State
	item := oapi.ProtectedItem{
		ID: row.ID, Cycle: int64(st.Cycle), Etag: itemETag(int64(st.Cycle), row.Version),
		ProtectionState:        oapi.ProtectionState(st.Protection),
		ResynchronizationState: oapi.ResynchronizationState(st.Resync.State),
		TestFailoverState:      oapi.TestFailoverState(st.TestFailover),
		TestFailover:           testFailoverOf(st),
		Failback:               failbackOf(st.Failback),
		BackgroundCopy:         backgroundCopyOf(st),
		ActiveLocation:         oapi.ActiveLocation(st.ActiveLocation),
		AllowedOperations:      operationsOf(protecteditem.AllowedOperations(st, now)),
		Site:                   st.Site, Host: st.Host, VirtualMachine: st.VM.ID, VirtualMachineName: optional(st.VM.Name),
		StorageAccount: st.Store.ID, StorageAccountKind: string(st.Store.Kind),
		Policy: settingsOf(st.Policy), Recovery: recoveryOf(st.Recovery), Disks: disksOf(st, transfers),
		LastShippedAt: at(st.LastShipped.Instant), RecoveryPoints: new(small(len(st.Points))),
		Progress: progressOf(transfers), ReplicaUntil: at(st.ReplicaUntil),
	}
	addHealth(&item, st, now)
	addWork(&item, st, now)
	item.AppConsistency = appConsistencyOf(st)
	if p, ok := st.NewestPoint(); ok {
		item.LatestRecoveryPoint = new(recoveryPointOf(p, st.Pinned()))
	}
	return item
}

func addHealth(item *oapi.ProtectedItem, st protecteditem.State, now time.Time) {
	health, reasons := protecteditem.HealthOf(st, now)
	item.ReplicationHealth = oapi.ReplicationHealth(health)
	item.HealthErrors = each(reasons, func(e protecteditem.HealthError) oapi.Finding { return findingOf(e.Code, e.Detail, e.Since) })
	if st.Resync.State != protecteditem.ResyncNone {
		item.Resynchronization = &oapi.Resynchronization{
			Reason: string(st.Resync.Reason), Detail: optional(st.Resync.Detail),
			ScheduledFor: at(st.Resync.ScheduledFor), Job: optional(st.Resync.Job),
		}
	}
	if rpo, ok := protecteditem.RPO(st, now); ok {
		item.RpoSeconds = new(int64(max(rpo, 0) / time.Second))
		item.Recoverable = &oapi.Recoverable{
			Latest:              at(protecteditem.InstantOf(st, protecteditem.Latest)),
			LatestProcessed:     at(protecteditem.InstantOf(st, protecteditem.LatestProcessed)),
			LatestAppConsistent: at(protecteditem.InstantOf(st, protecteditem.LatestAppConsistent)),
		}
	}
	if done, missed := protecteditem.CycleCounts(st, now); st.Protection == protecteditem.Protected {
		item.Cycles = &oapi.Cycles{WindowHours: small(int(st.Policy.MonitoringWindow() / time.Hour)), Done: small(done), Missed: small(missed)}
	}
}

func addWork(item *oapi.ProtectedItem, st protecteditem.State, now time.Time) {
	if st.Job != nil {
		item.CurrentJob = &oapi.JobRef{ID: st.Job.ID, Kind: oapi.JobKind(st.Job.Kind)}
	}
	if st.DiskJob != nil {
		item.DiskJob = &oapi.JobRef{ID: st.DiskJob.ID, Kind: oapi.JobKind(st.DiskJob.Kind)}
	}
	if st.Protection == protecteditem.Protected {
		item.NextCutAt = at(protecteditem.NextCut(st, now))
	}
	if st.Retry.Attempt > 0 {
		item.Attempt = new(small(st.Retry.Attempt))
	}
	if p := st.Paused; p != nil {
		item.Paused = &oapi.Pause{Reason: optional(p.Reason), By: optional(p.By), Since: p.Since.UTC()}
	}
	item.NextRetryAt = at(st.Retry.NextAt)
	item.LastError = failureOf(st.Retry.Failure, st.Retry.Since)
	if item.LastError == nil {
		item.LastError = failureOf(st.Failure, st.FailedAt)
	}
}

func testFailoverOf(st protecteditem.State) oapi.TestFailover {
	out := oapi.TestFailover{
		State: oapi.TestFailoverState(st.TestFailover), Point: optional(st.Test.Point), VirtualMachine: optional(st.Test.VM),
		StartedAt: at(st.Test.StartedAt), LastSuccessAt: at(st.LastTestFailover),
	}
	if due, wanted := protecteditem.DrillDueAt(st); wanted {
		out.DueAt = at(due)
	}
	if st.TestJob != nil {
		out.Job = &st.TestJob.ID
	}
	return out
}

func backgroundCopyOf(st protecteditem.State) *oapi.BackgroundCopy {
	if st.CopyJob == nil {
		return nil
	}
	out := &oapi.BackgroundCopy{
		Job: st.CopyJob.ID, Point: st.Copy.Point, StartedAt: st.Copy.StartedAt.UTC(),
		NextRetryAt: at(st.CopyRetry.NextAt), LastError: failureOf(st.CopyRetry.Failure, st.CopyRetry.Since),
	}
	if st.CopyRetry.Attempt > 0 {
		out.Attempt = new(small(st.CopyRetry.Attempt))
	}
	return out
}

func settingsOf(p policy.Settings) oapi.PolicySettings {
	return oapi.PolicySettings{
		CopyFrequencySeconds: small(p.CopyFrequencySeconds), RetentionHours: small(p.RetentionHours),
		AppConsistentFrequencyHours: small(p.AppConsistentFrequencyHours), StartTime: optional(p.StartTime),
		ResyncWindow:           &oapi.ResyncWindow{Start: p.ResyncWindow.Start, End: p.ResyncWindow.End},
		ResyncThresholdPercent: small(p.ResyncThresholdPercent),
		MonitoringWindowHours:  small(int(p.MonitoringWindow() / time.Hour)), DrillReminderDays: small(p.DrillReminderDays),
	}
}

func recoveryOf(r protecteditem.RecoveryTarget) *oapi.RecoverySide {
	return &oapi.RecoverySide{Site: optional(r.Site), Host: optional(r.Host), VirtualMachineName: optional(r.VMName), VirtualMachine: optional(r.VM)}
}

func disksOf(st protecteditem.State, transfers []projections.Progress) []oapi.ProtectedDisk {
	ids, states := slices.Clone(st.Disks), protecteditem.DiskStates(st)
	for _, d := range protecteditem.Added(st) {
		ids = append(ids, d.ID)
	}
	return each(ids, func(id string) oapi.ProtectedDisk {
		d := oapi.ProtectedDisk{ID: id, State: string(states[id])}
		for _, of := range slices.Concat(st.VM.Disks, st.NewDisks) {
			if of.ID == id {
				d.SizeBytes, d.Os = of.SizeBytes, &of.OS
			}
		}
		for _, t := range transfers {
			if t.Disk == id {
				d.Progress = progressOf([]projections.Progress{t})
			}
		}
		return d
	})
}

// itemAfter shows an item as its read model has it, or nothing while that has
// not seen the item yet.
func (s *Server) itemAfter(ctx context.Context, vault, item string) (oapi.ProtectedItem, error) {
	row, err := s.queries.ProtectedItem(ctx, vault, item)
	if errors.Is(err, projections.ErrNotFound) {
		state, version, err := s.protectedItems.Load(ctx, vault+"."+item)
		if err != nil {
			return oapi.ProtectedItem{}, err
		}
		row = itemRow{Vault: vault, ID: item, State: state, Version: version}
	} else if err != nil {
		return oapi.ProtectedItem{}, err
	}
	items, err := s.shown(ctx, row)
	if err != nil {
		return oapi.ProtectedItem{}, err
	}
	return items[0], nil
}
