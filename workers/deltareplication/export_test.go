package deltareplication

import (
	"context"
	"io"

	"farshore/workers/disk"
	"farshore/workers/host"
)

// Body is the body of a log's upload and how it is settled.
func Body(ctx context.Context, source host.Tracker, log host.LogFile) (io.ReadSeeker, func(error) error) {
	b := &logBody{ctx: ctx, source: source, vm: "web", disk: "os", log: log}
	return b, b.settle
}

// BlocksOf exposes blocksOf.
func BlocksOf(a, b []disk.Extent, size int64) []disk.Extent { return blocksOf(a, b, size) }

// Names exposes how objects are named.
func Names(number int64, i int) (log, cut string) {
	return logName("os", number, i, "0197-log"), cutName(number, "0197-cut")
}

// Numbers exposes how their numbers are read.
func Numbers(log, cut string) (ofLog, ofCut int64) { return numberOfLog(log), numberIn(cut) }
