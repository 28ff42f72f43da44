package deltareplication

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/workers/host"
	"farshore/workers/replica"
)

// Shipped is the record of a cut whose logs are in the store.
type Shipped struct {
	Number int64    `json:"number"` // grows with each cut of the item
	Cut    host.Cut `json:"cut"`
}

// Chain is what a recovery point ends with, so that the next cut can be held
// against it.
type Chain struct {
	Number        int64             `json:"number"` // of the cut applied last
	Cut           string            `json:"cut"`
	Instant       time.Time         `json:"instant"`
	Planned       bool              `json:"planned,omitempty"`       // the guest had been shut down
	AppConsistent bool              `json:"appConsistent,omitempty"` // its applications were at rest
	Logs          map[string]string `json:"logs"`                    // disk → the log applied last
}

const (
	cutsPrefix  = "cuts/"
	chainPrefix = "chain/"
	logsPrefix  = "logs/"
	// logsPerCut bounds how many logs a disk has in one cut: the rest of a number
	// counts them.
	logsPerCut = 1 << 12
)

func cutName(number int64, cut string) string {
	return fmt.Sprintf("%s%020d-%s.json", cutsPrefix, number, cut)
}

func logName(disk string, number int64, i int, log string) string {
	return fmt.Sprintf("%s%s/%020d-%s.hrl", logsPrefix, disk, number*logsPerCut+int64(i), log)
}

func chainName(point string) string { return chainPrefix + point + ".json" }

// pending lists the shipped cuts behind a number, in order.
func pending(ctx context.Context, store replica.Objects, item string, behind int64) ([]Shipped, error) {
	names, err := store.ListObjects(ctx, item, cutsPrefix)
	if err != nil {
		return nil, fmt.Errorf("list shipped cuts: %w", err)
	}
	var out []Shipped
	for _, name := range names {
		var s Shipped
		if numberIn(name) <= behind {
			continue
		}
		if err := readObject(ctx, store, item, name, &s); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// numberIn reads the number out of an object's name; 0 when it has none.
func numberIn(name string) int64 {
	digits, _, _ := strings.Cut(path.Base(name), "-")
	var n int64
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0
		}
		n = n*10 + int64(c-'0')
	}
	return n
}

// chainOf reads what a point ends with.
func chainOf(ctx context.Context, store replica.Objects, item, point string) (Chain, error) {
	var c Chain
	err := readObject(ctx, store, item, chainName(point), &c)
	return c, err
}

func putJSON(ctx context.Context, store replica.Objects, item, name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	if err := store.PutObject(ctx, item, name, bytes.NewReader(b), int64(len(b))); err != nil {
		return fmt.Errorf("put %s: %w", name, err)
	}
	return nil
}

func readObject(ctx context.Context, store replica.Objects, item, name string, v any) error {
	o, err := store.OpenObject(ctx, item, name)
	if err != nil {
		return fmt.Errorf("open %s: %w", name, err)
	}
	defer o.Close() //nolint:errcheck // read only
	b := make([]byte, o.Size())
	if _, err := o.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read %s: %w", name, err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return errorcatalog.Fail(errorcatalog.ReplicaCorrupt, "%s is not readable", name).Because(err)
	}
	return nil
}

// numberOfLog is the number of the cut that a shipped log belongs to.
func numberOfLog(name string) int64 { return numberIn(name) / logsPerCut }
