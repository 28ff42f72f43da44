// Package migrations holds the database's schema as numbered pairs of SQL files.
// A released file never changes: what is wrong is mended by the next one.
package migrations

import "embed"

// Files holds the SQL pairs, named NNNNNN_title.up.sql and .down.sql.
//
//go:embed *.sql
var Files embed.FS
