package networkmapping_test

import (
	"testing"

	"farshore/domain/domaintest"
	"farshore/domain/networkmapping"
)

func TestStoredForm(t *testing.T) {
	t.Parallel()
	domaintest.StoredForm(t, networkmapping.Category, networkmapping.Events(), []networkmapping.Event{mapped, removed})
}
