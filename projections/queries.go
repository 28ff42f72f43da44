package projections

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ErrNotFound reports that the vault holds no such thing.
var ErrNotFound = errors.New("not found")

// Queries answers from the read models. Every query runs in a transaction that
// row-level security confines to one vault.
type Queries struct {
	Pool *pgxpool.Pool
}

// Page asks for rows after a key, at most Limit of them.
type Page struct {
	After string // the key of the last row seen; empty: from the start
	Limit int
}

// Ping says whether the database answers.
func (q *Queries) Ping(ctx context.Context) error {
	if err := q.Pool.Ping(ctx); err != nil {
		return fault(ctx, "ping", err)
	}
	return nil
}

// read runs fn in a transaction that sees one vault only.
func (q *Queries) read(ctx context.Context, vault, what string, fn func(tx pgx.Tx) error) error {
	err := pgx.BeginTxFunc(ctx, q.Pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if err := inVault(ctx, tx, vault); err != nil {
			return err
		}
		return fn(tx)
	})
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrNotFound):
		return ErrNotFound
	}
	return fault(ctx, "read "+what, err)
}

// collect reads all rows of a query.
func collect[T any](ctx context.Context, tx pgx.Tx, scan pgx.RowToFunc[T], sql string, args ...any) ([]T, error) {
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	out, err := pgx.CollectRows(rows, scan)
	if err != nil {
		return nil, fmt.Errorf("collect rows: %w", err)
	}
	return out, nil
}

// single reads the row of a query, ErrNotFound when there is none.
func single[T any](ctx context.Context, tx pgx.Tx, scan pgx.RowToFunc[T], sql string, args ...any) (T, error) {
	rows, err := collect(ctx, tx, scan, sql, args...)
	if err == nil && len(rows) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		var none T
		return none, err
	}
	return rows[0], nil
}

// one reads a row of a model, ErrNotFound when there is none.
func one[S any](ctx context.Context, q *Queries, table, vault, id string) (Row[S], error) {
	var row Row[S]
	err := q.read(ctx, vault, table, func(tx pgx.Tx) error {
		var err error
		row, err = single(ctx, tx, scanRow[S], "SELECT "+rowColumns+" FROM "+table+" WHERE vault = $1 AND id = $2", vault, id)
		return err
	})
	return row, err
}

// list reads a vault's rows ordered by id. An empty status is any.
func list[S any](ctx context.Context, q *Queries, table, vault, status string, page Page) ([]Row[S], error) {
	var out []Row[S]
	err := q.read(ctx, vault, table, func(tx pgx.Tx) error {
		var err error
		out, err = collect(ctx, tx, scanRow[S], "SELECT "+rowColumns+" FROM "+table+
			" WHERE ($1 = '*' OR vault = $1) AND ($2 = '' OR status = $2) AND id > $3 ORDER BY id LIMIT $4", vault, status, page.After, page.Limit)
		return err
	})
	return out, err
}
