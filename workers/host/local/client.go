package local

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"

	"farshore/domain/errorcatalog"
	"farshore/domain/site"
	"farshore/workers/disk"
	"farshore/workers/host"
)

// idleConnections are kept for the next request, so that data flows without
// connecting anew.
const idleConnections = 16

// socketBuffer lets a piece travel in few steps, in bytes.
const socketBuffer = 1 << 20

// Client is a local host in another process.
type Client struct {
	socket string
	http   *http.Client
	lane   string // for whose holder it asks, or nobody's
	token  int64
}

var (
	_ host.Host          = (*Client)(nil)
	_ host.ProblemLister = (*Client)(nil)
	_ host.Fencer        = (*Client)(nil)
)

// Dial returns a client of the host process at a control socket. It connects
// with the first request.
func Dial(socket string) *Client {
	dialer := &net.Dialer{}
	return &Client{socket: socket, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, "unix", socket)
			if u, ok := c.(*net.UnixConn); ok {
				_ = u.SetReadBuffer(socketBuffer)
				_ = u.SetWriteBuffer(socketBuffer)
			}
			return c, err //nolint:wrapcheck // it becomes host_unreachable
		},
		MaxIdleConnsPerHost: idleConnections,
		DisableCompression:  true,
		ReadBufferSize:      256 << 10,
		WriteBufferSize:     256 << 10,
	}}}
}

// Close lets go of idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Fenced is the same client for the holder of a lane.
func (c *Client) Fenced(lane string, token int64) host.Host {
	return &Client{socket: c.socket, http: c.http, lane: lane, token: token}
}

// State tells what the process serves.
func (c *Client) State(ctx context.Context) (State, error) {
	var s State
	err := c.request(ctx, http.MethodGet, "/v1/state", nil, &s)
	return s, err
}

// call makes a control request; out may be nil.
func (c *Client) call(ctx context.Context, method string, in call, out any) error {
	body, err := json.Marshal(in) //nolint:errchkjson // a later field may be one that can fail
	if err != nil {
		return fmt.Errorf("encode %s: %w", method, err)
	}
	return c.request(ctx, http.MethodPost, "/v1/call/"+method, bytes.NewReader(body), out)
}

// ask makes a control request that has an answer.
func ask[T any](ctx context.Context, c *Client, method string, in call) (T, error) {
	var out T
	err := c.call(ctx, method, in, &out)
	return out, err
}

func (c *Client) request(ctx context.Context, verb, path string, body io.Reader, out any) error {
	res, err := c.do(ctx, verb, path, body)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // read to its end
	p, err := io.ReadAll(res.Body)
	if err != nil {
		return c.unreachable(ctx, err)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(p, out); err != nil {
		return fmt.Errorf("decode answer of host at %s: %w", c.socket, err)
	}
	return nil
}

// do sends a request and returns a response that is no failure.
func (c *Client) do(ctx context.Context, verb, path string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, verb, "http://host"+path, body)
	if err != nil {
		return nil, fmt.Errorf("build request: %w", err)
	}
	if c.lane != "" {
		req.Header.Set(laneHeader, c.lane)
		req.Header.Set(tokenHeader, strconv.FormatInt(c.token, 10))
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	defer res.Body.Close() //nolint:errcheck // the answer is a failure already
	f := &errorcatalog.Failure{}
	if err := json.NewDecoder(res.Body).Decode(f); err != nil || f.Code == "" {
		return nil, c.unreachable(ctx, fmt.Errorf("it answered %s", res.Status))
	}
	return nil, f
}

// unreachable gives a broken connection its code; a canceled caller did it itself.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("call host at %s: %w", c.socket, ctx.Err())
	}
	return errorcatalog.Fail(errorcatalog.HostUnreachable, "host process at %s", c.socket).Because(err)
}

// VirtualMachines lists the VMs.
func (c *Client) VirtualMachines(ctx context.Context) ([]site.VirtualMachine, error) {
	return ask[[]site.VirtualMachine](ctx, c, "virtualMachines", call{})
}

// VirtualMachine returns one VM.
func (c *Client) VirtualMachine(ctx context.Context, vm string) (site.VirtualMachine, error) {
	return ask[site.VirtualMachine](ctx, c, "virtualMachine", call{VM: vm})
}

// Problems lists the VMs that could not be described.
func (c *Client) Problems(ctx context.Context) ([]host.Problem, error) {
	return ask[[]host.Problem](ctx, c, "problems", call{})
}

// Space returns the space where the VM's disks lie.
func (c *Client) Space(ctx context.Context, vm string) (host.Space, error) {
	return ask[host.Space](ctx, c, "space", call{VM: vm})
}

// StartReplication creates the relationship and begins to track.
func (c *Client) StartReplication(ctx context.Context, vm string, r host.Relationship) error {
	return c.call(ctx, "startReplication", call{VM: vm, Relationship: &r}, nil)
}

// StopReplication ends the relationship.
func (c *Client) StopReplication(ctx context.Context, vm string) error {
	return c.call(ctx, "stopReplication", call{VM: vm}, nil)
}

// Replication returns the state of the relationship.
func (c *Client) Replication(ctx context.Context, vm string) (host.Replication, error) {
	return ask[host.Replication](ctx, c, "replication", call{VM: vm})
}

// UpdateRelationship replaces the settings of the relationship.
func (c *Client) UpdateRelationship(ctx context.Context, vm string, r host.Relationship) error {
	return c.call(ctx, "updateRelationship", call{VM: vm, Relationship: &r}, nil)
}

// GrowDisk makes a disk of a VM that is off larger by zeroes.
func (c *Client) GrowDisk(ctx context.Context, vm, disk string, size int64) error {
	return c.call(ctx, "growDisk", call{VM: vm, Disk: disk, Size: size}, nil)
}

// RestartTracking drops the logs of the given disks and begins new ones.
func (c *Client) RestartTracking(ctx context.Context, vm string, disks []string) error {
	return c.call(ctx, "restartTracking", call{VM: vm, Disks: disks}, nil)
}

// Cut seals the logs of all tracked disks at one instant.
func (c *Client) Cut(ctx context.Context, vm string, req host.CutRequest) (host.Cut, error) {
	return ask[host.Cut](ctx, c, "cut", call{VM: vm, Cut: &req})
}

// Written returns the ranges that a cut's logs name.
func (c *Client) Written(ctx context.Context, vm, cut, diskID string) ([]disk.Extent, error) {
	return ask[[]disk.Extent](ctx, c, "written", call{VM: vm, ID: cut, Disk: diskID})
}

// ReleaseCut deletes a cut's logs.
func (c *Client) ReleaseCut(ctx context.Context, vm, cut string) error {
	return c.call(ctx, "releaseCut", call{VM: vm, ID: cut}, nil)
}

// CreateSnapshot takes a snapshot of all the VM's disks at one instant.
func (c *Client) CreateSnapshot(ctx context.Context, vm, snapshot string) error {
	return c.call(ctx, "createSnapshot", call{VM: vm, ID: snapshot}, nil)
}

// DeleteSnapshot removes a snapshot.
func (c *Client) DeleteSnapshot(ctx context.Context, vm, snapshot string) error {
	return c.call(ctx, "deleteSnapshot", call{VM: vm, ID: snapshot}, nil)
}

// PowerState says whether the VM runs.
func (c *Client) PowerState(ctx context.Context, vm string) (site.PowerState, error) {
	return ask[site.PowerState](ctx, c, "powerState", call{VM: vm})
}

// Start starts the VM.
func (c *Client) Start(ctx context.Context, vm string) error {
	return c.call(ctx, "start", call{VM: vm}, nil)
}

// Stop asks the guest to shut down and waits for it.
func (c *Client) Stop(ctx context.Context, vm string) error {
	return c.call(ctx, "stop", call{VM: vm}, nil)
}

// SetActive tells whether the VM may run here.
func (c *Client) SetActive(ctx context.Context, vm string, active bool) error {
	return c.call(ctx, "setActive", call{VM: vm, Active: active}, nil)
}

// CreateVM prepares a VM whose disks are to be filled.
func (c *Client) CreateVM(ctx context.Context, vm site.VirtualMachine, owner string) error {
	return c.call(ctx, "createVM", call{Machine: &vm, Owner: owner}, nil)
}

// CompleteVM makes the owner's VM appear in the inventory, off.
func (c *Client) CompleteVM(ctx context.Context, vm, owner string) error {
	return c.call(ctx, "completeVM", call{VM: vm, Owner: owner}, nil)
}

// DeleteVM stops the owner's VM and removes it with its disks.
func (c *Client) DeleteVM(ctx context.Context, vm, owner string) error {
	return c.call(ctx, "deleteVM", call{VM: vm, Owner: owner}, nil)
}

// OpenLog reads a sealed log of a cut.
func (c *Client) OpenLog(ctx context.Context, vm, disk, log string) (io.ReadCloser, error) {
	q := url.Values{"vm": {vm}, argDisk: {disk}, "log": {log}}
	res, err := c.do(ctx, http.MethodGet, "/v1/log?"+q.Encode(), nil) //nolint:bodyclose // the caller closes what it gets
	if err != nil {
		return nil, err
	}
	return &logStream{ReadCloser: res.Body, c: c, ctx: ctx}, nil
}

// logStream gives a connection that breaks its code.
type logStream struct {
	io.ReadCloser
	c   *Client
	ctx context.Context //nolint:containedctx // of the call that opened it, which its body ends with
}

func (s *logStream) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = s.c.unreachable(s.ctx, err)
	}
	return n, err
}

// OpenVMDisk opens a disk of a VM under construction for writing.
func (c *Client) OpenVMDisk(ctx context.Context, vm, disk string) (host.DiskWriter, error) {
	if err := c.call(ctx, "openVMDisk", call{VM: vm, Disk: disk}, nil); err != nil {
		return nil, err
	}
	return &remoteWriter{c: c, ctx: ctx, vm: vm, disk: disk}, nil
}

// OpenSnapshot reads a disk of a snapshot. Where this process may open the host's
// files, it reads them itself: the map tells it what has been copied aside.
func (c *Client) OpenSnapshot(ctx context.Context, vm, snapshot, diskID string) (disk.Reader, error) {
	at, err := ask[snapshotPlace](ctx, c, "locateSnapshot", call{VM: vm, ID: snapshot, Disk: diskID})
	if err != nil {
		return nil, err
	}
	if r, err := openSnapshotDisk(at.snapshotDisk); err == nil {
		return r, nil
	}
	return c.stream(ctx, vm, snapshot, diskID, at.Size), nil
}

// StreamSnapshot is OpenSnapshot for a process that shares no files with the
// host: all data comes through the socket.
func (c *Client) StreamSnapshot(ctx context.Context, vm, snapshot, diskID string) (disk.Reader, error) {
	at, err := ask[snapshotPlace](ctx, c, "locateSnapshot", call{VM: vm, ID: snapshot, Disk: diskID})
	if err != nil {
		return nil, err
	}
	return c.stream(ctx, vm, snapshot, diskID, at.Size), nil
}

func (c *Client) stream(ctx context.Context, vm, snapshot, diskID string, size int64) disk.Reader {
	return &remoteReader{c: c, ctx: ctx, vm: vm, snapshot: snapshot, disk: diskID, size: size}
}
