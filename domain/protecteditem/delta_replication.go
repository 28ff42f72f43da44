package protecteditem

import (
	"slices"
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
)

// ReplicateNow asks for a replication cycle at once, of the given consistency or,
// if it is empty, of the one that is due. When an attempt has failed, it asks for
// the next one at once, also for a failure that would not be retried by itself.
type ReplicateNow struct {
	Consistency Consistency
	At          time.Time
}

func (c ReplicateNow) decide(s State) ([]Event, error) {
	if err := s.requireItem(); err != nil {
		return nil, err
	}
	if !c.Consistency.ofRequest() {
		return nil, invalid("/consistency", "%q cannot be asked for", c.Consistency)
	}
	if err := s.requireNotPaused(); err != nil {
		return nil, err
	}
	if s.Retry.Failure != nil && c.Consistency != AppConsistent {
		if !s.Retry.NextAt.IsZero() && !s.Retry.NextAt.After(c.At) {
			return nil, nil
		}
		return []Event{ReplicationRequested(c)}, nil
	}
	if err := s.requireState(Protected); err != nil {
		return nil, err
	}
	if err := s.requireInSync(); err != nil {
		return nil, err
	}
	if s.Requested.covers(c.Consistency) && !s.Retry.waits(c.At) {
		return nil, nil
	}
	return []Event{ReplicationRequested(c)}, nil
}

// ReplicationRequested makes the next cycle or attempt due.
type ReplicationRequested struct {
	Consistency Consistency `json:"consistency,omitempty"`
	At          time.Time   `json:"at"`
}

// EventType implements domain.Event.
func (ReplicationRequested) EventType() string { return "protected_item.replication_requested.v1" }

func (e ReplicationRequested) evolve(s State) State {
	if s.Retry.Failure != nil {
		s.Retry.NextAt = e.At
	}
	if s.Protection == Protected {
		asked := e.Consistency
		if s.Requested.Consistency == AppConsistent { // which no cut has met yet
			asked = AppConsistent
		}
		s.Requested = CycleRequest{At: e.At, Consistency: asked}
	}
	return s
}

// RecordDelta reports that all logs of a cut are durable and verified at the
// replica store. Only then may the host delete them.
type RecordDelta struct {
	Cut         string
	PreviousCut string
	Instant     time.Time
	Consistency Consistency // AppConsistent, or empty
	Freeze      *Freeze     // if the guest's applications were asked to be at rest
	Logs        []ShippedLog
	Bytes       int64
	At          time.Time
}

// ShippedLog is a change log at the replica store.
type ShippedLog struct {
	Disk  string `json:"disk"`
	Log   string `json:"log"`
	Bytes int64  `json:"bytes"`
}

func (c RecordDelta) decide(s State) ([]Event, error) {
	if err := requireID("/cut", c.Cut); err != nil {
		return nil, err
	}
	if !c.Consistency.ofRequest() {
		return nil, invalid("/consistency", "a cut is not %q", c.Consistency)
	}
	if s.knowsCut(c.Cut) {
		return nil, nil
	}
	if err := s.requireState(InitialReplicationInProgress, FinalizingProtection, Protected,
		PlannedFailoverInProgress, UnplannedFailoverInProgress, ReverseReplicating); err != nil {
		return nil, err
	}
	if s.Resync.State == ResyncRequired || s.ChainBroken() {
		return nil, s.requireInSync()
	}
	if !s.follows(c.PreviousCut) {
		return nil, domain.Reject(domain.Conflict, errorcatalog.CutOutOfOrder,
			"cut %s follows %q, the last one shipped is %s", c.Cut, c.PreviousCut, s.LastShipped.Cut)
	}
	return []Event{DeltaShipped{
		Cut: c.Cut, PreviousCut: c.PreviousCut, Instant: c.Instant, Consistency: c.Consistency, Freeze: c.Freeze.plain(),
		Logs: slices.Clone(c.Logs), Bytes: c.Bytes, At: c.At,
	}}, nil
}

// DeltaShipped makes a cut part of the replica: from here on nothing of it can be
// lost with the source.
type DeltaShipped struct {
	Cut         string       `json:"cut"`
	PreviousCut string       `json:"previousCut,omitempty"`
	Instant     time.Time    `json:"instant"`
	Consistency Consistency  `json:"consistency,omitempty"` // crash-consistent when absent
	Freeze      *Freeze      `json:"freeze,omitempty"`      // if the guest's applications were asked to be at rest
	Logs        []ShippedLog `json:"logs"`
	Bytes       int64        `json:"bytes"`
	At          time.Time    `json:"at"`
}

// EventType implements domain.Event.
func (DeltaShipped) EventType() string { return "protected_item.delta_shipped.v1" }

func (e DeltaShipped) evolve(s State) State {
	if e.PreviousCut == "" {
		s = s.restartChain()
	}
	s.LastShipped = Shipped{Cut: e.Cut, Instant: e.Instant}
	s.Pending = append(slices.Clone(s.Pending), s.LastShipped)
	s.Requested, s.AppConsistency = s.Requested.after(e), s.AppConsistency.after(e)
	return s
}

func (s State) knowsCut(cut string) bool {
	if s.LastShipped.Cut == cut || s.LastCut == cut {
		return true
	}
	if slices.ContainsFunc(s.Pending, func(p Shipped) bool { return p.Cut == cut }) {
		return true
	}
	_, made := s.Point(cut)
	return made
}

// follows says whether a cut after the given one continues the replica. The first
// cut of a chain may have any predecessor: the host counts from when it began to
// track, the item from when it began to copy. While disks are being copied the
// host may begin a chain afresh, because its snapshot was lost.
func (s State) follows(previous string) bool {
	copying := s.Protection == InitialReplicationInProgress || s.Protection == ReverseReplicating || s.Resync.State == ResyncInProgress
	return s.LastShipped.Cut == "" || s.LastShipped.Cut == previous || (previous == "" && copying)
}

// restartChain forgets the cuts that are not in a recovery point: their logs are
// dropped, and the next cut begins a chain.
func (s State) restartChain() State {
	s.LastShipped.Cut, s.Pending = "", nil
	return s
}

// NextCut returns when the next cut is due: one copy frequency after the last
// cut's instant, or now if that has passed; cycles that were missed are not made
// up. It is the zero time while no cut is to be made.
func NextCut(s State, now time.Time) time.Time {
	switch s.Protection {
	case InitialReplicationInProgress, FinalizingProtection, Protected, ReverseReplicating:
	default:
		return time.Time{}
	}
	if s.Resync.State == ResyncRequired || s.Paused != nil {
		return time.Time{}
	}
	due := s.LastShipped.Instant.Add(s.Policy.CopyFrequency())
	switch {
	case s.Retry.Failure != nil:
		if due = s.Retry.NextAt; due.IsZero() {
			return time.Time{}
		}
	case !s.Requested.At.IsZero():
		return now
	}
	if due.Before(now) {
		return now
	}
	return due
}

// RPO returns how much would be lost if the source were lost now: the time since
// the instant of the newest state that the replica can be brought to. It reports
// false before there is one.
func RPO(s State, now time.Time) (time.Duration, bool) {
	newest, ok := s.NewestPoint()
	if !ok {
		return 0, false
	}
	instant := newest.Instant
	if s.Resync.State == ResyncNone && s.LastShipped.Instant.After(instant) {
		instant = s.LastShipped.Instant
	}
	return max(0, now.Sub(instant)), true
}
