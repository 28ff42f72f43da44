package policy

import (
	"time"

	"farshore/domain"
	"farshore/domain/errorcatalog"
)

// The bounds of a policy. Retention over 24 hours is Farshore's extension.
const (
	maxRetentionHours     = 720
	maxAppConsistentHours = 12
	maxReminderDays       = 3650
	maxMonitoringHours    = 7 * 24
	defaultMonitoring     = 12 * time.Hour
)

// Settings are what a policy prescribes.
type Settings struct {
	CopyFrequencySeconds        int    `json:"copyFrequencySeconds"`            // 30, 300 or 900
	RetentionHours              int    `json:"retentionHours"`                  // 0 keeps the newest point only
	AppConsistentFrequencyHours int    `json:"appConsistentFrequencyHours"`     // 0: no app-consistent points
	StartTime                   string `json:"startTime,omitempty"`             // "HH:MM" in the site's time zone; "" starts initial replication at once
	ResyncWindow                Window `json:"resyncWindow"`                    // when a resynchronization may start by itself
	ResyncThresholdPercent      int    `json:"resyncThresholdPercent"`          // of a disk's size that its unshipped logs may reach
	MonitoringWindowHours       int    `json:"monitoringWindowHours,omitempty"` // in which missed cycles are counted; 0: 12
	DrillReminderDays           int    `json:"drillReminderDays,omitempty"`     // after which a test failover is due again; 0: never
}

// Window is a time of day, in the site's time zone, that recurs every day. It
// passes midnight when End is before Start, and is the whole day when they are
// equal.
type Window struct {
	Start string `json:"start"` // "18:30"
	End   string `json:"end"`   // "06:00"
}

// Defaults returns the settings of a policy that prescribes nothing else.
// App-consistent points are off until they are asked for.
func Defaults() Settings {
	return Settings{
		CopyFrequencySeconds:   300,
		RetentionHours:         2,
		ResyncWindow:           Window{Start: "18:30", End: "06:00"},
		ResyncThresholdPercent: 50,
	}
}

// Validate refuses settings outside their bounds. The pointer of the offending
// field begins with the given prefix.
func (s Settings) Validate(prefix string) error {
	switch {
	case s.CopyFrequencySeconds != 30 && s.CopyFrequencySeconds != 300 && s.CopyFrequencySeconds != 900:
		return invalid(prefix+"/copyFrequencySeconds", "the copy frequency is 30, 300 or 900 seconds, not %d", s.CopyFrequencySeconds)
	case s.RetentionHours < 0 || s.RetentionHours > maxRetentionHours:
		return invalid(prefix+"/retentionHours", "retention is 0 to %d hours, not %d", maxRetentionHours, s.RetentionHours)
	case s.AppConsistentFrequencyHours < 0 || s.AppConsistentFrequencyHours > maxAppConsistentHours:
		return invalid(prefix+"/appConsistentFrequencyHours", "the app-consistent frequency is 0 to %d hours, not %d", maxAppConsistentHours, s.AppConsistentFrequencyHours)
	case s.StartTime != "" && !validClock(s.StartTime):
		return invalid(prefix+"/startTime", "%q is not a time of day like 22:00", s.StartTime)
	case !validClock(s.ResyncWindow.Start):
		return invalid(prefix+"/resyncWindow/start", "%q is not a time of day like 18:30", s.ResyncWindow.Start)
	case !validClock(s.ResyncWindow.End):
		return invalid(prefix+"/resyncWindow/end", "%q is not a time of day like 06:00", s.ResyncWindow.End)
	case s.ResyncThresholdPercent < 1 || s.ResyncThresholdPercent > 100:
		return invalid(prefix+"/resyncThresholdPercent", "the resync threshold is 1 to 100 percent, not %d", s.ResyncThresholdPercent)
	case s.DrillReminderDays < 0 || s.DrillReminderDays > maxReminderDays:
		return invalid(prefix+"/drillReminderDays", "a test failover is due after 0 to %d days, not %d", maxReminderDays, s.DrillReminderDays)
	case s.MonitoringWindowHours < 0 || s.MonitoringWindowHours > maxMonitoringHours:
		return invalid(prefix+"/monitoringWindowHours", "the monitoring window is 1 to %d hours, not %d", maxMonitoringHours, s.MonitoringWindowHours)
	}
	return nil
}

// MonitoringWindow is the time in which missed cycles are counted.
func (s Settings) MonitoringWindow() time.Duration {
	if s.MonitoringWindowHours == 0 {
		return defaultMonitoring
	}
	return time.Duration(s.MonitoringWindowHours) * time.Hour
}

// CopyFrequency is the time between two cuts.
func (s Settings) CopyFrequency() time.Duration {
	return time.Duration(s.CopyFrequencySeconds) * time.Second
}

// Retention is how far back recovery points reach.
func (s Settings) Retention() time.Duration {
	return time.Duration(s.RetentionHours) * time.Hour
}

// AppConsistentFrequency is the time between two application-consistent cuts; 0:
// there are none.
func (s Settings) AppConsistentFrequency() time.Duration {
	return time.Duration(s.AppConsistentFrequencyHours) * time.Hour
}

// NextStart returns when initial replication may start: now, or the next time
// the clocks in the given zone show the start time.
func (s Settings) NextStart(now time.Time, zone *time.Location) time.Time {
	if s.StartTime == "" {
		return now
	}
	return nextClock(s.StartTime, now, zone)
}

// Next returns the earliest instant from now on that lies in the window: now
// itself, or the window's next start.
func (w Window) Next(now time.Time, zone *time.Location) time.Time {
	start, end := minutes(w.Start), minutes(w.End)
	at := minuteOf(now.In(zone))
	inside := start == end || (start < end && at >= start && at < end) || (start > end && (at >= start || at < end))
	if inside {
		return now
	}
	return nextClock(w.Start, now, zone)
}

// nextClock returns the next instant at which clocks in the zone show hhmm.
func nextClock(hhmm string, now time.Time, zone *time.Location) time.Time {
	local := now.In(zone)
	for day := 0; ; day++ {
		noon := time.Date(local.Year(), local.Month(), local.Day()+day, 12, 0, 0, 0, zone)
		if at := clockOn(noon, minutes(hhmm)); !at.Before(now) {
			return at.UTC()
		}
	}
}

// clockOn returns the instant of a day at which clocks show the given minute. On
// the day that skips it, that is as much later as the clocks go forward; on the
// day that has it twice, the first: time.Date promises neither.
func clockOn(day time.Time, minute int) time.Time {
	const half = 12 * 60
	at := time.Date(day.Year(), day.Month(), day.Day(), 0, minute, 0, 0, day.Location())
	early := minute - minuteOf(at)
	if early < -half { // clocks skip midnight, and at is on the day before
		early += 2 * half
	}
	if early > 0 {
		at = at.Add(time.Duration(early) * time.Minute)
	}
	for _, back := range []time.Duration{30 * time.Minute, time.Hour} { // as far as zones set clocks back
		if earlier := at.Add(-back); minuteOf(earlier) == minute {
			return earlier
		}
	}
	return at
}

func minuteOf(t time.Time) int { return t.Hour()*60 + t.Minute() }

func validClock(s string) bool {
	const form = "15:04"
	t, err := time.Parse(form, s)
	return err == nil && t.Format(form) == s
}

// minutes since midnight; a validated time of day has five characters.
func minutes(hhmm string) int {
	t, err := time.Parse("15:04", hhmm)
	if err != nil {
		return 0
	}
	return t.Hour()*60 + t.Minute()
}

func invalid(field, format string, args ...any) error {
	return domain.Reject(domain.Invalid, errorcatalog.ValidationFailed, format, args...).At(field)
}
