package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"farshore/domain/recoveryplan"
)

// config is what the server was told on its command line and by its environment.
type config struct {
	data             string // the data directory
	listen           string
	workers          int
	scripts          string // the directory of the programs that recovery plans may run
	scriptsAtOnce    int    // that this process runs
	planLimits       recoveryplan.Limits
	databaseURL      string // empty: an embedded PostgreSQL
	ownerDatabaseURL string
}

// serverFlags are those of the server.
func (c *config) serverFlags(cmd *cobra.Command) {
	c.workerFlags(cmd)
	cmd.Flags().StringVar(&c.listen, "listen", "127.0.0.1:8080", "address to serve the API on")
	limits := recoveryplan.DefaultLimits()
	cmd.Flags().IntVar(&c.planLimits.Groups, "plan-groups", limits.Groups, "groups that a recovery plan may have")
	cmd.Flags().IntVar(&c.planLimits.Items, "plan-items", limits.Items, "items that a recovery plan may have")
	c.ownerDatabaseURL = os.Getenv("FARSHORE_OWNER_DATABASE_URL")
	cmd.Long += `

With DATABASE_URL set, that PostgreSQL is used, as a role in the group
farshore_runtime; FARSHORE_OWNER_DATABASE_URL names the owner of the schema, and
migrations run when it is set. Without, a private PostgreSQL is started in the data
directory and stopped at the end.`
}

// workerFlags are those of everything that works.
func (c *config) workerFlags(cmd *cobra.Command) {
	data := os.Getenv("FARSHORE_DATA")
	if data == "" {
		data = ".farshore"
	}
	cmd.Flags().StringVar(&c.data, "data", data, "data directory (FARSHORE_DATA)")
	cmd.Flags().IntVar(&c.workers, "workers", 4, "protected items to work on at the same time; 0: leave the work to others")
	cmd.Flags().StringVar(&c.scripts, "scripts", os.Getenv("FARSHORE_SCRIPTS"), "directory of the programs that recovery plans may run (FARSHORE_SCRIPTS); default scripts in the data directory")
	cmd.Flags().IntVar(&c.scriptsAtOnce, "scripts-at-once", 16, "scripts of recovery plans that this process runs at the same time; others wait")
	c.databaseURL = os.Getenv("DATABASE_URL")
}

// check refuses what no process can work with.
func (c *config) check() error {
	if c.scriptsAtOnce < 1 {
		return fmt.Errorf("use --scripts-at-once %d: %w", c.scriptsAtOnce, errNoScripts)
	}
	return nil
}

var errNoScripts = errors.New("the scripts of recovery plans would wait for ever; allow one at least")
