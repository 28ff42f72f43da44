package client

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// row is a line of a table; the first rows of tables are their headings.
type row = table.Row

// show prints v as JSON, or the table that rows makes of it.
func (s *session) show(v any, head row, rows []row) error {
	if s.output == "json" {
		enc := json.NewEncoder(s.out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(v); err != nil {
			return fmt.Errorf("write JSON: %w", err)
		}
		return nil
	}
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Options = table.OptionsNoBordersAndSeparators
	t.Style().Format.Header = text.FormatUpper
	if head != nil {
		t.AppendHeader(head)
	}
	t.AppendRows(rows)
	if _, err := fmt.Fprintln(s.out, t.Render()); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	return nil
}

// collect follows nextLink through a collection.
func collect[T any](fetch func(cursor *string) (*http.Response, error)) ([]T, error) {
	type list struct {
		Value    []T     `json:"value"`
		NextLink *string `json:"nextLink"`
	}
	all := []T{}
	var cursor *string
	for {
		a, err := Call[list](fetch(cursor))
		if err != nil {
			return nil, err
		}
		all = append(all, a.Body.Value...)
		if a.Body.NextLink == nil {
			return all, nil
		}
		next, err := url.Parse(*a.Body.NextLink)
		if err != nil {
			return nil, fmt.Errorf("follow the next page: %w", err)
		}
		cursor = new(next.Query().Get("cursor"))
	}
}

// size renders bytes for a person.
func size(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n)/unit, 0
	for ; v >= unit && i < 4; i++ {
		v /= unit
	}
	return fmt.Sprintf("%.1f %ciB", v, "KMGTP"[i])
}

// ago renders an instant for a person.
func ago(t *time.Time) string {
	if t == nil || t.IsZero() {
		return "–"
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

func seconds(n *int64) string {
	if n == nil {
		return "–"
	}
	return (time.Duration(*n) * time.Second).String()
}

// words renders a state for a person: "awaiting cleanup".
func words(state string) string {
	var b strings.Builder
	for n, r := range state {
		if n > 0 && unicode.IsUpper(r) {
			b.WriteByte(' ')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
