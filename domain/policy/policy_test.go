package policy_test

import (
	"testing"
	"time"

	"farshore/domain/domaintest"
	"farshore/domain/errorcatalog"
	"farshore/domain/policy"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func stored() []policy.Event {
	return []policy.Event{policy.Defined{Name: "Gold", Settings: policy.Defaults(), At: noon}}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	define := policy.Define{Name: "Gold", Settings: policy.Defaults(), At: noon}
	rows := map[string]scenario{
		"a policy is defined":               {When: define, Then: stored()},
		"defining it again changes nothing": {Given: stored(), When: define},
		"a policy needs a name":             {When: policy.Define{Settings: policy.Defaults()}, Refused: errorcatalog.ValidationFailed, Field: "/name"},
		"defining it otherwise is refused":  {Given: stored(), When: policy.Define{Name: "Silver", Settings: policy.Defaults()}, Refused: errorcatalog.AlreadyExistsWithOtherSettings},
	}
	for name, tt := range map[string]struct {
		change func(*policy.Settings)
		field  string // empty: accepted
	}{
		"30 seconds":                  {func(s *policy.Settings) { s.CopyFrequencySeconds = 30 }, ""},
		"15 minutes":                  {func(s *policy.Settings) { s.CopyFrequencySeconds = 900 }, ""},
		"60 seconds":                  {func(s *policy.Settings) { s.CopyFrequencySeconds = 60 }, "/copyFrequencySeconds"},
		"no frequency":                {func(s *policy.Settings) { s.CopyFrequencySeconds = 0 }, "/copyFrequencySeconds"},
		"the newest point only":       {func(s *policy.Settings) { s.RetentionHours = 0 }, ""},
		"thirty days":                 {func(s *policy.Settings) { s.RetentionHours = 720 }, ""},
		"more than thirty days":       {func(s *policy.Settings) { s.RetentionHours = 721 }, "/retentionHours"},
		"less than nothing":           {func(s *policy.Settings) { s.RetentionHours = -1 }, "/retentionHours"},
		"12 hours between app points": {func(s *policy.Settings) { s.AppConsistentFrequencyHours = 12 }, ""},
		"13 hours between app points": {func(s *policy.Settings) { s.AppConsistentFrequencyHours = 13 }, "/appConsistentFrequencyHours"},
		"minus 1 hour between them":   {func(s *policy.Settings) { s.AppConsistentFrequencyHours = -1 }, "/appConsistentFrequencyHours"},
		"a start at night":            {func(s *policy.Settings) { s.StartTime = "23:59" }, ""},
		"a start at 24:00":            {func(s *policy.Settings) { s.StartTime = "24:00" }, "/startTime"},
		"a start at 9:00":             {func(s *policy.Settings) { s.StartTime = "9:00" }, "/startTime"},
		"no window":                   {func(s *policy.Settings) { s.ResyncWindow = policy.Window{} }, "/resyncWindow/start"},
		"a window without an end":     {func(s *policy.Settings) { s.ResyncWindow.End = "late" }, "/resyncWindow/end"},
		"a threshold of 1 percent":    {func(s *policy.Settings) { s.ResyncThresholdPercent = 1 }, ""},
		"a threshold of 100 percent":  {func(s *policy.Settings) { s.ResyncThresholdPercent = 100 }, ""},
		"a threshold of 0 percent":    {func(s *policy.Settings) { s.ResyncThresholdPercent = 0 }, "/resyncThresholdPercent"},
		"a threshold of 101 percent":  {func(s *policy.Settings) { s.ResyncThresholdPercent = 101 }, "/resyncThresholdPercent"},
		"a window of a week":          {func(s *policy.Settings) { s.MonitoringWindowHours = 168 }, ""},
		"a window of 8 days":          {func(s *policy.Settings) { s.MonitoringWindowHours = 192 }, "/monitoringWindowHours"},
		"a window of minus an hour":   {func(s *policy.Settings) { s.MonitoringWindowHours = -1 }, "/monitoringWindowHours"},
		"a drill every quarter":       {func(s *policy.Settings) { s.DrillReminderDays = 90 }, ""},
		"a drill every minus one day": {func(s *policy.Settings) { s.DrillReminderDays = -1 }, "/drillReminderDays"},
		"a drill every 20 years":      {func(s *policy.Settings) { s.DrillReminderDays = 7300 }, "/drillReminderDays"},
	} {
		settings := policy.Defaults()
		tt.change(&settings)
		row := scenario{When: policy.Define{Name: "Gold", Settings: settings, At: noon}}
		if tt.field == "" {
			row.Then = []policy.Event{policy.Defined{Name: "Gold", Settings: settings, At: noon}}
		} else {
			row.Refused, row.Field = errorcatalog.ValidationFailed, "/settings"+tt.field
		}
		rows["a policy with "+name] = row
	}
	run(t, rows)
}

func TestWindow(t *testing.T) {
	t.Parallel()
	vienna, err := time.LoadLocation("Europe/Vienna")
	if err != nil {
		t.Fatal(err)
	}
	night := policy.Window{Start: "18:30", End: "06:00"}
	at := func(month time.Month, day, hour, minute int) time.Time {
		return time.Date(2026, month, day, hour, minute, 0, 0, vienna)
	}
	for name, tt := range map[string]struct {
		window    policy.Window
		now, want time.Time
	}{
		"by day it opens in the evening":              {night, at(1, 2, 12, 0), at(1, 2, 18, 30)},
		"in the evening it is open":                   {night, at(1, 2, 18, 30), at(1, 2, 18, 30)},
		"after midnight it is open":                   {night, at(1, 3, 5, 59), at(1, 3, 5, 59)},
		"at its end it is closed":                     {night, at(1, 3, 6, 0), at(1, 3, 18, 30)},
		"one within a day opens the next day":         {policy.Window{Start: "01:00", End: "03:00"}, at(1, 3, 3, 0), at(1, 4, 1, 0)},
		"one within a day is open":                    {policy.Window{Start: "01:00", End: "03:00"}, at(1, 3, 2, 0), at(1, 3, 2, 0)},
		"a whole day is always open":                  {policy.Window{Start: "09:00", End: "09:00"}, at(1, 3, 2, 0), at(1, 3, 2, 0)},
		"it opens by the clock in summer":             {night, at(3, 29, 12, 0), at(3, 29, 18, 30)},
		"it opens by the clock in winter":             {night, at(10, 25, 12, 0), at(10, 25, 18, 30)},
		"a start that clocks skip is an hour on":      {policy.Window{Start: "02:30", End: "04:00"}, at(3, 29, 0, 30), time.Date(2026, 3, 29, 1, 30, 0, 0, time.UTC)},
		"a start that clocks show twice is the first": {policy.Window{Start: "02:30", End: "04:00"}, at(10, 25, 0, 30), time.Date(2026, 10, 25, 0, 30, 0, 0, time.UTC)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tt.window.Next(tt.now, vienna); !got.Equal(tt.want) {
				t.Errorf("opens at %s, want %s", got, tt.want)
			}
		})
	}
}

func TestClocksOfOtherZones(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		zone, start string
		now, want   time.Time
	}{
		"New York skips it":       {"America/New_York", "02:30", time.Date(2026, 3, 8, 5, 0, 0, 0, time.UTC), time.Date(2026, 3, 8, 7, 30, 0, 0, time.UTC)},
		"New York has it twice":   {"America/New_York", "01:30", time.Date(2026, 11, 1, 4, 0, 0, 0, time.UTC), time.Date(2026, 11, 1, 5, 30, 0, 0, time.UTC)},
		"Lord Howe has it twice":  {"Australia/Lord_Howe", "01:45", time.Date(2026, 4, 4, 13, 30, 0, 0, time.UTC), time.Date(2026, 4, 4, 14, 45, 0, 0, time.UTC)},
		"Beirut skips midnight":   {"Asia/Beirut", "00:30", time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC), time.Date(2026, 3, 28, 22, 30, 0, 0, time.UTC)},
		"Kolkata is half an hour": {"Asia/Kolkata", "18:30", noon, time.Date(2026, 1, 2, 13, 0, 0, 0, time.UTC)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			zone, err := time.LoadLocation(tt.zone)
			if err != nil {
				t.Fatal(err)
			}
			s := policy.Defaults()
			s.StartTime = tt.start
			if got := s.NextStart(tt.now, zone); !got.Equal(tt.want) {
				t.Errorf("starts at %s, want %s", got, tt.want)
			}
		})
	}
}

func TestInitialReplicationStarts(t *testing.T) {
	t.Parallel()
	s := policy.Defaults()
	if got := s.NextStart(noon, time.UTC); !got.Equal(noon) {
		t.Errorf("without a start time it starts at %s", got)
	}
	s.StartTime = "22:00"
	if got, want := s.NextStart(noon, time.UTC), noon.Add(10*time.Hour); !got.Equal(want) {
		t.Errorf("starts at %s, want %s", got, want)
	}
	s.StartTime = "11:59"
	if got, want := s.NextStart(noon, time.UTC), noon.Add(24*time.Hour-time.Minute); !got.Equal(want) {
		t.Errorf("starts at %s, want %s", got, want)
	}
}

type scenario = domaintest.Scenario[policy.Command, policy.Event]

func run(t *testing.T, rows map[string]scenario) {
	t.Helper()
	domaintest.Decide(t, policy.Decider, rows)
}
