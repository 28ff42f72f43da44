package api

import (
	"context"
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"farshore/api/oapi"
)

// metrics are the edge's own; others share the registry.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	denied   *prometheus.CounterVec
	streams  prometheus.Gauge
}

// byOperation is the label that names the operation.
const byOperation = "operation"

func newMetrics(r *prometheus.Registry) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "farshore_http_requests_total", Help: "Requests answered, by operation and status.",
		}, []string{byOperation, "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "farshore_http_request_seconds", Help: "Time to answer a request, by operation.", Buckets: prometheus.DefBuckets,
		}, []string{byOperation}),
		denied: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "farshore_http_denied_total", Help: "Requests denied for want of a credential or permission.",
		}, []string{byOperation, "code"}),
		streams: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "farshore_http_event_streams", Help: "Event streams that are open.",
		}),
	}
	for _, c := range []prometheus.Collector{m.requests, m.seconds, m.denied, m.streams} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register: %w", err)
		}
	}
	return m, nil
}

// scrape writes the metrics itself: the generated answer would copy them.
type scrape struct{ handler http.Handler }

// VisitMetricsResponse implements oapi.MetricsResponseObject.
func (s scrape) VisitMetricsResponse(w http.ResponseWriter) error {
	s.handler.ServeHTTP(w, &http.Request{Method: http.MethodGet, Header: http.Header{}})
	return nil
}

// Metrics answers GET /metrics.
func (s *Server) Metrics(context.Context, oapi.MetricsRequestObject) (oapi.MetricsResponseObject, error) {
	return scrape{handler: promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{})}, nil
}
