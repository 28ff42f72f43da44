// Package azuritetest gives tests a storage emulator.
package azuritetest

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"farshore/workers/replica/pageblob/azurite"
)

// startLimit includes an installation over a slow line.
const startLimit = 5 * time.Minute

// Shared starts one emulator for all the tests that run at the same time and
// stops it after the last of them. Tests keep apart by container.
func Shared(tb testing.TB) *azurite.Server {
	tb.Helper()
	common.Lock()
	defer common.Unlock()
	if common.users == 0 {
		common.server = start(tb)
	}
	common.users++
	tb.Cleanup(func() {
		common.Lock()
		defer common.Unlock()
		if common.users--; common.users == 0 {
			stop(tb, common.server)
		}
	})
	return common.server
}

// Start starts an emulator for this test alone.
func Start(tb testing.TB) *azurite.Server {
	tb.Helper()
	server := start(tb)
	tb.Cleanup(func() { stop(tb, server) })
	return server
}

// NPMDir is the folder of the emulator's package.json.
func NPMDir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, "deploy", "npm")
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			tb.Fatal("no go.mod above the test's folder")
		}
		dir = parent
	}
}

// common is what the tests of one process share.
var common struct {
	sync.Mutex
	users  int
	server *azurite.Server
}

func start(tb testing.TB) *azurite.Server {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	server, err := azurite.Start(ctx, azurite.Options{NPMDir: NPMDir(tb)})
	if err != nil {
		tb.Fatal(err)
	}
	return server
}

func stop(tb testing.TB, server *azurite.Server) {
	tb.Helper()
	if err := server.Stop(); err != nil {
		tb.Error(err)
	}
}
