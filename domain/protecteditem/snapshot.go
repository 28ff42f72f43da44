package protecteditem

// StateVersion names the form of State and of what evolve makes of events.
// Snapshots of another version are thrown away: raise it with every change of
// either.
const StateVersion = 11
