package local_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"farshore/workers/host/local"
	"farshore/workers/host/local/nbd"
)

// TestMain lets the test binary play a host process, a guest or a spawner.
func TestMain(m *testing.M) {
	roles := map[string]func([]string) error{"host": playHost, "guest": playGuest, "spawner": playSpawner}
	if len(os.Args) > 1 {
		if play := roles[os.Args[1]]; play != nil {
			if err := play(os.Args[2:]); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	os.Exit(m.Run())
}

func playHost(args []string) error {
	f := flag.NewFlagSet("host", flag.ContinueOnError)
	dir, socket := f.String("directory", "", ""), f.String("socket", "", "")
	if err := f.Parse(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return local.Serve(ctx, local.Options{
		Directory: *dir, Socket: *socket, Version: "test", Now: time.Now, NewID: uuid.NewString,
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), OpenBacking: plainPoint,
	})
}

func playSpawner(args []string) error {
	_, err := local.Spawn(context.Background(), local.SpawnOptions{Program: os.Args[0], Args: []string{"host"}, Directory: args[0], Socket: args[1]})
	if err != nil {
		return err
	}
	select {} // until it is killed
}

// recordSize is what the guest writes at once, in bytes.
const recordSize = 4096

// recordAt tells where the i-th record goes.
func recordAt(i int) (disk string, off int64) {
	return []string{"os", "data1"}[i%2], int64(i*7%(diskSize/recordSize)) * recordSize
}

func record(i int) []byte {
	return []byte(strings.Repeat(fmt.Sprintf("%-15d\n", i), recordSize/16))
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// playGuest writes numbered records to its disks in turn and keeps a journal of
// those acknowledged. Its words: restful writes nothing while the file
// <journal>.freeze exists, and says its last record in <journal>.frozen; stubborn ignores SIGTERM, mortal ends when it
// loses a disk, brief ends by itself, reluctant shuts down once the file <journal>.end exists.
func playGuest(args []string) error {
	journal, err := os.OpenFile(args[0], os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	has := func(word string) bool { return strings.Contains(strings.Join(args[1:], " "), word) }
	disks, asked := map[string]*nbd.Client{}, false
	p, _ := os.ReadFile(args[0])
	for i := strings.Count(string(p), "\n") + 1; ; i++ {
		if has("brief") && i > 20 {
			return nil
		}
		if has("restful") {
			rest(args[0], i-1)
		}
		select {
		case <-term:
			asked = true
		default:
		}
		if asked && !has("stubborn") && (!has("reluctant") || fileExists(args[0]+".end")) {
			return endGuest(disks)
		}
		for {
			err := writeRecord(disks, i)
			if err == nil {
				break
			}
			if has("mortal") {
				return err
			}
			disks = map[string]*nbd.Client{}
			select {
			case <-term:
				return err
			case <-time.After(10 * time.Millisecond):
			}
		}
		if _, err := journal.WriteString(strconv.Itoa(i) + "\n"); err != nil {
			return err
		}
		time.Sleep(500 * time.Microsecond)
	}
}

func rest(journal string, last int) {
	asked := func() bool { _, err := os.Stat(journal + ".freeze"); return err == nil }
	if !asked() {
		return
	}
	_ = os.WriteFile(journal+".new", []byte(strconv.Itoa(last)), 0o600)
	_ = os.Rename(journal+".new", journal+".frozen")
	for asked() {
		time.Sleep(time.Millisecond)
	}
	_ = os.Remove(journal + ".frozen")
}

func endGuest(disks map[string]*nbd.Client) error {
	var errs []error
	for _, c := range disks {
		errs = append(errs, c.Flush(), c.Close())
	}
	return errors.Join(errs...)
}

func writeRecord(disks map[string]*nbd.Client, i int) error {
	name, off := recordAt(i)
	c := disks[name]
	if c == nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		var err error
		if c, err = nbd.Dial(ctx, os.Getenv("FARSHORE_NBD_"+strings.ToUpper(name)), name); err != nil {
			return err
		}
		disks[name] = c
	}
	_, err := c.WriteAt(record(i), off)
	return err
}
