package api

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	validation "github.com/pb33f/libopenapi-validator/errors"
	"github.com/pb33f/libopenapi-validator/helpers"

	"farshore/api/oapi"
	"farshore/domain/errorcatalog"
)

// contract is openapi.yaml at work: it names each route's operation and checks
// requests against it.
type contract struct {
	operations map[string]operation // by method and echo path
	validator  validator.Validator
	json       []byte
}

// operation is what the contract says about a route.
type operation struct {
	id     string
	public bool // needs no credential
}

func loadContract() (*contract, error) {
	doc, err := libopenapi.NewDocument(oapi.Contract)
	if err != nil {
		return nil, fmt.Errorf("parse contract: %w", err)
	}
	model, err := doc.BuildV3Model()
	if err != nil {
		return nil, fmt.Errorf("read contract: %w", err)
	}
	v, errs := validator.NewValidator(doc, config.WithFormatAssertions(), config.WithoutSecurityValidation())
	if len(errs) > 0 {
		return nil, fmt.Errorf("prepare validator: %w", errs[0])
	}
	rendered, err := model.Model.RenderJSON("  ")
	if err != nil {
		return nil, fmt.Errorf("render contract: %w", err)
	}
	c := &contract{operations: map[string]operation{}, validator: v, json: rendered}
	for path, item := range model.Model.Paths.PathItems.FromOldest() {
		for method, op := range item.GetOperations().FromOldest() {
			route := strings.ToUpper(method) + " " + strings.NewReplacer("{", ":", "}", "").Replace(path)
			c.operations[route] = operation{id: op.OperationId, public: op.Security != nil && len(op.Security) == 0}
		}
	}
	return c, nil
}

func (c *contract) operationOf(method, route string) (operation, bool) {
	op, ok := c.operations[method+" "+route]
	return op, ok
}

// check compares a request with the contract and returns a RefusalError that
// names every field at fault.
func (c *contract) check(r *http.Request) error {
	ok, faults := c.validator.ValidateHttpRequestSync(r)
	if ok {
		return nil
	}
	code, fields := errorcatalog.ValidationFailed, []oapi.FieldError{}
	for _, f := range faults {
		for _, field := range fieldsOf(f) {
			if value(field.Code) == string(errorcatalog.UnknownField) {
				code = errorcatalog.UnknownField
			}
			fields = append(fields, field)
		}
	}
	return &RefusalError{Status: http.StatusBadRequest, Code: code, Detail: "the request does not follow the contract", Fields: fields}
}

func fieldsOf(f *validation.ValidationError) []oapi.FieldError {
	if f.ValidationType == helpers.ParameterValidation || f.ParameterName != "" {
		return []oapi.FieldError{{Pointer: "#/" + f.ValidationSubType + "/" + f.ParameterName, Detail: reasonOf(f)}}
	}
	if len(f.SchemaValidationErrors) == 0 {
		return []oapi.FieldError{{Pointer: "", Detail: f.Reason}}
	}
	fields := make([]oapi.FieldError, 0, len(f.SchemaValidationErrors))
	for _, s := range f.SchemaValidationErrors {
		fields = append(fields, fieldOf(s))
	}
	return fields
}

func reasonOf(f *validation.ValidationError) string {
	if len(f.SchemaValidationErrors) > 0 {
		return f.SchemaValidationErrors[0].Reason
	}
	return f.Reason
}

func fieldOf(s *validation.SchemaValidationFailure) oapi.FieldError {
	field := oapi.FieldError{Pointer: pointer(s.InstancePath), Detail: s.Reason}
	if strings.HasSuffix(s.KeywordLocation, "/additionalProperties") {
		field.Code = new(string(errorcatalog.UnknownField))
	}
	return field
}

func pointer(path []string) string {
	var b strings.Builder
	for _, p := range path {
		b.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(p))
	}
	return b.String()
}
