// Package systemtest holds the tests that drive the program as its users do: real
// processes with a real PostgreSQL, real disks and guests that write to them,
// which are killed, frozen and told to fail.
package systemtest
