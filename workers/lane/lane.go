// Package lane hands out due work. A lane is one kind of work of one protected
// item, or the run of one recovery plan: a row in PostgreSQL that says when
// something is due, who is at it and until when, and the fence that shuts out
// whoever was at it before.
//
// A lane has at most one holder. A holder that dies loses the lane when its
// lease runs out; the next holder's fence is higher, so that nothing the dead one
// may still have under way counts, neither in the event store nor at a replica
// store. Nobody owns the future of a lane: while it is held, others may mark it
// due again, and the mark outlives the holder's own opinion.
package lane

import (
	"encoding/json"
	"errors"
	"time"

	"farshore/eventstore"
)

// Kind says which work of an item a lane is for. Work of different kinds runs at
// the same time, work of one kind never does.
type Kind string

// The kinds of lane.
const (
	Replication Kind = "replication"
	Drill       Kind = "drill"
	Upkeep      Kind = "upkeep"
	Plan        Kind = "plan" // of a recovery plan, whose key is the lane's item
	Copy        Kind = "copy" // of a failed-over VM's disks
)

// ItemKinds are the kinds of work of protected items.
func ItemKinds() []Kind { return []Kind{Replication, Drill, Upkeep, Copy} }

// The reasons for which a holder's context ends early; context.Cause tells them.
var (
	// ErrCanceled reports that a command outranks the running work: stop at the
	// next resumable place and let the lane go.
	ErrCanceled = errors.New("the lane's work was outranked")
	// ErrFenced reports that the lane has passed to another holder.
	ErrFenced = eventstore.ErrFenced
	// ErrLapsed reports that the lane may soon pass to another holder: its lease was
	// not renewed for long.
	ErrLapsed = errors.New("the lane's lease was not renewed in time")
)

// Key names a lane.
type Key struct {
	Item string // the protected item's key: "<vault>.<item>"; or a recovery plan's
	Kind Kind
}

func (k Key) String() string { return k.Item + "/" + string(k.Kind) }

// Due asks for a lane to be worked on.
type Due struct {
	Key
	At    time.Time
	Host  string // the host that the work needs; empty: none, or as it was
	Store string // the replica store that the work needs; empty: none, or as it was
	// Postpone sets At even if the lane was due earlier.
	Postpone bool
	// Interrupt makes the present holder, if there is one, stop.
	Interrupt bool
}

// Needs lists what a worker can reach. Nil means everything.
type Needs struct {
	Hosts  []string
	Stores []string
}

// Claim is a lane that is held.
type Claim struct {
	Key
	Owner      string
	Fence      int64
	Attempt    int
	Checkpoint json.RawMessage // as the last holder left it
	Host       string
	Store      string
}

// ClaimRequest asks for due lanes.
type ClaimRequest struct {
	Owner string // unique to the process
	Lease time.Duration
	Limit int
	Kinds []Kind // only lanes of these; nil: of every kind
	Needs Needs
	// Held are the lanes that the owner is at: their leases may have run out while
	// the database was away, and are about to be renewed.
	Held []Key
}

// Release gives a lane back.
type Release struct {
	DueAt      time.Time // zero: nothing is due until somebody says so
	Attempt    int
	Checkpoint json.RawMessage // nil: none is needed any more
}
