package main

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

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
	lag     *prometheus.Desc
	build   *prometheus.Desc
}

func newGauges(s *service) *gauges {
	return &gauges{
		service: s,
		items:   prometheus.NewDesc("farshore_protected_items", "Protected items, by vault, protection state and replication health.", []string{"vault", "state", "health"}, nil),
		rpo:     prometheus.NewDesc("farshore_replication_rpo_seconds", "How far the replica that is furthest behind is behind its source.", []string{"vault"}, nil),
		points:  prometheus.NewDesc("farshore_recovery_points", "Recovery points that exist.", []string{"vault"}, nil),
		lag:     prometheus.NewDesc("farshore_projection_lag_events", "Events that a read model has yet to fold.", []string{"projection"}, nil),
		build:   prometheus.NewDesc("farshore_build_info", "The version of this program.", []string{"version"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (g *gauges) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{g.items, g.rpo, g.points, g.lag, g.build} {
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

func (g *gauges) collectVault(ctx context.Context, vault string, out chan<- prometheus.Metric) {
	type kind struct {
		state  protecteditem.ProtectionState
		health protecteditem.Health
	}
	var (
		count  = map[kind]int{}
		points int
		worst  time.Duration
		found  bool
	)
	_, err := everyRow(func(after string) ([]string, error) {
		rows, err := g.service.queries.ProtectedItems(ctx, vault, "", projections.Page{After: after, Limit: pageOfRows})
		for _, r := range rows {
			health, _ := protecteditem.HealthOf(r.State, now())
			count[kind{r.State.Protection, health}]++
			points += len(r.State.Points)
			if rpo, known := protecteditem.RPO(r.State, now()); known {
				worst, found = max(worst, rpo), true
			}
		}
		return idsOf(rows), err
	})
	if err != nil {
		return
	}
	for k, n := range count {
		out <- prometheus.MustNewConstMetric(g.items, prometheus.GaugeValue, float64(n), vault, string(k.state), string(k.health))
	}
	out <- prometheus.MustNewConstMetric(g.points, prometheus.GaugeValue, float64(points), vault)
	if found {
		out <- prometheus.MustNewConstMetric(g.rpo, prometheus.GaugeValue, worst.Seconds(), vault)
	}
}
