package storageaccount_test

import (
	"testing"

	"farshore/domain/domaintest"
	"farshore/domain/storageaccount"
)

func TestStoredForm(t *testing.T) {
	t.Parallel()
	domaintest.StoredForm(t, storageaccount.Category, storageaccount.Events(), stored())
}
