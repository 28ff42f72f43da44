package pageblob_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"farshore/workers/replica"
	"farshore/workers/replica/pageblob"
	"farshore/workers/replica/pageblob/azurite"
	"farshore/workers/replica/pageblob/azuritetest"
	"farshore/workers/replica/replicatest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	server := azuritetest.Shared(t)
	replicatest.Run(t, func(t *testing.T) replicatest.Medium {
		t.Helper()
		container := newContainerName()
		return replicatest.Medium{Open: func(tb testing.TB) replica.Store {
			tb.Helper()
			return open(tb, server.ServiceURL(), container, nil)
		}}
	})
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
