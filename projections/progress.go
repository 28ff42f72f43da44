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

// Progress returns the transfers of one job, by disk.
func (q *Queries) Progress(ctx context.Context, job string) ([]Progress, error) {
	rows, err := q.Pool.Query(ctx, `SELECT job, disk, bytes_done, bytes_total, bytes_per_second, updated_at
		FROM transfer_progress WHERE job = $1 AND updated_at IS NOT NULL ORDER BY disk`, job)
	if err != nil {
		return nil, fault(ctx, "read transfer progress", err)
	}
	out, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (Progress, error) {
		var p Progress
		if err := r.Scan(&p.Job, &p.Disk, &p.BytesDone, &p.BytesTotal, &p.BytesPerSecond, &p.UpdatedAt); err != nil {
			return p, fmt.Errorf("scan progress: %w", err)
		}
		p.UpdatedAt = p.UpdatedAt.UTC()
		return p, nil
	})
	if err != nil {
		return nil, fault(ctx, "read transfer progress", err)
	}
	return out, nil
}
