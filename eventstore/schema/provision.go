package schema

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// The names of an embedded or test database.
const (
	Database     = "farshore"
	OwnerRole    = "farshore_owner"   // owns the schema, runs migrations
	RuntimeGroup = "farshore_runtime" // what the service may do
	RuntimeRole  = "farshore_app"     // what the service logs in as
)

// ProvisionRoles creates the login roles of owner and service, in a cluster that
// is ours, as its superuser.
func ProvisionRoles(ctx context.Context, conn *pgx.Conn) error {
	statements := []string{
		createRole(RuntimeGroup, "NOLOGIN"),
		createRole(OwnerRole, "LOGIN"),
		createRole(RuntimeRole, "LOGIN"),
		"GRANT " + RuntimeGroup + " TO " + RuntimeRole,
	}
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("create the database's roles: %w", err)
		}
	}
	return nil
}

// Provision readies a private cluster, as its superuser: the roles, and the
// database, which belongs to the owner. It changes nothing that is there.
func Provision(ctx context.Context, superuserURL string) error {
	conn, err := pgx.Connect(ctx, superuserURL)
	if err != nil {
		return fmt.Errorf("reach the database: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if err := ProvisionRoles(ctx, conn); err != nil {
		return err
	}
	var there bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, Database).Scan(&there); err != nil {
		return fmt.Errorf("look for the database: %w", err)
	}
	if there {
		return nil
	}
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+Database+" OWNER "+OwnerRole); err != nil {
		return fmt.Errorf("create the database: %w", err)
	}
	return nil
}

// createRole makes a role unless it exists; another connection may make it at
// the same moment.
func createRole(name, attributes string) string {
	return `DO $$ BEGIN
		IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '` + name + `') THEN CREATE ROLE ` + name + ` ` + attributes + `; END IF;
	EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$`
}
