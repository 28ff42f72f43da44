package storageaccount_test

import (
	"strings"
	"testing"
	"time"

	"farshore/domain/domaintest"
	"farshore/domain/errorcatalog"
	"farshore/domain/storageaccount"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func stored() []storageaccount.Event {
	return []storageaccount.Event{storageaccount.Registered{
		Name: "blobs",
		Settings: storageaccount.Settings{
			Kind: storageaccount.AzurePageBlob, Endpoint: "https://acme.blob.core.windows.net", Container: "replicas", Credential: "env:ACME_KEY",
		},
		At: noon,
	}}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	blobs := storageaccount.Register{
		Name: "blobs", Kind: storageaccount.AzurePageBlob, Endpoint: "https://acme.blob.core.windows.net", Container: "replicas", Credential: "env:ACME_KEY", At: noon,
	}
	directory := storageaccount.Register{Name: "disk", Kind: storageaccount.Directory, Directory: "/srv/replicas", At: noon}
	with := func(c storageaccount.Register, change func(*storageaccount.Register)) storageaccount.Register {
		change(&c)
		return c
	}
	refused := func(c storageaccount.Register, field string) scenario {
		return scenario{When: c, Refused: errorcatalog.ValidationFailed, Field: field}
	}
	rows := map[string]scenario{
		"page blobs are registered":              {When: blobs, Then: stored()},
		"registering them again changes nothing": {Given: stored(), When: blobs},
		"registering them otherwise is refused":  {Given: stored(), When: directory, Refused: errorcatalog.AlreadyExistsWithOtherSettings},
		"a directory is registered": {When: directory, Then: []storageaccount.Event{storageaccount.Registered{
			Name: "disk", Settings: storageaccount.Settings{Kind: storageaccount.Directory, Directory: "/srv/replicas"}, At: noon,
		}}},
		"an account needs a name":          refused(with(blobs, func(c *storageaccount.Register) { c.Name = "" }), "/name"),
		"an account needs a known kind":    refused(with(blobs, func(c *storageaccount.Register) { c.Kind = "S3" }), "/kind"),
		"a directory has an absolute path": refused(with(directory, func(c *storageaccount.Register) { c.Directory = "replicas" }), "/directory"),
		"a directory has no endpoint":      refused(with(directory, func(c *storageaccount.Register) { c.Endpoint = "https://x" }), "/endpoint"),
		"a directory has no container":     refused(with(directory, func(c *storageaccount.Register) { c.Container = "x" }), "/container"),
		"a directory has no credential":    refused(with(directory, func(c *storageaccount.Register) { c.Credential = "env:X" }), "/credential"),
		"page blobs have no directory":     refused(with(blobs, func(c *storageaccount.Register) { c.Directory = "/x" }), "/directory"),
	}
	for name, endpoint := range map[string]string{
		"none": "", "a bare name": "acme", "another scheme": "ftp://acme", "no host": "https://", "a path only": "https:///x",
		"a signature": "https://acme/?sig=secret", "a password": "https://me:secret@acme", "a space": "https://ac me",
	} {
		rows["an endpoint that is "+name] = refused(with(blobs, func(c *storageaccount.Register) { c.Endpoint = endpoint }), "/endpoint")
	}
	for _, container := range []string{"", "ab", "UPPER", "a--b", "-ab", "a_b"} {
		rows["the container "+container] = refused(with(blobs, func(c *storageaccount.Register) { c.Container = container }), "/container")
	}
	for name, credential := range map[string]string{"none": "", "a secret": "Zm9v", "an empty name": "env:", "an assignment": "env:KEY=secret", "a relative path": "file:key"} {
		rows["a credential that is "+name] = refused(with(blobs, func(c *storageaccount.Register) { c.Credential = credential }), "/credential")
	}
	run(t, rows)
}

func TestARefusedCredentialIsNotRepeated(t *testing.T) {
	t.Parallel()
	_, err := storageaccount.Decider.Decide(storageaccount.State{}, storageaccount.Register{
		Name: "blobs", Kind: storageaccount.AzurePageBlob, Endpoint: "https://acme", Container: "replicas", Credential: "hunter2",
	})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("refusal = %v", err)
	}
}

type scenario = domaintest.Scenario[storageaccount.Command, storageaccount.Event]

func run(t *testing.T, rows map[string]scenario) {
	t.Helper()
	domaintest.Decide(t, storageaccount.Decider, rows)
}
