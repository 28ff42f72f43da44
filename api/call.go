package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"farshore/eventstore"
)

// principal is who calls.
type principal struct {
	key   string // the API key's id
	vault string // "*": every vault
	role  role
}

// call is what a handler needs to know about its request besides the typed
// parameters.
type call struct {
	requestID   string
	operation   string
	base        string // "http://127.0.0.1:8080"
	path        string
	query       string
	fingerprint string
	principal   principal
}

type callKey struct{}

func callOf(ctx context.Context) call {
	c, _ := ctx.Value(callKey{}).(call)
	return c
}

func withCall(ctx context.Context, c call) context.Context {
	return context.WithValue(ctx, callKey{}, c)
}

// metadata says on whose behalf a command runs.
func (c call) metadata(vault, job string) eventstore.Metadata {
	return eventstore.Metadata{Actor: c.actor(), Vault: vault, Job: job, Request: c.requestID}
}

func (c call) actor() string { return "apikey:" + c.principal.key }

// idempotency scopes a client's key by vault, actor and operation, so that two
// clients who chose the same one do not meet.
func (c call) idempotency(vault string, key *string) *eventstore.Idempotency {
	if key == nil || *key == "" {
		return nil
	}
	name := strings.Trim(*key, `"`)
	return &eventstore.Idempotency{
		Key:         strings.Join([]string{vault, c.actor(), c.operation, name}, "|"),
		Fingerprint: c.fingerprint,
	}
}

func fingerprintOf(method, uri string, body []byte) string {
	h := sha256.New()
	h.Write([]byte(method + "\n" + uri + "\n"))
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil))
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func value[T any](p *T) T {
	var zero T
	if p == nil {
		return zero
	}
	return *p
}
