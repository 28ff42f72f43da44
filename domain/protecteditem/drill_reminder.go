package protecteditem

import "time"

// DrillDue says whether the last test failover that came up is longer ago than
// the policy allows, and since when: counted from the end of enabling protection
// if there was none.
func DrillDue(s State, now time.Time) (time.Time, bool) {
	due, is := DrillDueAt(s)
	if !is {
		return time.Time{}, false
	}
	return due, !due.After(now)
}

// DrillDueAt is when the next test failover is due. It reports false when none is
// wanted, cannot be held, or is being held.
func DrillDueAt(s State) (time.Time, bool) {
	if s.Policy.DrillReminderDays <= 0 || s.Protection != Protected || s.testOpen() {
		return time.Time{}, false
	}
	last := s.LastTestFailover
	if last.IsZero() {
		last = s.ProtectedAt
	}
	return last.AddDate(0, 0, s.Policy.DrillReminderDays), true
}

// ReminderDue returns when the record is to be reminded next that a test failover
// is due: once it is, and again after each period of the policy without one.
func ReminderDue(s State) (time.Time, bool) {
	due, is := DrillDueAt(s)
	if !is {
		return time.Time{}, false
	}
	if s.Reminded.Before(due) {
		return due, true
	}
	return s.Reminded.AddDate(0, 0, s.Policy.DrillReminderDays), true
}

// RemindOfTestFailover puts on record that a test failover is due.
type RemindOfTestFailover struct{ At time.Time }

func (c RemindOfTestFailover) decide(s State) ([]Event, error) {
	if err := s.requireItem(); err != nil {
		return nil, err
	}
	if at, is := ReminderDue(s); !is || at.After(c.At) {
		return nil, nil
	}
	due, _ := DrillDueAt(s)
	return []Event{TestFailoverFellDue{Since: due, LastTestFailover: s.LastTestFailover, ReminderDays: s.Policy.DrillReminderDays, At: c.At}}, nil
}

// TestFailoverFellDue reminds of a test failover.
type TestFailoverFellDue struct {
	Since            time.Time `json:"since"`
	LastTestFailover time.Time `json:"lastTestFailover,omitzero"` // that came up; absent: none has
	ReminderDays     int       `json:"reminderDays"`
	At               time.Time `json:"at"`
}

// EventType implements domain.Event.
func (TestFailoverFellDue) EventType() string { return "protected_item.test_failover_due.v1" }

func (e TestFailoverFellDue) evolve(s State) State {
	s.Reminded = e.At
	return s
}
