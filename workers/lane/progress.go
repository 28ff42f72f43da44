package lane

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Progress shows how far a transfer is. It is operational data, not history:
// losing it loses nothing.
type Progress struct {
	Pool *pgxpool.Pool
	Now  func() time.Time

	mu   sync.Mutex
	last map[string]mark // by job and disk
}

type mark struct {
	at    time.Time
	bytes int64
}

// Transferred is a transfer's state.
type Transferred struct {
	Item, Job, Disk string
	Done, Total     int64 // bytes
}

const saveProgress = `
	INSERT INTO transfer_progress (item, job, disk, bytes_done, bytes_total, bytes_per_second, updated_at)
	VALUES ($1, $2, $3, $4, $5, $6, $7)
	ON CONFLICT (job, disk) DO UPDATE SET bytes_done = excluded.bytes_done, bytes_total = excluded.bytes_total,
		bytes_per_second = excluded.bytes_per_second, updated_at = excluded.updated_at`

// Report saves t unless something was saved less than a second ago; the end of a
// transfer is always saved.
func (p *Progress) Report(ctx context.Context, t Transferred) error {
	rate, due := p.due(t)
	if !due {
		return nil
	}
	_, err := p.Pool.Exec(ctx, saveProgress, t.Item, t.Job, t.Disk, t.Done, t.Total, rate, p.Now())
	if err != nil {
		return fmt.Errorf("save progress of %s: %w", t.Item, classify(ctx, err))
	}
	return nil
}

func (p *Progress) due(t Transferred) (rate int64, due bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last == nil {
		p.last = map[string]mark{}
	}
	key, now := t.Job+"/"+t.Disk, p.Now()
	before, known := p.last[key]
	since := now.Sub(before.at)
	if known && since < time.Second && t.Done < t.Total {
		return 0, false
	}
	if known && since > 0 {
		rate = int64(float64(t.Done-before.bytes) / since.Seconds())
	}
	p.last[key] = mark{at: now, bytes: t.Done}
	if t.Done >= t.Total {
		delete(p.last, key)
	}
	return max(rate, 0), true
}
