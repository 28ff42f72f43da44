package client

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"farshore/api/oapi"
)

func (s *session) pointCommand() *cobra.Command {
	list := &cobra.Command{Use: "list ITEM", Short: "List a protected item's recovery points", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		points, err := collect[oapi.RecoveryPoint](func(c *string) (*http.Response, error) {
			return s.api.ListRecoveryPoints(cmd.Context(), s.vault, args[0], &oapi.ListRecoveryPointsParams{Cursor: c})
		})
		if err != nil {
			return err
		}
		var rows []row
		for _, p := range points {
			pinned := ""
			if p.Pinned {
				pinned = "pinned"
			}
			var disks []string
			for _, d := range p.Disks {
				disks = append(disks, d.ID)
			}
			rows = append(rows, row{p.ID, ago(&p.Instant), p.Consistency, strings.Join(disks, ", "), pinned})
		}
		return s.show(points, row{"recovery point", "instant", "consistency", "disks", ""}, rows)
	}}
	return group("point", "Recovery points", list)
}

func (s *session) eventsCommand() *cobra.Command {
	var (
		params oapi.ListEventsParams
		item   string
		job    string
		kind   string
		after  int64
		all    bool
	)
	list := &cobra.Command{Use: "list", Short: "List what happened, oldest first", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		params.Item, params.Job, params.Type, params.After = ref(item), ref(job), ref(kind), ref(after)
		var events []oapi.Event
		for {
			a, err := Call[oapi.EventList](s.api.ListEvents(cmd.Context(), s.vault, &params))
			if err != nil {
				return err
			}
			events = append(events, a.Body.Value...)
			if a.Body.NextLink == nil {
				break
			}
			params.After = &a.Body.LastPosition
		}
		var rows []row
		for _, e := range events {
			if step(e) && !all {
				continue
			}
			kind := strings.TrimSuffix(strings.TrimPrefix(e.Type, "protected_item."), ".v1")
			rows = append(rows, row{e.Position, ago(&e.At), kind, by(deref(e.Actor)), sentence(e)})
		}
		return s.show(events, row{"position", "at", "event", "by", "what"}, rows)
	}}
	f := list.Flags()
	f.StringVar(&item, "item", "", "only those of this protected item")
	f.StringVar(&job, "job", "", "only those of this job")
	f.StringVar(&kind, "type", "", "only those of this type: protected_item.delta_shipped.v1")
	f.BoolVar(&all, "all", false, "in the table, the steps within jobs, too")
	f.Int64Var(&after, "after", 0, "only those after this position")
	return group("events", "The record of everything that happened", list)
}

// summary is an event's data in a line that fits a table.
func summary(data map[string]any) string {
	const fits = 100
	shown := map[string]any{}
	for k, v := range data {
		switch k {
		case "at", "jobId", "vault", "vm": // told by other columns, or too long to tell
		default:
			shown[k] = v
		}
	}
	text, err := json.Marshal(shown)
	if err != nil {
		return ""
	}
	line := strings.Trim(string(text), "{}")
	if len(line) > fits {
		line = line[:fits] + "…"
	}
	return line
}

func (s *session) keyCommand() *cobra.Command {
	list := &cobra.Command{Use: "list", Short: "List the API keys", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		keys, err := collect[oapi.APIKey](func(c *string) (*http.Response, error) {
			return s.api.ListAPIKeys(cmd.Context(), s.vault, &oapi.ListAPIKeysParams{Cursor: c})
		})
		if err != nil {
			return err
		}
		var rows []row
		for _, k := range keys {
			rows = append(rows, row{k.ID, k.Name, k.Role, ago(k.IssuedAt), ago(k.ExpiresAt), k.Revoked})
		}
		return s.show(keys, row{"key", "name", "role", "issued", "expires", "revoked"}, rows)
	}}
	var (
		role string
		ttl  time.Duration
	)
	issue := &cobra.Command{Use: "issue NAME", Short: "Issue an API key; its secret is shown once", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		in := oapi.APIKeyInput{Name: args[0], Role: oapi.Role(role)}
		if ttl > 0 {
			in.ExpiresAt = new(time.Now().Add(ttl).UTC())
		}
		a, err := Call[oapi.IssuedAPIKey](s.api.IssueAPIKey(cmd.Context(), s.vault, &oapi.IssueAPIKeyParams{IdempotencyKey: newIdempotencyKey()}, in))
		if err != nil {
			return err
		}
		return s.show(a.Body, nil, []row{{"key", a.Body.APIKey.ID}, {"role", a.Body.APIKey.Role}, {"secret", deref(a.Body.Secret)}})
	}}
	issue.Flags().StringVar(&role, "role", "Reader", "VaultAdmin, Contributor, Operator, Reader, Auditor or Agent")
	issue.Flags().DurationVar(&ttl, "expires-in", 0, "how long it is valid; default for ever")
	revoke := &cobra.Command{Use: "revoke KEY", Short: "Revoke an API key", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		_, err := Call[struct{}](s.api.RevokeAPIKey(cmd.Context(), s.vault, args[0], &oapi.RevokeAPIKeyParams{IfMatch: new("*")}))
		return err
	}}
	return group("key", "API keys", list, issue, revoke)
}

func (s *session) errorsCommand() *cobra.Command {
	return &cobra.Command{Use: "errors [CODE]", Short: "Explain an error code, or list them all", Args: cobra.MaximumNArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		a, err := Call[oapi.ErrorCatalogue](s.api.ListErrors(cmd.Context()))
		if err != nil {
			return err
		}
		var rows []row
		for _, e := range a.Body.Value {
			if len(args) == 0 {
				rows = append(rows, row{e.Code, e.Class, e.Message})
				continue
			}
			if e.Code == args[0] {
				return s.show(e, nil, []row{{"code", e.Code}, {"class", e.Class}, {"message", e.Message}, {"causes", strings.Join(e.Causes, "; ")}, {"remedy", e.Remedy}})
			}
		}
		if len(args) > 0 {
			return &usageError{fmt.Sprintf("%q is no error code; `farshore errors` lists them", args[0])}
		}
		return s.show(a.Body.Value, row{"code", "class", "message"}, rows)
	}}
}
