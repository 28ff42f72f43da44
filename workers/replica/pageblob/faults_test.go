package pageblob_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"farshore/domain/errorcatalog"
	"farshore/workers/disk"
	"farshore/workers/replica"
	"farshore/workers/replica/pageblob"
	"farshore/workers/replica/pageblob/azurite"
	"farshore/workers/replica/pageblob/azuritetest"
	"farshore/workers/replica/pageblob/faultproxy"
)

const (
	item = "vault-1.web.1"
	mib  = 1 << 20
)

// yard is a container behind a proxy.
type yard struct {
	proxy     *faultproxy.Proxy
	direct    string
	container string
}

func newYard(t *testing.T) yard {
	t.Helper()
	server := azuritetest.Shared(t)
	proxy, err := faultproxy.Start(t.Context(), server.ServiceURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = proxy.Close() })
	return yard{proxy: proxy, direct: server.ServiceURL(), container: newContainerName()}
}

// store is behind the proxy, other is not.
func (y yard) store(t *testing.T, edit func(*pageblob.Options)) *pageblob.Store {
	t.Helper()
	return open(t, y.proxy.ServiceURL(), y.container, edit)
}

func (y yard) other(t *testing.T) *pageblob.Store {
	t.Helper()
	return open(t, y.direct, y.container, nil)
}

func impatient(o *pageblob.Options) { o.RetryFor = 300 * time.Millisecond }

func createDisk(t *testing.T, s *pageblob.Store, name string, size, fence int64) replica.Disk {
	t.Helper()
	if err := s.CreateDisk(t.Context(), replica.DiskSpec{Item: item, Disk: name, SizeBytes: size}, fence); err != nil {
		t.Fatalf("create disk: %v", err)
	}
	return openDisk(t, s, name, fence)
}

func openDisk(t *testing.T, s *pageblob.Store, name string, fence int64) replica.Disk {
	t.Helper()
	d, err := s.OpenDisk(t.Context(), item, name, fence)
	if err != nil {
		t.Fatalf("open disk: %v", err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func noise(seed uint64, n int) []byte {
	p := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	_, _ = r.Read(p) // never fails
	return p
}

func mustWrite(t *testing.T, d replica.Disk, p []byte, off int64) {
	t.Helper()
	if _, err := d.WriteAt(p, off); err != nil {
		t.Fatalf("write: %v", err)
	}
}

func mustHold(t *testing.T, r io.ReaderAt, want []byte, off int64) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := r.ReadAt(got, off); err != nil && !errors.Is(err, io.EOF) {
		t.Fatalf("read: %v", err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("%d bytes at %d are not what was written", len(want), off)
	}
}

func mustCommit(t *testing.T, s *pageblob.Store, cut string, fence int64, disks ...string) {
	t.Helper()
	if err := s.CommitPoint(t.Context(), item, spec(cut, disks...), fence); err != nil {
		t.Fatalf("commit point %s: %v", cut, err)
	}
}

func spec(cut string, disks ...string) replica.PointSpec {
	p := replica.PointSpec{ID: cut}
	for _, d := range disks {
		p.Disks = append(p.Disks, replica.PointDisk{Disk: d, SizeBytes: 8 * mib, Root: "00ff"})
	}
	return p
}

func change(off, n int64) []replica.Change {
	return []replica.Change{{Disk: "os", Extents: []disk.Extent{{Offset: off, Length: n}}}}
}

func mustPoint(t *testing.T, s *pageblob.Store, cut, name string, want []byte, off int64) {
	t.Helper()
	r, err := s.OpenPoint(t.Context(), item, cut, name)
	if err != nil {
		t.Fatalf("open point %s: %v", cut, err)
	}
	defer func() { _ = r.Close() }()
	mustHold(t, r, want, off)
}

func wantCode(t *testing.T, err error, code errorcatalog.Code) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %s", code)
	}
	if f := errorcatalog.Of(err); f.Code != code {
		t.Fatalf("%s, want %s: %v", f.Code, code, err)
	}
}

func TestAWriteThatTheNetworkHarmsOnceIsStoredWhole(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]faultproxy.Rule{
		"a bit is flipped":                {When: faultproxy.IsPut, Times: 1, Do: faultproxy.FlipBit},
		"the tail is lost":                {When: faultproxy.IsPut, Times: 1, Do: faultproxy.LoseTail},
		"it is acknowledged and lost":     {When: faultproxy.IsPut, Times: 1, Do: faultproxy.LoseWrite},
		"the connection is cut":           {When: faultproxy.IsPut, Times: 2, Raw: true, Do: faultproxy.Cut},
		"the answer is lost":              {When: faultproxy.IsPut, Times: 2, Do: faultproxy.LoseAnswer},
		"the store is busy":               {When: faultproxy.Always, Times: 3, Do: faultproxy.Busy},
		"a clear is lost":                 {When: faultproxy.IsClear, Times: 1, Do: faultproxy.LoseWrite},
		"a clear's answer is lost":        {When: faultproxy.IsClear, Times: 1, Do: faultproxy.LoseAnswer},
		"more than 4 MiB are refused":     {When: faultproxy.IsHuge, Do: faultproxy.Refuse(http.StatusRequestEntityTooLarge, "RequestBodyTooLarge")},
		"a gateway answers for the store": {When: faultproxy.IsPut, Times: 3, Do: faultproxy.Refuse(http.StatusBadGateway, "")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			y := newYard(t)
			s := y.store(t, nil)
			d := createDisk(t, s, "os", 16*mib, 1)
			mustWrite(t, d, noise(1, 4*mib), 8*mib)
			y.proxy.Add(rule)
			data := noise(2, 10*mib)
			clear(data[5*mib : 6*mib])
			mustWrite(t, d, data, 512)
			if err := d.Zero(11*mib, mib/2); err != nil {
				t.Fatalf("zero: %v", err)
			}
			if err := d.Flush(t.Context()); err != nil {
				t.Fatalf("flush: %v", err)
			}
			judge := openDisk(t, y.other(t), "os", 1)
			mustHold(t, judge, data, 512)
			mustHold(t, judge, make([]byte, mib/2), 11*mib)
		})
	}
}

func TestAWriteThatIsAlwaysHarmedFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rule faultproxy.Rule
		code errorcatalog.Code
	}{
		"bits are flipped":             {faultproxy.Rule{When: faultproxy.IsPut, Do: faultproxy.FlipBit}, errorcatalog.TransferVerificationFailed},
		"it is acknowledged and lost":  {faultproxy.Rule{When: faultproxy.IsPut, Do: faultproxy.LoseWrite}, errorcatalog.TransferVerificationFailed},
		"the store is busy":            {faultproxy.Rule{When: faultproxy.Always, Do: faultproxy.Busy}, errorcatalog.Throttled},
		"connections are cut":          {faultproxy.Rule{When: faultproxy.Always, Raw: true, Do: faultproxy.Cut}, errorcatalog.ReplicaStoreUnreachable},
		"the credential is refused":    {faultproxy.Rule{When: faultproxy.Always, Do: faultproxy.Refuse(http.StatusForbidden, "AuthenticationFailed")}, errorcatalog.ReplicaStoreAuthentication},
		"the right to write is gone":   {faultproxy.Rule{When: faultproxy.IsPut, Do: faultproxy.Refuse(http.StatusForbidden, "AuthorizationPermissionMismatch")}, errorcatalog.ReplicaStoreAuthorization},
		"the disk's blob is gone":      {faultproxy.Rule{When: faultproxy.IsPut, Do: faultproxy.Refuse(http.StatusNotFound, "BlobNotFound")}, errorcatalog.ReplicaDiskNotFound},
		"the server has an error":      {faultproxy.Rule{When: faultproxy.Always, Do: faultproxy.Refuse(http.StatusInternalServerError, "InternalError")}, errorcatalog.ReplicaStoreUnreachable},
		"the account is being deleted": {faultproxy.Rule{When: faultproxy.IsPut, Do: faultproxy.Refuse(http.StatusNotFound, "ContainerNotFound")}, errorcatalog.ReplicaStoreUnusable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			y := newYard(t)
			d := createDisk(t, y.store(t, impatient), "os", 8*mib, 1)
			y.proxy.Add(c.rule)
			_, err := d.WriteAt(noise(3, mib), 0)
			wantCode(t, err, c.code)
		})
	}
}

func TestAPointIsMadeOnceAndWholeWhateverIsLost(t *testing.T) {
	t.Parallel()
	isIndex := faultproxy.IsTo(http.MethodPut, "/index.json")
	for name, rule := range map[string]faultproxy.Rule{
		"a snapshot is acknowledged and lost":  {When: faultproxy.IsSnapshot, Times: 1, Do: faultproxy.LoseWrite},
		"a snapshot's answer is lost":          {When: faultproxy.IsSnapshot, Times: 1, Do: faultproxy.LoseAnswer},
		"the index is acknowledged and lost":   {When: isIndex, Times: 1, Do: faultproxy.LoseWrite},
		"the index is garbled":                 {When: isIndex, Times: 1, Do: faultproxy.FlipBit},
		"the index's answer is lost":           {When: isIndex, Times: 1, Do: faultproxy.LoseAnswer},
		"the upload of the index is cut":       {When: isIndex, Times: 1, Raw: true, Do: faultproxy.Cut},
		"the store is busy in between":         {When: faultproxy.Always, Times: 3, Do: faultproxy.Busy},
		"the plan of the apply is garbled":     {When: faultproxy.IsTo(http.MethodPut, "/apply/"), Times: 1, Do: faultproxy.FlipBit},
		"the plan is acknowledged and lost":    {When: faultproxy.IsTo(http.MethodPut, "/apply/"), Times: 1, Do: faultproxy.LoseWrite},
		"a sequence number is set and lost":    {When: comp("properties"), Times: 1, Do: faultproxy.LoseWrite200},
		"a sequence number's answer is lost":   {When: comp("properties"), Times: 1, Do: faultproxy.LoseAnswer},
		"a deletion is acknowledged and lost":  {When: faultproxy.IsTo(http.MethodDelete, ""), Times: 1, Do: faultproxy.LoseWrite200},
		"nothing is lost, to prove the others": {When: func(*http.Request) bool { return false }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			y := newYard(t)
			s := y.store(t, nil)
			first, second := noise(4, mib), noise(5, mib)
			mustWrite(t, createDisk(t, s, "os", 8*mib, 1), first, mib)
			createDisk(t, s, "data", 8*mib, 1)
			mustCommit(t, s, "cut-1", 1, "os", "data")
			y.proxy.Add(rule)
			if err := s.BeginApply(t.Context(), item, "cut-2", 2, change(mib, mib)); err != nil {
				t.Fatalf("begin apply: %v", err)
			}
			mustWrite(t, openDisk(t, s, "os", 2), second, mib)
			err := s.CommitPoint(t.Context(), item, spec("cut-2", "os", "data"), 2)
			if err != nil { // reported; the same calls again end in the same bytes
				t.Logf("commit: %v", err)
				mustCommit(t, s, "cut-2", 2, "os", "data")
			}
			judge := y.other(t)
			points, err := judge.ListPoints(t.Context(), item)
			if err != nil || len(points) != 2 || points[1].ID != "cut-2" {
				t.Fatalf("points %v, %v", points, err)
			}
			mustPoint(t, judge, "cut-1", "os", first, mib)
			mustPoint(t, judge, "cut-2", "os", second, mib)
			mustPoint(t, judge, "cut-2", "data", make([]byte, 8*mib), 0)
		})
	}
}

func TestAnObjectIsStoredWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	isObject := faultproxy.IsTo(http.MethodPut, "/objects/")
	for name, c := range map[string]struct {
		rule faultproxy.Rule
		fine bool
	}{
		"a bit is flipped once":       {faultproxy.Rule{When: isObject, Times: 1, Do: faultproxy.FlipBit}, true},
		"a part is lost once":         {faultproxy.Rule{When: isObject, Times: 1, Do: faultproxy.LoseTail}, true},
		"it is lost once":             {faultproxy.Rule{When: isObject, Times: 1, Do: faultproxy.LoseWrite}, true},
		"an upload is cut":            {faultproxy.Rule{When: isObject, Times: 2, Raw: true, Do: faultproxy.Cut}, true},
		"the store is busy":           {faultproxy.Rule{When: isObject, Times: 3, Do: faultproxy.Busy}, true},
		"a bit is flipped every time": {faultproxy.Rule{When: isObject, Do: faultproxy.FlipBit}, false},
		"it is lost every time":       {faultproxy.Rule{When: isObject, Do: faultproxy.LoseWrite}, false},
	} {
		for kind, size := range map[string]int{"small": 3000, "large": 9*mib + 77} {
			t.Run(kind+" and "+name, func(t *testing.T) {
				t.Parallel()
				y := newYard(t)
				s := y.store(t, nil)
				y.proxy.Add(c.rule)
				data := noise(13, size)
				err := s.PutObject(t.Context(), item, "logs/os/1.hrl", bytes.NewReader(data), int64(size))
				if !c.fine && err == nil {
					t.Fatal("a wrong object counts as stored")
				}
				if c.fine && err != nil {
					t.Fatalf("put: %v", err)
				}
				o, err := y.other(t).OpenObject(t.Context(), item, "logs/os/1.hrl")
				if !c.fine {
					wantCode(t, err, errorcatalog.ObjectNotFound)
					return
				}
				if err != nil {
					t.Fatalf("open: %v", err)
				}
				mustHold(t, o, data, 0)
			})
		}
	}
}

func TestChecksumsAreReliedOnOnlyWhereTheyAreVerified(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	var flips int
	damage := func(b []byte) []byte {
		if flips++; flips == 4 && len(b) > 0 {
			b[0] ^= 1
		}
		return b
	}
	y.proxy.Add(faultproxy.Rule{When: faultproxy.HasChecksum, Do: faultproxy.Checksums(damage)})
	s := y.store(t, func(o *pageblob.Options) { o.InFlight = 1 })
	d := createDisk(t, s, "os", 16*mib, 1)
	data := noise(14, 16*mib)
	before := y.proxy.Requests()
	mustWrite(t, d, data, 0)
	if n := y.proxy.Requests() - before; n > 6 {
		t.Errorf("%d requests for four puts and a repeated one: something is read back", n)
	}
	if flips < 5 {
		t.Errorf("%d requests carried a checksum", flips)
	}
	mustHold(t, openDisk(t, y.other(t), "os", 1), data, 0)
}

func TestAnAccountThatCannotHoldReplicasIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ sku, kind string }{{"Premium_LRS", "StorageV2"}, {"Standard_LRS", "BlobStorage"}, {"Premium_LRS", "BlockBlobStorage"}} {
		y := newYard(t)
		y.proxy.Add(faultproxy.Rule{When: func(r *http.Request) bool { return r.URL.Query().Get("restype") == "account" }, Do: faultproxy.Account(c.sku, c.kind)})
		s, err := pageblob.New(pageblob.Options{
			ServiceURL: y.proxy.ServiceURL(), Container: y.container, Now: time.Now,
			Credential: pageblob.Credential{Account: azurite.Account, Key: azurite.Key},
		})
		if err != nil {
			t.Fatal(err)
		}
		wantCode(t, s.Check(t.Context()), errorcatalog.ReplicaStoreUnsupportedKind)
	}
}
