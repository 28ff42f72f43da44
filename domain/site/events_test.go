package site_test

import (
	"testing"

	"farshore/domain/domaintest"
	"farshore/domain/site"
)

func TestStoredForm(t *testing.T) {
	t.Parallel()
	domaintest.StoredForm(t, site.Category, site.Events(), stored())
}
