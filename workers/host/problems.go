package host

import (
	"context"

	"farshore/domain/errorcatalog"
)

// Problem is a VM that its host cannot describe.
type Problem struct {
	VM     string            `json:"vm"` // its folder or its id, whatever is known
	Code   errorcatalog.Code `json:"code"`
	Detail string            `json:"detail"`
}

// ProblemLister is a host that tells which of its VMs it cannot describe. It
// stands beside Inventory: hosts without such a thing do not have it.
type ProblemLister interface {
	// Problems lists what was wrong when the inventory was read last.
	Problems(ctx context.Context) ([]Problem, error)
}
