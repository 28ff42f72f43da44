package statechart

import (
	"time"

	"farshore/domain/errorcatalog"
	"farshore/domain/protecteditem"
	"farshore/domain/site"
)

func networks() []move {
	type state = protecteditem.State
	found := []protecteditem.NetworkFinding{{Code: errorcatalog.NetworkUnmapped, NIC: "eth0", Detail: "eth0: network LAN is not mapped"}}
	return []move{
		one("ChangeNetworkSettings", func(s state, now time.Time) protecteditem.ChangeNetworkSettings {
			if len(s.NICs) > 0 {
				return protecteditem.ChangeNetworkSettings{At: now}
			}
			return protecteditem.ChangeNetworkSettings{NICs: []protecteditem.NICSettings{{NIC: "eth0", Disconnected: true}}, At: now}
		}),
		one("", func(_ state, now time.Time) protecteditem.RecordNetworkCheck {
			return protecteditem.RecordNetworkCheck{Findings: found, At: now}
		}),
		one("", func(s state, now time.Time) protecteditem.RecordConnections {
			nic := protecteditem.PlannedNIC{NIC: site.NIC{Name: "eth0", Network: "DR LAN"}, Mapping: "lan"}
			return protecteditem.RecordConnections{JobID: job(s), Plan: protecteditem.NetworkPlan{NICs: []protecteditem.PlannedNIC{nic}}, At: now}
		}),
	}
}
