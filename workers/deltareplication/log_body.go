package deltareplication

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/zeebo/blake3"

	"farshore/domain/errorcatalog"
	"farshore/workers/host"
)

// logBody reads a sealed log from its host as the body of an upload. Seeking
// back opens the log anew, which is how a store repeats an upload. What passes
// from the first byte to the last is held against the digest that the host made
// when it sealed the log.
type logBody struct {
	ctx    context.Context //nolint:containedctx // io.ReadSeeker has no place for it
	source host.Tracker
	vm     string
	disk   string
	log    host.LogFile

	stream io.ReadCloser
	at     int64 // where the stream is
	want   int64 // where the next Read is to be
	hash   *blake3.Hasher
	hashed int64 // bytes from the beginning that hash has seen
	bad    error // what the whole of the log was found to be
}

// Read reads on, from where Seek has put it.
func (b *logBody) Read(p []byte) (int, error) {
	if b.bad != nil {
		return 0, b.bad
	}
	if b.want >= b.log.Bytes {
		return 0, io.EOF
	}
	if err := b.reach(); err != nil {
		return 0, err
	}
	n, err := b.stream.Read(p[:min(int64(len(p)), b.log.Bytes-b.at)])
	if b.hashed == b.at {
		_, _ = b.hash.Write(p[:n])
		b.hashed += int64(n)
	}
	b.at += int64(n)
	b.want = b.at
	if b.hashed == b.log.Bytes && b.bad == nil {
		b.bad = b.verify()
	}
	if errors.Is(err, io.EOF) && b.at < b.log.Bytes {
		b.bad = errorcatalog.Fail(errorcatalog.LogTruncated, "log %s of disk %s ends at %d of %d bytes", b.log.ID, b.disk, b.at, b.log.Bytes)
		return n, b.bad
	}
	if b.bad != nil {
		return n, b.bad
	}
	if n > 0 || errors.Is(err, io.EOF) {
		return n, nil
	}
	return n, err //nolint:wrapcheck // io.Reader
}

// reach opens the log if the stream is not where it should be.
func (b *logBody) reach() error {
	if b.stream != nil && b.at > b.want {
		b.close()
	}
	if b.stream == nil {
		s, err := b.source.OpenLog(b.ctx, b.vm, b.disk, b.log.ID)
		if err != nil {
			return fmt.Errorf("open log: %w", err)
		}
		b.stream, b.at = s, 0
		b.hash, b.hashed = blake3.New(), 0
	}
	if b.at < b.want {
		// Bytes that are passed over are not hashed: the log is then verified when
		// it is applied.
		n, err := io.CopyN(io.Discard, b.stream, b.want-b.at)
		b.at += n
		if err != nil {
			return fmt.Errorf("skip to %d: %w", b.want, err)
		}
	}
	return nil
}

func (b *logBody) verify() error {
	if got := hex.EncodeToString(b.hash.Sum(nil)); b.log.Digest != "" && got != b.log.Digest {
		return errorcatalog.Fail(errorcatalog.LogChecksumMismatch, "log %s of disk %s has digest %s, its cut says %s", b.log.ID, b.disk, got, b.log.Digest)
	}
	return nil
}

// Seek moves the place of the next Read.
func (b *logBody) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += b.want
	case io.SeekEnd:
		offset += b.log.Bytes
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek to %d of log %s", offset, b.log.ID)
	}
	b.want = offset
	return offset, nil
}

func (b *logBody) close() {
	if b.stream != nil {
		_ = b.stream.Close() // it was read only
		b.stream = nil
	}
}

// settle ends the upload: a bad log outweighs whatever the store made of it.
func (b *logBody) settle(err error) error {
	b.close()
	if b.bad != nil {
		return b.bad
	}
	return err
}
