package protecteditem

import (
	"slices"
	"strings"
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
	"farshore/domain/site"
)

// Connections is how the adapters of the recovery VM were decided to be connected.
type Connections struct {
	Job      string // of the failover, or of the change of its point, that decided it
	NICs     []site.NIC
	Findings []NetworkFinding
}

// RecordNetworkCheck reports what was found about the item's networks. Only
// another outcome is recorded.
type RecordNetworkCheck struct {
	Findings []NetworkFinding
	At       time.Time
}

func (c RecordNetworkCheck) decide(s State) ([]Event, error) {
	if err := s.requireEnabled(); err != nil {
		return nil, err
	}
	if s.Protection == DisablingProtection || slices.Equal(s.NetworkFindings, c.Findings) {
		return nil, nil
	}
	return []Event{NetworksChecked(c)}, nil
}

// NetworksChecked replaces what is known to be wrong with the item's networks.
type NetworksChecked struct {
	Findings []NetworkFinding `json:"findings,omitempty"`
	At       time.Time        `json:"at"`
}

// EventType implements domain.Event.
func (NetworksChecked) EventType() string { return "protected_item.networks_checked.v1" }

func (e NetworksChecked) evolve(s State) State {
	s.NetworkFindings, s.NetworksCheckedAt = e.Findings, e.At
	return s
}

// RecordConnections fixes how the recovery VM's adapters are connected, for as long
// as the job runs that is about to make it: what is mapped otherwise meanwhile
// counts for the next one.
type RecordConnections struct {
	JobID string
	Plan  NetworkPlan
	At    time.Time
}

func (c RecordConnections) decide(s State) ([]Event, error) {
	if s.repeats(c.JobID, false) || s.repeats(c.JobID, true) {
		return nil, nil
	}
	if err := s.requireStep(c.JobID, PlannedFailoverInProgress, UnplannedFailoverInProgress, FailoverCommitRequired); err != nil {
		return nil, err
	}
	if s.Connections != nil && s.Connections.Job == c.JobID {
		return nil, nil
	}
	if s.Protection == PlannedFailoverInProgress && !s.AllowUnmapped {
		if err := requireConnected(c.Plan.Findings); err != nil {
			return nil, err
		}
	}
	return []Event{ConnectionsDecided{JobID: c.JobID, NICs: c.Plan.Adapters(), Findings: c.Plan.Findings, At: c.At}}, nil
}

// ConnectionsDecided fixes the adapters of the recovery VM.
type ConnectionsDecided struct {
	JobID    string           `json:"jobId"`
	NICs     []site.NIC       `json:"nics"`
	Findings []NetworkFinding `json:"findings,omitempty"`
	At       time.Time        `json:"at"`
}

// EventType implements domain.Event.
func (ConnectionsDecided) EventType() string { return "protected_item.connections_decided.v1" }

func (e ConnectionsDecided) evolve(s State) State {
	s.Connections = &Connections{Job: e.JobID, NICs: e.NICs, Findings: e.Findings}
	return s
}

// RecoveryNICs returns the adapters that the recovery VM is made with.
func (s State) RecoveryNICs() []site.NIC {
	if s.Connections == nil {
		return s.VM.NICs
	}
	return s.Connections.NICs
}

// Unconnected is why the planned failover that runs cannot go on with a plan,
// unless it was told to whatever comes of it.
func (s State) Unconnected(p NetworkPlan) *errorcatalog.Failure {
	if s.AllowUnmapped {
		return nil
	}
	for _, f := range p.Findings {
		if f.unconnected() {
			return errorcatalog.Fail(f.Code, "%s", f.Detail)
		}
	}
	return nil
}

// requireConnected refuses a failover without haste whose VM would come up with
// adapters that are not connected.
func requireConnected(findings []NetworkFinding) error {
	var details []string
	for _, f := range findings {
		if f.unconnected() {
			details = append(details, f.Detail)
		}
	}
	if len(details) == 0 {
		return nil
	}
	return domain.Reject(domain.Conflict, errorcatalog.NetworksUnmapped, "%s", strings.Join(details, "; "))
}
