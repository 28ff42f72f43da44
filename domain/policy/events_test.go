package policy_test

import (
	"testing"

	"farshore/domain/domaintest"
	"farshore/domain/policy"
)

func TestStoredForm(t *testing.T) {
	t.Parallel()
	domaintest.StoredForm(t, policy.Category, policy.Events(), stored())
}
