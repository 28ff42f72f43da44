package api_test

import (
	"testing"

	"github.com/pb33f/libopenapi"

	"farshore/api"
	"farshore/api/oapi"
	"farshore/domain/apikey"
)

func TestEveryOperationBelongsToARole(t *testing.T) {
	t.Parallel()
	doc, err := libopenapi.NewDocument(oapi.Contract)
	if err != nil {
		t.Fatal(err)
	}
	model, err := doc.BuildV3Model()
	if err != nil {
		t.Fatal(err)
	}
	for path, item := range model.Model.Paths.PathItems.FromOldest() {
		for method, op := range item.GetOperations().FromOldest() {
			public := op.Security != nil && len(op.Security) == 0
			if !public && !api.Permitted(string(apikey.VaultAdmin), op.OperationId) {
				t.Errorf("not even an administrator may use %s", op.OperationId)
			}
			if writes := method != "get"; writes && (api.Permitted(string(apikey.Reader), op.OperationId) || api.Permitted(string(apikey.Auditor), op.OperationId)) {
				t.Errorf("a reader may use %s %s", method, path)
			}
		}
	}
	for _, r := range apikey.Roles() {
		if !api.Permitted(string(r), "listErrors") || api.Permitted(string(r), "none") {
			t.Errorf("role %s", r)
		}
	}
}
