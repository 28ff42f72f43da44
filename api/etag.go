package api

import (
	"net/http"
	"strconv"
	"strings"

	"farshore/domain/errorcatalog"
	"farshore/eventstore"
)

// etagOf is a strong ETag: the stream's version says everything.
func etagOf(v eventstore.Version) string {
	return `"` + strconv.FormatInt(int64(v), 10) + `"`
}

// itemETag tells the protection cycle, too.
func itemETag(cycle int64, v eventstore.Version) string {
	return `"` + strconv.FormatInt(cycle, 10) + "-" + strconv.FormatInt(int64(v), 10) + `"`
}

// condition is what a request says in If-Match.
type condition struct {
	any     bool // "*"
	version eventstore.Version
	given   bool
}

func conditionOf(ifMatch *string) (condition, error) {
	if ifMatch == nil {
		return condition{}, nil
	}
	if *ifMatch == "*" {
		return condition{any: true, given: true}, nil
	}
	tag := strings.Trim(*ifMatch, `"`)
	if _, version, ok := strings.Cut(tag, "-"); ok {
		tag = version
	}
	v, err := strconv.ParseInt(tag, 10, 64)
	if err != nil || v == 0 {
		return condition{}, errStale
	}
	return condition{version: eventstore.Version(v), given: true}, nil
}

// errStale refuses a write that is based on a state that is no longer so.
var errStale = refuse(http.StatusPreconditionFailed, errorcatalog.PreconditionFailed, "the resource is no longer at the version in If-Match")

// errUnconditional refuses a write that does not say what it is based on.
var errUnconditional = refuse(http.StatusPreconditionRequired, errorcatalog.PreconditionRequired, "send the resource's ETag, or *, in If-Match")
