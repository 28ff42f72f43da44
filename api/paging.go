package api

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"

	"farshore/domain/errorcatalog"
	"farshore/projections"
)

// maxPageSize caps what a client may ask for; a larger wish is granted so far.
const maxPageSize = 500

// defaultPageSize is the contract's.
const defaultPageSize = 100

// pager turns a request's page parameters into a query for one row more than
// the page holds: its presence says that there is another page.
type pager struct {
	call call
	size int
	page projections.Page
}

func pagerOf(ctx context.Context, size *int32, cursor *string) (pager, error) {
	p := pager{call: callOf(ctx), size: defaultPageSize}
	if size != nil {
		p.size = min(int(*size), maxPageSize)
	}
	p.page.Limit = p.size + 1
	if cursor == nil {
		return p, nil
	}
	after, ok := openCursor(p.call, *cursor)
	if !ok {
		return p, refuse(http.StatusBadRequest, errorcatalog.InvalidCursor, "the cursor does not belong to this list with these filters")
	}
	p.page.After = after
	return p, nil
}

// nextLink returns the rows of the page and the URL of the next one, if any.
func nextLink[T any](p pager, rows []T, key func(T) string) ([]T, *string) {
	if len(rows) <= p.size {
		return rows, nil
	}
	rows = rows[:p.size]
	return rows, p.link("cursor", sealCursor(p.call, key(rows[len(rows)-1])))
}

func (p pager) link(parameter, at string) *string {
	q, err := url.ParseQuery(p.call.query)
	if err != nil {
		return nil
	}
	q.Del("minPosition")
	q.Set(parameter, at)
	return new(p.call.base + p.call.path + "?" + q.Encode())
}

func sealCursor(c call, key string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(listOf(c) + key))
}

func openCursor(c call, cursor string) (string, bool) {
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return "", false
	}
	key, ok := strings.CutPrefix(string(raw), listOf(c))
	return key, ok && key != ""
}

// listOf names a list with its filters: a cursor is good for that list only.
func listOf(c call) string {
	q, err := url.ParseQuery(c.query)
	if err != nil {
		return ""
	}
	for _, p := range []string{"cursor", "pageSize", "minPosition"} {
		q.Del(p)
	}
	sum := sha256.Sum256([]byte(c.path + "?" + q.Encode()))
	return hex.EncodeToString(sum[:4]) + ":"
}
