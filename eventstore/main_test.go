package eventstore_test

import (
	"testing"

	"go.uber.org/goleak"
)

// The database that all test packages share outlives the one that started it, and
// with it the goroutine that would reap it.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("farshore/eventstore/pgcluster.(*Cluster).launch.func1"))
}
