package azuritetest_test

import (
	"net/http"
	"testing"

	"farshore/workers/replica/pageblob/azuritetest"
)

func TestAStartedEmulatorAnswersAndAStoppedOneIsGone(t *testing.T) {
	t.Parallel()
	server := azuritetest.Start(t)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.ServiceURL()+"?comp=list", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil {
		t.Fatal(err)
	}
	if response.Header.Get("Server") == "" {
		t.Errorf("answer without a server header: %v", response.Header)
	}
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-server.Exited():
	default:
		t.Error("the process lives after it was stopped")
	}
}
