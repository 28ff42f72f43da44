package job_test

import (
	"testing"

	"farshore/domain/domaintest"
	"farshore/domain/job"
)

func TestStoredForm(t *testing.T) {
	t.Parallel()
	domaintest.StoredForm(t, job.Category, job.Events(), stored())
}
