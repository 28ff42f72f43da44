package testfailover

import (
	"context"
	"errors"

	"farshore/workers/runbook"
)

var errNotBuilt = errors.New("disks of a test vm are not copied yet")

func (r Run) copyDisks(context.Context, *runbook.Memo) error { return errNotBuilt }
