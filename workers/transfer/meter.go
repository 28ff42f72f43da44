package transfer

import (
	"sync"
	"time"
)

// interval is the least time between two reports of progress.
const interval = time.Second

// meter turns a stream of positions into reports.
type meter struct {
	tell  func(Progress)
	now   func() time.Time
	total int64

	mu   sync.Mutex
	at   time.Time // of the report before
	from int64     // what it said
	done int64
	rate int64
}

func newMeter(o Options, total int64) *meter {
	m := &meter{tell: o.Progress, now: o.Now, total: total, from: o.From, done: o.From}
	if m.tell != nil {
		m.at = m.now()
	}
	return m
}

func (m *meter) report(done int64) {
	if m.tell == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done = max(m.done, done)
	if now := m.now(); now.Sub(m.at) >= interval {
		m.send(now)
	}
}

// finish reports the end, however short the time since the last report.
func (m *meter) finish() {
	if m.tell == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done = m.total
	m.send(m.now())
}

func (m *meter) send(now time.Time) {
	if passed := now.Sub(m.at); passed > 0 {
		m.rate = int64(float64(m.done-m.from) / passed.Seconds())
	}
	m.at, m.from = now, m.done
	m.tell(Progress{BytesDone: m.done, BytesTotal: m.total, BytesPerSecond: m.rate})
}
