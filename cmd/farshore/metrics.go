package main

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
	"farshore/projections"
)

// gauges tells the state of replication when it is scraped. It reads the read
// models: every server tells the same.
type gauges struct {
	service *service
	items   *prometheus.Desc
	rpo     *prometheus.Desc
	points  *prometheus.Desc
	reasons *prometheus.Desc
	alerts  *prometheus.Desc
	lag     *prometheus.Desc
	build   *prometheus.Desc
}

func newGauges(s *service) *gauges {
	return &gauges{
		service: s,
		items:   prometheus.NewDesc("farshore_protected_items", "Protected items, by vault, protection state and replication health.", []string{"vault", "state", "health"}, nil),
		rpo:     prometheus.NewDesc("farshore_replication_rpo_seconds", "How far the replica that is furthest behind is behind its source.", []string{"vault"}, nil),
		points:  prometheus.NewDesc("farshore_recovery_points", "Recovery points that exist.", []string{"vault"}, nil),
		reasons: prometheus.NewDesc("farshore_health_errors", "Protected items with a health error, by vault and code.", []string{"vault", "code"}, nil),
		alerts:  prometheus.NewDesc("farshore_health_alerts_total", "How often the health of a protected item was recorded as worse than before.", []string{"vault"}, nil),
		lag:     prometheus.NewDesc("farshore_projection_lag_events", "Events that a read model has yet to fold.", []string{"projection"}, nil),
		build:   prometheus.NewDesc("farshore_build_info", "The version of this program.", []string{"version"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (g *gauges) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{g.items, g.rpo, g.points, g.reasons, g.alerts, g.lag, g.build} {
		out <- d
	}
}

// scrapePatience bounds what a scrape may cost; what cannot be read is left out.
const scrapePatience = 3 * time.Second

// Collect implements prometheus.Collector.
func (g *gauges) Collect(out chan<- prometheus.Metric) {
	ctx, stop := context.WithTimeout(context.Background(), scrapePatience)
	defer stop()
	out <- prometheus.MustNewConstMetric(g.build, prometheus.GaugeValue, 1, version)
	if lags, err := g.service.models.Lags(ctx); err == nil {
		for _, l := range lags {
			out <- prometheus.MustNewConstMetric(g.lag, prometheus.GaugeValue, float64(l.Behind), l.Name)
		}
	}
	vaults, err := g.service.vaults(ctx)
	if err != nil {
		return
	}
	for _, vault := range vaults {
		g.collectVault(ctx, vault, out)
	}
}

// tally is what is counted of a vault's items.
type tally struct {
	items   map[kind]int
	reasons map[errorcatalog.Code]int
	alerts  int
	points  int
	worst   time.Duration // of the RPOs
	found   bool          // that there is one
}

type kind struct {
	state  protecteditem.ProtectionState
	health protecteditem.Health
}

func (t *tally) add(s protecteditem.State, now time.Time) {
	health, reasons := protecteditem.HealthOf(s, now)
	t.items[kind{s.Protection, health}]++
	counted := map[errorcatalog.Code]bool{}
	for _, r := range reasons {
		if !counted[r.Code] {
			counted[r.Code] = true
			t.reasons[r.Code]++
		}
	}
	t.alerts += s.Reported.Alerts
	t.points += len(s.Points)
	if rpo, known := protecteditem.RPO(s, now); known {
		t.worst, t.found = max(t.worst, rpo), true
	}
}

func (g *gauges) collectVault(ctx context.Context, vault string, out chan<- prometheus.Metric) {
	t := tally{items: map[kind]int{}, reasons: map[errorcatalog.Code]int{}}
	_, err := everyRow(func(after string) ([]string, error) {
		rows, err := g.service.queries.ProtectedItems(ctx, vault, "", projections.Page{After: after, Limit: pageOfRows})
		for _, r := range rows {
			t.add(r.State, now())
		}
		return idsOf(rows), err
	})
	if err != nil {
		return
	}
	for k, n := range t.items {
		out <- prometheus.MustNewConstMetric(g.items, prometheus.GaugeValue, float64(n), vault, string(k.state), string(k.health))
	}
	for code, n := range t.reasons {
		out <- prometheus.MustNewConstMetric(g.reasons, prometheus.GaugeValue, float64(n), vault, string(code))
	}
	out <- prometheus.MustNewConstMetric(g.alerts, prometheus.CounterValue, float64(t.alerts), vault)
	out <- prometheus.MustNewConstMetric(g.points, prometheus.GaugeValue, float64(t.points), vault)
	if t.found {
		out <- prometheus.MustNewConstMetric(g.rpo, prometheus.GaugeValue, t.worst.Seconds(), vault)
	}
}
