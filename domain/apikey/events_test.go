package apikey_test

import (
	"testing"

	"farshore/domain/apikey"
	"farshore/domain/domaintest"
)

func TestStoredForm(t *testing.T) {
	t.Parallel()
	domaintest.StoredForm(t, apikey.Category, apikey.Events(), stored())
}
