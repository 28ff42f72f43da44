package changelog_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"farshore/workers/changelog"
)

// BenchmarkCutHold measures how long a cut of 8 disks holds their guests' writes.
func BenchmarkCutHold(b *testing.B) {
	for name, inHold := range map[string]func() error{
		"pointers":  nil,
		"in-flight": func() error { return nil }, // waits for the writes in flight, as a snapshot needs
	} {
		b.Run(name, func(b *testing.B) {
			m := newMachine(b, 8, 16<<20)
			m.o.LimitPercent = 1 << 30
			g := m.start(b)
			stop := make(chan struct{})
			var guests sync.WaitGroup
			for i := range 8 {
				guests.Go(func() { m.guest(b, stop, uint64(i)) })
			}
			var holds []time.Duration
			for b.Loop() {
				var cut []changelog.DiskLogs
				err := g.Cut(b.Context(), changelog.CutOptions{InHold: inHold, Record: func(_ time.Time, disks []changelog.DiskLogs) error {
					cut = disks
					return nil
				}})
				if err != nil {
					b.Fatal(err)
				}
				holds = append(holds, g.HoldTime())
				for _, d := range cut {
					for _, l := range d.Logs {
						if err := g.Release(d.Disk, []string{l.ID}); err != nil {
							b.Fatal(err)
						}
					}
				}
			}
			close(stop)
			guests.Wait()
			slices.Sort(holds)
			b.ReportMetric(float64(holds[len(holds)/2].Microseconds()), "median-µs")
			b.ReportMetric(float64(holds[len(holds)*99/100].Microseconds()), "p99-µs")
		})
	}
}
