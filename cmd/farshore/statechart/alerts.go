package statechart

import (
	"time"

	"farshore/domain/policy"
	"farshore/domain/protecteditem"
)

// alerts are told by workers, whatever they are at.
func alerts() []move {
	type state = protecteditem.State
	return []move{
		one("", func(_ state, now time.Time) protecteditem.RecordHealth {
			return protecteditem.RecordHealth{At: now}
		}),
		one("", func(_ state, now time.Time) protecteditem.RemindOfTestFailover {
			return protecteditem.RemindOfTestFailover{At: now.AddDate(1, 0, 0)}
		}).after(func(_ state, now time.Time) []protecteditem.Command {
			p := policy.Defaults()
			p.DrillReminderDays = 90
			return []protecteditem.Command{protecteditem.ChangePolicy{PolicyID: "drilled", Settings: p, At: now}}
		}),
	}
}
