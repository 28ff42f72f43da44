package pageblob

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"farshore/domain/errorcatalog"
	"farshore/workers/replica"
)

// Options say which container holds the replicas and how it is reached.
type Options struct {
	ServiceURL string // "https://account.blob.core.windows.net"
	Container  string
	Credential Credential
	Transport  policy.Transporter // nil: a client of its own
	InFlight   int                // requests at the same time, all disks together; 0: 8
	TryTimeout time.Duration      // of one request; 0: a minute
	RetryFor   time.Duration      // how long a request is repeated after its first failure; 0: 20 seconds
	Now        func() time.Time
}

// Credential is what opens the account: a key, a shared access signature or a
// source of tokens. The first that is there is used.
type Credential struct {
	Account string
	Key     string // base64; needs Account
	SAS     string // "sv=…&sig=…"
	Token   azcore.TokenCredential
}

// ParseCredential understands a secret as operators have it: an account key, a
// shared access signature or a connection string. The account of a bare key is
// taken from the service's address.
func ParseCredential(secret, serviceURL string) (Credential, error) {
	secret = strings.TrimSpace(secret)
	switch {
	case secret == "":
		return Credential{}, errorcatalog.Fail(errorcatalog.ReplicaStoreAuthentication, "the secret is empty")
	case strings.Contains(secret, "AccountKey="), strings.Contains(secret, "SharedAccessSignature="):
		return fromConnectionString(secret), nil
	case strings.Contains(secret, "sig="):
		return Credential{SAS: strings.TrimPrefix(secret, "?")}, nil
	}
	u, err := url.Parse(serviceURL)
	if err != nil {
		return Credential{}, fmt.Errorf("parse service address: %w", err)
	}
	// An emulator has the account in the path, the cloud in the first label.
	account := strings.Trim(u.Path, "/")
	if account == "" {
		account, _, _ = strings.Cut(u.Hostname(), ".")
	}
	return Credential{Account: account, Key: secret}, nil
}

func fromConnectionString(s string) Credential {
	var c Credential
	for part := range strings.SplitSeq(s, ";") {
		name, value, _ := strings.Cut(part, "=")
		switch name {
		case "AccountName":
			c.Account = value
		case "AccountKey":
			c.Key = value
		case "SharedAccessSignature":
			c.SAS = value
		}
	}
	return c
}

// Store keeps replicas in one container.
type Store struct {
	container *container.Client
	inFlight  int
	slots     chan struct{} // one is held by each data request
	buffers   sync.Pool
	patience  patience
	now       func() time.Time
	proof     proof
	grants    grants
}

var _ replica.Store = (*Store)(nil)

// New returns the store of a container. It makes no request.
func New(o Options) (*Store, error) {
	if o.InFlight <= 0 {
		o.InFlight = 8
	}
	if o.TryTimeout <= 0 {
		o.TryTimeout = time.Minute
	}
	if o.RetryFor <= 0 {
		o.RetryFor = 20 * time.Second
	}
	if o.Transport == nil {
		o.Transport = newHTTPClient(o.InFlight)
	}
	client, err := newContainer(o)
	if err != nil {
		return nil, err
	}
	return &Store{
		container: client,
		inFlight:  o.InFlight,
		slots:     make(chan struct{}, o.InFlight),
		buffers:   sync.Pool{New: func() any { b := make([]byte, maxPut); return &b }},
		patience:  patience{try: o.TryTimeout, retry: o.RetryFor},
		now:       o.Now,
	}, nil
}

func newContainer(o Options) (*container.Client, error) {
	base, query, _ := strings.Cut(o.ServiceURL, "?")
	address := strings.TrimSuffix(base, "/") + "/" + o.Container
	options := &container.ClientOptions{ClientOptions: policy.ClientOptions{
		Transport: o.Transport,
		// Requests are repeated here, not by the client: a repeated change must
		// first shut out the one before.
		Retry: policy.RetryOptions{MaxRetries: -1},
	}}
	var client *container.Client
	var err error
	switch {
	case o.Credential.Key != "":
		var key *container.SharedKeyCredential
		key, err = container.NewSharedKeyCredential(o.Credential.Account, o.Credential.Key)
		if err != nil {
			return nil, errorcatalog.Fail(errorcatalog.ReplicaStoreAuthentication, "the account key cannot be used").Because(err)
		}
		client, err = container.NewClientWithSharedKeyCredential(address, key, options)
	case o.Credential.Token != nil:
		client, err = container.NewClient(address, o.Credential.Token, options)
	default:
		if o.Credential.SAS != "" {
			query = o.Credential.SAS
		}
		client, err = container.NewClientWithNoCredential(address+"?"+query, options)
	}
	if err != nil {
		return nil, fmt.Errorf("make client of container %s: %w", o.Container, err)
	}
	return client, nil
}

func newHTTPClient(inFlight int) *http.Client {
	return &http.Client{Transport: &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		MaxIdleConnsPerHost:   2 * inFlight,
		IdleConnTimeout:       90 * time.Second,
		ExpectContinueTimeout: time.Second,
		DisableCompression:    true,
	}}
}
