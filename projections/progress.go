package projections

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Progress says how far the transfer of one disk has got. Workers write it at
// most once a second; it is operational data, not events.
type Progress struct {
	Job            string
	Disk           string
	BytesDone      int64
	BytesTotal     int64
	BytesPerSecond int64
	UpdatedAt      time.Time
}

// Progress returns the transfers of jobs, by job; those of a job by disk.
func (q *Queries) Progress(ctx context.Context, jobs ...string) (map[string][]Progress, error) {
	if len(jobs) == 0 {
		return nil, nil
	}
	rows, err := q.Pool.Query(ctx, `SELECT job, disk, bytes_done, bytes_total, bytes_per_second, updated_at
		FROM transfer_progress WHERE job = ANY($1) AND updated_at IS NOT NULL ORDER BY job, disk`, jobs)
	if err != nil {
		return nil, fault(ctx, "read transfer progress", err)
	}
	all, err := pgx.CollectRows(rows, scanProgress)
	if err != nil {
		return nil, fault(ctx, "read transfer progress", err)
	}
	out := map[string][]Progress{}
	for _, p := range all {
		out[p.Job] = append(out[p.Job], p)
	}
	return out, nil
}

func scanProgress(r pgx.CollectableRow) (Progress, error) {
	var p Progress
	if err := r.Scan(&p.Job, &p.Disk, &p.BytesDone, &p.BytesTotal, &p.BytesPerSecond, &p.UpdatedAt); err != nil {
		return p, fmt.Errorf("scan progress: %w", err)
	}
	p.UpdatedAt = p.UpdatedAt.UTC()
	return p, nil
}
