package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/domain/storageaccount"
	"farshore/eventstore"
	"farshore/workers/replica"
	"farshore/workers/replica/directory"
	"farshore/workers/replica/pageblob"
)

// stores finds the replica store behind a storage account. A store is opened
// once: it holds locks and connections.
type stores struct {
	accounts eventstore.Repository[storageaccount.Command, storageaccount.Event, storageaccount.State]

	mu   sync.Mutex
	open map[storageaccount.Settings]replica.Store
}

// Store implements workflow.Stores.
func (s *stores) Store(ctx context.Context, vault, account string) (replica.Store, error) {
	state, _, err := s.accounts.Load(ctx, vault+"."+account)
	if err != nil {
		return nil, fmt.Errorf("find storage account %s: %w", account, err)
	}
	if !state.Registered {
		return nil, errorcatalog.Fail(errorcatalog.ReplicaStoreUnreachable, "vault %s has no storage account %s", vault, account)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if store := s.open[state.Settings]; store != nil {
		return store, nil
	}
	store, err := openStore(state.Settings)
	if err != nil {
		return nil, err
	}
	if s.open == nil {
		s.open = map[storageaccount.Settings]replica.Store{}
	}
	s.open[state.Settings] = store
	return store, nil
}

// openStore opens the store that settings describe.
func openStore(s storageaccount.Settings) (replica.Store, error) {
	if s.Kind == storageaccount.Directory {
		return directory.Open(s.Directory, time.Now), nil
	}
	secret, err := readSecret(s.Credential)
	if err != nil {
		return nil, err
	}
	credential, err := pageblob.ParseCredential(secret, s.Endpoint)
	if err != nil {
		return nil, err
	}
	return pageblob.New(pageblob.Options{ServiceURL: s.Endpoint, Container: s.Container, Credential: credential, Now: time.Now})
}

// readSecret follows a reference to a secret: "env:NAME" or "file:/path".
func readSecret(reference string) (string, error) {
	kind, at, _ := strings.Cut(reference, ":")
	switch kind {
	case "env":
		if v := os.Getenv(at); v != "" {
			return v, nil
		}
		return "", errorcatalog.Fail(errorcatalog.ReplicaStoreAuthentication, "the server's environment has no %s", at)
	case "file":
		text, err := os.ReadFile(at)
		if err != nil {
			return "", errorcatalog.Fail(errorcatalog.ReplicaStoreAuthentication, "the credential's file cannot be read").Because(err)
		}
		return string(text), nil
	}
	return "", errorcatalog.Fail(errorcatalog.ReplicaStoreAuthentication, "credential %q names neither env: nor file:", reference)
}
