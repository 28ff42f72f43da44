package api

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"farshore/domain/errorcatalog"
)

// jsonBinder decodes bodies of every JSON media type; echo's own refuses those
// that end in +json.
type jsonBinder struct{}

// Bind decodes the body into v.
func (jsonBinder) Bind(v any, c echo.Context) error {
	err := json.NewDecoder(c.Request().Body).Decode(v)
	if errors.Is(err, io.EOF) { // no body: the contract has said that there need not be one
		return io.EOF
	}
	if !isJSON(c.Request().Header.Get(echo.HeaderContentType)) {
		return echo.ErrUnsupportedMediaType
	}
	if err != nil {
		return refuse(http.StatusBadRequest, errorcatalog.ValidationFailed, "the body does not fit: "+err.Error())
	}
	return nil
}

func isJSON(contentType string) bool {
	kind, _, err := mime.ParseMediaType(contentType)
	return err == nil && (kind == "application/json" || strings.HasSuffix(kind, "+json"))
}
