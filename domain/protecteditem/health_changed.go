package protecteditem

import (
	"slices"
	"time"

	"farshore/domain/errorcatalog"
)

// healthSettles is how long a change of health stands before the record tells that
// it has become better, or that a reason is back which was told of since the last
// time it was settled. So what comes and goes is told twice in this time at most.
const healthSettles = 5 * time.Minute

// Reported is the health that the record tells.
type Reported struct {
	Health Health              // empty is Normal: nothing was told yet
	Codes  []errorcatalog.Code // its reasons
	Recent []errorcatalog.Code // those that were told of since it was settled last
	At     time.Time
	Alerts int // how often it has become worse, in all cycles of protection
}

// RecordHealth tells the record how well the item is protected, if that has changed
// and is due to be told.
type RecordHealth struct{ At time.Time }

func (c RecordHealth) decide(s State) ([]Event, error) {
	if err := s.requireItem(); err != nil {
		return nil, err
	}
	if !s.Reported.due(s, c.At) {
		return nil, nil
	}
	health, reasons := HealthOf(s, c.At)
	e := HealthChanged{Health: health, Previous: s.Reported.health(), Reasons: []HealthReason{}, At: c.At}
	for _, r := range reasons {
		e.Reasons = append(e.Reasons, HealthReason(r))
	}
	return []Event{e}, nil
}

// HealthReason is why an item's health is not Normal.
type HealthReason struct {
	Code   errorcatalog.Code `json:"code"`
	Detail string            `json:"detail,omitempty"`
	Since  time.Time         `json:"since,omitzero"`
}

// HealthChanged is an alert, or its end.
type HealthChanged struct {
	Health   Health         `json:"health"`
	Previous Health         `json:"previous"`
	Reasons  []HealthReason `json:"reasons"` // the worst first
	At       time.Time      `json:"at"`
}

// EventType implements domain.Event.
func (HealthChanged) EventType() string { return "protected_item.health_changed.v1" }

func (e HealthChanged) evolve(s State) State {
	r := Reported{Health: e.Health, At: e.At, Alerts: s.Reported.Alerts}
	if rank(e.Health) > rank(e.Previous) {
		r.Alerts++
	}
	var codes []errorcatalog.Code
	for _, reason := range e.Reasons {
		codes = append(codes, reason.Code)
	}
	r.Codes = distinct(codes)
	r.Recent = r.Codes
	if e.At.Before(s.Reported.settled()) {
		r.Recent = distinct(slices.Concat(s.Reported.Recent, r.Codes))
	}
	s.Reported = r
	return s
}

func (r Reported) health() Health {
	if r.Health == "" {
		return Normal
	}
	return r.Health
}

func (r Reported) settled() time.Time {
	if r.At.IsZero() {
		return r.At
	}
	return r.At.Add(healthSettles)
}

// due says whether an item's health is to be told now: at once when it is worse or
// for a reason that is new, otherwise once what was told last has stood for a while.
func (r Reported) due(s State, now time.Time) bool {
	health, codes := codesOf(s, now)
	switch {
	case health == r.health() && slices.Equal(codes, r.Codes):
		return false
	case rank(health) > rank(r.health()):
		return true
	case !now.Before(r.settled()):
		return true
	default:
		return slices.ContainsFunc(codes, func(c errorcatalog.Code) bool { return !slices.Contains(r.Recent, c) })
	}
}

// HealthDue returns when it may next be due to tell the record of an item's health
// if no other event comes: now, when what was told is settled, or when time alone
// may change it. It reports false when only an event can.
func HealthDue(s State, now time.Time) (time.Time, bool) {
	if s.Protection == "" {
		return time.Time{}, false
	}
	if s.Reported.due(s, now) {
		return now, true
	}
	var times []time.Time
	if health, codes := codesOf(s, now); health != s.Reported.health() || !slices.Equal(codes, s.Reported.Codes) {
		times = append(times, s.Reported.settled())
	}
	if rpo, ok := RPO(s, now); ok && rpo < behindAfter && (s.Protection == Protected || s.Protection == FinalizingProtection) {
		times = append(times, now.Add(behindAfter-rpo))
	}
	if at, ok := cyclesTurn(s, now); ok {
		times = append(times, at)
	}
	if due, is := DrillDueAt(s); is && due.After(now) {
		times = append(times, due)
	}
	if len(times) == 0 {
		return time.Time{}, false
	}
	return slices.MinFunc(times, time.Time.Compare), true
}

// codesOf is an item's health with its reasons' codes, in order.
func codesOf(s State, now time.Time) (Health, []errorcatalog.Code) {
	health, reasons := HealthOf(s, now)
	var codes []errorcatalog.Code
	for _, r := range reasons {
		codes = append(codes, r.Code)
	}
	return health, distinct(codes)
}

func distinct(codes []errorcatalog.Code) []errorcatalog.Code {
	codes = slices.Clone(codes)
	slices.Sort(codes)
	return slices.Compact(codes)
}

// rank orders the degrees of health.
func rank(h Health) int {
	switch h {
	case Critical:
		return 2
	case Warning:
		return 1
	case Normal:
	}
	return 0
}
