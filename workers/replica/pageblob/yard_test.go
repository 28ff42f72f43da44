package pageblob_test

import (
	"io"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"farshore/workers/replica/pageblob/azurite"
)

// client looks at the container without the store.
func (y yard) client(tb testing.TB) *container.Client {
	tb.Helper()
	key, err := container.NewSharedKeyCredential(azurite.Account, azurite.Key)
	if err != nil {
		tb.Fatal(err)
	}
	client, err := container.NewClientWithSharedKeyCredential(y.direct+"/"+y.container, key, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return client
}

func (y yard) download(tb testing.TB, name string) []byte {
	tb.Helper()
	r, err := y.client(tb).NewBlobClient(name).DownloadStream(tb.Context(), nil)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	data, err := io.ReadAll(r.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func (y yard) entries(t *testing.T) []*container.BlobItem {
	t.Helper()
	var items []*container.BlobItem
	pager := y.client(t).NewListBlobsFlatPager(&container.ListBlobsFlatOptions{Include: container.ListBlobsInclude{Snapshots: true}})
	for pager.More() {
		r, err := pager.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, r.Segment.BlobItems...)
	}
	return items
}

func (y yard) snapshots(t *testing.T) int {
	t.Helper()
	n := 0
	for _, b := range y.entries(t) {
		if b.Snapshot != nil && *b.Snapshot != "" {
			n++
		}
	}
	return n
}

func (y yard) blobs(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, b := range y.entries(t) {
		names = append(names, *b.Name)
	}
	return names
}
