package domain_test

import (
	"errors"
	"strings"
	"testing"

	"farshore/domain"
	"farshore/domain/errorcatalog"
)

func TestSlugs(t *testing.T) {
	t.Parallel()
	for slug, want := range map[string]bool{
		"a": true, "7": true, "sql-1": true, "a--b": true, strings.Repeat("a", 63): true,
		"": false, "-a": false, "a-": false, "A": false, "a.b": false, "a_b": false, "a b": false, "ä": false, "a/b": false, strings.Repeat("a", 64): false,
	} {
		if got := domain.ValidSlug(slug); got != want {
			t.Errorf("%q is a slug = %v", slug, got)
		}
		if err := domain.CheckSlug("/id", slug); (err == nil) != want {
			t.Errorf("check of %q = %v", slug, err)
		}
	}
}

func TestARefusalNamesItsField(t *testing.T) {
	t.Parallel()
	r, ok := errors.AsType[*domain.RejectionError](domain.CheckName("/name", "a\x00b"))
	if !ok || r.Field != "/name" || r.Kind != domain.Invalid || r.Code != errorcatalog.ValidationFailed {
		t.Errorf("refusal = %+v", r)
	}
	if domain.CheckName("/name", strings.Repeat("x", 121)) == nil || domain.CheckName("/name", "") == nil {
		t.Error("a name may have any length")
	}
	if err := domain.CheckName("/name", "Wien, Gürtel 7"); err != nil {
		t.Errorf("a good name is refused: %v", err)
	}
}
