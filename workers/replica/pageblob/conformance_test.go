package pageblob_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"farshore/workers/replica"
	"farshore/workers/replica/pageblob"
	"farshore/workers/replica/pageblob/azurite"
	"farshore/workers/replica/pageblob/faultproxy"
	"farshore/workers/replica/replicatest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	replicatest.Run(t, func(t *testing.T) replicatest.Medium {
		t.Helper()
		y := newYard(t)
		return replicatest.Medium{
			Open: func(tb testing.TB) replica.Store {
				tb.Helper()
				return open(tb, y.proxy.ServiceURL(), y.container, nil)
			},
			Faults: replicatest.Faults{
				FlipBit:       y.flipBit,
				LoseWrites:    y.while(isChange, faultproxy.LoseWrite),
				FlipWrites:    y.while(faultproxy.IsPut, faultproxy.FlipBit),
				FlushVerifies: true,
				CutAfter: func(tb testing.TB, n int) (context.Context, func()) {
					tb.Helper()
					return tb.Context(), y.cutAfter(n, func(r *http.Request) bool { return r.Method != http.MethodGet && r.Method != http.MethodHead })
				},
			},
		}
	})
}

func isChange(r *http.Request) bool { return faultproxy.IsPut(r) || faultproxy.IsClear(r) }

func (y yard) while(when func(*http.Request) bool, do faultproxy.Fault) func(testing.TB) func() {
	return func(testing.TB) func() { return y.proxy.Add(faultproxy.Rule{When: when, Do: do}) }
}

// flipBit damages what every read of a disk returns, those of its snapshots
// included: the emulator gives no way to damage what it stores.
func (y yard) flipBit(_ testing.TB, item, disk string, off int64) {
	isRead := faultproxy.IsTo(http.MethodGet, "/"+item+"/disks/"+disk+".vhd")
	y.proxy.Add(faultproxy.Rule{When: func(r *http.Request) bool { return isRead(r) && r.URL.Query().Get("comp") == "" }, Do: faultproxy.FlipRead(off)})
}

// cutAfter lets n requests of a kind pass. From the next one on, all are refused as
// none is that may be repeated.
func (y yard) cutAfter(n int, counts func(*http.Request) bool) (restore func()) {
	var seen atomic.Int64
	late := func(r *http.Request) bool {
		if counts(r) {
			seen.Add(1)
		}
		return seen.Load() > int64(n)
	}
	return y.proxy.Add(faultproxy.Rule{When: late, Do: faultproxy.Refuse(http.StatusForbidden, "AuthenticationFailed")})
}

func newContainerName() string { return "test-" + uuid.NewString() }

// open returns a checked store of a container, made when missing.
func open(tb testing.TB, serviceURL, container string, edit func(*pageblob.Options)) *pageblob.Store {
	tb.Helper()
	o := pageblob.Options{
		ServiceURL: serviceURL,
		Container:  container,
		Credential: pageblob.Credential{Account: azurite.Account, Key: azurite.Key},
		RetryFor:   5 * time.Second,
		Now:        time.Now,
	}
	if edit != nil {
		edit(&o)
	}
	store, err := pageblob.New(o)
	if err != nil {
		tb.Fatal(err)
	}
	if err := store.Check(tb.Context()); err != nil {
		tb.Fatalf("check: %v", err)
	}
	return store
}
