package main

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"farshore/domain/storageaccount"
	"farshore/workers/checksum"
	"farshore/workers/disk"
	"farshore/workers/host"
	"farshore/workers/replica"
)

// Address implements workflow.Parts.Backings: a host opens a store by itself whose
// credential, if it needs one, is a file. The server's environment is not a host
// process's that somebody else starts later.
func (s *stores) Address(ctx context.Context, vault, account string) (host.StoreAddress, bool, error) {
	state, _, err := s.accounts.Load(ctx, vault+"."+account)
	if err != nil {
		return host.StoreAddress{}, false, fmt.Errorf("find storage account %s: %w", account, err)
	}
	at := host.StoreAddress{
		Kind: string(state.Settings.Kind), Directory: state.Settings.Directory,
		Endpoint: state.Settings.Endpoint, Container: state.Settings.Container, Credential: state.Settings.Credential,
	}
	return at, state.Settings.Kind == storageaccount.Directory || strings.HasPrefix(at.Credential, "file:"), nil
}

// backings opens recovery points for a host process. A store is opened once: it
// holds connections.
type backings struct {
	mu     sync.Mutex
	stores map[host.StoreAddress]replica.Store
}

// open reads a disk of a recovery point, and nothing that does not match its
// manifest.
func (b *backings) open(ctx context.Context, of host.Backing) (disk.Reader, error) {
	store, err := b.store(of.Store)
	if err != nil {
		return nil, err
	}
	return checksum.OpenVerified(ctx, store, of.Item, of.Point, of.Disk, of.Root)
}

func (b *backings) store(at host.StoreAddress) (replica.Store, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.stores[at]; s != nil {
		return s, nil
	}
	s, err := openStore(storageaccount.Settings{
		Kind: storageaccount.Kind(at.Kind), Directory: at.Directory, Endpoint: at.Endpoint, Container: at.Container, Credential: at.Credential,
	})
	if err != nil {
		return nil, err
	}
	if b.stores == nil {
		b.stores = map[host.StoreAddress]replica.Store{}
	}
	b.stores[at] = s
	return s, nil
}
