package processmanager

import (
	"context"

	"farshore/domain/protecteditem"
	"farshore/workers/lane"
	"farshore/workers/workflow"
)

// copyReactions lists the events after which there is something else to do for the
// copy of a failed-over VM's disks.
func copyReactions() map[string]reaction {
	return map[string]reaction{
		protecteditem.BackgroundCopyStarted{}.EventType():        wake,
		protecteditem.RetryRequested{}.EventType():               wake,
		protecteditem.ProtectionDisabling{}.EventType():          wake,
		protecteditem.RecoveryPointChangeStarted{}.EventType():   interrupt,
		protecteditem.RecoveryPointChangeCompleted{}.EventType(): interrupt,
		protecteditem.RecoveryPointChangeFailed{}.EventType():    interrupt,
		protecteditem.FailoverCancelStarted{}.EventType():        interrupt,
		protecteditem.FailoverCanceled{}.EventType():             interrupt,
		protecteditem.FailoverCancelFailed{}.EventType():         interrupt,
	}
}

// copying makes the lane of the item's background copy due, if it has or had one.
func (m *Manager) copying(ctx context.Context, item string, s protecteditem.State, react reaction) error {
	if s.CopyJob == nil && s.EndedCopy.ID == "" {
		return nil
	}
	at, due := workflow.CopyDue(s, m.Now())
	if !due {
		at = m.Now()
	}
	if !due && react != interrupt {
		return nil
	}
	return m.ask(ctx, lane.Due{
		Key: lane.Key{Item: item, Kind: lane.Copy}, At: at, Host: recoveryOf(s), Store: StoreNeed(s.Vault, s.Store.ID), Interrupt: react == interrupt,
	})
}
