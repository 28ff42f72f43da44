package protecteditem_test

import "farshore/domain/protecteditem"

// networks makes the commands that concern an item's networks.
func (g *generator) networks(kind, b int) protecteditem.Command {
	p := plan()
	if b%2 == 0 { // in order
		p.Findings = nil
	}
	switch kind {
	case setNICs:
		return protecteditem.ChangeNetworkSettings{NICs: nicSettings[:b%3], At: g.now}
	case checkNetworks:
		if b%4 != 1 { // mostly in order, or no sequence gets far
			p.Findings = nil
		}
		return protecteditem.RecordNetworkCheck{Findings: p.Findings, At: g.now}
	case decideConnections:
		return protecteditem.RecordConnections{JobID: g.job, Plan: p, At: g.now}
	default:
		return nil
	}
}
