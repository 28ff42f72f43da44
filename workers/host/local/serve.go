package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"farshore/domain/errorcatalog"
)

// pieceSize is the most that is moved at once, in bytes. It is large: each piece
// costs a request.
const pieceSize = 4 << 20

// argDisk names a disk in the address of a data request.
const argDisk = "disk"

// shutdownPatience is how long requests may take once the process is to end.
const shutdownPatience = 5 * time.Second

// Serve is the host process: it opens the directory and offers the host on the
// control socket until ctx ends.
func Serve(ctx context.Context, o Options) error {
	e, err := Open(o)
	if err != nil {
		return err
	}
	l, err := listen(o.Socket)
	if err != nil {
		return errors.Join(fmt.Errorf("open control socket: %w", err), e.Close()) //nolint:contextcheck // an end is not cut short
	}
	o.Log.InfoContext(ctx, "host serves", "directory", e.o.Directory, "socket", o.Socket)
	return errors.Join(serve(ctx, l, e, o.Log), e.Close()) //nolint:contextcheck // an end is not cut short
}

func serve(ctx context.Context, l net.Listener, e *Engine, log *slog.Logger) error {
	srv := &http.Server{Handler: NewHandler(e), ReadHeaderTimeout: time.Minute, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve control socket: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		<-gctx.Done()
		sctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownPatience)
		defer cancel()
		if err := srv.Shutdown(sctx); err != nil {
			return srv.Close()
		}
		return nil
	})
	return g.Wait()
}

// NewHandler offers an engine over HTTP: control as JSON, data raw.
func NewHandler(e *Engine) http.Handler {
	h := &handler{e: e}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/state", func(w http.ResponseWriter, r *http.Request) {
		answer(w)(e.State(r.Context()))
	})
	mux.HandleFunc("POST /v1/call/{method}", h.call)
	mux.HandleFunc("GET /v1/log", h.log)
	mux.HandleFunc("GET /v1/snapshot", h.snapshot)
	mux.HandleFunc("GET /v1/disk", h.read)
	mux.HandleFunc("PUT /v1/disk", h.write)
	mux.HandleFunc("PUT /v1/backed", h.fill)
	mux.HandleFunc("GET /v1/beside", h.readBeside)
	mux.HandleFunc("PUT /v1/beside", h.writeBeside)
	return (&fences{tokens: map[string]int64{}}).before(mux)
}

type handler struct{ e *Engine }

func (h *handler) call(w http.ResponseWriter, r *http.Request) {
	var c call
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxDescription))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		refuse(w, errorcatalog.Fail(errorcatalog.MalformedJSON, "call").Because(err))
		return
	}
	method, ok := methods()[r.PathValue("method")]
	if !ok {
		refuse(w, errorcatalog.Fail(errorcatalog.RouteNotFound, "a host has no method %q", r.PathValue("method")))
		return
	}
	answer(w)(method(r.Context(), h.e, c))
}

// log sends a sealed log.
func (h *handler) log(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	log, err := h.e.OpenLog(r.Context(), q.Get("vm"), q.Get(argDisk), q.Get("log"))
	if err != nil {
		refuse(w, err)
		return
	}
	defer log.Close() //nolint:errcheck // read only
	if f, ok := log.(*os.File); ok {
		if st, err := f.Stat(); err == nil {
			w.Header().Set("Content-Length", strconv.FormatInt(st.Size(), 10))
		}
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = io.CopyBuffer(onlyWriter{w}, log, make([]byte, pieceSize)) // a client that got less than Content-Length knows
}

// onlyWriter hides ReadFrom, which would use a small buffer.
type onlyWriter struct{ io.Writer }

// snapshot sends a piece of a snapshot's disk.
func (h *handler) snapshot(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	s, err := h.e.OpenSnapshot(r.Context(), q.Get("vm"), q.Get("snapshot"), q.Get(argDisk))
	if err != nil {
		refuse(w, err)
		return
	}
	defer s.Close() //nolint:errcheck // read only
	sendPiece(w, q, s)
}

// readBeside sends a piece of a disk of a return.
func (h *handler) readBeside(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	d, err := h.e.OpenBeside(r.Context(), q.Get("vm"), q.Get("id"), q.Get(argDisk))
	if err != nil {
		refuse(w, err)
		return
	}
	defer d.Close() //nolint:errcheck // read only
	sendPiece(w, q, d)
}

// read sends a piece of a disk under construction.
func (h *handler) read(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	d, err := h.e.OpenVMDisk(r.Context(), q.Get("vm"), q.Get(argDisk))
	if err != nil {
		refuse(w, err)
		return
	}
	defer d.Close() //nolint:errcheck // read only
	sendPiece(w, q, d)
}

func sendPiece(w http.ResponseWriter, q url.Values, from io.ReaderAt) {
	off, err1 := strconv.ParseInt(q.Get("off"), 10, 64)
	n, err2 := strconv.ParseInt(q.Get("n"), 10, 64)
	if err := errors.Join(err1, err2); err != nil || n < 0 || n > pieceSize {
		refuse(w, errorcatalog.Fail(errorcatalog.ValidationFailed, "off and n name at most %d bytes", pieceSize))
		return
	}
	p := make([]byte, n)
	if _, err := from.ReadAt(p, off); err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	_, _ = w.Write(p)
}

// write fills a piece of a disk under construction.
func (h *handler) write(w http.ResponseWriter, r *http.Request) {
	writePiece(w, r, func(ctx context.Context, q url.Values) (writeCloserAt, error) {
		return h.e.OpenVMDisk(ctx, q.Get("vm"), q.Get(argDisk))
	})
}

// fill fills in a piece of a disk that has a backing.
func (h *handler) fill(w http.ResponseWriter, r *http.Request) {
	writePiece(w, r, func(ctx context.Context, q url.Values) (writeCloserAt, error) {
		return h.e.OpenBacked(ctx, q.Get("vm"), q.Get(argDisk), q.Get("id"))
	})
}

// writeBeside fills a piece of a disk of a return.
func (h *handler) writeBeside(w http.ResponseWriter, r *http.Request) {
	writePiece(w, r, func(ctx context.Context, q url.Values) (writeCloserAt, error) {
		return h.e.OpenBeside(ctx, q.Get("vm"), q.Get("id"), q.Get(argDisk))
	})
}

type writeCloserAt interface {
	io.WriterAt
	io.Closer
}

func writePiece(w http.ResponseWriter, r *http.Request, open func(context.Context, url.Values) (writeCloserAt, error)) {
	q := r.URL.Query()
	off, err := strconv.ParseInt(q.Get("off"), 10, 64)
	if err != nil || r.ContentLength < 0 || r.ContentLength > pieceSize {
		refuse(w, errorcatalog.Fail(errorcatalog.ValidationFailed, "off and at most %d bytes of known length", pieceSize))
		return
	}
	p := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, p); err != nil {
		refuse(w, errorcatalog.Fail(errorcatalog.TransferInterrupted, "read of a disk's piece").Because(err))
		return
	}
	d, err := open(r.Context(), q)
	if err != nil {
		refuse(w, err)
		return
	}
	_, err = d.WriteAt(p, off)
	answer(w)(nothing{}, errors.Join(err, d.Close()))
}

func answer(w http.ResponseWriter) func(v any, err error) {
	return func(v any, err error) {
		if err != nil {
			refuse(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
}

// refuse sends an error as its code and detail.
func refuse(w http.ResponseWriter, err error) {
	f := errorcatalog.Of(err)
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		f = errorcatalog.Fail(errorcatalog.Canceled, "%v", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusUnprocessableEntity)
	_ = json.NewEncoder(w).Encode(errorcatalog.Failure{Code: f.Code, Detail: f.Detail}) //nolint:errchkjson // a client that is gone needs no answer
}

// LogFile is where a spawned host process writes its log.
func LogFile(directory string) string { return filepath.Join(directory, ownFolder, "host.log") }
