// Package faultproxy stands between a storage client and the emulator and does
// what networks, gateways and storage services do on bad days.
package faultproxy

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/minio/crc64nvme"
)

// maxPut is what the real service accepts in one Put Page, and the emulator does
// not enforce.
const maxPut = 4 << 20

// Proxy passes requests on to a service, but for those that a rule is for.
type Proxy struct {
	target *url.URL
	server *http.Server
	url    string
	client *http.Client
	done   chan struct{}

	mu       sync.Mutex
	rules    []*Rule
	requests int
}

// Rule says what happens to which requests.
type Rule struct {
	When  func(*http.Request) bool
	Times int  // 0: as long as the rule is there
	Raw   bool // Do gets the request before its body is read
	Do    Fault

	applied int
}

// Fault handles a request in the place of the service.
type Fault func(*Exchange)

// Exchange is one request and its answer.
type Exchange struct {
	proxy   *Proxy
	Answer  http.ResponseWriter
	Request *http.Request
	Body    []byte // nil if Do was to read it by itself
}

// Start listens on a free loopback port for requests to a service.
func Start(ctx context.Context, serviceURL string) (*Proxy, error) {
	target, err := url.Parse(serviceURL)
	if err != nil {
		return nil, fmt.Errorf("parse service address: %w", err)
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	p := &Proxy{
		target: target,
		url:    "http://" + listener.Addr().String() + target.Path,
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32, DisableCompression: true}},
		done:   make(chan struct{}),
	}
	p.server = &http.Server{Handler: http.HandlerFunc(p.serve), ReadHeaderTimeout: 10 * time.Second}
	go func() {
		defer close(p.done)
		_ = p.server.Serve(listener) // ends by Close, with an error that says so
	}()
	return p, nil
}

// ServiceURL is where the proxy answers for the service.
func (p *Proxy) ServiceURL() string { return p.url }

// Close cuts all connections.
func (p *Proxy) Close() error {
	err := p.server.Close()
	<-p.done
	p.client.CloseIdleConnections()
	if err != nil {
		return fmt.Errorf("close proxy: %w", err)
	}
	return nil
}

// Add makes a rule hold until the function it returns is called. Rules added
// later come first.
func (p *Proxy) Add(r Rule) (remove func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	rule := &r
	p.rules = append([]*Rule{rule}, p.rules...)
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for i, x := range p.rules {
			if x == rule {
				p.rules = append(p.rules[:i:i], p.rules[i+1:]...)
				return
			}
		}
	}
}

// Requests counts what came in so far.
func (p *Proxy) Requests() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.requests
}

func (p *Proxy) ruleFor(r *http.Request) (do Fault, raw bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests++
	for _, rule := range p.rules {
		if (rule.Times == 0 || rule.applied < rule.Times) && rule.When(r) {
			rule.applied++
			return rule.Do, rule.Raw
		}
	}
	return func(x *Exchange) { x.Pass(x.Body) }, false
}

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	do, raw := p.ruleFor(r)
	if raw {
		do(&Exchange{proxy: p, Answer: w, Request: r})
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client has gone
	}
	do(&Exchange{proxy: p, Answer: w, Request: r, Body: body})
}

// Pass sends the request on with the given body and answers with what comes back.
func (x *Exchange) Pass(body []byte) {
	answer, content, err := x.Forward(body)
	if err != nil {
		http.Error(x.Answer, err.Error(), http.StatusBadGateway)
		return
	}
	x.Relay(answer, content)
}

// Relay answers with a response of the service.
func (x *Exchange) Relay(answer *http.Response, content []byte) {
	maps.Copy(x.Answer.Header(), answer.Header)
	x.Answer.WriteHeader(answer.StatusCode)
	_, _ = x.Answer.Write(content) // a client that has gone needs no answer
}

// Forward sends the request on, whether or not the client still waits.
func (x *Exchange) Forward(body []byte) (*http.Response, []byte, error) {
	to := *x.Request.URL
	to.Scheme, to.Host = x.proxy.target.Scheme, x.proxy.target.Host
	request, err := http.NewRequestWithContext(context.WithoutCancel(x.Request.Context()), x.Request.Method, to.String(), bytes.NewReader(body))
	if err != nil {
		return nil, nil, fmt.Errorf("make request: %w", err)
	}
	request.Header = x.Request.Header.Clone()
	request.ContentLength = int64(len(body))
	answer, err := x.proxy.client.Do(request)
	if err != nil {
		return nil, nil, fmt.Errorf("forward request: %w", err)
	}
	content, err := io.ReadAll(answer.Body)
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		return nil, nil, fmt.Errorf("read answer: %w", err)
	}
	return answer, content, nil
}

// Fail answers as the service does when it refuses a request.
func (x *Exchange) Fail(status int, code string) {
	x.Answer.Header().Set("x-ms-error-code", code)
	x.Answer.Header().Set("Content-Type", "application/xml")
	x.Answer.WriteHeader(status)
	_, _ = fmt.Fprintf(x.Answer, `<?xml version="1.0" encoding="utf-8"?><Error><Code>%s</Code><Message>by the proxy</Message></Error>`, code)
}

// hangUp ends the connection without an answer.
func (x *Exchange) hangUp() {
	if connection, _, err := http.NewResponseController(x.Answer).Hijack(); err == nil {
		_ = connection.Close() // that is the point
	}
}

// FlipBit garbles the body in the middle.
func FlipBit(x *Exchange) {
	body := bytes.Clone(x.Body)
	if len(body) > 0 {
		body[len(body)/2] ^= 0x10
	}
	x.Pass(body)
}

// LoseTail replaces the second half of the body by zeroes.
func LoseTail(x *Exchange) {
	body := bytes.Clone(x.Body)
	clear(body[len(body)/2:])
	x.Pass(body)
}

// LoseWrite acknowledges the request and throws it away.
func LoseWrite(x *Exchange) {
	x.Answer.Header().Set("ETag", `"0x8D0000000000000"`)
	x.Answer.Header().Set("x-ms-request-server-encrypted", "true")
	x.Answer.Header().Set("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
	x.Answer.WriteHeader(http.StatusCreated)
}

// LoseWrite200 is LoseWrite by a service that answers changes of properties.
func LoseWrite200(x *Exchange) {
	x.Answer.Header().Set("ETag", `"0x8D0000000000000"`)
	x.Answer.WriteHeader(http.StatusOK)
}

// Busy answers that the service is throttling.
func Busy(x *Exchange) { x.Fail(http.StatusServiceUnavailable, "ServerBusy") }

// Cut takes half of the upload and hangs up: the service has seen nothing. Its
// rule is raw.
func Cut(x *Exchange) {
	_, _ = io.CopyN(io.Discard, x.Request.Body, x.Request.ContentLength/2) // it hangs up either way
	x.hangUp()
}

// LoseAnswer lets the service do what it is asked and hangs up.
func LoseAnswer(x *Exchange) {
	if _, _, err := x.Forward(x.Body); err != nil {
		x.Fail(http.StatusBadGateway, "InternalError")
		return
	}
	x.hangUp()
}

// Hold keeps a request on its way: it tells arrived, waits for release, then
// passes the request on whether or not the client still waits, and tells passed
// the service's status.
func Hold(arrived chan<- struct{}, release <-chan struct{}, passed chan<- int) Fault {
	return func(x *Exchange) {
		arrived <- struct{}{}
		<-release
		answer, content, err := x.Forward(x.Body)
		if err != nil {
			passed <- 0
			return
		}
		x.Relay(answer, content)
		passed <- answer.StatusCode
	}
}

// FlipRead changes a bit of the byte at off of a blob in whatever reads it, as if
// it were stored so.
func FlipRead(off int64) Fault {
	return func(x *Exchange) {
		answer, content, err := x.Forward(x.Body)
		if err != nil {
			x.Fail(http.StatusBadGateway, "InternalError")
			return
		}
		var from, to int64
		_, err = fmt.Sscanf(x.Request.Header.Get("x-ms-range"), "bytes=%d-%d", &from, &to)
		if at := off - from; err == nil && at >= 0 && at < int64(len(content)) {
			content[at] ^= 1
		}
		x.Relay(answer, content)
	}
}

// Refuse answers with a status and a code of the service.
func Refuse(status int, code string) Fault {
	return func(x *Exchange) { x.Fail(status, code) }
}

// Account answers a question for the account's kind.
func Account(sku, kind string) Fault {
	return func(x *Exchange) {
		x.Answer.Header().Set("x-ms-sku-name", sku)
		x.Answer.Header().Set("x-ms-account-kind", kind)
		x.Answer.WriteHeader(http.StatusOK)
	}
}

// Checksums makes changes pass as a service does that verifies CRC64: a wrong one
// is refused, a right one confirmed. damage, if not nil, garbles bodies before.
func Checksums(damage func([]byte) []byte) Fault {
	return func(x *Exchange) {
		body := x.Body
		if damage != nil {
			body = damage(bytes.Clone(body))
		}
		sum := binary.LittleEndian.AppendUint64(nil, crc64nvme.Checksum(body))
		said := base64.StdEncoding.EncodeToString(sum)
		if claimed := x.Request.Header.Get("x-ms-content-crc64"); claimed != said {
			x.Fail(http.StatusBadRequest, "Crc64Mismatch")
			return
		}
		answer, content, err := x.Forward(body)
		if err != nil {
			x.Fail(http.StatusBadGateway, "InternalError")
			return
		}
		answer.Header.Set("x-ms-content-crc64", said)
		x.Relay(answer, content)
	}
}

// IsPut tells requests that write pages.
func IsPut(r *http.Request) bool {
	return r.URL.Query().Get("comp") == "page" && strings.EqualFold(r.Header.Get("x-ms-page-write"), "update")
}

// IsClear tells requests that clear pages.
func IsClear(r *http.Request) bool {
	return r.URL.Query().Get("comp") == "page" && strings.EqualFold(r.Header.Get("x-ms-page-write"), "clear")
}

// IsHuge tells requests that write more pages than the real service accepts.
func IsHuge(r *http.Request) bool { return IsPut(r) && r.ContentLength > maxPut }

// IsSnapshot tells requests that take a snapshot.
func IsSnapshot(r *http.Request) bool { return r.URL.Query().Get("comp") == "snapshot" }

// IsTo tells requests by method and by a part of their path.
func IsTo(method, path string) func(*http.Request) bool {
	return func(r *http.Request) bool { return r.Method == method && strings.Contains(r.URL.Path, path) }
}

// HasChecksum tells requests that carry a CRC64.
func HasChecksum(r *http.Request) bool { return r.Header.Get("x-ms-content-crc64") != "" }

// Always tells every request.
func Always(*http.Request) bool { return true }
