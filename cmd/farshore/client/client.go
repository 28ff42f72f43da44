// Package client is the farshore command as a client of the API: each command is
// one or two requests through the generated Go client, and a table or JSON.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"farshore/api/oapi"
)

// The exit codes of the client commands, beside 0.
const (
	ExitFailure      = 1 // the request or the job failed
	ExitUsage        = 2 // the command line is wrong
	ExitNotFound     = 3 // what was named does not exist
	ExitConflict     = 4 // the present state, or a precondition, forbids it
	ExitDenied       = 5 // the key is missing, wrong or may not do this
	ExitTimeout      = 6 // --timeout passed first; what was begun goes on
	ExitUnavailable  = 7 // the server cannot be reached or cannot answer now
	defaultServer    = "http://127.0.0.1:8080"
	defaultDirectory = ".farshore"
)

// session is what the flags of the command line amount to.
type session struct {
	server, key, vault, output string
	quiet                      bool
	api                        *oapi.Client
	out, errOut                io.Writer
}

// Commands returns the client's commands, and adds the flags they share to root.
func Commands(root *cobra.Command) []*cobra.Command {
	s := &session{}
	flags := root.PersistentFlags()
	flags.StringVar(&s.server, "server", envOr("FARSHORE_SERVER", defaultServer), "address of the server (FARSHORE_SERVER)")
	flags.StringVar(&s.key, "key", "", "API key; default FARSHORE_API_KEY, then the file admin.key in the data directory")
	flags.StringVar(&s.vault, "vault", envOr("FARSHORE_VAULT", "default"), "vault to work in (FARSHORE_VAULT)")
	flags.StringVarP(&s.output, "output", "o", "table", "table or json")
	flags.BoolVarP(&s.quiet, "quiet", "q", false, "print no progress")
	commands := []*cobra.Command{
		s.vaultCommand(), s.policyCommand(), s.siteCommand(), s.hostCommand(), s.networkCommand(), s.storeCommand(), s.vmCommand(), s.itemCommand(),
		s.failoverCommand(), s.failbackCommand(), s.planCommand(), s.jobCommand(), s.pointCommand(), s.eventsCommand(), s.keyCommand(), s.errorsCommand(),
	}
	for _, c := range commands {
		c.PersistentPreRunE = s.connect
	}
	return commands
}

// HostGroup is the client command that other host commands join.
func HostGroup(commands []*cobra.Command) *cobra.Command {
	for _, c := range commands {
		if c.Name() == "host" {
			return c
		}
	}
	return nil
}

func envOr(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}

func (s *session) connect(cmd *cobra.Command, args []string) error {
	if err := Understood(cmd, args); err != nil {
		return err
	}
	s.out, s.errOut = cmd.OutOrStdout(), cmd.ErrOrStderr()
	if s.output != "table" && s.output != "json" {
		return &usageError{fmt.Sprintf("--output %q: use table or json", s.output)}
	}
	if s.key == "" {
		s.key = os.Getenv("FARSHORE_API_KEY")
	}
	if s.key == "" {
		path := filepath.Join(envOr("FARSHORE_DATA", defaultDirectory), "admin.key")
		if text, err := os.ReadFile(path); err == nil {
			s.key = strings.TrimSpace(string(text))
		}
	}
	var err error
	s.api, err = NewAPI(s.server, s.key)
	return err
}

// NewAPI returns the generated client for a server, sending the key with each
// request.
func NewAPI(server, key string) (*oapi.Client, error) {
	api, err := oapi.NewClient(server, oapi.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		if key != "" {
			r.Header.Set("Authorization", "Bearer "+key)
		}
		return nil
	}))
	if err != nil {
		return nil, fmt.Errorf("use server %s: %w", server, err)
	}
	return api, nil
}

// Answer is a successful answer of the API.
type Answer[T any] struct {
	Body     T
	Status   int
	Position *int64 // X-Event-Position, of a command
}

// Call turns what a method of the generated client returned into an Answer, or
// into the problem that the server answered with.
func Call[T any](resp *http.Response, err error) (Answer[T], error) {
	var a Answer[T]
	if err != nil {
		return a, &unreachableError{err}
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return a, &unreachableError{err}
	}
	a.Status = resp.StatusCode
	if resp.StatusCode >= http.StatusBadRequest {
		p := &ProblemError{Status: resp.StatusCode}
		if json.Unmarshal(body, &p.Problem) != nil || p.Problem.Code == "" {
			p.Problem.Title = http.StatusText(resp.StatusCode)
		}
		return a, p
	}
	var position int64
	if _, err := fmt.Sscan(resp.Header.Get("X-Event-Position"), &position); err == nil {
		a.Position = &position
	}
	if len(body) == 0 {
		return a, nil
	}
	if err := json.Unmarshal(body, &a.Body); err != nil {
		return a, fmt.Errorf("read the server's answer: %w", err)
	}
	return a, nil
}

// ProblemError is a refusal or failure that the server answered with.
type ProblemError struct {
	Status  int
	Problem oapi.Problem
}

func (p *ProblemError) Error() string {
	var b strings.Builder
	b.WriteString(p.Problem.Title)
	if p.Problem.Detail != nil && *p.Problem.Detail != "" {
		b.Reset()
		b.WriteString(*p.Problem.Detail)
	}
	if p.Problem.Code != "" {
		fmt.Fprintf(&b, " [%s]", p.Problem.Code)
	}
	if p.Problem.Errors != nil {
		for _, e := range *p.Problem.Errors {
			fmt.Fprintf(&b, "\n  %s: %s", e.Pointer, e.Detail)
		}
	}
	if r := deref(p.Problem.Remedy); r != "" {
		fmt.Fprintf(&b, "\n  remedy: %s", r)
	}
	return b.String()
}

type unreachableError struct{ cause error }

func (u *unreachableError) Error() string {
	return u.cause.Error() + "\n  remedy: start the server with `farshore serve`, or name another with --server"
}

type usageError struct{ text string }

func (u *usageError) Error() string { return u.text }

// JobError reports that a job did not succeed.
type JobError struct{ Job oapi.Job }

func (j *JobError) Error() string {
	text := fmt.Sprintf("job %s %s", j.Job.ID, strings.ToLower(string(j.Job.Status)))
	if e := j.Job.Error; e != nil {
		text += fmt.Sprintf(": %s [%s]", e.Detail, e.Code)
		if r := deref(e.Remedy); r != "" {
			text += "\n  remedy: " + r
		}
	}
	return text
}

// understood annotates a command whose command line has been accepted.
const understood = "understood"

// Understood notes that a command's command line has been accepted: errors from
// here on are not of usage.
func Understood(cmd *cobra.Command, _ []string) error {
	if err := errors.Join(cmd.ValidateRequiredFlags(), cmd.ValidateFlagGroups()); err != nil {
		return &usageError{err.Error()}
	}
	cmd.Annotations = map[string]string{understood: "yes"}
	return nil
}

// ExitCode is what the program ends with after err; ran is the command that ran.
func ExitCode(ran *cobra.Command, err error) int {
	if err == nil {
		return 0
	}
	if p, ok := errors.AsType[*ProblemError](err); ok {
		switch p.Status {
		case http.StatusUnauthorized, http.StatusForbidden:
			return ExitDenied
		case http.StatusNotFound:
			return ExitNotFound
		case http.StatusConflict, http.StatusPreconditionFailed, http.StatusPreconditionRequired:
			return ExitConflict
		case http.StatusServiceUnavailable, http.StatusTooManyRequests:
			return ExitUnavailable
		}
		return ExitFailure
	}
	if _, ok := errors.AsType[*unreachableError](err); ok {
		return ExitUnavailable
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return ExitTimeout
	}
	if _, ok := errors.AsType[*usageError](err); ok || ran.Annotations[understood] == "" {
		return ExitUsage
	}
	return ExitFailure
}

func deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// ref returns nil for a zero value: what was not said is not sent.
func ref[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

func newIdempotencyKey() *oapi.IdempotencyKey {
	return new(uuid.NewString())
}
