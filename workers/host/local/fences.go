package local

import (
	"net/http"
	"strconv"
	"sync"

	"farshore/domain/errorcatalog"
)

// The headers that say for which lane a request is made, and with which token.
const (
	laneHeader  = "Farshore-Lane"
	tokenHeader = "Farshore-Token"
)

// fences remembers the latest token of each lane, as long as the process lives.
type fences struct {
	mu     sync.Mutex
	tokens map[string]int64
}

// before admits the requests of whoever holds the lane that they name, and those that
// name none.
func (f *fences) before(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if lane := r.Header.Get(laneHeader); lane != "" {
			if err := f.admit(lane, r.Header.Get(tokenHeader)); err != nil {
				refuse(w, err)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

func (f *fences) admit(lane, text string) error {
	token, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return errorcatalog.Fail(errorcatalog.ValidationFailed, "%s %q is no token", tokenHeader, text)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if last := f.tokens[lane]; token < last {
		return errorcatalog.Fail(errorcatalog.Fenced, "lane %s was taken over with token %d, and this is %d", lane, last, token)
	}
	f.tokens[lane] = token
	return nil
}
