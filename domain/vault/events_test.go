package vault_test

import (
	"testing"

	"farshore/domain/domaintest"
	"farshore/domain/vault"
)

func TestStoredForm(t *testing.T) {
	t.Parallel()
	domaintest.StoredForm(t, vault.Category, vault.Events(), stored())
}
